"""Reading Parquet files as one table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nextrec.data.files import Job, Source, Unit, reading, require_columns


class ParquetFiles(Source):
    """Parquet files as one table; only the named columns are read from disk."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def names(self) -> list[str]:
        """Column names of the first file."""
        with reading(self.paths[0], "parquet"):
            return list(pq.read_schema(self.paths[0]).names)

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file, from its footer."""
        counts = []
        for path in self.paths:
            with reading(path, "parquet"):
                counts.append(pq.read_metadata(path).num_rows)
        return counts

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns; numbers of several widths become the widest."""
        tables = []
        for path in self.paths:
            with reading(path, "parquet"), pq.ParquetFile(path) as file:
                self._require(columns, file, path)
                tables.append(file.read(columns=list(columns)).select(list(columns)))
        with reading(self.paths[0], "parquet"):
            return pa.concat_tables(tables, promote_options="permissive")

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``; holds one row group at a time."""
        for number in range(len(self.paths)) if files is None else files:
            path = self.paths[number]
            with reading(path, "parquet"), pq.ParquetFile(path) as file:
                self._require(columns, file, path)
                for batch in file.iter_batches(batch_rows, columns=list(columns)):
                    yield batch.select(list(columns))

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """The row groups of all files."""
        units: list[Unit] = []
        first_row = 0
        for number, path in enumerate(self.paths):
            with reading(path, "parquet"):
                footer = pq.read_metadata(path)
            for place in range(footer.num_row_groups):
                rows = footer.row_group(place).num_rows
                units.append(Unit(number, place, rows, first_row, len(units)))
                first_row += rows
        return units

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Jobs that read one row group each."""
        for unit in self.units(columns, text) if units is None else units:
            yield unit, partial(self._read_unit, unit, list(columns))

    def _read_unit(self, unit: Unit, columns: list[str]) -> pa.Table:
        path = self.paths[unit.file]
        with reading(path, "parquet"), pq.ParquetFile(path) as file:
            self._require(columns, file, path)
            return file.read_row_group(unit.place, columns=columns, use_threads=False).select(
                columns
            )

    @staticmethod
    def _require(columns: Sequence[str], file: pq.ParquetFile, path: Path) -> None:
        require_columns(columns, file.schema_arrow.names, repr(str(path)))
