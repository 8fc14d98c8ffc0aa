"""The arguments of ``fit`` beside the data, with their checks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
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
    """Value that decides the best epoch, such as ``auc`` or ``valid_loss``; default: the first
    metric."""
    monitor_mode: Literal["max", "min"] | None = None
    """Which direction is better; default: the metric's own."""
    early_stop_patience: int | None = None
    """Default: the model's."""
    min_delta: float = 0.0
    seed: int | None = None
    """Order of the rows and dropout; drawn and written down when left out."""
    resume: bool | str | os.PathLike[str] | None = None
    """Continue a run: its session folder or checkpoint; True: the model's own session."""
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
    report: bool = True
    """Write ``report.html`` into the session."""

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
        problems = []
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                problems.append(invalid("fit", name, "an integer of at least 1", value))
        share = self.validation_split
        if share is not None and not 0 < share < 1:
            problems.append(invalid("fit", "validation_split", "between 0 and 1", share))
        if self.split_by not in ("random", "group", "time", "user_time"):
            must_be = "one of random, group, time, user_time"
            problems.append(invalid("fit", "split_by", must_be, self.split_by))
        if self.precision not in ("fp32", "bf16"):
            problems.append(invalid("fit", "precision", "'fp32' or 'bf16'", self.precision))
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            must_be = "a positive number or None"
            problems.append(invalid("fit", "max_grad_norm", must_be, self.max_grad_norm))
        patience = self.early_stop_patience
        if patience is not None and patience < 1:
            problems.append(invalid("fit", "early_stop_patience", "at least 1", patience))
        if problems:
            raise ConfigError("\n".join(problems))
