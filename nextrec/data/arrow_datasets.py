"""Arrow data sets (``pyarrow.dataset``) as a source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.dataset

from nextrec.data.files import Job, Source, Unit, exact_chunks
from nextrec.errors import DataError

UNIT_ROWS = 65_536
"""Rows of a unit where the data set has no row groups."""


class DatasetSource(Source):
    """An Arrow data set; one of Parquet files is read by row groups, on any thread.

    Others, and those with a filter, can only be scanned: their units are slices in one group.
    """

    def __init__(self, data: pa.dataset.Dataset) -> None:
        self.data = data
        self._groups: list[Any] | None = None
        self._rows: int | None = None

    def names(self) -> list[str]:
        """Column names."""
        return list(self.data.schema.names)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""
        with _reading():
            return self.data.to_table(columns=list(columns))

    def counts(self, columns: Sequence[str]) -> list[int]:
        """The number of rows, in a list."""
        if self._rows is None:
            with _reading():
                self._rows = self.data.count_rows()
        return [self._rows]

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``."""
        with _reading():
            yield from self.data.to_batches(columns=list(columns), batch_size=batch_rows)

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """Row groups, or slices of ``UNIT_ROWS`` rows."""
        groups = self._row_groups()
        if groups:
            sizes = [sum(each.num_rows for each in group.row_groups) for group in groups]
        else:
            rows = sum(self.counts(columns))
            sizes = [min(UNIT_ROWS, rows - start) for start in range(0, rows, UNIT_ROWS)]
        units = []
        first_row = 0
        for place, size in enumerate(sizes):
            units.append(Unit(0, place, size, first_row, place if groups else 0))
            first_row += size
        return [unit for unit in units if unit.rows]

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Jobs that read row groups, or give slices that were scanned in order."""
        units = self.units(columns, text) if units is None else units
        groups = self._row_groups()
        if groups:
            for unit in units:
                yield unit, partial(self._read_group, groups[unit.place], list(columns))
            return
        slices = enumerate(exact_chunks(self.scan(columns, UNIT_ROWS), UNIT_ROWS))
        for unit in units:
            table = next((table for place, table in slices if place == unit.place), None)
            if table is None or table.num_rows != unit.rows:
                raise DataError("the Arrow data set changed while it was being read.")
            yield unit, partial(_same, table)

    def _read_group(self, group: Any, columns: list[str]) -> pa.Table:
        with _reading(group.path):
            return group.to_table(schema=self.data.schema, columns=columns, use_threads=False)

    def _row_groups(self) -> list[Any]:
        """One fragment a row group; none when the data set is not of Parquet files only."""
        if self._groups is None:
            self._groups = []
            try:
                fragments = list(self.data.get_fragments())
            except ValueError:  # it has a filter, which fragments would not apply
                return self._groups
            if all(isinstance(each, pa.dataset.ParquetFileFragment) for each in fragments):
                for fragment in fragments:
                    with _reading(fragment.path):
                        self._groups += fragment.split_by_row_group()
        return self._groups


@contextmanager
def _reading(path: str = "") -> Iterator[None]:
    """Turn what a damaged file makes a data set raise into a DataError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        where = repr(path) if path else "the Arrow data set"
        raise DataError(f"{where} can't be read: {error}") from error


def _same(table: pa.Table) -> pa.Table:
    return table
