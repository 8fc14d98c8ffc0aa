"""Files in hive partitions: the keys of their folders as columns beside those in the files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data import hive
from nextrec.data.files import THREADS, DataFile, Job, Source, Unit
from nextrec.data.prefetch import in_order
from nextrec.errors import DataError


class PartitionedFiles(Source):
    """A source of files with the keys of their partitions as further columns.

    A key that is also a column of the files must have the same values there; the column of the
    files is what is read then. Its values are compared when it is read.

    Args:
        inner: reads the files.
        files: the same files with their partitions.
    """

    def __init__(self, inner: Source, files: Sequence[DataFile]) -> None:
        self.inner = inner
        self.files = files
        self.skipped = inner.skipped
        self.paths = [file.location for file in files]
        self.keys = {key: hive.typed([file.keys[key] for file in files]) for key in files[0].keys}

    def names(self) -> list[str]:
        """Column names of the first file, then the keys."""
        here = self.inner.names()
        return [*here, *(key for key in self.keys if key not in here)]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""
        jobs = (job for _, job in self.jobs(columns))
        tables = list(in_order(jobs, THREADS, 2 * THREADS))
        if not tables:
            empty = self.inner.read(self._inside(columns))
            tables = [self._with_keys(empty, 0, columns, ())]
        return pa.concat_tables(tables, promote_options="permissive")

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file."""
        return self.inner.counts(self._inside(columns))

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``."""
        inside = self._inside(columns)
        for number in range(len(self.files)) if files is None else files:
            for batch in self.inner.scan(inside, batch_rows, [number]):
                table = self._with_keys(pa.Table.from_batches([batch]), number, columns, ())
                yield from table.to_batches()

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """Those of the files."""
        return self.inner.units(self._inside(columns), text)

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Those of the files, with the keys added."""
        for unit, job in self.inner.jobs(self._inside(columns), units, text):
            yield unit, partial(self._read_unit, unit.file, job, columns, text)

    def _read_unit(
        self, number: int, job: Job, columns: Sequence[str], text: Collection[str]
    ) -> pa.Table:
        return self._with_keys(job(), number, columns, text)

    def _inside(self, columns: Sequence[str]) -> list[str]:
        """The columns to be read from the files; at least one, which has the number of rows."""
        here = self.inner.names()
        return [name for name in columns if name in here or name not in self.keys] or here[:1]

    def _with_keys(
        self, table: pa.Table, number: int, columns: Sequence[str], text: Collection[str]
    ) -> pa.Table:
        arrays = {}
        for name in columns:
            if name not in self.keys:
                arrays[name] = table.column(name)
            elif name in table.column_names:
                self._compare(name, table.column(name), number)
                arrays[name] = table.column(name)
            elif name in text:
                value = pa.scalar(self.files[number].keys[name], pa.string())
                arrays[name] = pa.repeat(value, table.num_rows)
            else:
                arrays[name] = pa.repeat(self.keys[name][number], table.num_rows)
        return pa.table(arrays)

    def _compare(self, name: str, column: pa.ChunkedArray, number: int) -> None:
        """Raise a DataError when the file's own column differs from its partition's key."""
        value = self.keys[name][number]
        try:
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if pa.types.is_integer(column.type):  # month=01 of files that have a 1
                value = value.cast(column.type)
            same = pc.equal(column.cast(value.type), value)
        except pa.ArrowException:
            same = pa.chunked_array([[False]])
        if value.is_valid:
            agree = pc.all(pc.fill_null(same, False)).as_py() in (True, None)  # None: no rows
        else:
            agree = column.null_count == len(column)
        if not agree:
            raise DataError(
                f"{str(self.paths[number])!r} has a column {name!r} whose values differ from "
                f"{value.as_py()!r}, the partition that it lies in."
            )
