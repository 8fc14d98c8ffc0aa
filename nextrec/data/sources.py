"""Anything tabular -> Arrow.

pandas and Polars frames, Arrow tables and data sets, dicts of columns, lists of row dicts, and CSV
or Parquet files all become one thing: Arrow columns. Nothing is cast here and nothing is checked
against features (``batch.py`` does that); only the columns that are asked for are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset

from nextrec.data.csv_files import CsvFiles
from nextrec.data.files import Source, file_kind, find_files, require_columns
from nextrec.data.memory import ArrowSource, ColumnSource, PolarsSource
from nextrec.data.parquet_files import ParquetFiles
from nextrec.errors import ConfigError, DataError, invalid, unknown_option

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


def open_source(data: Any) -> Source:
    """``data`` as a source: its columns can be listed, and read whole or in batches.

    Nothing is read yet, except from an Arrow stream, which can be read only once.
    """
    if isinstance(data, Source):
        return data
    kind = frame_kind(data)
    if kind == "files":
        paths = find_files(data)
        return source_of_type(paths, file_kind(paths[0]))
    if kind == "stream":
        return ArrowSource(pa.RecordBatchReader.from_stream(data).read_all())
    if kind == "arrow":
        whole = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
        return ArrowSource(whole)
    if kind == "dataset":
        return ArrowSource(data)
    if kind == "dict":
        return ColumnSource(list(data.items()))
    if kind == "records":
        names = dict.fromkeys(name for row in data for name in row)
        return ColumnSource([(name, [row.get(name) for row in data]) for name in names])
    if isinstance(data, (pd.Series, pl.Series)):
        if not data.name:
            raise DataError("a series needs a name, which is its column's; got one without.")
        data = data.to_frame()
    return PolarsSource(data) if kind == "polars" else ColumnSource(list(data.items()))


def source_of_type(paths: Sequence[str | os.PathLike[str]], file_type: str) -> Source:
    """Files of a stated type, whatever their names."""
    kinds = {"csv": CsvFiles, "parquet": ParquetFiles}
    if file_type not in kinds:
        raise ConfigError(unknown_option("files", "file_type", kinds, file_type))
    return kinds[file_type]([Path(path) for path in paths])


def column_names(data: Any) -> list[str]:
    """Names of the columns, without reading them."""
    return open_source(data).names()


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
    source = open_source(data)
    return source.read(_checked(source, columns))


def scan(
    data: Any, columns: Sequence[str] | None = None, batch_rows: int = 65536
) -> Iterator[pa.RecordBatch]:
    """Read ``data`` in record batches of at most ``batch_rows`` rows.

    Files and data sets are read as they are consumed; what is in memory already is only sliced.
    Arguments and errors are those of :func:`read_table_of`.
    """
    source = open_source(data)
    return source.scan(_checked(source, columns), batch_rows)


def _checked(source: Source, columns: Sequence[str] | None) -> list[str]:
    names = source.names()
    wanted = names if columns is None else list(dict.fromkeys(columns))
    require_columns(wanted, names, "the data")
    return wanted


def exact_chunks(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Join and cut record batches into tables of exactly ``rows`` rows; the last may be shorter."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            cut = rows - count
            yield _joined([*waiting, batch.slice(0, cut)])
            batch, waiting, count = batch.slice(cut), [], 0
        if batch.num_rows:
            waiting.append(batch)
            count += batch.num_rows
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.Table:
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    return pa.concat_tables(tables, promote_options="permissive")  # types may differ by file
