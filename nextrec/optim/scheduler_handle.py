"""A running schedule: what the trainer calls after every step and every epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nextrec.errors import ConfigError, invalid


class SchedulerHandle:
    """Advances a scheduler when it is due, under a linear warm-up if wanted.

    In the first ``warmup_steps`` steps the learning rate is ``(i + 1) / warmup_steps`` of what the
    scheduler says; a scheduler that computes from the present rate never sees the share.

    Args:
        scheduler: an object with ``step()``.
        optimizer: the optimizer it schedules.
        interval: ``"step"`` or ``"epoch"``.
        warmup_steps: length of the warm-up, in steps.

    Raises:
        ConfigError: a plateau schedule per step, for it needs the monitored metric.
    """

    def __init__(
        self, scheduler: Any, optimizer: Optimizer, interval: str = "epoch", warmup_steps: int = 0
    ) -> None:
        self.scheduler = scheduler
        self.optimizer = optimizer
        self.interval = interval
        self.warmup_steps = warmup_steps
        self.needs_metric = isinstance(scheduler, ReduceLROnPlateau)
        if self.needs_metric and interval == "step":
            must_be = "'epoch' for plateau, which needs the monitored metric"
            raise ConfigError(invalid("scheduler", "interval", must_be, interval))
        self._steps = 0
        self._targets = self.last_lr  # what the scheduler says, while the warm-up hides it
        self._warm_up()

    @property
    def last_lr(self) -> list[float]:
        """Learning rate of every group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def on_step(self) -> None:
        """Call after every optimizer step."""
        self._steps += 1
        if self.interval == "step":
            self._advance()
        elif self._steps <= self.warmup_steps:
            self._warm_up()

    def on_epoch(self, metric: float | None = None) -> None:
        """Call after every epoch, with the monitored metric if there is one.

        A metric that is NaN (undefined) is neither better nor worse: plateau doesn't count it.

        Raises:
            ConfigError: plateau without a metric.
        """
        if self.interval != "epoch":
            return
        if not self.needs_metric:
            self._advance()
        elif metric is None:
            raise ConfigError(invalid("scheduler", "monitor", "a metric, for plateau", metric))
        elif not math.isnan(metric):
            self._advance(metric)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain values."""
        has_state = hasattr(self.scheduler, "state_dict")
        return {
            "scheduler": _without_counters(self.scheduler.state_dict()) if has_state else None,
            "steps": self._steps,
            "targets": list(self._targets),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`; the optimizer's own state has the learning rates."""
        if state["scheduler"] is not None:
            self.scheduler.load_state_dict(dict(state["scheduler"]))
        self._steps = state["steps"]
        self._targets = list(state["targets"])

    def _advance(self, *metric: float) -> None:
        if self._steps <= self.warmup_steps:
            self._set(self._targets)
        self.scheduler.step(*metric)
        self._targets = self.last_lr
        self._warm_up()

    def _warm_up(self) -> None:
        if self._steps < self.warmup_steps:
            share = (self._steps + 1) / self.warmup_steps
            self._set([lr * share for lr in self._targets])
        elif self._steps == self.warmup_steps:
            self._set(self._targets)

    def _set(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr


def _without_counters(state: Any) -> Any:
    """Leave out the milestones of MultiStepLR: options, whose keys JSON would spoil."""
    if isinstance(state, list):
        return [_without_counters(each) for each in state]
    if not isinstance(state, dict):
        return state
    return {k: _without_counters(v) for k, v in state.items() if not isinstance(v, Counter)}
