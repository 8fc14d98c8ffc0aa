"""Finding CSV and Parquet files, and reading Parquet files as one table.

A source of files is a path, a folder, a glob pattern or a list of these. It holds one kind of
file; its rows are those of its files in the order given, a folder's or a pattern's sorted by name.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from nextrec.errors import DataError, did_you_mean

SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".pq": "parquet"}


class TableFiles(Protocol):
    """Files of one kind that are read as one table."""

    paths: list[Path]

    def names(self) -> list[str]:
        """Column names of the first file."""

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file; ``columns`` are those that will be read."""

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``, from the numbered files in that order."""


def find_files(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The data files that a path, a folder, a glob pattern or a list of these means.

    Raises:
        DataError: nothing is there, a suffix is unknown, or the files are of several kinds.
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    paths = [path for each in sources for path in _expand(os.path.expanduser(os.fspath(each)))]
    if not paths:
        raise DataError("the list of files is empty.")
    kinds = {file_kind(path): path for path in paths}
    if len(kinds) > 1:
        raise DataError(
            "files read together must be of one kind; got "
            + " and ".join(f"{path.name!r} ({kind})" for kind, path in sorted(kinds.items()))
            + f" in {str(paths[0].parent)!r}."
        )
    return paths


def file_kind(path: str | os.PathLike[str]) -> str:
    """``"csv"`` or ``"parquet"`` by the file's suffix.

    >>> file_kind("train.csv.gz")
    'csv'
    """
    kind = _known_kind(path)
    if kind is None:
        raise DataError(
            f"{os.fspath(path)!r}: a data file must end in {', '.join(SUFFIXES)}; "
            f"got {''.join(Path(path).suffixes) or 'no suffix'!r}."
        )
    return kind


def _known_kind(path: str | os.PathLike[str]) -> str | None:
    name = os.fspath(path).lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


def _expand(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return [path]
    if glob.has_magic(source):
        found = [Path(name) for name in sorted(glob.glob(source, recursive=True))]
        found = [each for each in found if each.is_file()]
        if not found:
            raise DataError(f"no file matches {source!r}.")
        return found
    beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataError(f"no such file or folder: {source!r}.{did_you_mean(path.name, beside)}")


def _in_folder(folder: Path) -> list[Path]:
    # Names that start with . or _ are the marks that Spark and file systems leave beside data.
    entries = [each for each in sorted(folder.iterdir()) if not each.name.startswith((".", "_"))]
    found = [each for each in entries if each.is_file() and _known_kind(each)]
    if not found:
        deeper = f"{folder}/**/*.parquet"
        hint = f" Its sub-folders are read by a pattern such as {deeper!r}."
        raise DataError(
            f"the folder {str(folder)!r} holds no file that ends in {', '.join(SUFFIXES)}."
            + (hint if any(each.is_dir() for each in entries) else "")
        )
    return found


def require_columns(wanted: Iterable[str], available: Sequence[str], where: str) -> None:
    """Raise one DataError that lists every wanted column that is not available."""
    known = set(available)
    missing = [name for name in dict.fromkeys(wanted) if name not in known]
    if missing:
        listed = ", ".join(f"{name!r}{did_you_mean(name, available)}" for name in missing)
        raise DataError(f"{where} lacks {len(missing)} column(s): {listed}")


def require_unique(names: Sequence[str], where: str) -> None:
    """Raise a DataError when two columns have one name."""
    repeated = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if repeated:
        raise DataError(f"{where} has several columns named {repeated[0]!r}; names must differ.")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes a reader raise into a DataError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        kind = file_kind(path)
        raise DataError(f"{str(path)!r} can't be read as {kind}: {error}") from error


class ParquetFiles:
    """Parquet files as one table; only the named columns are read from disk."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def names(self) -> list[str]:
        """Column names of the first file."""
        with reading(self.paths[0]):
            return list(pq.read_schema(self.paths[0]).names)

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file, from its footer."""
        counts = []
        for path in self.paths:
            with reading(path):
                counts.append(pq.read_metadata(path).num_rows)
        return counts

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns; numbers of several widths become the widest."""
        tables = []
        for path in self.paths:
            with reading(path), pq.ParquetFile(path) as file:
                self._require(columns, file, path)
                tables.append(file.read(columns=list(columns)).select(list(columns)))
        with reading(self.paths[0]):
            return pa.concat_tables(tables, promote_options="permissive")

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``; holds one row group at a time."""
        for number in range(len(self.paths)) if files is None else files:
            path = self.paths[number]
            with reading(path), pq.ParquetFile(path) as file:
                self._require(columns, file, path)
                for batch in file.iter_batches(batch_rows, columns=list(columns)):
                    yield batch.select(list(columns))

    @staticmethod
    def _require(columns: Sequence[str], file: pq.ParquetFile, path: Path) -> None:
        names = file.schema_arrow.names
        require_unique(names, repr(str(path)))
        require_columns(columns, names, repr(str(path)))
