"""The processor in a bundle: which file it is, so that it always belongs to the weights beside it.

The weights file, which is written last and decides what a bundle is, names the processor's file and
its hash. A new processor gets a file of its own; the old one goes once the new weights are there.
So a bundle that is written over an older one is at any instant the old one or the new one.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from nextrec.errors import CheckpointError, NextRecError

logger = logging.getLogger("nextrec")

NAME = "processor"


def write_processor(processor: Any, folder: Path) -> dict[str, str] | None:
    """Save a processor into a bundle's folder; returns what the weights file says of it.

    Only a ``DataProcessor`` can be read again without running code; any other is left out with a
    warning.
    """
    if processor is None:
        return None
    from nextrec.data.preprocessor import DataProcessor

    if not isinstance(processor, DataProcessor):
        kind = type(processor).__name__
        logger.warning("save: the processor is a %s, no DataProcessor: it is not saved", kind)
        return None
    written = Path(processor.save(folder / f".{NAME}-{uuid.uuid4().hex[:8]}"))
    digest = _digest(written)
    for stem in (NAME, f"{NAME}-{digest}"):  # the plain name, unless another processor has it
        path = folder / f"{stem}{written.suffix}"
        if not path.exists() or _digest(path) == digest or stem != NAME:
            os.replace(written, path)
            break
    return {"file": path.name, "xxh3_64": digest}


def remove_others(folder: Path, said: Mapping[str, str] | None) -> None:
    """Remove the processors that the bundle's weights do not name."""
    kept = None if said is None else said["file"]
    for pattern in (f"{NAME}.*", f"{NAME}-*", f".{NAME}-*"):
        for path in folder.glob(pattern):
            if path.is_file() and path.name != kept:
                path.unlink(missing_ok=True)


def read_processor(said: Any, folder: Path) -> Any:
    """The processor that a bundle's weights name; ``None``: there is none.

    Raises:
        CheckpointError: its file is absent, changed or broken.
    """
    if said is None:
        return None
    if not isinstance(said, Mapping) or not {"file", "xxh3_64"} <= said.keys():
        raise CheckpointError(f"{folder}: the description of its processor is damaged.")
    path = folder / Path(str(said["file"])).name
    if not path.is_file():
        raise CheckpointError(f"{path}: the model's processor is missing.")
    if _digest(path) != said["xxh3_64"]:
        raise CheckpointError(
            f"{path}: this is not the processor that the model was saved with, or it is damaged."
        )
    from nextrec.data.preprocessor import DataProcessor

    try:
        return DataProcessor.load(path)
    except CheckpointError:
        raise
    except (NextRecError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: the model's processor can't be read: {error}") from error


def _digest(path: Path) -> str:
    return xxhash.xxh3_64_hexdigest(path.read_bytes())
