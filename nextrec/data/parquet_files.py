"""Reading Parquet files as one table, row group by row group.

A row group is read whole by one job, the named columns of it only: a job's memory is that of one
row group, however large the file. Files should be written with row groups of at most a million
rows or so (Arrow's default), since a larger one is not cut.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from nextrec.data.files import (
    THREADS,
    Job,
    OnBad,
    Source,
    Unchanged,
    Unit,
    reading,
    require_columns,
)
from nextrec.data.locations import Location, locate, open_input
from nextrec.data.prefetch import in_order
from nextrec.errors import DataError

FOOTERS_KEPT = 8
"""Footers that stay in memory, so that the row groups of a file share one."""

log = logging.getLogger("nextrec")


@dataclass(frozen=True)
class _Footer:
    """What is kept of a file's footer."""

    schema: pa.Schema
    rows: list[int]
    """Rows of each row group."""


class ParquetFiles(Source):
    """Parquet files as one table; only the named columns are read from disk.

    Args:
        paths: the files; each may have the columns in its own order, and numbers of one column in
            several widths, which become the widest.
        on_bad: what happens at a file or a row group that can't be read: ``"error"``, or
            ``"skip"`` to leave it out. Skipping reads everything once before the first use, since
            damage only shows then, and the number of rows must be known.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike[str] | Location], on_bad: OnBad = "error"
    ) -> None:
        self.paths = [locate(path) for path in paths]
        self.on_bad = on_bad
        self.skipped: dict[str, int] = {}
        """Row groups that were left out by file; a file without a footer counts as one."""
        self._unchanged = [Unchanged(path) for path in self.paths]
        self._all_footers: list[_Footer | None] = []
        self._units: dict[tuple[str, ...], list[Unit]] = {}
        self._recent: OrderedDict[int, pq.FileMetaData] = OrderedDict()

    def names(self) -> list[str]:
        """Column names of the first file."""
        if self.on_bad == "skip":
            return next(list(footer.schema.names) for footer in self._footers() if footer)
        with reading(self.paths[0], "parquet"), open_input(self.paths[0]) as file:
            return list(pq.read_schema(file).names)

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file, from its footer."""
        if self.on_bad == "error":
            return [sum(footer.rows) for footer in self._footers() if footer is not None]
        counts = [0] * len(self.paths)
        for unit in self.units(columns):
            counts[unit.file] += unit.rows
        return counts

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns; numbers of several widths become the widest."""
        if self.on_bad == "skip":
            jobs = (job for _, job in self.jobs(columns))
            tables = [self._schema(columns).empty_table(), *in_order(jobs, THREADS, 2 * THREADS)]
        else:
            tables = []
            for number, path in enumerate(self.paths):
                with self._opened(number) as file:
                    self._require(columns, file.schema_arrow, path)
                    tables.append(file.read(columns=list(columns)).select(list(columns)))
        with reading(self.paths[0], "parquet"):
            return pa.concat_tables(tables, promote_options="permissive")

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``, in the types of their file.

        Holds one row group at a time.
        """
        for number in range(len(self.paths)) if files is None else files:
            if self.on_bad == "skip":
                units = [unit for unit in self.units(columns) if unit.file == number]
                for _, job in self.jobs(columns, units):
                    yield from job().to_batches(max_chunksize=batch_rows)
                continue
            with self._opened(number) as file:
                self._require(columns, file.schema_arrow, self.paths[number])
                for batch in file.iter_batches(batch_rows, columns=list(columns)):
                    yield batch.select(list(columns))

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """The row groups of all files."""
        key = tuple(columns)
        if key not in self._units:
            self._schema(columns)  # every file must have the columns, in types that fit
            units = [
                (number, place, rows)
                for number, footer in enumerate(self._footers())
                for place, rows in enumerate(footer.rows if footer else [])
                if rows
            ]
            if self.on_bad == "skip":
                units = self._readable(units, columns)
            first_row = 0
            self._units[key] = []
            for group, (number, place, rows) in enumerate(units):
                self._units[key].append(Unit(number, place, rows, first_row, group))
                first_row += rows
        return self._units[key]

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Jobs that read one row group each, in the types that hold for all files."""
        schema = self._schema(columns)
        for unit in self.units(columns, text) if units is None else units:
            yield unit, partial(self._read_unit, unit.file, unit.place, schema)

    def _read_unit(self, number: int, place: int, schema: pa.Schema) -> pa.Table:
        names = list(schema.names)
        with self._opened(number, f"row group {place}") as file:
            table = file.read_row_group(place, columns=names, use_threads=False).select(names)
            return table if table.schema.types == schema.types else _cast(table, schema)

    @contextmanager
    def _opened(self, number: int, piece: str = "") -> Iterator[pq.ParquetFile]:
        path = self.paths[number]
        with reading(path, "parquet", piece):
            self._unchanged[number].check()
            with open_input(path) as source:
                footer = self._recent.get(number)
                file = pq.ParquetFile(source, metadata=footer, page_checksum_verification=True)
                if footer is None:
                    self._recent[number] = file.metadata
                    while len(self._recent) > FOOTERS_KEPT:
                        self._recent.popitem(last=False)
                yield file

    def _footers(self) -> list[_Footer | None]:
        """Those of all files; None for a file that is left out."""
        if not self._all_footers:
            jobs = (partial(self._footer, number) for number in range(len(self.paths)))
            self._all_footers = list(in_order(jobs, THREADS, 4 * THREADS))
            if not any(self._all_footers):
                raise DataError(f"none of the {len(self.paths)} file(s) can be read as parquet.")
        return self._all_footers

    def _footer(self, number: int) -> _Footer | None:
        try:
            with self._opened(number) as file:
                footer = file.metadata
                groups = range(footer.num_row_groups)
                rows = [footer.row_group(place).num_rows for place in groups]
                return _Footer(file.schema_arrow, rows)
        except DataError as error:
            if self.on_bad == "error":
                raise
            self._skip(number, error)
            return None

    def _readable(
        self, units: list[tuple[int, int, int]], columns: Sequence[str]
    ) -> list[tuple[int, int, int]]:
        """The units that can be read, found by reading all."""
        schema = self._schema(columns)

        def problem(number: int, place: int) -> DataError | None:
            try:
                self._read_unit(number, place, schema)
            except DataError as error:
                return error
            return None

        jobs: Iterator[Callable[[], DataError | None]] = (
            partial(problem, number, place) for number, place, _ in units
        )
        kept = []
        for unit, error in zip(units, in_order(jobs, THREADS, 2 * THREADS), strict=True):
            if error is None:
                kept.append(unit)
            else:
                self._skip(unit[0], error)
        return kept

    def _skip(self, number: int, error: DataError) -> None:
        path = str(self.paths[number])
        self.skipped[path] = self.skipped.get(path, 0) + 1
        log.warning("skipped what can't be read: %s", error)

    def _schema(self, columns: Sequence[str]) -> pa.Schema:
        """The types of the named columns that hold for all files."""
        types: dict[str, pa.DataType] = {}
        seen: list[pa.Schema] = []
        for path, footer in zip(self.paths, self._footers(), strict=True):
            if footer is None or footer.schema in seen[-4:]:
                continue
            seen.append(footer.schema)
            self._require(columns, footer.schema, path)
            for name in columns:
                here = footer.schema.field(name).type
                types[name] = _common(types.get(name, here), here, name, path)
        return pa.schema([(name, types[name]) for name in columns])

    @staticmethod
    def _require(columns: Sequence[str], schema: pa.Schema, path: Location) -> None:
        require_columns(columns, schema.names, repr(str(path)))


def _common(one: pa.DataType, other: pa.DataType, name: str, path: Location) -> pa.DataType:
    """The type that holds the values of both."""
    if one == other:
        return one
    plain = [each.value_type if pa.types.is_dictionary(each) else each for each in (one, other)]
    pair = [pa.schema([(name, each)]) for each in plain]
    try:
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except pa.ArrowException as error:
        raise DataError(
            f"{str(path)!r} can't be read as parquet beside the other files: its column {name!r} "
            f"is of type {other}, theirs of type {one}."
        ) from error


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for column, to in zip(table.columns, schema.types, strict=True):
        if pa.types.is_dictionary(column.type) and column.type != to:
            column = column.cast(column.type.value_type)
        columns.append(column if column.type == to else column.cast(to))
    return pa.table(columns, schema=schema)
