"""Random streams: seed them, keep their state, put it back.

The streams are Python's ``random``, numpy's global one, torch's on the CPU and on each CUDA device.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nextrec.errors import CheckpointError, ConfigError, invalid

logger = logging.getLogger(__name__)

SEEDS = 2**32
"""Seeds are below this: numpy's global stream takes no larger ones."""


def seed_everything(seed: int) -> None:
    """Start every stream from ``seed``, an integer in ``[0, 2**32)``.

    >>> seed_everything(7); first = torch.rand(1)
    >>> seed_everything(7); bool(first == torch.rand(1))
    True
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < SEEDS:
        raise ConfigError(invalid("seed_everything", "seed", "an integer in [0, 2**32)", seed))
    random.seed(int(seed))
    np.random.seed(int(seed))
    torch.manual_seed(int(seed))


@dataclass(frozen=True)
class RngState:
    """Where every stream stands, in a form that a checkpoint can hold without pickle."""

    tensors: dict[str, torch.Tensor]
    """``python`` (625,) and ``numpy`` (624,) as int64; ``torch`` and ``cuda.<i>`` as bytes."""
    values: dict[str, Any]
    """What JSON keeps: positions and the half-used normal draws."""

    @classmethod
    def capture(cls) -> RngState:
        """Read every stream. CUDA is read only where this process has used it."""
        version, words, spare = random.getstate()
        keys = _numpy_state()
        tensors = {
            "python": torch.tensor(words, dtype=torch.int64),
            "numpy": torch.from_numpy(keys["state"]["key"].astype(np.int64)),
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_initialized():
            states = torch.cuda.get_rng_state_all()
            tensors |= {f"cuda.{index}": state for index, state in enumerate(states)}
        values = {
            "python": {"version": version, "spare_normal": spare},
            "numpy": {
                "position": int(keys["state"]["pos"]),
                "has_normal": int(keys["has_gauss"]),
                "spare_normal": float(keys["gauss"]),
            },
        }
        return cls(tensors, values)

    def restore(self) -> None:
        """Put every stream back.

        A CUDA stream whose device is not on this machine is left out with a warning: the run can
        go on, but what that device draws will differ.
        """
        python, numpy = self.values["python"], self.values["numpy"]
        words = tuple(self.tensors["python"].tolist())
        random.setstate((python["version"], words, python["spare_normal"]))
        keys = self.tensors["numpy"].cpu().numpy().astype(np.uint32)
        spare = (numpy["has_normal"], numpy["spare_normal"])
        np.random.set_state(("MT19937", keys, numpy["position"], *spare))
        torch.set_rng_state(self.tensors["torch"].cpu())
        self._restore_cuda()

    def state_dict(self) -> dict[str, Any]:
        """Nested plain values and tensors, for a checkpoint."""
        return {"tensors": dict(self.tensors), "values": dict(self.values)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> RngState:
        """Rebuild from :meth:`state_dict`.

        Raises:
            CheckpointError: a stream is missing.
        """
        return cls(dict(state.get("tensors", {})), dict(state.get("values", {})))

    def _restore_cuda(self) -> None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        for name, state in self.tensors.items():
            if not name.startswith("cuda."):
                continue
            index = int(name.removeprefix("cuda."))
            if index < count:
                torch.cuda.set_rng_state(state.cpu(), index)
            else:
                logger.warning(
                    "The random state of cuda:%d is not restored: this machine has no such device.",
                    index,
                )

    def __post_init__(self) -> None:
        lacking = {"python", "numpy", "torch"} - self.tensors.keys()
        lacking |= {"python", "numpy"} - self.values.keys()
        if lacking:
            raise CheckpointError(f"The random state lacks {', '.join(sorted(lacking))}.")


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Leave every stream where it was, whatever the block draws.

    Evaluation runs under it: how often a run evaluates must not change what it trains.
    """
    state = RngState.capture()
    try:
        yield
    finally:
        state.restore()


def _numpy_state() -> Mapping[str, Any]:
    state: Mapping[str, Any] = np.random.get_state(legacy=False)  # type: ignore[assignment]
    if state["bit_generator"] != "MT19937":
        raise ConfigError(
            f"numpy's global stream must be its own MT19937 to be kept; got "
            f"{state['bit_generator']!r} (set by numpy.random.set_bit_generator)."
        )
    return state
