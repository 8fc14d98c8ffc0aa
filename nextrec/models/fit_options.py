"""The arguments of ``fit`` beside the data, with their checks."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nextrec.errors import ConfigError, did_you_mean, invalid
from nextrec.training.callbacks import Callback


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Arguments of ``fit`` beside the data."""

    metrics: str | Sequence[str] | Mapping[str, Any] | None = None
    epochs: int = 1
    shuffle: bool = True
    batch_size: int = 32
    user_id_column: str = "user_id"
    validation_split: float | None = None
    """Share of the training data that becomes validation data."""
    split_by: Literal["random", "group", "time", "user_time"] = "random"
    """Rows at random; whole groups; the latest rows; the latest rows of each user."""
    split_column: str | None = None
    """Column of the groups or times."""
    monitor: str | None = None
    """Value that decides the best epoch, such as ``auc``, ``auc_click`` or ``valid_loss``; ``auc``
    of several targets is the mean over those that have it. Default: the first metric."""
    monitor_mode: Literal["max", "min"] | None = None
    """Which direction is better; default: the metric's own."""
    early_stop_patience: int | None = None
    """Default: the model's."""
    min_delta: float = 0.0
    seed: int | None = None
    """Order of the rows and dropout; drawn and written down when left out."""
    resume: bool | str | os.PathLike[str] | None = None
    """Continue a run: its session folder or checkpoint; True: the model's own session."""
    checkpoint: bool = True
    """Write the state of the run after every epoch, so that it can be resumed. It holds tables and
    optimizer state: three times the weights with Adam."""
    checkpoint_steps: int | None = None
    """Steps between checkpoints inside an epoch."""
    callbacks: Sequence[Callback] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    max_grad_norm: float | None = 1.0
    drop_last: bool = False
    train_metrics: bool | None = None
    """Metrics of the training data after each epoch, under ``train_<metric>``; default: when
    metrics are named and there is no validation data."""
    weight_column: str | None = None
    """Column of sample weights."""
    eval_batch_size: int | None = None
    """Default: the larger of ``batch_size`` and 4,096."""
    progress: bool | None = None
    """A bar; default: when the output is a terminal."""
    verbosity: int = 1
    """What is told: 0 warnings, 1 the course of the run, 2 details."""
    report: bool = True
    """Write ``report.html`` into the session."""
    processor: Any = None
    """Fitted processor that transforms all tables of this run; it becomes the model's own, for
    ``evaluate`` and ``predict`` too. Default: the model's own; False: the tables are ready."""
    stream: bool | None = None
    """Read the tables while training instead of loading them; default: files whose packed rows take
    more than 2 GiB."""
    buffer_rows: int | None = None
    """Rows that a stream shuffles together; default: 262,144, or what fits in 256 MiB."""

    @classmethod
    def of(cls, **values: Any) -> FitOptions:
        """Build and check; an unknown keyword or a wrong value is a ``ConfigError``."""
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = [name for name in values if name not in known]
        if unknown:
            told = [f"`{name}`.{did_you_mean(name, known)}" for name in unknown]
            raise ConfigError(f"fit does not take {' '.join(told)}")
        options = cls(**values)
        options._check()
        return options

    def _check(self) -> None:
        problems = [
            invalid("fit", name, must_be, getattr(self, name))
            for name, (must_be, fits) in _CHECKS.items()
            if not fits(getattr(self, name))
        ]
        if self.validation_split is None and self.split_by != "random":
            must_be = f"given: `split_by` {self.split_by!r} says how to split"
            problems.append(invalid("fit", "validation_split", must_be, None))
        if not self.checkpoint and self.checkpoint_steps is not None:
            must_be = "None without `checkpoint`"
            problems.append(invalid("fit", "checkpoint_steps", must_be, self.checkpoint_steps))
        if problems:
            raise ConfigError("\n".join(problems))


def _whole(least: int) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return whole and value >= least

    return fits


def _number(value: Any) -> bool:
    plain = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return plain and math.isfinite(value)


def _optional(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _are_callbacks(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, Callback) for each in value)


_COUNT = ("an integer of at least 1", _whole(1))
_OPTIONAL_COUNT = ("an integer of at least 1, or None", _optional(_whole(1)))
_BOOL: tuple[str, Callable[[Any], bool]] = (
    "True or False",
    lambda value: isinstance(value, (bool, np.bool_)),
)
_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "epochs": _COUNT,
    "batch_size": _COUNT,
    "eval_batch_size": _OPTIONAL_COUNT,
    "early_stop_patience": _OPTIONAL_COUNT,
    "checkpoint_steps": _OPTIONAL_COUNT,
    "buffer_rows": _OPTIONAL_COUNT,
    "stream": ("True, False or None", lambda value: value in (True, False, None)),
    "seed": (
        "an integer in [0, 2**32), or None",
        _optional(lambda value: _whole(0)(value) and value < 2**32),
    ),
    "shuffle": _BOOL,
    "drop_last": _BOOL,
    "checkpoint": _BOOL,
    "report": _BOOL,
    "validation_split": (
        "a number between 0 and 1, or None",
        _optional(lambda value: _number(value) and 0 < value < 1),
    ),
    "split_by": (
        "one of random, group, time, user_time",
        lambda value: value in ("random", "group", "time", "user_time"),
    ),
    "monitor_mode": ("'max', 'min' or None", lambda value: value in ("max", "min", None)),
    "min_delta": ("a number of at least 0", lambda value: _number(value) and value >= 0),
    "precision": ("'fp32' or 'bf16'", lambda value: value in ("fp32", "bf16")),
    "max_grad_norm": (
        "a positive number or None",
        _optional(lambda value: _number(value) and value > 0),
    ),
    "verbosity": ("0, 1 or 2", lambda value: value in (0, 1, 2)),
    "callbacks": ("a list of nextrec.training.callbacks.Callback", _are_callbacks),
}
"""What each argument must be, and whether a value is."""
