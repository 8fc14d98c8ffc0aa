"""A processor as one file: an Arrow stream with its description as JSON in the metadata.

The file holds no code and reading it runs none. What it says of versions is checked first: ids of
another id space, or buckets of another hash, would be wrong without any error being seen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextrec._files import atomic_path
from nextrec.data.transforms import HASH_VERSION, TRANSFORMS, Transform
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import CheckpointError, NextRecError, did_you_mean
from nextrec.features import ID_SPACE_VERSION

FORMAT_VERSION = 1
SUFFIX = ".arrow"
KIND = "nextrec processor"
_VERSIONS = {
    "format_version": FORMAT_VERSION,
    "id_space_version": ID_SPACE_VERSION,
    "hash_version": HASH_VERSION,
}


def saved_path(path: str | os.PathLike[str]) -> Path:
    """Where a processor is written: a path without a suffix gets ``.arrow``."""
    path = Path(os.path.expanduser(os.fspath(path)))
    if path.is_dir():
        return path / f"fitted_processor{SUFFIX}"
    return path if path.suffix else path.with_name(path.name + SUFFIX)


def write(
    path: Path, transforms: Mapping[str, Transform], learned: bool, state: Mapping[str, Any]
) -> None:
    """Write transforms, with what they learned, and further plain values, atomically."""
    payload = {
        "kind": KIND,
        **_VERSIONS,
        "transforms": [
            {
                "kind": each.kind,
                "settings": each.settings(),
                "learned": each.learned() if learned else None,
            }
            for each in transforms.values()
        ],
        "state": dict(state),
    }
    data = to_bytes(payload)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read(path: Path) -> tuple[dict[str, Transform], dict[str, Any]]:
    """The transforms and further values of a file that :func:`write` wrote.

    Raises:
        CheckpointError: the file is absent, cut short, of another kind or of other versions.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error}).") from error
    payload = from_bytes(data, str(path))
    if payload.get("kind") != KIND:
        raise CheckpointError(f"{path}: holds no processor.")
    for name, ours in _VERSIONS.items():
        theirs = payload.get(name)
        if theirs != ours:
            raise CheckpointError(
                f"{path}: {name.replace('_', ' ')} {theirs!r}; this NextRec uses {ours}. Ids made "
                "by one don't fit tables trained with the other: fit the processor again."
            )
    try:
        transforms = [_rebuilt(each, path) for each in payload["transforms"]]
        return {each.name: each for each in transforms}, payload["state"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, NextRecError):
            raise CheckpointError(f"{path}: {error}") from error
        raise CheckpointError(f"{path}: the description is damaged ({error!r}).") from error


def _rebuilt(description: Mapping[str, Any], path: Path) -> Transform:
    kind = description["kind"]
    if kind not in TRANSFORMS:
        raise CheckpointError(
            f"{path}: unknown transform {kind!r}.{did_you_mean(kind, TRANSFORMS)} It may come "
            "from a newer NextRec."
        )
    transform = TRANSFORMS[kind](**description["settings"])
    if description["learned"] is not None:
        transform.restore(description["learned"])
    return transform
