"""Tables in memory as sources: frames, Arrow data, and dicts of columns of every kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from nextrec.data.files import Job, Source, Unit
from nextrec.data.memory_columns import from_any, from_polars
from nextrec.errors import DataError

UNIT_ROWS = 65_536
"""Rows of a unit of a table in memory."""


class _Sliced(Source):
    """A source whose units are slices of what it reads as a whole."""

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """Slices of ``UNIT_ROWS`` rows."""
        rows = sum(self.counts(columns))
        starts = range(0, rows, UNIT_ROWS)
        return [
            Unit(0, place, min(UNIT_ROWS, rows - start), start, place)
            for place, start in enumerate(starts)
        ]

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Jobs that give slices without a copy."""
        whole = self.read(columns)
        for unit in self.units(columns, text) if units is None else units:
            yield unit, partial(whole.slice, unit.first_row, unit.rows)


class ArrowSource(_Sliced):
    """An Arrow table."""

    def __init__(self, data: pa.Table) -> None:
        self.data = data

    def names(self) -> list[str]:
        """Column names."""
        return list(self.data.schema.names)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""
        return self.data.select(list(columns))

    def counts(self, columns: Sequence[str]) -> list[int]:
        """The number of rows, in a list."""
        return [self.data.num_rows]

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``."""
        yield from self.read(columns).to_batches(max_chunksize=batch_rows)


class _InMemory(_Sliced):
    """A source that becomes Arrow as a whole."""

    def counts(self, columns: Sequence[str]) -> list[int]:
        """The number of rows, in a list."""
        return [self.read(list(columns[:1]) or self.names()[:1]).num_rows]

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``."""
        yield from self.read(columns).to_batches(max_chunksize=batch_rows)


class PolarsSource(_InMemory):
    """A Polars frame; of a lazy one only the columns that are read are computed."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self.frame = frame.lazy()

    def names(self) -> list[str]:
        """Column names."""
        return list(self.frame.collect_schema().names())

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""
        frame = self.frame.select(columns).collect()
        return pa.table({each.name: from_polars(each.name, each) for each in frame})

    def counts(self, columns: Sequence[str]) -> list[int]:
        """The number of rows, in a list."""
        return [self.frame.select(list(columns[:1]) or self.names()[:1]).collect().height]


class ColumnSource(_InMemory):
    """Named columns of any kind: those of a dict or of a pandas frame."""

    def __init__(self, columns: Sequence[tuple[Any, Any]]) -> None:
        self.columns = [(str(name), values) for name, values in columns]

    def names(self) -> list[str]:
        """Column names."""
        return [name for name, _ in self.columns]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns, which must have one length."""
        by_name = dict(self.columns)
        arrays = {name: from_any(name, by_name[name]) for name in columns}
        for name, array in arrays.items():
            if len(array) != len(arrays[columns[0]]):
                raise DataError(
                    f"columns must have one length: {columns[0]!r} has "
                    f"{len(arrays[columns[0]])} rows, {name!r} has {len(array)}."
                )
        return pa.table(arrays)


def unique_names(data: Any) -> None:
    """Raise a DataError when a frame, an Arrow table or a dict has two columns of one name.

    Names are compared as text, as which they are looked up: ``1`` and ``"1"`` are one.
    """
    names: Any = ()
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        names = data.schema.names
    elif isinstance(data, pd.DataFrame):
        names = data.columns
    elif isinstance(data, Mapping):
        names = data
    counts = Counter(str(name) for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        listed = ", ".join(map(repr, twice))
        raise DataError(f"the data has several columns named {listed}; rename or drop them.")
