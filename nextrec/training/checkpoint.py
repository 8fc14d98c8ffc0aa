"""One file with tensors and plain values: safetensors with a JSON header, never pickle.

Bundles, best weights and training checkpoints are all such files. They are written whole or not
at all, and reading one executes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nextrec._files import atomic_path
from nextrec.errors import CheckpointError

HEADER = "nextrec"
FORMAT_VERSION = 1
CHECKSUM = "xxh3_64"
"""Hash of the header and all tensors: a byte that changed on the disk is told, not loaded."""


def write_state(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> Path:
    """Write tensors and JSON values into one file, atomically.

    Args:
        tensors: name -> tensor of any shape and device.
        meta: plain values; NaN and infinity are kept.
    """
    header = json.dumps({"format_version": FORMAT_VERSION, **meta})
    # Tables share one storage, tied weights one tensor; safetensors wants each to own its memory.
    taken: set[int] = set()
    plain = {name: _own(tensor, taken) for name, tensor in tensors.items()}
    metadata = {HEADER: header, CHECKSUM: _checksum(header, plain)}
    with atomic_path(path) as temporary:
        save_file(plain, str(temporary), metadata=metadata)
    return Path(path)


def read_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON values of a state file."""
    return _read(path, with_tensors=False)[1]


def read_state(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON values of a state file.

    Raises:
        CheckpointError: the file is absent, truncated, corrupted, or of another kind.
    """
    return _read(path, with_tensors=True, device=device)


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Put weights into a module: all of them, or none.

    Raises:
        CheckpointError: a weight is missing, left over, or of another shape.
    """
    needed = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [f"{name} is missing" for name in needed if name not in found]
    problems += [f"{name} has no place" for name in found if name not in needed]
    problems += [
        f"{name} has shape {found[name]}, not {shape}"
        for name, shape in needed.items()
        if found.get(name, shape) != shape
    ]
    if problems:
        listed = "; ".join(problems[:5]) + ("; ..." if len(problems) > 5 else "")
        owner = type(module).__name__
        raise CheckpointError(f"{path}: the weights do not fit this {owner}: {listed}.")
    module.load_state_dict(dict(tensors))


def pack(value: Any, prefix: str, tensors: dict[str, Tensor]) -> Any:
    """Replace the tensors inside nested plain values by references into ``tensors``."""
    if isinstance(value, Tensor):
        name = f"{prefix}{len(tensors)}"
        tensors[name] = value
        return {"__tensor__": name}
    if isinstance(value, Mapping):
        items = [[pack(k, prefix, tensors), pack(v, prefix, tensors)] for k, v in value.items()]
        if all(isinstance(key, str) for key in value):
            return dict(items)
        return {"__items__": items}
    if isinstance(value, tuple):
        return {"__tuple__": [pack(each, prefix, tensors) for each in value]}
    if isinstance(value, list):
        return [pack(each, prefix, tensors) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CheckpointError(f"{prefix}: a {type(value).__name__} can't be saved without pickle.")


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo :func:`pack`."""
    if isinstance(value, list):
        return [unpack(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if "__tensor__" in value:
        name = value["__tensor__"]
        if name not in tensors:
            raise CheckpointError(f"the tensor {name!r} is missing.")
        return tensors[name]
    if "__tuple__" in value:
        return tuple(unpack(each, tensors) for each in value["__tuple__"])
    if "__items__" in value:
        return {unpack(k, tensors): unpack(v, tensors) for k, v in value["__items__"]}
    return {key: unpack(each, tensors) for key, each in value.items()}


def _read(
    path: str | os.PathLike[str], with_tensors: bool, device: str | torch.device = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file.")
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            stored = file.metadata() or {}
            header = stored.get(HEADER)
            names = file.keys() if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}).") from error
    if header is None:
        raise CheckpointError(f"{path}: a safetensors file, but not of NextRec: no header.")
    expected = stored.get(CHECKSUM)
    if with_tensors and expected is not None and expected != _checksum(header, tensors):
        raise CheckpointError(f"{path}: corrupted: its content is not what was written.")
    try:
        meta = json.loads(header)
    except ValueError as error:
        raise CheckpointError(f"{path}: its header is not JSON ({error}).") from error
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: its header is no JSON object.")
    if meta.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {meta.get('format_version')!r}; "
            f"this NextRec reads version {FORMAT_VERSION}."
        )
    return tensors, meta


def _checksum(header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = xxhash.xxh3_64(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return digest.hexdigest()


def _own(tensor: Tensor, taken: set[int]) -> Tensor:
    tensor = tensor.detach().to("cpu")
    memory = tensor.untyped_storage()
    partly = memory.nbytes() != tensor.numel() * tensor.element_size()
    if partly or memory.data_ptr() in taken:
        return tensor.clone(memory_format=torch.contiguous_format)
    taken.add(memory.data_ptr())
    return tensor.contiguous()
