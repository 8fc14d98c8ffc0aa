"""What a source is, and what all sources share: its pieces, the files they come from, checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import pyarrow as pa

from nextrec.data.finding import (
    READABLE,
    SUFFIXES,
    DataFile,
    Paths,
    file_kind,
    find_files,
    list_files,
)
from nextrec.data.locations import Location, RemoteFile, stamp_of
from nextrec.errors import DataError, NextRecError, did_you_mean

__all__ = [
    "READABLE",
    "SUFFIXES",
    "THREADS",
    "DataFile",
    "Job",
    "OnBad",
    "Paths",
    "Source",
    "Unchanged",
    "Unit",
    "exact_chunks",
    "file_kind",
    "find_files",
    "list_files",
    "reading",
    "require_columns",
]

THREADS = max(1, min(8, pa.cpu_count()))
"""Threads of what reads whole sources."""

OnBad: TypeAlias = Literal["error", "skip"]


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

    skipped: Mapping[str, int] = MappingProxyType({})
    """What was left out with ``on_bad="skip"``, by file: lines of CSV, row groups of Parquet."""

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
def reading(location: Location, kind: str, piece: str = "") -> Iterator[None]:
    """Turn what a damaged or vanished file makes a reader raise into a DataError that names it.

    Args:
        piece: which part of the file is read, for the message.
    """
    where = f"{str(location)!r}{piece and f' ({piece})'}"
    try:
        yield
    except NextRecError:
        raise
    except FileNotFoundError as error:
        raise DataError(
            f"{where} can't be read as {kind}: it is not there; was it deleted or moved?"
        ) from error
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise DataError(f"{where} can't be read as {kind}: {error}") from error
    except Exception as error:
        if isinstance(location, RemoteFile):  # errors of fsspec's file systems have no common base
            raise DataError(f"{where} can't be read as {kind}: {error}") from error
        raise


class Unchanged:
    """Makes sure that a file stays what it was when it was first looked at."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._stamp: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise a DataError when the file was replaced; the first call remembers what it is."""
        stamp = stamp_of(self.location)
        if self._stamp is not None and self._stamp != stamp:
            raise DataError(
                f"{str(self.location)!r} changed while it was being read, from {self._stamp[0]} "
                f"to {stamp[0]} bytes, or was written anew. Open the data again."
            )
        self._stamp = stamp


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
