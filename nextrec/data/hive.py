"""Hive partitions: folders named ``key=value``, whose keys are columns of the files in them.

``sales/day=2024-01-01/country=DE/part-0.parquet`` has the columns ``day`` and ``country`` beside
those in the file. Values are written as in a URL (``%2F`` for a slash), and
``__HIVE_DEFAULT_PARTITION__`` is a missing value. A key whose values are integers in all folders is
a column of integers, otherwise one of text: ``month=01`` keeps its zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.errors import DataError

MISSING = "__HIVE_DEFAULT_PARTITION__"

Keys = dict[str, str | None]
"""The partition that a file is in: key -> value, in the order of the folders."""


def partition(folder: str) -> tuple[str, str | None] | None:
    """Key and value that a folder's name says; ``None`` when it names no partition.

    >>> partition("city=S%C3%A3o%20Paulo"), partition("city=__HIVE_DEFAULT_PARTITION__")
    (('city', 'São Paulo'), ('city', None))
    """
    key, equals, value = folder.partition("=")
    if not equals or not key or folder.startswith((".", "_")):
        return None
    return unquote(key), None if value == MISSING else unquote(value)


def keys_of(name: str) -> Keys:
    """The partition of a file by its name relative to the folder that was asked for.

    >>> keys_of("day=1/parts/country=DE/part-0.parquet")
    {'day': '1', 'country': 'DE'}
    """
    found = [partition(folder) for folder in name.split("/")[:-1]]
    return dict(each for each in found if each is not None)


def check_same_keys(keys: Sequence[Keys], files: Sequence[object]) -> None:
    """Raise a DataError when the files of one source lie under different keys."""
    for each, file in zip(keys, files, strict=True):
        if list(each) != list(keys[0]):
            raise DataError(
                "files read together must lie under the same partition keys: "
                f"{str(files[0])!r} lies under {_listed(keys[0])}, {str(file)!r} under "
                f"{_listed(each)}."
            )


def _listed(keys: Keys) -> str:
    return "/".join(f"{key}=..." for key in keys) or "none"


def typed(values: Sequence[str | None]) -> pa.Array:
    """The values of one key, one a file, as integers when all are, otherwise as text.

    >>> typed(["1", None, "12"]).type, typed(["1", "x"]).type, typed(["01"]).type
    (DataType(int64), DataType(string), DataType(string))
    """
    text = pa.array(values, pa.string())
    if text.null_count == len(text):
        return text
    if pc.all(pc.match_substring_regex(text, r"^(?:0|-?[1-9][0-9]*)$")).as_py():
        try:
            return text.cast(pa.int64())
        except pa.ArrowInvalid:  # too long for 64 bits: a name
            return text
    return text
