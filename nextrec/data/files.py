"""Finding the CSV and Parquet files that a user means, and the checks that all sources share.

A source of files is a path, a folder, a glob pattern or a list of these. It holds one kind of
file; its rows are those of its files in the order given, a folder's or a pattern's sorted by name.
"""

from __future__ import annotations

import glob
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nextrec.errors import DataError, did_you_mean

SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True)
class Unit:
    """A piece of a source that is read at once: a Parquet row group, a block of CSV lines."""

    file: int
    """Number of the file, from 0."""
    place: int
    """Which piece of the file."""
    rows: int
    first_row: int
    """Number, in the whole source, of its first row."""
    group: int
    """Units of one group can only be read in their order (those of a compressed file)."""


Job = Callable[[], pa.Table]
"""Reads one unit when it is called, on any thread."""


class Source(ABC):
    """A table that can be read whole or in pieces, column by column."""

    @abstractmethod
    def names(self) -> list[str]:
        """Column names."""

    @abstractmethod
    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""

    @abstractmethod
    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file, or of the one piece; ``columns`` are those that will be read."""

    @abstractmethod
    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``, of the numbered files in that order."""

    @abstractmethod
    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """All pieces in order; together they have every row once.

        Args:
            columns: those that will be read.
            text: columns to be read as they are written where the source has no types (CSV).
        """

    @abstractmethod
    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """For each unit a job that reads its rows; jobs may run on several threads at once.

        What can only be done in order (decompressing, say) is done while iterating. Units of one
        group must be given in ascending order; they may be left out.

        Args:
            units: ``None``: all, in order.
        """


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
    """Raise one DataError for wanted columns that are not there, all listed, or there twice."""
    known = Counter(available)
    wanted = list(dict.fromkeys(wanted))
    missing = [name for name in wanted if name not in known]
    if missing:
        hints = {name: did_you_mean(name, known).strip() for name in missing}
        listed = ", ".join(
            f"{name!r} ({hint})" if hint else repr(name) for name, hint in hints.items()
        )
        raise DataError(f"{where} lacks {len(missing)} column(s): {listed}.")
    repeated = [name for name in wanted if known[name] > 1]
    if repeated:
        raise DataError(f"{where} has several columns named {repeated[0]!r}; names must differ.")


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what a damaged file makes a reader raise into a DataError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise DataError(f"{str(path)!r} can't be read as {kind}: {error}") from error
