"""Batches, and the only place where columns become tensors.

Letters: B batch, T targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nextrec.data.blocks import FeatureBatch, Layout
from nextrec.data.columns import id_values, plain
from nextrec.data.files import require_columns
from nextrec.data.packing import FEATURE_BLOCKS, Schema, fill_blocks
from nextrec.data.sources import read_table_of
from nextrec.errors import DataError, invalid
from nextrec.features import FeatureSet

__all__ = ["Batch", "FeatureBatch", "Layout", "Schema", "as_batch", "pack"]


@dataclass(slots=True)
class Batch:
    """Features, labels, ids and weights of B rows.

    ``batch["features"]``, ``batch["labels"]`` (target -> ``(B,)``, or None) and ``batch["ids"]``
    read it as the dict that 0.3.1's loaders gave.
    """

    features: FeatureBatch
    labels: Tensor | None = None
    """``(B, T)`` float32; NaN: not observed. None: the data has no labels."""
    ids: dict[str, Any] = field(default_factory=dict)
    """Id columns ``(B,)``, untouched: NumPy arrays of their own type. (A store's data holds what
    NumPy has no type for, such as text, as Arrow arrays.)"""
    weights: Tensor | None = None
    """Sample weights ``(B,)`` float32."""
    targets: tuple[str, ...] = ()
    """Names of the label columns."""

    def __len__(self) -> int:
        return self.features.rows

    def keys(self) -> tuple[str, ...]:
        """The keys of the dict form."""
        return ("features", "labels", "ids")

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> Any:
        if key == "labels":
            if self.labels is None:
                return None
            return dict(zip(self.targets, self.labels.unbind(1), strict=True))
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        """``self[key]`` if there is such a key."""
        try:
            return self[key]
        except KeyError:
            return default

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on a device, itself when they are there; ids stay."""
        if torch.device(device) == self.features.device:
            return self
        return self._map(lambda block: block.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory."""
        return self._map(lambda block: block.pin_memory())

    def take(self, index: np.ndarray) -> Batch:
        """The rows at these positions, in this order."""
        # NumPy's take: one thread, so it does not compete with the threads that train.
        rows = self._map(lambda block: torch.from_numpy(block.numpy().take(index, axis=0)))
        rows.ids = {name: _take_ids(values, index) for name, values in self.ids.items()}
        return rows

    def slice(self, start: int, stop: int) -> Batch:
        """The rows from ``start`` to ``stop`` as views of this batch's memory."""
        rows = self._map(lambda block: block[start:stop])
        rows.ids = {name: _as_numpy(values[start:stop]) for name, values in self.ids.items()}
        return rows

    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """The rows of several batches of one layout, in order."""
        first = batches[0]
        blocks = zip(*(batch.features.blocks for batch in batches), strict=True)
        return Batch(
            FeatureBatch(first.features.layout, *map(_concat, blocks)),
            _concat([batch.labels for batch in batches]),
            {
                name: np.concatenate([_as_numpy(batch.ids[name]) for batch in batches])
                for name in first.ids
            },
            _concat([batch.weights for batch in batches]),
            first.targets,
        )

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            self.features.map(function),
            None if self.labels is None else function(self.labels),
            self.ids,
            None if self.weights is None else function(self.weights),
            self.targets,
        )


def _concat(blocks: Sequence[Tensor | None]) -> Tensor | None:
    there = [block for block in blocks if block is not None]
    return torch.cat(there) if there else None


def _take_ids(values: Any, index: np.ndarray) -> np.ndarray:
    if isinstance(values, pa.Array):
        return _as_numpy(values.take(pa.array(index)))
    return values.take(index)


def _as_numpy(values: Any) -> np.ndarray:
    if not isinstance(values, pa.Array):
        return values
    if values.null_count and pa.types.is_integer(values.type):
        # As floats, which is how numpy says "missing", large ids would change.
        return np.array(values.to_pylist(), dtype=object)
    return values.to_numpy(zero_copy_only=False)


