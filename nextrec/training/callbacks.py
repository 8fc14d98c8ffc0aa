"""What happens around the loop: early stopping, the best state, checkpoints, history.

A callback is told of each event and may set ``trainer.state.stop``. What it must remember across
a resume goes through ``state_dict`` (plain numbers, strings and lists).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.metrics import is_better

if TYPE_CHECKING:
    from nextrec.training.trainer import Trainer


class Callback:
    """Base of all callbacks; every event does nothing."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch, or the first epoch after a resume."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first step of an epoch."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After the optimizer's step."""

    def on_epoch_end(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """After training and validation of an epoch; ``record`` holds its numbers."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, before the best state is loaded."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state_dict`."""


class EarlyStopper:
    """Counts how long a value has not improved.

    Args:
        patience: how many values in a row may fail to improve before it says stop.
        mode: ``'max'`` or ``'min'``, which direction is better.
        min_delta: the least change that counts as an improvement.

    NaN never improves.

    >>> stopper = EarlyStopper(patience=2, mode="min")
    >>> [stopper.stop_training(loss) for loss in (0.5, 0.4, 0.4, 0.6)]
    [False, False, False, True]
    """

    def __init__(self, patience: int = 20, mode: str = "max", min_delta: float = 0.0) -> None:
        if mode not in ("max", "min"):
            raise ConfigError(unknown_option("EarlyStopper", "mode", ("max", "min"), mode))
        if patience < 1:
            raise ConfigError(invalid("EarlyStopper", "patience", "at least 1", patience))
        self.patience = patience
        self.mode = mode
        self.min_delta = min_delta
        self.trial_counter = 0
        self.best_metrics = math.nan
        self.best_weights: Any = None

    def update(self, value: float) -> bool:
        """Take the next value; True when it is the best so far."""
        if is_better(value, self.best_metrics, self.mode, self.min_delta):
            self.best_metrics = float(value)
            self.trial_counter = 0
            return True
        self.trial_counter += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.trial_counter >= self.patience

    def stop_training(self, val_metrics: float, weights: Any = None) -> bool:
        """Take the next value and keep its weights when it is the best; True: stop."""
        if self.update(val_metrics):
            self.best_weights = weights
        return self.exhausted


class EarlyStopping(Callback):
    """Stops when the monitored value has not improved for ``patience`` epochs, keeps the best.

    Args:
        monitor: key of the epoch's record, such as ``'auc'`` or ``'valid_loss'``.
        save_best: called when an epoch is the best so far; ``None`` keeps no state.
    """

    def __init__(
        self,
        monitor: str,
        mode: str,
        patience: int = 20,
        min_delta: float = 0.0,
        save_best: Callable[[], None] | None = None,
    ) -> None:
        self.monitor = monitor
        self.stopper = EarlyStopper(patience, mode, min_delta)
        self.save_best = save_best
        self.best_epoch: int | None = None

    def on_epoch_end(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """Compare the monitored value with the best one."""
        if self.monitor not in record:
            raise ConfigError(unknown_option("fit", "monitor", record, self.monitor))
        value = record[self.monitor]
        if self.stopper.update(value):
            self.best_epoch = trainer.state.epoch
            if self.save_best is not None:
                self.save_best()
            trainer.log(f"{self.monitor} {value:.6f} is the best so far")
        else:
            best = self.stopper.best_metrics
            count = f"{self.stopper.trial_counter} of {self.stopper.patience}"
            trainer.log(f"{self.monitor} {value:.6f} is no better than {best:.6f} ({count})")
        if self.stopper.exhausted:
            trainer.state.stop = True
            trainer.log(f"stopping early: no better {self.monitor} in {count} epochs")

    def state_dict(self) -> dict[str, Any]:
        """Best value, its epoch and the counter."""
        best = self.stopper.best_metrics
        return {
            "best": None if math.isnan(best) else best,
            "best_epoch": self.best_epoch,
            "counter": self.stopper.trial_counter,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state_dict`."""
        self.stopper.best_metrics = math.nan if state["best"] is None else state["best"]
        self.stopper.trial_counter = state["counter"]
        self.best_epoch = state["best_epoch"]


class Checkpointing(Callback):
    """Writes the whole state of the run after every epoch, and every ``every_steps`` steps."""

    def __init__(self, path: Path, every_steps: int | None = None) -> None:
        if every_steps is not None and every_steps < 1:
            raise ConfigError(invalid("fit", "checkpoint_steps", "at least 1", every_steps))
        self.path = path
        self.every_steps = every_steps

    def on_step_end(self, trainer: Trainer) -> None:
        """Write when the step is due."""
        if self.every_steps and trainer.state.step % self.every_steps == 0:
            trainer.save_checkpoint(self.path)

    def on_epoch_end(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """Write after the epoch."""
        trainer.save_checkpoint(self.path)


class MetricsFile(Callback):
    """Appends the record of every epoch with ``write``."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self.write = write

    def on_epoch_end(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """Append the record."""
        self.write(dict(record))
