"""Anything tabular -> Arrow.

pandas and Polars frames, Arrow tables and data sets, dicts of columns, lists of row dicts, and CSV
or Parquet files all become one thing: Arrow columns. Nothing is cast here and nothing is checked
against features (``batch.py`` does that); only the columns that are asked for are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import torch

from nextrec.data.csv_files import CsvFiles
from nextrec.data.files import (
    ParquetFiles,
    TableFiles,
    file_kind,
    find_files,
    require_columns,
    require_unique,
)
from nextrec.errors import DataError, invalid

FrameKind = Literal["pandas", "polars", "arrow", "dataset", "stream", "dict", "records", "files"]

TABULAR = (
    "a pandas or Polars DataFrame, an Arrow table or data set, a dict of columns, a list of row "
    "dicts, or the path of CSV or Parquet files"
)


def frame_kind(data: Any) -> FrameKind:
    """Which kind of table ``data`` is.

    >>> frame_kind({"item": [1, 2]}), frame_kind("train.parquet")
    ('dict', 'files')
    """
    if isinstance(data, (pd.DataFrame, pd.Series)):
        return "pandas"
    if isinstance(data, (pl.DataFrame, pl.LazyFrame, pl.Series)):
        return "polars"
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return "arrow"
    if isinstance(data, pa.dataset.Dataset):
        return "dataset"
    if isinstance(data, Mapping):
        return "dict"
    if isinstance(data, (str, os.PathLike)):
        return "files"
    if isinstance(data, (list, tuple)) and data:
        if all(isinstance(each, (str, os.PathLike)) for each in data):
            return "files"
        if all(isinstance(each, Mapping) for each in data):
            return "records"
    if hasattr(data, "__arrow_c_stream__"):  # DuckDB, Ibis, DataFusion, record batch readers
        return "stream"
    raise DataError(invalid("data", "data", TABULAR, type(data).__name__))


def open_files(source: Any) -> TableFiles:
    """The CSV or Parquet files that a path, a folder, a pattern or a list of these means."""
    paths = find_files(source)
    return CsvFiles(paths) if file_kind(paths[0]) == "csv" else ParquetFiles(paths)


def column_names(data: Any) -> list[str]:
    """Names of the columns, without reading them."""
    return _names(_opened(data))


def read_table_of(data: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """Read ``data``, or the named columns of it, into one Arrow table.

    Args:
        data: a pandas or Polars frame (or named series), an Arrow table, batch or data set, a dict
            of columns (arrays of one or two dimensions, tensors, series, lists, ragged lists), a
            list of row dicts, any object that exports an Arrow stream, or CSV or Parquet files (a
            path, a folder, a glob pattern, or a list of these).
        columns: what to read, in this order; ``None``: everything.

    Raises:
        DataError: a column is missing (all are listed), columns differ in length, values of one
            column have no common type, or a file can't be read.

    >>> read_table_of({"item": [3, 5], "liked": [[1, 2], []]}, ["liked"]).to_pydict()
    {'liked': [[1, 2], []]}
    """
    data = _opened(data)
    columns = _resolve(columns, data)
    if isinstance(data, (CsvFiles, ParquetFiles)):
        return data.read(columns)
    if isinstance(data, pd.DataFrame):
        places = {str(name): place for place, name in enumerate(data.columns)}
        return _table({name: data.iloc[:, places[name]] for name in columns})
    if isinstance(data, pl.LazyFrame):
        return data.select(columns).collect().to_arrow()
    if isinstance(data, pl.DataFrame):
        return data.select(columns).to_arrow()
    if isinstance(data, pa.dataset.Dataset):
        return data.to_table(columns=columns)
    if isinstance(data, pa.Table):
        return data.select(columns)
    return _table({name: data[name] for name in columns})


def scan(
    data: Any, columns: Sequence[str] | None = None, batch_rows: int = 65536
) -> Iterator[pa.RecordBatch]:
    """Read ``data`` in record batches of at most ``batch_rows`` rows.

    Files and data sets are read as they are consumed; what is in memory already is only sliced.
    Arguments and errors are those of :func:`read_table_of`.
    """
    data = _opened(data)
    columns = _resolve(columns, data)
    if isinstance(data, (CsvFiles, ParquetFiles)):
        yield from data.scan(columns, batch_rows)
    elif isinstance(data, pa.dataset.Dataset):
        yield from data.to_batches(columns=columns, batch_size=batch_rows)
    else:
        yield from read_table_of(data, columns).to_batches(max_chunksize=batch_rows)


def exact_chunks(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Join and cut record batches into tables of exactly ``rows`` rows; the last may be shorter."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            cut = rows - count
            yield pa.Table.from_batches([*waiting, batch.slice(0, cut)])
            batch, waiting, count = batch.slice(cut), [], 0
        if batch.num_rows:
            waiting.append(batch)
            count += batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def _opened(data: Any) -> Any:
    """The few shapes that reading tells apart: files, pandas, Polars, Arrow or a dict."""
    if isinstance(data, (CsvFiles, ParquetFiles)):
        return data
    kind = frame_kind(data)
    if kind == "files":
        return open_files(data)
    if kind == "stream":
        return pa.RecordBatchReader.from_stream(data).read_all()
    if kind == "records":
        names = dict.fromkeys(name for row in data for name in row)
        return {name: [row.get(name) for row in data] for name in names}
    if isinstance(data, (pd.Series, pl.Series)):
        if not data.name:
            raise DataError("a series needs a name, which is its column's; got one without.")
        return data.to_frame()
    if kind == "dict":
        return {str(name): values for name, values in data.items()}
    return pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data


def _names(opened: Any) -> list[str]:
    if isinstance(opened, (CsvFiles, ParquetFiles)):
        return opened.names()
    if isinstance(opened, pl.LazyFrame):
        return list(opened.collect_schema().names())
    if isinstance(opened, pl.DataFrame):
        return list(opened.columns)
    if isinstance(opened, (pa.Table, pa.dataset.Dataset)):
        return list(opened.schema.names)
    return [str(name) for name in opened]  # pandas and dicts


def _resolve(columns: Sequence[str] | None, opened: Any) -> list[str]:
    names = _names(opened)
    require_unique(names, "the data")
    if columns is None:
        return names
    wanted = list(dict.fromkeys(columns))
    require_columns(wanted, names, "the data")
    return wanted


def _table(columns: Mapping[str, Any]) -> pa.Table:
    arrays = {name: _array(name, values) for name, values in columns.items()}
    if arrays:
        first = next(iter(arrays))
        for name, array in arrays.items():
            if len(array) != len(arrays[first]):
                raise DataError(
                    f"columns must have one length: {first!r} has {len(arrays[first])} rows, "
                    f"{name!r} has {len(array)}."
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
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {name!r}{_odd_one_out(values)}: {error}") from error


def _from_numpy(values: np.ndarray) -> pa.Array:
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    if values.dtype == object:
        return pa.array(list(values), from_pandas=True)  # rows of a 2-D array become its lists
    mask = np.ma.getmaskarray(values).ravel() if isinstance(values, np.ma.MaskedArray) else None
    flat = np.ascontiguousarray(values).reshape(-1)
    array = pa.array(np.ma.getdata(flat), mask=mask, from_pandas=True)
    if values.ndim == 1:
        return array
    rows, width = values.shape
    if width == 0:
        return pa.ListArray.from_arrays(np.zeros(rows + 1, dtype=np.int32), array)
    return pa.FixedSizeListArray.from_arrays(array, width)


def _odd_one_out(values: Any) -> str:
    """Where the kind of value changes in a column that has no common type; looked up on failure."""
    first: type | None = None
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and value != value):
            continue
        kind = type(value)
        if first is None:
            first = kind
        elif kind is not first and {kind, first} != {int, float}:
            return f", row {row}: {value!r} is a {kind.__name__} after values of {first.__name__}"
    return ""
