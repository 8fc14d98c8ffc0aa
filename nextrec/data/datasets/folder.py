"""Finding the files of a data set in a folder."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from nextrec.data.datasets.describe import DatasetDescription
from nextrec.errors import DataError

Folder = str | os.PathLike[str]
Found = dict[str, list[Path]]
"""Paths by table: one, but for sets that are cut into parts."""


def find_tables(description: DatasetDescription, folder: Folder) -> Found:
    """The files of every table that the folder holds.

    Raises:
        DataError: the folder is not there, or holds no table of any layout; the message lists what
            was looked for and where to get it.
    """
    root = Path(os.path.expanduser(os.fspath(folder)))
    if not root.is_dir():
        raise DataError(
            f"{description.name}: no such folder {str(root)!r}. Get the files from "
            f"{description.source}"
        )
    found = {
        table.name: paths for table in description.tables if (paths := _first(root, table.files))
    }
    if not any(name in found for layout in description.layouts for name in layout):
        raise DataError(_nothing(description, root))
    return found


def require_tables(description: DatasetDescription, tables: Container[str], *names: str) -> None:
    """Raise when a named table was not found, with the files that it may be in."""
    for name in names:
        if name not in tables:
            files = ", ".join(description.table(name).files)
            raise DataError(
                f"{description.name}: this needs the table {name!r} ({files}), which the folder "
                f"does not hold. Get it from {description.source}"
            )


def missing_tables(description: DatasetDescription, found: Container[str]) -> list[str]:
    """Tables that are absent although others of their layout are there."""
    return [
        name
        for layout in description.layouts
        if any(each in found for each in layout)
        for name in layout
        if name not in found
    ]


def _first(root: Path, files: tuple[str, ...]) -> list[Path]:
    for pattern in files:
        paths = sorted(path for path in root.glob(pattern) if path.is_file())
        if paths:
            return paths
    return []


def _nothing(description: DatasetDescription, root: Path) -> str:
    needed = list(dict.fromkeys(name for layout in description.layouts for name in layout))
    wanted = {name: description.table(name).files for name in needed}
    listed = "; ".join(f"{name}: {' or '.join(files)}" for name, files in wanted.items())
    beside = sorted(path.name for path in root.iterdir())
    holds = ", ".join(beside[:8]) + (", ..." if len(beside) > 8 else "") or "nothing"
    return (
        f"{description.name}: {str(root)!r} holds none of its files. Looked for {listed}. "
        f"The folder holds {holds}. Get the files from {description.source}"
    )
