"""An output folder that appears whole or not at all.

It is written beside its place, under the hidden name ``.NAME.HEX.tmp``, and renamed when everything
is on disk. No call swaps two folders, so an earlier output steps aside, as ``.NAME.HEX.old``,
between two renames. A run that is killed just there leaves no folder in the place; the earlier
output is whole under its hidden name and is put back when the next run to the same place begins.
That run also removes what killed runs left: a ``.tmp`` in which nothing changed for a day, for a
younger one may be at work, and an ``.old`` whose successor is there.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nextrec.errors import ConfigError

MANIFEST = "_SUCCESS"
STALE_SECONDS = 86_400.0
"""Age from which a hidden folder belongs to a run that was killed."""


@contextmanager
def writing(path: Path, owner: str = "transform") -> Iterator[None]:
    """Turn what a file system refuses in the block into a ConfigError that names the path."""
    if "\0" in os.fspath(path):
        raise ConfigError(f"{owner}: can't write to {str(path)!r}: a path has no null bytes.")
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{owner}: can't write to {str(path)!r}: {reason}.") from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path`` that takes its place when the block ends well.

    Where ``path`` is a link, it stays and the folder that it leads to is replaced.

    Raises:
        ConfigError: ``path`` is there and is no earlier output: it is left alone. Or the file
            system refuses.
    """
    given = path
    with writing(given):
        path = Path(os.path.realpath(path))
        os.makedirs(path.parent, exist_ok=True)
        _clean_up(path)
        if os.path.lexists(path) and not _replaceable(path):
            raise ConfigError(
                f"transform: the output {str(given)!r} exists and was not written by transform; "
                "it is left alone. Choose another `output_path`."
            )
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.mkdir()
    try:
        yield temporary
        with writing(given):
            _take_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replaceable(path: Path) -> bool:
    """Whether a path is an empty folder or holds parts and their manifest, and nothing else."""
    if not path.is_dir():
        return False
    names = {each.name for each in path.iterdir()}
    return not names or names <= _listed(path)


def _listed(path: Path) -> set[str]:
    """The files of a complete output; none where there is no manifest."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return {MANIFEST, *(part["file"] for part in manifest["parts"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _take_place(temporary: Path, path: Path) -> None:
    _sync(temporary)
    old = temporary.with_suffix(".old")
    replaced = path.exists()
    if replaced:
        os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        if replaced:
            os.replace(old, path)
        raise
    _sync(path.parent)
    if replaced:
        shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have the names in a folder on disk; Windows knows no such call."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clean_up(path: Path) -> None:
    """Put back an output that stepped aside for a killed run, and remove what such runs left."""
    for old in _hidden(path, ".old"):
        if not os.path.lexists(path) and _listed(old):
            os.replace(old, path)
        elif _listed(path):
            shutil.rmtree(old, ignore_errors=True)
    for temporary in _hidden(path, ".tmp"):
        if time.time() - _last_change(temporary) > STALE_SECONDS:
            shutil.rmtree(temporary, ignore_errors=True)


def _hidden(path: Path, suffix: str) -> list[Path]:
    """Folders of runs to ``path``, the newest first."""
    begin, size = f".{path.name}.", 8
    found = [
        each
        for each in path.parent.iterdir()
        if each.name.startswith(begin)
        and each.name.endswith(suffix)
        and len(each.name) == len(begin) + size + len(suffix)
        and set(each.name[len(begin) : len(begin) + size]) <= set("0123456789abcdef")
        and each.is_dir()
        and not each.is_symlink()
    ]
    return sorted(found, key=_last_change, reverse=True)


def _last_change(folder: Path) -> float:
    """When something in a folder was last written; now, where that can't be told."""
    try:
        return max(each.stat().st_mtime for each in (folder, *folder.rglob("*")))
    except OSError:  # a run is at work in it
        return time.time()
