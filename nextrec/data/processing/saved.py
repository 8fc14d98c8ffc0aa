"""A processor as one file: an Arrow stream with its description as JSON in the metadata.

Behind the stream, where readers of Arrow stop, stands a digest of it (XXH3, 128 bits): a bit that
flipped on a disk would otherwise be an id of another token. The digest is checked before anything
is built. It is no signature: whoever can write the file can write its digest.

The file holds no code and reading it runs none. What it says of versions is checked before it is
used: ids of another id space, or buckets of another hash, would be wrong without any error seen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from nextrec._files import atomic_path
from nextrec.data.processing.folders import writing
from nextrec.data.processing.rates import Rates
from nextrec.data.transforms import HASH_VERSION, TRANSFORMS, Transform
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import CheckpointError, NextRecError, did_you_mean
from nextrec.features import ID_SPACE_VERSION

FORMAT_VERSION = 1
SUFFIX = ".arrow"
KIND = "nextrec processor"
DIGEST = b"XXH3-128"
"""Stands, at the end of a file, before the digest of all that is before."""
_FOOTER = len(DIGEST) + 16
_VERSIONS = {
    "format_version": FORMAT_VERSION,
    "id_space_version": ID_SPACE_VERSION,
    "hash_version": HASH_VERSION,
}


def saved_path(path: str | os.PathLike[str]) -> Path:
    """Where a processor is written: a path without a suffix gets ``.arrow``."""
    path = Path(os.path.expanduser(os.fspath(path)))
    if os.path.isdir(path):
        return path / f"fitted_processor{SUFFIX}"
    return path if path.suffix else path.with_name(path.name + SUFFIX)


def write(
    path: Path, transforms: Mapping[str, Transform], learned: bool, state: Mapping[str, Any]
) -> None:
    """Write transforms, with what they learned, and further plain values, atomically.

    Raises:
        ConfigError: the path can't be written.
    """
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
    with writing(path, "DataProcessor.save"), atomic_path(path) as temporary:
        temporary.write_bytes(data + DIGEST + xxhash.xxh3_128_digest(data))


def read(path: Path) -> tuple[dict[str, Transform], dict[str, Any]]:
    """The transforms and further values of a file that :func:`write` wrote.

    Raises:
        CheckpointError: the file is absent, cut short, changed, of another kind or of other
            versions.
    """
    payload = from_bytes(_unchanged(path), str(path))
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
        state = payload["state"]
        _check_state(state, path)
        return {each.name: each for each in transforms}, state
    except NextRecError as error:
        raise CheckpointError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except (LookupError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        raise CheckpointError(f"{path}: the description is damaged ({error!r}).") from error


def _unchanged(path: Path) -> bytes:
    """The Arrow stream of a file, once its digest is found to be right."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path}: can't be read ({reason}).") from error
    data, footer = data[:-_FOOTER], data[-_FOOTER:]
    if not footer.startswith(DIGEST):
        raise CheckpointError(f"{path}: holds no processor, or was cut short: it has no digest.")
    if footer != DIGEST + xxhash.xxh3_128_digest(data):
        raise CheckpointError(
            f"{path}: was damaged or changed after it was written: its digest does not fit."
        )
    return data


def _check_state(state: Mapping[str, Any], path: Path) -> None:
    """Check the values beside the transforms: a digest says nothing of who wrote them."""
    Rates.from_dict(state["fit_rates"])
    checks = {
        "is_fitted": isinstance(state["is_fitted"], bool),
        "warn_above": isinstance(state["warn_above"], (int, float)),
        "engine": isinstance(state["engine"], str),
        "folded_by_all": isinstance(state["folded_by_all"], list)
        and all(isinstance(name, str) for name in state["folded_by_all"]),
    }
    wrong = [name for name, right in checks.items() if not right]
    if wrong:
        raise CheckpointError(f"{path}: `{wrong[0]}` is damaged: {state[wrong[0]]!r}.")


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
