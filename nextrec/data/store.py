"""A data set in memory, packed row by row, from which batches are taken by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from nextrec.data.batch import Batch, Schema
from nextrec.data.files import Job, Source, Unit
from nextrec.data.prefetch import in_order
from nextrec.data.preparation import Preparation, default_threads, is_own
from nextrec.data.sources import frame_kind, open_source
from nextrec.errors import DataError
from nextrec.features import FeatureSet


class PackedStore(Dataset[Batch]):
    """All rows of a data set as one big :class:`~nextrec.data.batch.Batch`.

    A row's ids, and a row's numbers, lie side by side, so taking a batch by position copies a few
    short pieces of memory a row, whatever the number of columns.

    >>> from nextrec.features import SparseFeature
    >>> features = FeatureSet(sparse=[SparseFeature("item", vocab_size=10)])
    >>> store = PackedStore.from_data({"item": [3, 1, 4], "y": [0, 1, 1]}, features, ["y"])
    >>> store.select([2, 0]).features["item"]
    tensor([4, 3])
    """

    def __init__(self, data: Batch) -> None:
        self.data = data

    @classmethod
    def from_data(
        cls,
        data: Any,
        features: FeatureSet,
        targets: Sequence[str] = (),
        id_columns: Sequence[str] = (),
        weight_column: str | None = None,
        require_labels: bool = True,
        check_labels: Callable[[np.ndarray, int], None] | None = None,
        processor: Any = None,
    ) -> PackedStore:
        """Read, check and pack a table of any kind.

        Args:
            data: what :func:`~nextrec.data.sources.read_table_of` reads.
            features: the columns that become features.
            targets: label columns.
            id_columns: columns carried along untouched.
            weight_column: column of sample weights.
            require_labels: False where labels may be absent, as in prediction.
            check_labels: judges labels by task, see :class:`~nextrec.data.batch.Schema`.
            processor: fitted object with ``transform(data, return_dict=False)``, see
                :func:`prepare`.

        Raises:
            DataError: the data is empty, a column is missing or a value does not fit.
        """
        schema = Schema(
            features,
            tuple(targets),
            tuple(id_columns),
            weight_column,
            require_labels,
            check_labels,
        )
        return cls(prepare(data, schema, processor))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Batch:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self.slice(start, max(start, stop))
            return self.select(np.arange(start, stop, step))
        if isinstance(index, (int, np.integer)):
            place = range(len(self))[int(index)]  # negative counts from the end, IndexError beyond
            return self.slice(place, place + 1)
        return self.select(index)

    def __getitems__(self, index: list[int]) -> list[Batch]:
        """What a torch DataLoader fetches: one batch, which ``collate_fn`` passes through."""
        return [self.select(index)]

    def select(self, index: Sequence[int] | np.ndarray | Tensor) -> Batch:
        """The rows at these positions, or where a mask is true, in a batch of their own memory."""
        positions = index.numpy() if isinstance(index, Tensor) else np.asarray(index)
        if positions.dtype == bool:
            positions = np.flatnonzero(positions)
        return self.data.take(positions.astype(np.intp, copy=False))

    def slice(self, start: int, stop: int) -> Batch:
        """The rows from ``start`` to ``stop`` as views of the store's memory."""
        return self.data.slice(start, stop)

    def subset(self, index: Sequence[int] | np.ndarray | Tensor) -> PackedStore:
        """A store of its own with the rows at these positions."""
        if len(index) == 0:
            raise DataError("a subset needs at least one row; got none.")
        return PackedStore(self.select(index))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the rows take."""
        data = self.data
        blocks = [*data.features.blocks, data.labels, data.weights]
        tensors = sum(
            block.numel() * block.element_size() for block in blocks if isinstance(block, Tensor)
        )
        return tensors + sum(values.nbytes for values in data.ids.values())


def prepare(data: Any, schema: Schema, processor: Any = None, first_row: int = 0) -> Batch:
    """Read a table, transform it when there is a processor, check it and pack it.

    Args:
        data: what :func:`~nextrec.data.sources.read_table_of` reads.
        schema: which columns become what.
        processor: see :class:`~nextrec.data.preparation.Preparation`. One that is not NextRec's own
            gets a pandas frame or dict as given.
        first_row: number, in the whole data, of the first row; errors count from it.

    Raises:
        NotFittedError: the processor's ``is_fitted`` is false.
    """
    source = open_source(data)
    preparation = Preparation(schema, source.names(), processor)
    if is_own(processor):
        return _by_units(source, preparation, first_row)
    raw = processor is not None and not isinstance(data, Source)
    if raw and frame_kind(data) in ("pandas", "dict"):
        return preparation.given(data, source.read(preparation.ids), first_row)
    return preparation.batch(source.read(preparation.columns), first_row)


def _by_units(source: Source, preparation: Preparation, first_row: int) -> Batch:
    """Transform and pack piece by piece, so that raw columns are never in memory as a whole."""
    units = source.units(preparation.columns, preparation.text)

    def packed(unit: Unit, job: Job) -> Batch:
        return preparation.whole(job(), first_row + unit.first_row)

    jobs = source.jobs(preparation.columns, [unit for unit in units if unit.rows], preparation.text)
    threads = default_threads()
    pieces = list(in_order((partial(packed, *each) for each in jobs), threads, threads + 1))
    if not pieces:
        raise DataError("the data is empty: it has no rows.")
    return pieces[0] if len(pieces) == 1 else Batch.concat(pieces)
