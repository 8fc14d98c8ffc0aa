"""Build the learning-rate schedule from what a user passes as ``scheduler``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer, lr_scheduler

from nextrec.errors import ConfigError, did_you_mean, invalid, unknown_option
from nextrec.optim.scheduler_handle import SchedulerHandle
from nextrec.optim.schedules import SCHEDULERS, Options, Training

_INTERVALS = ("epoch", "step")
_PER_STEP = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)  # their documentation says so


def build_scheduler(
    scheduler: object,
    optimizer: Optimizer,
    params: Mapping[str, Any] | None = None,
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
    mode: str = "min",
    owner: str = "compile",
) -> SchedulerHandle | None:
    """Build the schedule of an optimizer.

    Args:
        scheduler: a name of :data:`SCHEDULERS`; a class of ``torch.optim.lr_scheduler``; a
            function ``optimizer -> scheduler``; an instance over ``optimizer``; or ``None``.
        optimizer: its groups' learning rates are scheduled.
        params: options of the schedule, and two for any of them: ``interval``, ``"epoch"`` or
            ``"step"``, is when it advances; ``warmup_steps`` multiplies the learning rate by
            ``(i + 1) / warmup_steps`` in the steps ``i < warmup_steps``.
        steps_per_epoch: optimizer steps an epoch, where known.
        epochs: epochs of the training, where known.
        mode: ``"min"`` or ``"max"``, whether a lower or higher monitored metric is better.
        owner: whose parameter a message names.

    Raises:
        ConfigError: unknown name or option, an instance over another optimizer, or the length of
            training is needed but not known.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    >>> handle = build_scheduler("exponential", optimizer, {"gamma": 0.5})
    >>> _ = optimizer.step(), handle.on_step(), handle.on_epoch()
    >>> handle.last_lr
    [0.5]
    """
    if scheduler is None:
        return None
    options = dict(params or {})
    interval = options.pop("interval", None)
    if interval not in (None, *_INTERVALS):
        raise ConfigError(unknown_option(owner, "interval", _INTERVALS, interval))
    _check_warmup(options.get("warmup_steps", 0), owner)
    if not isinstance(scheduler, str):
        warmup = options.pop("warmup_steps", 0)
        built = scheduler_from_object(scheduler, optimizer, options, owner)
        usual = "step" if isinstance(built, _PER_STEP) else "epoch"
        return SchedulerHandle(built, optimizer, interval or usual, warmup)
    if scheduler not in SCHEDULERS:
        raise ConfigError(unknown_option(owner, "scheduler", SCHEDULERS, scheduler))
    schedule = SCHEDULERS[scheduler]
    own = "warmup_steps" in schedule.options
    warmup = 0 if own else options.pop("warmup_steps", 0)
    training = Training(interval or schedule.interval, steps_per_epoch, epochs, mode)
    built = scheduler_by_name(scheduler, optimizer, options, training, owner)
    return SchedulerHandle(built, optimizer, training.interval, warmup)


def scheduler_by_name(
    name: str, optimizer: Optimizer, options: Options, training: Training, owner: str
) -> Any:
    """Build the scheduler of a registered name, after a check of its options."""
    schedule = SCHEDULERS[name]
    problems = [
        f"{owner}: scheduler {name!r} has no option {key!r}.{did_you_mean(key, schedule.options)}"
        for key in options
        if key not in schedule.options
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        return schedule.build(optimizer, options, training)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{owner}: scheduler {name!r} can't be built: {error}") from error


def scheduler_from_object(
    scheduler: object, optimizer: Optimizer, options: Options, owner: str
) -> Any:
    """Return the scheduler of a class, a factory or an instance."""
    instance = hasattr(scheduler, "step") and not isinstance(scheduler, type)
    if callable(scheduler) and not instance:
        try:
            built = scheduler(optimizer, **options)  # type: ignore[operator]
        except (TypeError, ValueError) as error:
            message = f"{owner}: scheduler {scheduler!r} can't be built: {error}"
            raise ConfigError(message) from error
    else:
        built = scheduler
        if options:
            must_be = "empty when `scheduler` is an instance"
            raise ConfigError(invalid(owner, "scheduler_params", must_be, options))
    if not callable(getattr(built, "step", None)):
        must_be = "a name, a scheduler class, a function optimizer -> scheduler, or an instance"
        raise ConfigError(invalid(owner, "scheduler", must_be, scheduler))
    if getattr(built, "optimizer", optimizer) is not optimizer:
        must_be = "over the optimizer that trains; pass its class or a function instead"
        raise ConfigError(invalid(owner, "scheduler", must_be, built))
    return built


def _check_warmup(steps: object, owner: str) -> None:
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise ConfigError(invalid(owner, "warmup_steps", "a whole number of steps >= 0", steps))
