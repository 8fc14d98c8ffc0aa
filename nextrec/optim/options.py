"""The optimizers by name, the options each one takes, and what a value must be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import optim

from nextrec._registry import Registry
from nextrec.errors import ConfigError, did_you_mean, invalid
from nextrec.optim.row_adam import Adam, AdamW
from nextrec.optim.row_rules import SGD, Adagrad, LazyAdam, RMSprop, RowRule, RowwiseAdagrad

Options = dict[str, Any]


@dataclass(frozen=True)
class OptimizerSpec:
    """A named optimizer: the rule of its tables and the ``torch.optim`` class of the rest."""

    rule: type[RowRule]
    dense: type[optim.Optimizer]

    @property
    def dense_options(self) -> dict[str, Any]:
        """Keywords of the dense class and their defaults."""
        parameters = inspect.signature(self.dense).parameters.values()
        return {p.name: p.default for p in parameters if p.name != "params"}


OPTIMIZERS: Registry[OptimizerSpec] = Registry("compile", "optimizer")
OPTIMIZERS.add("adam", OptimizerSpec(Adam, optim.Adam))
OPTIMIZERS.add("adamw", OptimizerSpec(AdamW, optim.AdamW))
OPTIMIZERS.add("lazy_adam", OptimizerSpec(LazyAdam, optim.Adam))
OPTIMIZERS.add("sgd", OptimizerSpec(SGD, optim.SGD))
OPTIMIZERS.add("adagrad", OptimizerSpec(Adagrad, optim.Adagrad))
OPTIMIZERS.add("rowwise_adagrad", OptimizerSpec(RowwiseAdagrad, optim.Adagrad))
OPTIMIZERS.add("rmsprop", OptimizerSpec(RMSprop, optim.RMSprop))

LOOPS = ("fused", "foreach")  # how torch runs its loop over parameters, the best first

_REASONS = {
    "amsgrad": "the running maximum of a row would need every step that it slept through",
    "momentum": "the momentum of a row would mix the averages of the steps it slept through",
    "centered": "the centred average of a row would need every step that it slept through",
}


def read_options(name: str, given: Mapping[str, Any], *, rows: bool, owner: str) -> Options:
    """Check the options of a named optimizer and fill in the defaults.

    Args:
        name: of the optimizer.
        given: keywords of the user.
        rows: whether tables train in row mode, which takes fewer options than ``torch.optim``.
        owner: whose parameter a message names.

    Raises:
        ConfigError: all wrong keywords and values at once.
    """
    spec = OPTIMIZERS[name]
    rule, dense = spec.rule.defaults, spec.dense_options
    known = {*rule, *(LOOPS if rows else dense)} & {*rule, *dense}
    problems = []
    for key, value in given.items():
        if key in known:
            problems += _problems(owner, key, value)
        elif key in dense:
            problems.append(_refused(owner, name, key, spec.dense.__name__))
        else:
            near = did_you_mean(key, known)
            problems.append(f"{owner}: optimizer {name!r} has no option {key!r}.{near}")
    options = {**rule, **given}
    if not problems and options.get("nesterov") and not options["momentum"]:
        problems.append(invalid(owner, "momentum", "above 0 with nesterov", options["momentum"]))
    if problems:
        raise ConfigError("\n".join(problems))
    return options


def dense_options(name: str, options: Options) -> Options:
    """Keep the options that the dense class takes."""
    takes = OPTIMIZERS[name].dense_options
    return {key: value for key, value in options.items() if key in takes}


def row_options(name: str, options: Options) -> Options:
    """Keep the options that the rule takes."""
    return {key: options[key] for key in OPTIMIZERS[name].rule.defaults}


def _refused(owner: str, name: str, key: str, dense: str) -> str:
    reason = _REASONS.get(key, "row-wise updates don't have it")
    return (
        f"{owner}: optimizer {name!r} can't take {key!r} with embedding tables: {reason}. "
        f"Pass optimizer=torch.optim.{dense} to train the tables with dense gradients."
    )


def _number(value: object) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(float(value))  # type: ignore[arg-type]


def _share(value: object) -> bool:
    return _number(value) and 0 <= value < 1  # type: ignore[operator]


def _pair_of_shares(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_share, value))


def _not_negative(value: object) -> bool:
    return _number(value) and value >= 0  # type: ignore[operator]


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_CHECKS: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(
        ("lr", "eps", "weight_decay", "lr_decay", "initial_accumulator_value"),
        ("a finite number >= 0", _not_negative),
    ),
    "dampening": ("a finite number", _number),
    "momentum": ("a number in [0, 1)", _share),
    "alpha": ("a number in [0, 1)", _share),
    "betas": ("two numbers in [0, 1)", _pair_of_shares),
    "nesterov": ("True or False", _flag),
}


def _problems(owner: str, key: str, value: object) -> Iterable[str]:
    must_be, fits = _CHECKS.get(key, ("", lambda _: True))
    return [] if fits(value) else [invalid(owner, key, must_be, value)]
