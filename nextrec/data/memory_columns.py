"""A column in memory -> Arrow: lists, arrays, tensors and series of every kind.

No value loses anything on the way: what Arrow would cut, or has no type for, is kept by another way
or refused by column, and by row where one value is to blame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch

from nextrec.errors import DataError, invalid

_COUNTERPART = "of a type that Arrow has; cast it or leave it out"


def from_polars(name: str, series: pl.Series) -> pa.Array | pa.ChunkedArray:
    """A Polars column as Arrow, which lacks some types of Polars."""
    inner = series.dtype
    while (deeper := getattr(inner, "inner", None)) is not None:
        inner = deeper
    try:
        if inner == pl.Object:  # Arrow would get the addresses of the objects
            raise TypeError("Python objects are no values")
        return series.to_arrow()
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(invalid("data", name, _COUNTERPART, str(series.dtype))) from error


def from_any(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """One column of any kind as Arrow; NaN in pandas and NumPy columns is a missing value."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, pl.Series):
        return from_polars(name, values)
    if isinstance(values, pd.Series) and isinstance(values.dtype, pd.SparseDtype):
        values = np.asarray(values)
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
        raise DataError(invalid("data", name, "a column of values, one a row", values))
    if isinstance(values, np.ndarray) and values.ndim not in (1, 2):
        must_be = "an array of one or two dimensions"
        raise DataError(invalid("data", name, must_be, values.shape))
    if isinstance(values, np.ndarray) and _is_foreign(values.dtype):
        raise DataError(invalid("data", name, _COUNTERPART, str(values.dtype)))
    try:
        if isinstance(values, np.ndarray):
            return _from_numpy(values)
        return _from_objects(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {name!r}{_odd_one_out(values)}: {error}") from error


def _is_foreign(dtype: np.dtype) -> bool:
    """Whether these are complex numbers, records, or reals of more than 64 bits."""
    return dtype.kind in "cV" or (dtype.kind == "f" and dtype.itemsize > 8)


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
        array = pa.array(values, from_pandas=True)
    except OverflowError:  # integers beyond int64, which uint64 may hold
        return pa.array(values, pa.uint64(), from_pandas=True)
    finest = _in_nanoseconds(array.type)
    return array if finest == array.type else _with_nanoseconds(values, array, finest)


def _in_nanoseconds(data_type: pa.DataType) -> pa.DataType:
    """The type with times of Python, which Arrow takes for microseconds, in nanoseconds."""
    if pa.types.is_list(data_type):
        return pa.list_(_in_nanoseconds(data_type.value_type))
    if data_type == pa.duration("us"):
        return pa.duration("ns")
    if pa.types.is_timestamp(data_type) and data_type.unit == "us":
        return pa.timestamp("ns", data_type.tz)
    return data_type


def _with_nanoseconds(values: Any, array: pa.Array, finest: pa.DataType) -> pa.Array:
    """``array``, in nanoseconds when pandas' times have any, which Arrow cuts off."""
    try:
        fine = pa.array(values, finest, from_pandas=True)
    except (pa.ArrowInvalid, OverflowError):  # years that 64 bits of nanoseconds don't reach
        for row, value in _items(values):
            if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
                raise ValueError(
                    f"row {row}: the nanoseconds of {value} can't be kept beside times so far off"
                ) from None
        return array
    try:
        fine.cast(array.type)
    except pa.ArrowInvalid:  # it would lose data
        return fine
    return array


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
        if not _converts(value):
            return f", row {row}"
    return ""


def _converts(value: Any) -> bool:
    """Whether Arrow takes a value by itself."""
    try:
        pa.array([value])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


def _items(values: Any) -> Iterator[tuple[int, Any]]:
    """Every value with its row; of a column of lists every item."""
    nested = (list, tuple, np.ndarray)
    lists = all(value is None or isinstance(value, nested) for value in values)
    for row, value in enumerate(values):
        if lists and value is not None:
            yield from ((row, item) for item in value)
        else:
            yield row, value
