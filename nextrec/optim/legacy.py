"""NextRec 0.3.1's ``utils.optimizer``: plain ``torch.optim`` objects from names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.optim.options import OPTIMIZERS, option_problems
from nextrec.optim.schedulers import scheduler_by_name, scheduler_from_object
from nextrec.optim.schedules import SCHEDULERS, Training


def get_optimizer(
    optimizer: str | type[Optimizer] | Optimizer = "adam",
    params: Iterable[Any] | None = None,
    **kw: Any,
) -> Optimizer:
    """Build a plain ``torch.optim`` optimizer over ``params``.

    Args:
        optimizer: a name of :data:`~nextrec.optim.OPTIMIZERS`, a class, or an instance, which is
            returned untouched.
        params: parameters or parameter groups.
        **kw: options of the optimizer; ``lr`` is 1e-3 if absent.

    Raises:
        ConfigError: no parameters, or an unknown name or option.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if params is None:
        raise ConfigError(invalid("get_optimizer", "params", "parameters to train", params))
    options = {"lr": 1e-3, **kw}
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer(params, **options)
    if not isinstance(optimizer, str):
        must_be = "a name, a torch.optim.Optimizer class or an instance of one"
        raise ConfigError(invalid("get_optimizer", "optimizer", must_be, optimizer))
    if optimizer not in OPTIMIZERS:
        raise ConfigError(unknown_option("get_optimizer", "optimizer", OPTIMIZERS, optimizer))
    problems = option_problems(optimizer, options, rows=False, owner="get_optimizer")
    if problems:
        raise ConfigError("\n".join(problems))
    spec = OPTIMIZERS[optimizer]
    return spec.dense(params, **spec.dense_options(options))


def get_scheduler(scheduler: object, optimizer: Optimizer, **kw: Any) -> Any:
    """Build a ``torch.optim.lr_scheduler`` object over ``optimizer``.

    Args:
        scheduler: a name of :data:`~nextrec.optim.SCHEDULERS`, a class, a function
            ``optimizer -> scheduler``, or an instance over ``optimizer``.
        optimizer: its groups' learning rates are scheduled.
        **kw: options of the scheduler.

    Raises:
        ConfigError: an unknown name or option.
    """
    if not isinstance(scheduler, str):
        return scheduler_from_object(scheduler, optimizer, kw, "get_scheduler")
    if scheduler not in SCHEDULERS:
        raise ConfigError(unknown_option("get_scheduler", "scheduler", SCHEDULERS, scheduler))
    training = Training(SCHEDULERS[scheduler].interval)
    return scheduler_by_name(scheduler, optimizer, kw, training, "get_scheduler")
