"""From a table to batches for one model: packed in memory, or streamed.

A table whose packed rows take at most :data:`MEMORY_BUDGET` bytes is loaded; a larger one in files
is streamed. The budget is a constant, so that a run does the same on every machine.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.dataset

from nextrec.data.batch import Layout, Schema
from nextrec.data.csv_files import CsvFiles
from nextrec.data.files import Source, Unit
from nextrec.data.loaders import BatchLoader
from nextrec.data.locations import is_compressed, stamp_of
from nextrec.data.packing import FEATURE_BLOCKS
from nextrec.data.preparation import Preparation, require_fitted
from nextrec.data.store import PackedStore, prepare
from nextrec.data.stream import ChunkStream, StreamLoader
from nextrec.data.stream_split import RowChoice
from nextrec.errors import ConfigError, invalid
from nextrec.models.inputs import is_loader, label_check

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

MEMORY_BUDGET = 2 << 30
"""Bytes of packed rows up to which files are loaded rather than streamed."""
BUFFER_ROWS = 262_144
"""Rows that a stream shuffles together, unless they take more than ``BUFFER_BYTES``."""
BUFFER_BYTES = 256 << 20


class TableInput:
    """A table that is not read yet, and how a model reads it.

    Args:
        source: the table.
        processor: transforms it; ``None``: it is ready.
        group_column: a column carried beside the model's id columns.
        weight_column: sample weights.
    """

    def __init__(
        self,
        model: BaseModel,
        source: Source,
        processor: Any = None,
        *,
        group_column: str | None = None,
        weight_column: str | None = None,
    ) -> None:
        self.model = model
        self.source = source
        self.processor = processor
        carried = [*model.id_columns, *([group_column] if group_column else [])]
        self.schema = Schema(
            model.features,
            tuple(model.target_columns),
            tuple(dict.fromkeys(carried)),
            weight_column,
            check_labels=label_check(model),
        )
        self.notes: list[str] = []
        """What the log should tell."""

    @cached_property
    def preparation(self) -> Preparation:
        """What is read."""
        return Preparation(self.schema, self.source.names(), self.processor)

    @cached_property
    def units(self) -> list[Unit]:
        """The pieces of the table; counting the rows of CSV files is a pass over them."""
        return self.source.units(self.preparation.columns, self.preparation.text)

    @property
    def row_bytes(self) -> int:
        """Bytes of a packed row; ids of any type count as 8."""
        layout, schema = Layout.of(self.schema.features), self.schema
        features = sum(
            layout.width(block) * np.dtype(kind).itemsize for block, kind in FEATURE_BLOCKS.items()
        )
        numbers = len(schema.targets) + (schema.weight_column is not None)
        return features + 4 * numbers + 8 * len(schema.id_columns)

    def streams(self, asked: bool | None, part: str) -> bool:
        """Whether the table is streamed: as was asked, else by its size.

        Args:
            part: name of the table in the notes.
        """
        if asked is not None:
            return asked
        if not _on_disk(self.source) or self._most_rows() * self.row_bytes <= MEMORY_BUDGET:
            return False
        rows = sum(unit.rows for unit in self.units)
        large = rows * self.row_bytes > MEMORY_BUDGET
        self.notes.append(
            f"{part}: {rows:,} rows of {self.row_bytes} bytes take "
            f"{rows * self.row_bytes / 2**30:.1f} GiB, the budget is {MEMORY_BUDGET / 2**30:.1f}: "
            + ("streamed" if large else "loaded into memory")
        )
        return large

    def _most_rows(self) -> float:
        """A bound that costs nothing: a line of CSV has a byte or more for every field."""
        paths = getattr(self.source, "paths", None)
        if isinstance(self.source, CsvFiles) and paths and not any(map(is_compressed, paths)):
            return sum(stamp_of(path)[0] for path in paths) / len(self.source.names())
        return float("inf")

    def store(self) -> PackedStore:
        """All rows in memory."""
        return PackedStore(prepare(self.source, self.schema, self.processor))

    def stream(self, rows: RowChoice | None = None) -> ChunkStream:
        """The rows, or some of them, to be read while they are used."""
        return ChunkStream(self.source, self.schema, processor=self.processor, rows=rows)

    def loader(
        self,
        data: PackedStore | ChunkStream,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        buffer_rows: int | None = None,
    ) -> BatchLoader | StreamLoader:
        """Batches that need no further check, of what :meth:`store` or :meth:`stream` gave."""
        loader: BatchLoader | StreamLoader
        options: dict[str, Any] = {"shuffle": shuffle, "seed": seed, "drop_last": drop_last}
        if isinstance(data, PackedStore):
            loader = BatchLoader(data, batch_size, **options)
        else:
            fitting = min(BUFFER_ROWS, max(BUFFER_BYTES // self.row_bytes, batch_size))
            buffer_rows = fitting if buffer_rows is None else buffer_rows
            loader = StreamLoader(data, batch_size, buffer_rows=buffer_rows, **options)
        loader.packed_for = self.model.features  # type: ignore[union-attr]
        return loader


def _on_disk(source: Source) -> bool:
    files = getattr(source, "paths", None) is not None
    return files or isinstance(getattr(source, "data", None), pyarrow.dataset.Dataset)


def processor_for(model: BaseModel, given: Any, data: Any, owner: str) -> Any:
    """The processor that a table goes through: the one given, else the model's own.

    ``False`` means none, and so does a loader, whose batches are ready.

    Raises:
        ConfigError: it is no processor, or it is given beside a loader.
        NotFittedError: it was not fitted.
    """
    if given is None or given is False:
        return None if given is False or is_loader(data) else model.processor
    methods = ("transform", "transform_table")
    if not any(hasattr(given, name) for name in methods) or not hasattr(given, "is_fitted"):
        must_be = "a DataProcessor, an object with `transform` and `is_fitted`, False or None"
        raise ConfigError(invalid(owner, "processor", must_be, given))
    require_fitted(given)
    return given


def watched(processor: Any, what: str, to_train: bool = False) -> Any:
    """The processor for one table, counting what is missing and unknown in it.

    Args:
        what: the table, as the log calls it.
        to_train: no target encoding may show a row its own label.
    """
    return processor.watch(what, to_train) if hasattr(processor, "watch") else processor


def tell(processor: Any) -> None:
    """Log what a watched processor counted."""
    if hasattr(processor, "tell"):
        processor.tell()
