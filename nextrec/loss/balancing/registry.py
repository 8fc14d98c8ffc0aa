"""Balancers by name, with their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from nextrec._registry import Registry
from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.loss.balancing.base import Balancer
from nextrec.loss.balancing.cagrad import CAGrad
from nextrec.loss.balancing.dwa import DynamicWeightAverage
from nextrec.loss.balancing.famo import FAMO
from nextrec.loss.balancing.gradnorm import GradNorm
from nextrec.loss.balancing.imtl import IMTL, IMTLG, IMTLL
from nextrec.loss.balancing.mgda import MGDA
from nextrec.loss.balancing.nash_mtl import NashMTL
from nextrec.loss.balancing.pcgrad import PCGrad
from nextrec.loss.balancing.rlw import RandomWeights
from nextrec.loss.balancing.uncertainty import Uncertainty
from nextrec.tasks import Task

EQUAL = "equal"
"""The name of no balancing: every task has the weight 1, as without ``loss_weights``."""

BALANCERS: Registry[type[Balancer] | None] = Registry("compile", "loss_weights")
"""Name -> class; ``None`` for :data:`EQUAL`."""
BALANCERS.add(EQUAL, None)
for _class in (
    *(Uncertainty, GradNorm, DynamicWeightAverage, RandomWeights, PCGrad, CAGrad, MGDA),
    *(IMTLG, IMTLL, IMTL, NashMTL, FAMO),
):
    BALANCERS.add(_class.name, _class)


def make_balancer(
    tasks: Sequence[Task], loss_weights: Any, params: Mapping[str, Any] | None = None
) -> Balancer | None:
    """The balancer that ``compile(loss_weights=..., loss_weights_params=...)`` names.

    Args:
        loss_weights: a name of :data:`BALANCERS`; anything else is weights, not a balancer.
        params: its options.

    Returns:
        ``None`` for weights, for their absence and for ``"equal"``.

    Raises:
        ConfigError: an unknown name or option, a wrong value, or less than two tasks.

    >>> from nextrec.tasks import make_tasks
    >>> make_balancer(make_tasks("binary", ["click", "buy"]), "cagrad", {"c": 0.5}).c
    0.5
    """
    if params is not None and not isinstance(params, Mapping):
        raise ConfigError(invalid("compile", "loss_weights_params", "a dict", params))
    params = dict(params or {})
    if not isinstance(loss_weights, str):
        _refuse(params, "`loss_weights` names no balancer")
        return None
    chosen = BALANCERS[loss_weights]
    if chosen is None or not options_of(chosen):
        _refuse(params, f"{loss_weights!r} has no options")
    if chosen is None:
        return None
    for name in params:
        if name not in options_of(chosen):
            known = options_of(chosen)
            raise ConfigError(unknown_option("compile", "loss_weights_params", known, name))
    if len(tasks) < 2:
        named = ", ".join(task.name for task in tasks)
        must_be = f"a number or 'equal' for the one task {named!r}: there is nothing to balance"
        raise ConfigError(invalid("compile", "loss_weights", must_be, loss_weights))
    return chosen(tasks, **params)


def _refuse(params: dict[str, Any], why: str) -> None:
    if params:
        raise ConfigError(invalid("compile", "loss_weights_params", f"absent ({why})", params))


def options_of(balancer: type[Balancer]) -> list[str]:
    """Names of a balancer's options."""
    parameters = inspect.signature(balancer).parameters
    return [name for name in parameters if name != "tasks"]
