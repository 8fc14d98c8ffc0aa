"""The optimizers by name, the options each one takes, and what a value must be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import optim

from nextrec._registry import Registry
from nextrec.errors import did_you_mean, invalid
from nextrec.optim.row_adam import Adam, AdamW
from nextrec.optim.row_rules import SGD, Adagrad, LazyAdam, RMSprop, RowRule, RowwiseAdagrad

Options = dict[str, Any]


@dataclass(frozen=True)
class OptimizerSpec:
    """A named optimizer: the rule of its tables and the ``torch.optim`` class of the rest."""

    rule: type[RowRule]
    dense: type[optim.Optimizer]

    @property
    def dense_defaults(self) -> Options:
        """Keywords of the dense class and their defaults."""
        parameters = inspect.signature(self.dense).parameters.values()
        return {p.name: p.default for p in parameters if p.name != "params"}

    def row_options(self, given: Options) -> Options:
        """Return what the rule takes, with its defaults."""
        defaults = self.rule.defaults
        return {key: _plain(given.get(key, default)) for key, default in defaults.items()}

    def dense_options(self, given: Options) -> Options:
        """Return what the dense class takes, with the rule's defaults: both halves agree."""
        takes, filled = self.dense_defaults, {**self.rule.defaults, **given}
        return {key: _plain(value) for key, value in filled.items() if key in takes}


OPTIMIZERS: Registry[OptimizerSpec] = Registry("compile", "optimizer")
OPTIMIZERS.add("adam", OptimizerSpec(Adam, optim.Adam))
OPTIMIZERS.add("adamw", OptimizerSpec(AdamW, optim.AdamW))
OPTIMIZERS.add("lazy_adam", OptimizerSpec(LazyAdam, optim.Adam))
OPTIMIZERS.add("sgd", OptimizerSpec(SGD, optim.SGD))
OPTIMIZERS.add("adagrad", OptimizerSpec(Adagrad, optim.Adagrad))
OPTIMIZERS.add("rowwise_adagrad", OptimizerSpec(RowwiseAdagrad, optim.Adagrad))
OPTIMIZERS.add("rmsprop", OptimizerSpec(RMSprop, optim.RMSprop))

LOOPS = ("fused", "foreach")
"""How torch runs its loop over parameters, the fastest first; both mean the same."""

_REASONS = {
    "amsgrad": "the running maximum of a row would need every step that it slept through",
    "momentum": "the momentum of a row would mix the averages of the steps it slept through",
    "centered": "the centred average of a row would need every step that it slept through",
}


def option_problems(name: str, given: Mapping[str, Any], *, rows: bool, owner: str) -> list[str]:
    """Return a message for every wrong keyword and value of a named optimizer.

    Args:
        name: of the optimizer.
        given: keywords of the user.
        rows: whether tables train in row mode, which takes fewer options than ``torch.optim``.
        owner: whose parameter a message names.
    """
    spec = OPTIMIZERS[name]
    rule, dense = spec.rule.defaults, spec.dense_defaults
    loops = [key for key in LOOPS if key in dense]
    known = {*rule, *(loops if rows else dense)}
    problems: list[str] = []
    for key, value in given.items():
        if key in known:
            must_be, fits = _CHECKS.get(key, ("", _anything))
            problems += [] if fits(value) else [invalid(owner, key, must_be, value)]
        elif key not in dense:
            near = did_you_mean(key, known)
            problems.append(f"{owner}: optimizer {name!r} has no option {key!r}.{near}")
        elif value != dense[key]:
            problems.append(_refused(owner, name, key, spec.dense.__name__))
    if given.get("nesterov") and not given.get("momentum"):
        problems.append(invalid(owner, "momentum", "above 0 with nesterov", given.get("momentum")))
    return problems


def _plain(value: Any) -> Any:
    """A YAML list means the tuple (of betas), which options are compared with later."""
    return tuple(value) if isinstance(value, list) else value


def _refused(owner: str, name: str, key: str, dense: str) -> str:
    reason = _REASONS.get(key, "row-wise updates don't have it")
    return (
        f"{owner}: optimizer {name!r} can't take {key!r} with embedding tables: {reason}. "
        f"Pass optimizer=torch.optim.{dense} to train the tables with dense gradients."
    )


def _number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value)


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value < 1


def _pair_of_shares(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_share, value))


def _not_negative(value: Any) -> bool:
    return _number(value) and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _anything(value: Any) -> bool:
    return True


_SIZE = ("a finite number >= 0", _not_negative)
_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lr": _SIZE,
    "eps": _SIZE,
    "weight_decay": _SIZE,
    "lr_decay": _SIZE,
    "initial_accumulator_value": _SIZE,
    "dampening": ("a finite number", _number),
    "momentum": ("a number in [0, 1)", _share),
    "alpha": ("a number in [0, 1)", _share),
    "betas": ("two numbers in [0, 1)", _pair_of_shares),
    "nesterov": ("True or False", _flag),
}
