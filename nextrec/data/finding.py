"""Finding the CSV and Parquet files that a user means.

A source of files is a path or URL, a folder, a glob pattern or a list of these. It holds one kind
of file; its rows are those of its files in the order given, a folder's or a pattern's sorted by
name. Of a folder's sub-folders only hive partitions (``key=value``) are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nextrec.data import hive
from nextrec.data.locations import (
    Location,
    RemoteFile,
    below,
    children,
    fixed_part,
    is_file,
    is_folder,
    locate,
    matches,
    parent_of,
    reaching,
)
from nextrec.errors import DataError, did_you_mean

SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".pq": "parquet"}
"""What the files that are written may end in, with their kind."""

READABLE = {
    **SUFFIXES,
    **{
        text + compressed: "csv"
        for text in (".csv", ".tsv")
        for compressed in ("", ".gz", ".bz2", ".zst")
    },
}
"""What the files that are read may end in, with their kind."""

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class DataFile:
    """A file of a source."""

    location: Location
    keys: hive.Keys
    """The hive partition that it lies in, empty when in none."""


def find_files(source: Paths) -> list[Location]:
    """The data files that a path, a folder, a glob pattern or a list of these means.

    Local files are ``Path``s, those behind URLs are
    :class:`~nextrec.data.locations.RemoteFile`s.

    Raises:
        DataError: nothing is there, a suffix is unknown, or the files are of several kinds.
    """
    return [file.location for file in list_files(source)]


def list_files(source: Paths, file_type: str | None = None) -> list[DataFile]:
    """The data files that are meant, each with its hive partition.

    Partitions are the folders ``key=value`` between the folder that was asked for, or the part of
    a pattern without signs, and the file.

    Args:
        file_type: take every file for one of this kind, whatever its name.
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    files = [file for each in sources for file in _expand(os.fspath(each), file_type)]
    if not files:
        raise DataError("the list of files is empty.")
    if file_type is None:
        kinds = {file_kind(str(file.location)): file.location for file in files}
        if len(kinds) > 1:
            raise DataError(
                "files read together must be of one kind; got "
                + " and ".join(f"{path.name!r} ({kind})" for kind, path in sorted(kinds.items()))
                + f" in {str(files[0].location.parent)!r}."
            )
    hive.check_same_keys([file.keys for file in files], [file.location for file in files])
    return files


def file_kind(path: str | os.PathLike[str]) -> str:
    """``"csv"`` or ``"parquet"`` by the file's suffix.

    >>> file_kind("train.csv.gz"), file_kind("s3://shop/part-0.parquet")
    ('csv', 'parquet')
    """
    kind = _known_kind(os.fspath(path))
    if kind is None:
        raise DataError(
            f"{os.fspath(path)!r}: a data file must end in {', '.join(READABLE)}; "
            f"got {''.join(Path(path).suffixes) or 'no suffix'!r}."
        )
    return kind


def _known_kind(name: str) -> str | None:
    name = name.lower()
    return next((kind for suffix, kind in READABLE.items() if name.endswith(suffix)), None)


def _expand(source: str, file_type: str | None) -> list[DataFile]:
    place = locate(source)
    if isinstance(place, RemoteFile):
        with reaching(source):
            return _expand_place(place, file_type)
    return _expand_place(place, file_type)


def _expand_place(place: Location, file_type: str | None) -> list[DataFile]:
    if is_folder(place):
        return _in_folder(place, file_type)
    if is_file(place):
        return [DataFile(place, {})]
    folder, pattern = fixed_part(place)
    if pattern:
        found = matches(pattern, folder)
        if not found:
            raise DataError(f"no file matches {str(place)!r}.")
        return [DataFile(below(folder, name), hive.keys_of(name)) for name in found]
    parent = parent_of(place)
    beside = [name for name, _ in children(parent)] if is_folder(parent) else []
    raise DataError(f"no such file or folder: {str(place)!r}.{did_you_mean(place.name, beside)}")


def _in_folder(folder: Location, file_type: str | None) -> list[DataFile]:
    names = list(_data_files(folder, file_type))
    if not names:
        deeper = f"{folder}/**/*.parquet"
        hint = f" Its sub-folders are read by a pattern such as {deeper!r}."
        raise DataError(
            f"the folder {str(folder)!r} holds no file that ends in {', '.join(READABLE)}."
            + (hint if any(is_dir for _, is_dir in children(folder)) else "")
        )
    return [DataFile(below(folder, name), hive.keys_of(name)) for name in names]


def _data_files(folder: Location, file_type: str | None, under: str = "") -> Iterator[str]:
    """Relative names of the data files of a folder and of the partitions in it, by name."""
    for name, is_dir in children(below(folder, under) if under else folder):
        # Names that start with . or _ are the marks that Spark and file systems leave beside data.
        if name.startswith((".", "_")):
            continue
        if is_dir and hive.partition(name):
            yield from _data_files(folder, file_type, f"{under}{name}/")
        elif not is_dir and (file_type or _known_kind(name)):
            yield f"{under}{name}"
