"""Saved models: what is in the file, how it is written, how it becomes a model again.

A *bundle* is a folder with ``model.safetensors`` and ``model.json``, and the model's processor. A
``.model`` file holds the first two in one safetensors file, and no processor. Neither holds code,
and reading them runs none: the class is looked up by name among the models that are defined.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nextrec import __version__
from nextrec._files import write_text
from nextrec.errors import CheckpointError, ConfigError, FeatureError, NextRecError
from nextrec.models.bundled_processor import read_processor, remove_others, write_processor
from nextrec.models.options import COMPILE_KEYS
from nextrec.models.recording import from_plain, to_plain
from nextrec.models.zoo import find_model
from nextrec.training.checkpoint import fill, read_state, write_state
from nextrec.training.device import resolve_device

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

logger = logging.getLogger("nextrec")

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"
ID_SPACE_VERSION = 1
"""0 padding, 1 unknown, tokens from 2."""
RUN_KEYS = (*COMPILE_KEYS, "device", "session_id", "seed")
"""Arguments of a run rather than of a model: kept where JSON can say them, else left out."""


def describe(model: BaseModel) -> dict[str, Any]:
    """Class, arguments and versions: all that rebuilds the model, but its weights.

    Raises:
        ConfigError: an argument of the architecture has no JSON form.
    """
    arguments = {}
    for name, value in model.init_arguments.items():
        try:
            arguments[name] = to_plain(value, f"{model.model_name}.{name}")
        except ConfigError:
            if name not in RUN_KEYS:
                raise
    return {
        "class": model.model_name,
        "arguments": arguments,
        "target": model.target_columns,
        "id_columns": model.id_columns,
        "nextrec_version": __version__,
        "id_space_version": ID_SPACE_VERSION,
    }


def describe_text(model: BaseModel) -> str:
    """:func:`describe` as JSON."""
    return json.dumps(describe(model), indent=2)


def build(
    description: Mapping[str, Any],
    where: str,
    device: str | torch.device = "cpu",
    overrides: Mapping[str, Any] | None = None,
) -> BaseModel:
    """A model with fresh weights from its description."""
    missing = [key for key in ("class", "arguments", "id_space_version") if key not in description]
    if missing:
        raise CheckpointError(f"{where}: the description lacks {', '.join(missing)}.")
    if description["id_space_version"] != ID_SPACE_VERSION:
        raise CheckpointError(
            f"{where}: id space version {description['id_space_version']!r}; "
            f"this NextRec uses version {ID_SPACE_VERSION}."
        )
    if not isinstance(description["arguments"], dict):
        raise CheckpointError(f"{where}: the model's arguments are no JSON object.")
    device = resolve_device(device)  # an absent device is no fault of the file
    try:
        arguments = from_plain(description["arguments"])
    except (FeatureError, CheckpointError) as error:
        raise CheckpointError(f"{where}: a feature can't be rebuilt: {error}") from error
    arguments.pop("session_id", None)  # a loaded model is no continuation of its run
    arguments |= {**(overrides or {}), "device": device}
    try:
        cls = find_model(description["class"])
    except ConfigError as error:
        raise CheckpointError(
            f"{where}: {error} A model of your own must be defined before it is loaded."
        ) from error
    try:
        with torch.random.fork_rng():
            return cls(**arguments)
    except (NextRecError, TypeError) as error:
        raise CheckpointError(f"{where}: {cls.__name__} can't be rebuilt: {error}") from error


# -- files -------------------------------------------------------------------------------------


def write_weights(
    model: BaseModel,
    path: str | os.PathLike[str],
    processor: Mapping[str, str] | None = None,
) -> Path:
    """Weights and description in one file; ``processor`` is what a bundle says of its own."""
    meta = {"kind": "model", "model": describe(model)}
    return write_state(
        path, model.state_dict(), meta if processor is None else {**meta, "processor": processor}
    )


def read_weights(model: BaseModel, path: str | os.PathLike[str]) -> None:
    """Weights of a file into the model.

    Raises:
        CheckpointError: the file is of another class or architecture.
    """
    tensors, meta = _read(path)
    named = meta["model"].get("class")
    if named != model.model_name:
        raise wrong_class(path, named, model.model_name)
    if meta["model"].get("target") != model.target_columns:
        raise CheckpointError(
            f"{path}: predicts {meta['model'].get('target')}, the model {model.target_columns}; "
            "load the file with nextrec.load, or build the model with its targets."
        )
    _warn_of_differences(model, meta["model"], path)
    fill(model, tensors, path)


def _warn_of_differences(
    model: BaseModel, saved: Mapping[str, Any], path: str | os.PathLike[str]
) -> None:
    """Say which arguments differ where the shapes do not: an activation, say."""
    then, now = saved.get("arguments", {}), describe(model)["arguments"]
    differing = [
        name
        for name in sorted({*then, *now} - {*RUN_KEYS, "early_stop_patience"})
        if then.get(name) != now.get(name)
    ]
    if differing:
        logger.warning("%s was saved with other values of %s", path, ", ".join(differing))


def save(model: BaseModel, path: str | os.PathLike[str]) -> Path:
    """Write a bundle folder, whole or not at all.

    Of an existing bundle each file is replaced by itself. The weights file holds the description
    too, and loading goes by it, so that no instant shows a mixture.
    """
    path = Path(path)
    if path.exists() and not _replaceable(path):
        raise ConfigError(f"save: {path} exists and is no bundle; it is left alone.")
    if (path / DESCRIPTION_FILE).is_file():
        _write_bundle(model, path)
        return path
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    try:
        _write_bundle(model, temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _write_bundle(model: BaseModel, folder: Path) -> None:
    write_text(folder / DESCRIPTION_FILE, describe_text(model))
    processor = write_processor(model.processor, folder)
    # Last: what loads is what this file says.
    write_weights(model, folder / WEIGHTS_FILE, processor)
    remove_others(folder, processor)


def _replaceable(path: Path) -> bool:
    """Whether a path is an older bundle or an empty folder."""
    if not path.is_dir():
        return False
    if not any(path.iterdir()):
        return True
    try:
        description = json.loads((path / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    ours = isinstance(description, dict) and "id_space_version" in description
    return ours and (path / WEIGHTS_FILE).is_file()


def load(
    path: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    overrides: Mapping[str, Any] | None = None,
) -> BaseModel:
    """A model from a bundle folder, a ``.model`` file or a session folder (its best weights).

    Only a bundle gives the model its processor back.

    Raises:
        CheckpointError: a file is absent, truncated, corrupted or of another kind.
    """
    file = _find(Path(path))
    tensors, meta = _read(file)
    if file.name == WEIGHTS_FILE:
        _check_description(file.with_name(DESCRIPTION_FILE))
    model = build(meta["model"], str(path), device, overrides)
    fill(model, tensors, file)
    model.processor = read_processor(meta.get("processor"), file.parent)
    model.eval()
    return model


def save_model(
    model: BaseModel,
    save_path: str | os.PathLike[str] | None,
    add_timestamp: bool = False,
    verbose: bool = True,
) -> Path:
    """Write a ``.model`` file, by default into the session."""
    path = model.output_path(save_path, model.model_name, ".model", add_timestamp=add_timestamp)
    written = write_weights(model, path)
    if verbose:
        logger.info("model saved to %s", written)
    return written


def load_model(model: BaseModel, path: str | os.PathLike[str], verbose: bool = True) -> None:
    """Read weights into a model of the same class, targets and shapes.

    Raises:
        CheckpointError: the file does not fit; the model is then as it was.
    """
    file = _find(Path(path), model.model_name)
    read_weights(model, file)
    if verbose:
        logger.info("weights read from %s", file)


def wrong_class(path: str | os.PathLike[str], found: Any, expected: str) -> CheckpointError:
    """The error for a file of another model."""
    return CheckpointError(f"{path}: holds a {found}, not a {expected}.")


def _find(path: Path, name: str | None = None) -> Path:
    """The file to read: the path itself; of a folder the bundle, the best or the saved weights."""
    if not path.is_dir():
        return path
    if (path / WEIGHTS_FILE).is_file():
        return path / WEIGHTS_FILE
    for ending in ("_best.model", ".model", "_checkpoint.model"):
        found = [path / f"{name}{ending}"] if name else sorted(path.glob(f"*{ending}"))
        found = [file for file in found if file.is_file()]
        if ending == ".model":
            found = [file for file in found if not file.name.endswith("_checkpoint.model")]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise CheckpointError(f"{path}: several models ({names}); name one.")
        if found:
            return found[0]
    raise CheckpointError(f"{path}: no {WEIGHTS_FILE} and no .model file in it.")


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, meta = read_state(path)
    if not isinstance(meta.get("model"), dict):
        raise CheckpointError(f"{path}: no description of a model in it.")
    if meta.get("kind") == "checkpoint":
        if meta.get("train", {}).get("step_in_epoch"):
            raise CheckpointError(
                f"{path}: written in the middle of an epoch; continue it with fit(resume=...), "
                "or load the best weights."
            )
        tensors = {k[6:]: v for k, v in tensors.items() if k.startswith("model/")}
    return tensors, meta


def _check_description(path: Path) -> None:
    """Refuse a bundle whose readable half is absent or broken."""
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error}).") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: not the description of a model.")
