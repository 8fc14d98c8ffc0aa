"""The formulas that scale a column of numbers, and what each has to know of the column.

scikit-learn's ``StandardScaler``, ``MinMaxScaler``, ``RobustScaler``, ``MaxAbsScaler`` and
``QuantileTransformer`` (without its subsampling) give the same numbers. A constant column is
divided by 1; scikit-learn also takes a spread near the rounding error for constant.

Letters: N rows, P points of a distribution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pyarrow as pa

from nextrec.data.transforms.base import Payload
from nextrec.data.transforms.number_state import NumberState, Statistic
from nextrec.data.transforms.quantiles import QuantileSketch
from nextrec.errors import DataError, invalid

_POINTS = 1_000


class Scaler(ABC):
    """A map of numbers to numbers; the base of all."""

    needs: ClassVar[tuple[Statistic, ...]] = ()
    """Statistics that :meth:`fit` reads."""

    def fit(self, state: NumberState) -> None:  # noqa: B027 - not all scalers learn
        """Learn from the numbers of a whole column, at least one."""

    @abstractmethod
    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Scale numbers ``(N,)`` of float64."""

    def learned(self) -> Payload:
        """What :meth:`fit` set."""
        return {}

    def restore(self, payload: Payload) -> None:  # noqa: B027 - not all scalers learn
        """Set what :meth:`learned` wrote."""


class NoScaler(Scaler):
    """``x``."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The numbers as they are."""
        return values


class LogScaler(Scaler):
    """``log(1 + max(x, 0))``."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The logarithms; numbers below zero count as zero."""
        return np.log1p(np.maximum(values, 0.0))


class AffineScaler(Scaler):
    """``(x - center) / scale``; a subclass says what the two are."""

    center = 0.0
    scale = 1.0

    @abstractmethod
    def find(self, state: NumberState) -> tuple[float, float]:
        """Center and scale of the column; a scale of 0 is replaced by 1."""

    def fit(self, state: NumberState) -> None:
        """Set center and scale."""
        _require_width(state)
        center, scale = self.find(state)
        self.center, self.scale = float(center), float(scale) or 1.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The scaled numbers."""
        with np.errstate(over="ignore"):  # what is beyond float64 is beyond float32 too
            return (values - self.center) / self.scale

    def learned(self) -> Payload:
        """Center and scale."""
        return {"center": self.center, "scale": self.scale}

    def restore(self, payload: Payload) -> None:
        """Set center and scale."""
        self.center, self.scale = payload["center"], payload["scale"]


class StandardScaler(AffineScaler):
    """``(x - mean) / std``, with the standard deviation of the population."""

    needs = ("mean", "std")

    def find(self, state: NumberState) -> tuple[float, float]:
        """Mean and standard deviation."""
        assert state.sums is not None
        return state.sums.mean, state.sums.std


class MinMaxScaler(AffineScaler):
    """``(x - min) / (max - min)``."""

    needs = ("range",)

    def find(self, state: NumberState) -> tuple[float, float]:
        """Minimum and width of the range."""
        return state.low, state.high - state.low


class MaxAbsScaler(AffineScaler):
    """``x / max|x|``."""

    needs = ("range",)

    def find(self, state: NumberState) -> tuple[float, float]:
        """Zero and the largest magnitude."""
        return 0.0, max(abs(state.low), abs(state.high))


class RobustScaler(AffineScaler):
    """``(x - median) / (q75 - q25)``."""

    needs = ("quantiles",)

    def find(self, state: NumberState) -> tuple[float, float]:
        """Median and distance of the quartiles."""
        low, median, high = _quantiles(state, np.array([0.25, 0.5, 0.75]))
        return median, high - low


class QuantileScaler(Scaler):
    """The share of the fitted values below ``x``, in [0, 1]: an even distribution.

    The distribution is kept as at most 1,000 quantiles, with straight lines between. Where several
    of them are one number, that number has the middle of their shares; the smallest fitted value
    has 0, the largest 1.
    """

    needs = ("quantiles",)

    def __init__(self) -> None:
        self.points = np.zeros(1)  # (P,)

    def fit(self, state: NumberState) -> None:
        """Set the points of the distribution."""
        _require_width(state)
        self.points = _quantiles(state, np.linspace(0.0, 1.0, min(_POINTS, state.count)))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The shares."""
        points, first, times = np.unique(self.points, return_index=True, return_counts=True)
        steps = max(len(self.points) - 1, 1)
        low, high = first / steps, (first + times - 1) / steps  # (P,) shares at each point
        width = np.diff(points, append=points[-1] + 1.0)
        rise = np.append(low[1:], 1.0) - high
        at = np.maximum(np.searchsorted(points, values, side="right") - 1, 0)  # (N,)
        with np.errstate(over="ignore", invalid="ignore"):  # outside of the points
            beyond = values - points[at]
            between = high[at] + beyond / width[at] * rise[at]
        shares = np.where(beyond == 0.0, (low + high)[at] / 2, between)
        shares[values >= points[-1]] = 1.0
        shares[values <= points[0]] = 0.0
        return shares

    def learned(self) -> Payload:
        """The points."""
        return {"points": pa.array(self.points)}

    def restore(self, payload: Payload) -> None:
        """Set the points."""
        self.points = payload["points"].to_numpy()


class NormalQuantileScaler(QuantileScaler):
    """The normal quantile of the share below ``x``: a standard normal distribution.

    Shares are kept 1e-7 away from 0 and 1, so that the result is within 5.2 of zero.
    """

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The normal quantiles."""
        import torch  # not before: other processes only fit and apply the rest

        shares = np.clip(super().__call__(values), 1e-7, 1.0 - 1e-7)
        return torch.special.ndtri(torch.from_numpy(shares)).numpy()


def _require_width(state: NumberState) -> None:
    """Refuse a column whose smallest and largest value are further apart than float64 can say."""
    if math.isinf(state.high - state.low):
        must_be = "less than 1.8e308 apart"
        raise DataError(invalid(state.owner, "values", must_be, (state.low, state.high)))


def _quantiles(state: NumberState, shares: np.ndarray) -> np.ndarray:
    assert isinstance(state.sketch, QuantileSketch)
    return state.sketch.quantiles(shares)


SCALERS: dict[str, type[Scaler]] = {
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "maxabs": MaxAbsScaler,
    "log": LogScaler,
    "quantile": QuantileScaler,
    "quantile_normal": NormalQuantileScaler,
    "none": NoScaler,
}
