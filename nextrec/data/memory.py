"""Tables in memory -> Arrow: frames, Arrow data, and columns of every kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from nextrec.data.files import Job, Source, Unit
from nextrec.errors import DataError, invalid

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
        return self.frame.select(columns).collect().to_arrow()


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
        arrays = {name: _array(name, by_name[name]) for name in columns}
        for name, array in arrays.items():
            if len(array) != len(arrays[columns[0]]):
                raise DataError(
                    f"columns must have one length: {columns[0]!r} has "
                    f"{len(arrays[columns[0]])} rows, {name!r} has {len(array)}."
                )
        return pa.table(arrays)


def _array(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """One column of any kind as Arrow; NaN in pandas and NumPy columns is a missing value."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, pl.Series):
        return values.to_arrow()
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
        raise DataError(invalid("data", name, "a column of values, one a row", values))
    if isinstance(values, np.ndarray) and values.ndim not in (1, 2):
        must_be = "an array of one or two dimensions"
        raise DataError(invalid("data", name, must_be, values.shape))
    try:
        if isinstance(values, np.ndarray):
            return _from_numpy(values)
        return _from_objects(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {name!r}{_odd_one_out(values)}: {error}") from error


def _from_numpy(values: np.ndarray) -> pa.Array:
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    if values.dtype == object:
        return _from_objects(list(values))  # rows of a 2-D array become its lists
    mask = np.ma.getmaskarray(values).ravel() if isinstance(values, np.ma.MaskedArray) else None
    flat = np.ascontiguousarray(values).reshape(-1)
    array = pa.array(np.ma.getdata(flat), mask=mask, from_pandas=True)
    if values.ndim == 1:
        return array
    rows, width = values.shape
    if width == 0:
        return pa.ListArray.from_arrays(np.zeros(rows + 1, dtype=np.int32), array)
    return pa.FixedSizeListArray.from_arrays(array, width)


def _from_objects(values: Any) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except OverflowError:  # integers beyond int64, which uint64 may hold
        return pa.array(values, pa.uint64(), from_pandas=True)


def _odd_one_out(values: Any) -> str:
    """Which row keeps a column from having one type; looked up on failure.

    The kind of value changes, an integer is too large, or one would lose digits beside reals. Of
    lists, the items of all rows are compared.
    """
    first: type | None = None
    reals = any(isinstance(value, float) and value == value for _, value in _items(values))
    for row, value in _items(values):
        if value is None or (isinstance(value, float) and value != value):
            continue
        kind = type(value)
        if first is None:
            first = kind
        elif kind is not first and {kind, first} != {int, float}:
            return f", row {row}: {value!r} is a {kind.__name__} after values of {first.__name__}"
        if kind is int and not -(2**63) <= value < 2**63:
            return f", row {row}: {value} is an integer beyond 64 bits, or beside negative ones"
        if kind is int and reals and abs(value) > 2**53:
            return f", row {row}: {value} would lose digits beside real numbers"
    return ""


def _items(values: Any) -> Iterator[tuple[int, Any]]:
    """Every value with its row; of a column of lists every item."""
    nested = (list, tuple, np.ndarray)
    lists = all(value is None or isinstance(value, nested) for value in values)
    for row, value in enumerate(values):
        if lists and value is not None:
            yield from ((row, item) for item in value)
        else:
            yield row, value
