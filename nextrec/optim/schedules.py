"""The schedules by name.

Most are classes of ``torch.optim.lr_scheduler`` with their options; what depends on the length of
training is filled in. ``T`` below is the number of times that the schedule advances.

==================  =============================================================  ========
name                learning rate                                                  interval
==================  =============================================================  ========
step                times ``gamma`` every ``step_size``                            epoch
multistep           times ``gamma`` at each of ``milestones``                      epoch
exponential         times ``gamma``                                                epoch
cosine              half a cosine to ``eta_min`` over ``T_max`` (default T)        epoch
cosine_restarts     cosines of length ``T_0``, each ``T_mult`` times longer        epoch
linear              from ``start_factor`` 1 to ``end_factor`` 0 of it over T       epoch
polynomial          ``(1 - i / T) ** power`` of it                                 epoch
constant            as it is (with ``warmup_steps``: a warm-up, then as it is)     epoch
plateau             times ``factor`` after ``patience`` epochs without a gain      epoch
onecycle            up to ``max_lr`` (default: lr) and down again over T           step
warmup_cosine       linear warm-up, then half a cosine to ``min_lr_ratio`` of it   step
warmup_linear       linear warm-up, then linear to ``min_lr_ratio`` of it          step
==================  =============================================================  ========
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer, lr_scheduler

from nextrec._registry import Registry
from nextrec.errors import ConfigError, invalid

Options = dict[str, Any]


@dataclass(frozen=True)
class Training:
    """What a schedule may want to know of the training."""

    interval: str
    steps_per_epoch: int | None = None
    epochs: int | None = None
    mode: str = "min"

    def length(self, option: str) -> int:
        """Return how often the schedule advances; ``option`` is what the user may give instead."""
        if not self.epochs or (self.interval == "step" and not self.steps_per_epoch):
            must_be = "given, because the length of training isn't known"
            raise ConfigError(invalid("scheduler", option, must_be, None))
        return self.epochs * (self.steps_per_epoch or 1 if self.interval == "step" else 1)


@dataclass(frozen=True)
class Schedule:
    """A named schedule: how it is built, its options and when it advances by default."""

    build: Callable[[Optimizer, Options, Training], Any]
    options: tuple[str, ...]
    interval: str = "epoch"


SCHEDULERS: Registry[Schedule] = Registry("compile", "scheduler")


def _torch(
    cls: type, length: str | None = None, interval: str = "epoch", **defaults: Any
) -> Schedule:
    """A class of torch: ``length`` names its option that is T by default."""

    def build(optimizer: Optimizer, options: Options, training: Training) -> Any:
        options = {**defaults, **options}
        if length is not None and length not in options:
            options[length] = training.length(length)
        return cls(optimizer, **options)

    hidden = ("optimizer", "last_epoch", "verbose")
    takes = tuple(name for name in inspect.signature(cls).parameters if name not in hidden)
    return Schedule(build, takes, interval)


def _plateau(optimizer: Optimizer, options: Options, training: Training) -> Any:
    return lr_scheduler.ReduceLROnPlateau(optimizer, **{"mode": training.mode, **options})


def _one_cycle(optimizer: Optimizer, options: Options, training: Training) -> Any:
    """Smith and Topin, 2018. Row-wise updates need a fixed momentum, so it isn't cycled."""
    options = {"cycle_momentum": False, **options}
    options.setdefault("max_lr", [group["lr"] for group in optimizer.param_groups])
    if not {"total_steps", "epochs", "steps_per_epoch"} & set(options):
        options["total_steps"] = training.length("total_steps")
    return lr_scheduler.OneCycleLR(optimizer, **options)


def _warmed(decay: Callable[[float], float]) -> Schedule:
    """A linear warm-up (10% of the steps by default), then ``decay`` from 1 to 0 by progress."""

    def build(optimizer: Optimizer, options: Options, training: Training) -> Any:
        if training.interval != "step":
            must_be = "'step' for a schedule that begins with a warm-up"
            raise ConfigError(invalid("scheduler", "interval", must_be, training.interval))
        total = options.get("total_steps") or training.length("total_steps")
        warmup = options.get("warmup_steps", total // 10)
        floor = options.get("min_lr_ratio", 0.0)

        def share(i: int) -> float:
            if i < warmup:
                return (i + 1) / warmup
            progress = min(1.0, (i - warmup) / max(1, total - warmup))
            return floor + (1 - floor) * decay(progress)

        return lr_scheduler.LambdaLR(optimizer, share)

    return Schedule(build, ("total_steps", "warmup_steps", "min_lr_ratio"), "step")


_plateau_options = _torch(lr_scheduler.ReduceLROnPlateau).options
_one_cycle_options = _torch(lr_scheduler.OneCycleLR).options

SCHEDULERS.add("step", _torch(lr_scheduler.StepLR))
SCHEDULERS.add("multistep", _torch(lr_scheduler.MultiStepLR))
SCHEDULERS.add("exponential", _torch(lr_scheduler.ExponentialLR))
SCHEDULERS.add("cosine", _torch(lr_scheduler.CosineAnnealingLR, "T_max"))
SCHEDULERS.add("cosine_restarts", _torch(lr_scheduler.CosineAnnealingWarmRestarts))
SCHEDULERS.add(
    "linear", _torch(lr_scheduler.LinearLR, "total_iters", start_factor=1.0, end_factor=0.0)
)
SCHEDULERS.add("polynomial", _torch(lr_scheduler.PolynomialLR, "total_iters"))
SCHEDULERS.add("constant", _torch(lr_scheduler.ConstantLR, factor=1.0))
SCHEDULERS.add("plateau", Schedule(_plateau, _plateau_options))
SCHEDULERS.add("onecycle", Schedule(_one_cycle, _one_cycle_options, "step"))
SCHEDULERS.add("warmup_cosine", _warmed(lambda p: 0.5 * (1 + math.cos(math.pi * p))))
SCHEDULERS.add("warmup_linear", _warmed(lambda p: 1 - p))
