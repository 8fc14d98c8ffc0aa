"""Where a run computes and in which precision: devices by name, checked, never swapped silently."""

from __future__ import annotations

import platform
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path

import torch

from nextrec.errors import ConfigError, invalid, unknown_option

PRECISIONS = ("fp32", "bf16")
_MIN_MACOS = 14  # earlier releases lack operators that the models use


def resolve_device(device: str | torch.device | None = "auto") -> torch.device:
    """The device a run uses.

    Args:
        device: ``"auto"`` (or ``None``) takes CUDA, then MPS on macOS 14 or later, then the CPU.
            A name (``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``) or a ``torch.device`` is used
            as it is.

    Raises:
        ConfigError: the name says no device, or this machine does not have it. The message lists
            what there is: a run never moves to another device by itself.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device is None or device == "auto":
        return torch.device(_automatic())
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        must_be = f"'auto' or a device of this machine ({', '.join(available_devices())})"
        raise ConfigError(invalid("resolve_device", "device", must_be, device)) from None
    if not _is_present(resolved):
        must_be = f"a device of this machine ({', '.join(available_devices())})"
        raise ConfigError(invalid("resolve_device", "device", must_be, str(device)))
    return resolved


def resolve_device_name() -> str:
    """0.3.1's ``resolve_device()``: the automatic choice as a string.

    >>> resolve_device_name() in {"cuda", "mps", "cpu"}
    True
    """
    return _automatic()


def available_devices() -> list[str]:
    """Names of the devices of this machine, best first.

    >>> available_devices()[-1]
    'cpu'
    """
    cuda = [f"cuda:{index}" for index in range(_cuda_count())]
    return [*cuda, *(["mps"] if _has_mps() else []), "cpu"]


def describe_device(device: torch.device) -> str:
    """The hardware's own name, for manifests and reports.

    >>> describe_device(torch.device("meta"))
    'meta'
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _cpu_name() if device.type == "cpu" else str(device)


def autocast_for(device: torch.device, precision: str = "fp32") -> AbstractContextManager[object]:
    """A context in which matrix products run in ``precision``.

    ``"fp32"`` changes nothing. ``"bf16"`` runs the dense part in bfloat16 by torch's autocast;
    weights, tables and optimizer state stay in fp32, and no loss scaling is needed because
    bfloat16 has fp32's range.

    Raises:
        ConfigError: another precision, or a device for which torch has no bfloat16 autocast.
    """
    if precision not in PRECISIONS:
        raise ConfigError(unknown_option("autocast_for", "precision", PRECISIONS, precision))
    if precision == "fp32":
        return nullcontext()
    if not _has_bf16(device.type):
        must_be = f"'fp32' on the device {str(device)!r}"
        raise ConfigError(invalid("autocast_for", "precision", must_be, precision))
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _automatic() -> str:
    return "cuda" if _cuda_count() else "mps" if _has_mps() else "cpu"


def _cuda_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has_mps() -> bool:
    release = platform.mac_ver()[0]
    return (
        bool(release)
        and int(release.split(".")[0]) >= _MIN_MACOS
        and torch.backends.mps.is_available()
    )


def _is_present(device: torch.device) -> bool:
    if device.type in ("cpu", "meta"):
        return True
    if device.type == "cuda":
        return (device.index or 0) < _cuda_count()
    if device.type == "mps":
        return _has_mps() and not device.index
    backend = getattr(torch, device.type, None)  # torch.xpu and the like share one interface
    return bool(getattr(backend, "is_available", lambda: False)())


@lru_cache
def _has_bf16(device_type: str) -> bool:
    """Ask torch once: it answers with an error, or with a warning and a context that is off."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with torch.autocast(device_type, dtype=torch.bfloat16):
                return True
        except (RuntimeError, UserWarning):
            return False


def _cpu_name() -> str:
    """Linux keeps the model's name in a file; elsewhere the platform module knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
