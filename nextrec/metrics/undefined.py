"""An undefined metric is NaN with a reason, never a number.

Inside the package a metric that has no value raises :class:`UndefinedError`; the functions and
accumulators that users call turn it into :class:`Undefined`, a NaN that tells why.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ParamSpec

import numpy as np

P = ParamSpec("P")


class UndefinedError(Exception):
    """The metric has no value on this data. It never leaves :mod:`nextrec.metrics`."""


class NoRowsError(UndefinedError):
    """There is no row with an observed label."""

    def __init__(self) -> None:
        super().__init__("no label is observed")


class Undefined(float):
    """NaN that carries the reason why a metric has no value.

    >>> value = Undefined("the labels have one class")
    >>> value != value, value.reason
    (True, 'the labels have one class')
    """

    reason: str

    def __new__(cls, reason: str) -> Undefined:
        """NaN because of ``reason``."""
        value = super().__new__(cls, math.nan)
        value.reason = reason
        return value

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.reason,)


def value_or_undefined(function: Callable[[], float]) -> float:
    """The value of ``function()``, or :class:`Undefined` with the reason why there is none."""
    try:
        # Predictions near the largest float overflow when squared; the result tells it below.
        with np.errstate(over="ignore", invalid="ignore"):
            value = function()
    except UndefinedError as error:
        return Undefined(str(error))
    if isinstance(value, Undefined):
        return value
    return float(value) if math.isfinite(value) else Undefined("the value overflows")


def metric(function: Callable[P, float]) -> Callable[P, float]:
    """Decorator of a metric that users call: an undefined value is returned, not raised."""

    @functools.wraps(function)
    def defined(*args: P.args, **kwargs: P.kwargs) -> float:
        return value_or_undefined(lambda: function(*args, **kwargs))

    return defined


def ratio(numerator: float, denominator: float, reason: str) -> float:
    """``numerator / denominator``, undefined for ``reason`` when the denominator is 0."""
    if denominator == 0:
        raise UndefinedError(reason)
    return float(numerator / denominator)


def ratios(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient with NaN where the denominator is 0."""
    quotient = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)


def mean_of_defined(values: np.ndarray, reason: str) -> float:
    """Mean of the values that are not NaN; undefined for ``reason`` when there is none."""
    defined = ~np.isnan(values)
    return ratio(float(values[defined].sum()), int(defined.sum()), reason)
