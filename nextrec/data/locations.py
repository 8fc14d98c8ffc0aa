"""Where files lie: a local path, or a URL of any file system that Arrow or fsspec knows.

A local file is a ``Path``, that of a ``file://`` URL too; another URL is a :class:`RemoteFile`.
Arrow's own file systems (``s3://``, ``gs://``, ``abfs://``, ``hdfs://``) are tried first, then
fsspec's. Credentials come from where the file system looks for them: environment, profile, role.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs

from nextrec.errors import DataError, MissingDependencyError, NextRecError

URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z][a-z0-9+.-]+)*://", re.IGNORECASE)
"""How a URL begins. A scheme has two letters at least: ``C:`` is a drive."""


@dataclass(frozen=True)
class RemoteFile:
    """A file, a folder or a pattern on a file system that is not the local one."""

    url: str
    filesystem: pa.fs.FileSystem = field(compare=False, repr=False)
    path: str = field(repr=False)
    """Its name on the file system."""

    @property
    def name(self) -> str:
        """Last part of the name."""
        return PurePosixPath(self.path).name

    @property
    def parent(self) -> str:
        """The URL of its folder."""
        return self.url.rpartition("/")[0]

    def __str__(self) -> str:
        return self.url


Location: TypeAlias = Path | RemoteFile


def locate(path: str | os.PathLike[str] | Location) -> Location:
    """The location that a path or a URL means; whether something is there is not looked at.

    >>> locate("file:///data/my%20train.csv").as_posix()
    '/data/my train.csv'
    """
    if isinstance(path, RemoteFile):
        return path
    text = os.path.expanduser(os.fspath(path))
    if not URL.match(text):
        return Path(text)
    scheme, _, rest = text.partition("://")
    if scheme.lower() == "file":
        return Path(unquote(rest.removeprefix("localhost")))
    # Some file systems can't read a pattern's signs in a URL: only what stands before them is.
    fixed, below = split_pattern(text)
    with reaching(text):
        filesystem, root = _connect(fixed)
    return RemoteFile(text, filesystem, f"{root.rstrip('/')}/{below}" if below else root)


def _connect(url: str) -> tuple[pa.fs.FileSystem, str]:
    try:
        return pa.fs.FileSystem.from_uri(url)
    except pa.ArrowInvalid:  # not one of Arrow's, or not written as Arrow wants it
        pass
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError("fsspec", "fsspec", f"reading {url!r}") from error
    filesystem, root = url_to_fs(url)
    return pa.fs.PyFileSystem(pa.fs.FSSpecHandler(filesystem)), root


@contextmanager
def reaching(place: object) -> Iterator[None]:
    """Turn whatever a file system raises into a DataError that names the path or URL.

    What fsspec's file systems raise has no common base: credentials that are missing, say.
    """
    try:
        yield
    except NextRecError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"no such file or folder: {str(place)!r}.") from error
    except Exception as error:
        raise DataError(f"{str(place)!r} can't be reached: {error}") from error


def open_input(location: Location) -> pa.NativeFile:
    """The file's bytes, for reading at any position."""
    if isinstance(location, Path):
        return pa.OSFile(str(location))
    return location.filesystem.open_input_file(location.path)


def open_stream(location: Location) -> pa.NativeFile:
    """The file's bytes in order, decompressed when the suffix is ``.gz``, ``.bz2`` or ``.zst``."""
    compression = pa.Codec.detect(str(location)).name if is_compressed(location) else None
    return pa.input_stream(open_input(location), compression=compression)


def is_compressed(location: Location) -> bool:
    """Whether the file's suffix says that its bytes are compressed as a whole."""
    return location.name.lower().endswith((".gz", ".bz2", ".zst"))


def stamp_of(location: Location) -> tuple[int, int]:
    """Size and time of last change (ns): what tells whether a file was replaced.

    Raises:
        FileNotFoundError: it is not there.
    """
    if isinstance(location, Path):
        found = location.stat()
        return found.st_size, found.st_mtime_ns
    info = location.filesystem.get_file_info(location.path)
    if info.type == pa.fs.FileType.NotFound:
        raise FileNotFoundError(location.url)
    return info.size or 0, info.mtime_ns or 0


def is_folder(location: Location) -> bool:
    """Whether a folder is there."""
    if isinstance(location, Path):
        return location.is_dir()
    return location.filesystem.get_file_info(location.path).type == pa.fs.FileType.Directory


def is_file(location: Location) -> bool:
    """Whether a file is there."""
    if isinstance(location, Path):
        return location.is_file()
    return location.filesystem.get_file_info(location.path).type == pa.fs.FileType.File


def children(folder: Location) -> list[tuple[str, bool]]:
    """Name, and whether it is a folder, of all that lies directly in a folder, by name."""
    if isinstance(folder, Path):
        with os.scandir(folder) as entries:
            return sorted((each.name, each.is_dir()) for each in entries)
    found = folder.filesystem.get_file_info(pa.fs.FileSelector(folder.path, allow_not_found=True))
    return sorted((each.base_name, each.type == pa.fs.FileType.Directory) for each in found)


def below(folder: Location, name: str) -> Location:
    """A file or folder by its name relative to a folder."""
    if isinstance(folder, Path):
        return folder / name
    url, path = folder.url.rstrip("/"), folder.path.rstrip("/")
    return RemoteFile(f"{url}/{name}", folder.filesystem, f"{path}/{name}")


def split_pattern(text: str) -> tuple[str, str]:
    """The folder before the first part with a pattern's sign, and the rest (``""``: no pattern).

    >>> split_pattern("s3://shop/day=*/part-0.parquet")
    ('s3://shop', 'day=*/part-0.parquet')
    """
    head = URL.match(text)
    start = head.end() if head else 0  # a scheme's own part is no pattern
    parts = text[start:].split("/")
    first = next((n for n, part in enumerate(parts) if glob.has_magic(part)), None)
    if first is None:
        return text, ""
    return text[:start] + "/".join(parts[:first]), "/".join(parts[first:])


def parent_of(place: Location) -> Location:
    """The folder that a file lies in."""
    if isinstance(place, Path):
        return place.parent
    return RemoteFile(place.parent, place.filesystem, place.path.rpartition("/")[0])


def fixed_part(place: Location) -> tuple[Location, str]:
    """The folder before a pattern's first part with a sign, and the pattern relative to it."""
    if isinstance(place, Path):
        fixed, pattern = split_pattern(place.as_posix())
        return Path(fixed or ("/" if place.is_absolute() else ".")), pattern
    fixed, pattern = split_pattern(place.url)
    path = place.path.removesuffix(pattern).rstrip("/") if pattern else place.path
    return RemoteFile(fixed, place.filesystem, path), pattern


def matches(pattern: str, folder: Location) -> list[str]:
    """Names, relative to ``folder`` and sorted, of the files under it that match a glob pattern.

    ``**`` stands for any number of folders, none too; names that start with ``.`` need one in the
    pattern.
    """
    if isinstance(folder, Path):
        found = glob.glob(pattern, root_dir=folder, recursive=True)
        return sorted(name for name in found if (folder / name).is_file())
    parts = pattern.split("/")
    selector = pa.fs.FileSelector(folder.path, recursive=len(parts) > 1, allow_not_found=True)
    files = folder.filesystem.get_file_info(selector)
    root = folder.path.rstrip("/") + "/"
    names = [each.path.removeprefix(root) for each in files if each.type == pa.fs.FileType.File]
    return sorted(name for name in names if _fits(name.split("/"), parts))


def _fits(names: list[str], pattern: list[str]) -> bool:
    """Whether the parts of a relative name match those of a pattern, as ``glob`` would say."""
    if not pattern or not names:
        return not pattern and not names
    part, rest = pattern[0], pattern[1:]
    hidden = names[0].startswith(".") and not part.startswith(".")
    if part != "**":
        return not hidden and fnmatchcase(names[0], part) and _fits(names[1:], rest)
    if _fits(names, rest):  # ** as no folder at all
        return True
    return not hidden and (_fits(names[1:], pattern) or not (names[1:] or rest))