def pack(
    table: pa.Table, schema: Schema, first_row: int = 0, ids_from: pa.Table | None = None
) -> Batch:
    """Convert and check the columns of a table: its features as blocks, its labels, ids, weights.

    Args:
        table: at least one row, and the columns of ``schema.columns``.
        first_row: number, in the whole data, of the table's first row; errors count from it.
        ids_from: where id columns are taken from first, when ``table`` holds transformed ones.

    Raises:
        DataError: the table is empty, or a value does not fit: names feature, row and value.
    """
    if table.num_rows == 0:
        raise DataError("the data is empty: it has no rows.")
    table = pa.table({name: plain(table.column(name)) for name in table.column_names})
    arrays = fill_blocks(table, schema, first_row)
    blocks = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Batch(
        FeatureBatch(Layout.of(schema.features), *(blocks.get(name) for name in FEATURE_BLOCKS)),
        blocks.get("labels"),
        _ids(table, schema, ids_from),
        blocks.get("weights"),
        tuple(schema.targets),
    )


def _ids(table: pa.Table, schema: Schema, ids_from: pa.Table | None) -> dict[str, Any]:
    ids_from = table if ids_from is None else ids_from
    if ids_from.num_rows != table.num_rows:
        raise DataError(
            f"the ids have {ids_from.num_rows} rows, the features {table.num_rows}; "
            "they must be the same rows."
        )
    found = ids_from.column_names
    return {
        name: id_values((ids_from if name in found else table).column(name))
        for name in schema.id_columns
    }


def as_batch(
    batch: Any,
    features: FeatureSet,
    targets: Sequence[str] = (),
    id_columns: Sequence[str] | None = None,
    require_labels: bool = False,
) -> Batch:
    """Check a batch of another loader once and pack it.

    Args:
        batch: a :class:`Batch` with these features (returned as it is), or a dict as 0.3.1's
            loaders gave: ``{"features": {name: tensor}, "labels": {target: tensor} or a tensor
            (B,) or (B, T) or None, "ids": {name: array} or None}``.
        id_columns: the ids to carry along; ``None``: all that the batch has.

    Raises:
        DataError: a key or a feature is missing, lengths differ, or a value does not fit.
    """
    if isinstance(batch, Batch):
        _require_layout(batch.features, features)
        require_columns(id_columns or (), list(batch.ids), "the batch's 'ids'")
        return batch
    if not isinstance(batch, Mapping) or "features" not in batch:
        got = list(batch) if isinstance(batch, Mapping) else type(batch).__name__
        must_be = "a Batch or a dict with the keys 'features', 'labels' and 'ids'"
        raise DataError(invalid("data loader", "batch", must_be, got))
    given = dict(batch.get("ids") or {})
    id_columns = list(given) if id_columns is None else list(id_columns)
    require_columns(id_columns, list(given), "the batch's 'ids'")
    require_columns(features.names, list(batch["features"]), "the batch")
    schema = Schema(features, tuple(targets), tuple(id_columns), require_labels=require_labels)
    columns = {name: batch["features"][name] for name in features.names}
    columns.update(_label_columns(batch.get("labels"), schema.targets))
    schema.columns(list(columns), "the batch", without=id_columns)
    ids = read_table_of(given, id_columns) if id_columns else None
    packed = pack(read_table_of(columns), schema, ids_from=ids)
    return packed.slice(0, len(packed))


def _require_layout(packed: FeatureBatch, features: FeatureSet) -> None:
    require_columns(features.names, list(packed), "the batch")
    for name, (block, _, width) in Layout.of(features).places.items():
        has_block, _, has_width = packed.layout.places[name]
        if (has_block, has_width) != (block, width):
            must_be = f"a {block} feature of width {width}"
            raise DataError(
                invalid("the batch", name, must_be, f"a {has_block} feature of width {has_width}")
            )


def _label_columns(labels: Any, targets: tuple[str, ...]) -> dict[str, Any]:
    if labels is None or not targets:
        return {}
    if isinstance(labels, Mapping):
        return {name: labels[name] for name in targets if name in labels}
    if labels.ndim == 1 and len(targets) == 1:
        return {targets[0]: labels}
    if labels.ndim != 2 or labels.shape[1] != len(targets):
        must_be = f"a dict, or a tensor (B, {len(targets)}) with one column a target"
        raise DataError(invalid("the batch", "labels", must_be, tuple(labels.shape)))
    return {name: labels[:, place] for place, name in enumerate(targets)}
