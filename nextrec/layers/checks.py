"""Checks of arguments that layers and models share."""

from __future__ import annotations

import math
from numbers import Integral, Real

from nextrec.errors import ConfigError, invalid


def is_count(value: object, least: int = 1) -> bool:
    """Whether a value is an integer, and no bool, of at least ``least``."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_rate(value: object) -> bool:
    """Whether a value is a probability to drop a number, which leaves some."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < 1


def check_counts(owner: str, **counts: object) -> None:
    """Raise one error that lists every argument that is not a positive integer.

    >>> check_counts("RankMixer", num_layers=2, token_dim=0)
    Traceback (most recent call last):
    nextrec.errors.ConfigError: RankMixer: `token_dim` must be a positive integer; got 0.
    """
    wrong = {name: value for name, value in counts.items() if not is_count(value)}
    if wrong:
        told = [invalid(owner, name, "a positive integer", value) for name, value in wrong.items()]
        raise ConfigError("\n".join(told))


def require_count(owner: str, name: str, value: object, least: int = 1) -> None:
    """Refuse an argument that is no integer of at least ``least``.

    >>> require_count("ETA", "top_k", 0)
    Traceback (most recent call last):
    nextrec.errors.ConfigError: ETA: `top_k` must be an integer of at least 1; got 0.
    """
    if not is_count(value, least):
        raise ConfigError(invalid(owner, name, f"an integer of at least {least}", value))


def check_rates(owner: str, **rates: object) -> None:
    """Raise one error that lists every argument that is no probability to drop a number.

    >>> check_rates("HiFormer", dropout=1.0)
    Traceback (most recent call last):
    nextrec.errors.ConfigError: HiFormer: `dropout` must be a number in [0, 1); got 1.0.
    """
    wrong = {name: value for name, value in rates.items() if not is_rate(value)}
    if wrong:
        told = [invalid(owner, name, "a number in [0, 1)", value) for name, value in wrong.items()]
        raise ConfigError("\n".join(told))


def check_positive(owner: str, **numbers: object) -> None:
    """Raise one error that lists every argument that is not a finite number above 0.

    >>> check_positive("POSOGate", scale_factor=0.0)
    Traceback (most recent call last):
    nextrec.errors.ConfigError: POSOGate: `scale_factor` must be a number above 0; got 0.0.
    """
    wrong = {name: value for name, value in numbers.items() if not _is_positive(value)}
    if wrong:
        told = [invalid(owner, name, "a number above 0", value) for name, value in wrong.items()]
        raise ConfigError("\n".join(told))


def _is_positive(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf
