"""Anything tabular -> Arrow.

pandas and Polars frames, Arrow tables and data sets, dicts of columns, lists of row dicts, and CSV
or Parquet files all become one thing: Arrow columns. Nothing is cast here and nothing is checked
against features (``batch.py`` does that); only the columns that are asked for are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack, get_args

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset

from nextrec.data.arrow_datasets import DatasetSource
from nextrec.data.csv_files import CsvFiles
from nextrec.data.files import (
    OnBad,
    Source,
    exact_chunks,
    file_kind,
    list_files,
    require_columns,
)
from nextrec.data.locations import Location
from nextrec.data.memory import ArrowSource, ColumnSource, PolarsSource
from nextrec.data.parquet_files import ParquetFiles
from nextrec.data.partitioned_files import PartitionedFiles
from nextrec.errors import ConfigError, DataError, invalid, unknown_option

__all__ = [
    "ArrowSource",
    "FileOptions",
    "column_names",
    "exact_chunks",
    "frame_kind",
    "open_source",
    "read_table_of",
    "scan",
    "source_of_type",
]

FILE_TYPES = ("csv", "parquet")

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


class CsvOptions(TypedDict, total=False):
    """How CSV files are read; see :func:`open_source`."""

    delimiter: str | None
    column_names: Sequence[str] | None


class FileOptions(CsvOptions, total=False):
    """How files are read; see :func:`open_source`."""

    on_bad: OnBad
    file_type: str | None


def open_source(
    data: Any,
    *,
    on_bad: OnBad = "error",
    delimiter: str | None = None,
    column_names: Sequence[str] | None = None,
    file_type: str | None = None,
) -> Source:
    """``data`` as a source: its columns can be listed, and read whole or in pieces.

    Nothing is read yet, except from an Arrow stream: it can be read only once, so it is read into
    memory as a whole.

    Args:
        data: what :func:`read_table_of` reads.
        on_bad: what happens at a bad line of a CSV file, or at a Parquet file or row group that
            can't be read: ``"error"``, or ``"skip"`` to leave it out, count it in the source's
            ``skipped`` and log it.
        delimiter: between the fields of CSV files; ``None``: a tab in ``.tsv`` files, otherwise a
            comma.
        column_names: the columns of CSV files that have no header line.
        file_type: ``"csv"`` or ``"parquet"`` for files whose names don't say what they are.

    Raises:
        ConfigError: an option is unknown, or for other data than this.
        DataError: this is no table, or the files are not there.
    """
    options = _checked_options(on_bad, delimiter, column_names, file_type)
    kind = None if isinstance(data, Source) else frame_kind(data)
    if kind == "files":
        files = list_files(data, file_type)
        locations = [file.location for file in files]
        found = file_type or file_kind(str(locations[0]))
        source = source_of_type(locations, found, on_bad, **options)
        return PartitionedFiles(source, files) if files[0].keys else source
    given: list[str] = [*options]
    given += ["file_type"] if file_type else []
    given += ["on_bad"] if on_bad == "skip" and kind in (None, "dataset") else []
    if given:
        raise ConfigError(f"open_source: `{given[0]}` is for paths of files; got {data!r:.60}.")
    return data if kind is None else _source_in_memory(data, kind)


def _source_in_memory(data: Any, kind: FrameKind) -> Source:
    if kind == "stream":
        return ArrowSource(pa.RecordBatchReader.from_stream(data).read_all())
    if kind == "arrow":
        whole = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
        return ArrowSource(whole)
    if kind == "dataset":
        return DatasetSource(data)
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


def _checked_options(
    on_bad: str, delimiter: str | None, column_names: Sequence[str] | None, file_type: str | None
) -> CsvOptions:
    """The options for CSV files that are given."""
    if on_bad not in get_args(OnBad):
        raise ConfigError(unknown_option("open_source", "on_bad", get_args(OnBad), on_bad))
    if file_type not in (None, *FILE_TYPES):
        raise ConfigError(unknown_option("open_source", "file_type", FILE_TYPES, file_type))
    options = CsvOptions()
    if delimiter is not None:
        single = isinstance(delimiter, str) and len(delimiter) == 1 and delimiter.isascii()
        if not single or delimiter in '"\r\n':
            must_be = "one ASCII character, neither a quote nor a newline"
            raise ConfigError(invalid("open_source", "delimiter", must_be, delimiter))
        options["delimiter"] = delimiter
    if column_names is not None:
        names = [] if isinstance(column_names, str) else list(column_names)
        if not names or len(set(names)) < len(names):
            must_be = "a list of different names"
            raise ConfigError(invalid("open_source", "column_names", must_be, column_names))
        options["column_names"] = names
    return options


def source_of_type(
    paths: Sequence[str | os.PathLike[str] | Location],
    file_type: str,
    on_bad: OnBad = "error",
    **csv_options: Unpack[CsvOptions],
) -> Source:
    """Files of a stated type, whatever their names; options as for :func:`open_source`."""
    if file_type == "csv":
        return CsvFiles(paths, on_bad, **csv_options)
    if file_type == "parquet":
        if csv_options:
            option = next(iter(csv_options))
            raise ConfigError(f"open_source: `{option}` is for CSV files; these are Parquet.")
        return ParquetFiles(paths, on_bad)
    raise ConfigError(unknown_option("files", "file_type", FILE_TYPES, file_type))


def column_names(data: Any, **options: Unpack[FileOptions]) -> list[str]:
    """Names of the columns, without reading them; options as for :func:`open_source`."""
    return open_source(data, **options).names()


def read_table_of(
    data: Any, columns: Sequence[str] | None = None, **options: Unpack[FileOptions]
) -> pa.Table:
    """Read ``data``, or the named columns of it, into one Arrow table.

    Args:
        data: a pandas or Polars frame (or named series), an Arrow table, batch or data set, a dict
            of columns (arrays of one or two dimensions, tensors, series, lists, ragged lists), a
            list of row dicts, any object that exports an Arrow stream, or CSV or Parquet files (a
            path or URL, a folder, also one of hive partitions, a glob pattern, or a list of
            these).
        columns: what to read, in this order; ``None``: everything.
        **options: of files, as for :func:`open_source`.

    Raises:
        DataError: a column is missing (all are listed), columns differ in length, values of one
            column have no common type, or a file can't be read.

    >>> read_table_of({"item": [3, 5], "liked": [[1, 2], []]}, ["liked"]).to_pydict()
    {'liked': [[1, 2], []]}
    """
    source = open_source(data, **options)
    return source.read(_checked(source, columns))


def scan(
    data: Any,
    columns: Sequence[str] | None = None,
    batch_rows: int = 65536,
    **options: Unpack[FileOptions],
) -> Iterator[pa.RecordBatch]:
    """Read ``data`` in record batches of at most ``batch_rows`` rows.

    Files and data sets are read as they are consumed; what is in memory already is only sliced.
    Arguments and errors are those of :func:`read_table_of`.
    """
    source = open_source(data, **options)
    return source.scan(_checked(source, columns), batch_rows)


def _checked(source: Source, columns: Sequence[str] | None) -> list[str]:
    names = source.names()
    wanted = names if columns is None else list(dict.fromkeys(columns))
    require_columns(wanted, names, "the data")
    return wanted
