"""Metrics of a numeric target: labels and predictions ``(N,)``; NaN labels are dropped."""

from __future__ import annotations

from typing import Any

import numpy as np

from nextrec.metrics.forms import Sums, mean_of, root_mean_of
from nextrec.metrics.observations import Observations, observe
from nextrec.metrics.undefined import UndefinedError, metric, ratio


def squared_errors(data: Observations) -> np.ndarray:
    """``(y - p)^2`` of each row ``(N,)``."""
    return np.square(_errors(data))


def absolute_errors(data: Observations) -> np.ndarray:
    """``|y - p|`` of each row ``(N,)``."""
    return np.abs(_errors(data))


def squared_log_errors(data: Observations) -> np.ndarray:
    """``(log(1 + y) - log(1 + max(p, 0)))^2`` of each row ``(N,)``."""
    labels = data.labels.astype(np.float64)
    if labels.min() <= -1:
        raise UndefinedError(f"the logarithm needs labels above -1; the least is {labels.min():g}")
    predictions = np.maximum(data.predictions.astype(np.float64), 0)
    return np.square(np.log1p(labels) - np.log1p(predictions))


def _errors(data: Observations) -> np.ndarray:
    return data.labels.astype(np.float64) - data.predictions.astype(np.float64)


def _percentage_terms(data: Observations) -> np.ndarray:
    labels = data.labels.astype(np.float64)
    known = labels != 0
    shares = np.divide(absolute_errors(data), np.abs(labels), out=np.zeros(len(data)), where=known)
    return np.array([100 * data.total(shares), data.total(known.astype(np.float64))])


def _spread_terms(data: Observations) -> np.ndarray:
    """Weight, mean label, squared distance from that mean, squared error."""
    labels = data.labels.astype(np.float64)
    weight = data.weight
    mean = data.total(labels) / weight if weight else 0.0
    spread = data.total(np.square(labels - mean))
    return np.array([weight, mean, spread, data.total(squared_errors(data))])


def _joined_spreads(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spread about the common mean (Chan, Golub and LeVeque, COMPSTAT 1982).

    Sums of squares would cancel for labels far from 0, such as times.
    """
    weight = a[0] + b[0]
    if weight == 0:
        return a
    distance = b[1] - a[1]
    mean = a[1] + distance * b[0] / weight
    spread = a[2] + b[2] + distance**2 * a[0] * b[0] / weight
    return np.array([weight, mean, spread, a[3] + b[3]])


def _explained(state: np.ndarray) -> float:
    return 1 - ratio(state[3], state[2], "all labels are equal")


MSE = mean_of(squared_errors)
RMSE = root_mean_of(squared_errors)
MAE = mean_of(absolute_errors)
R2 = Sums(_spread_terms, _explained, _joined_spreads)
MAPE = Sums(_percentage_terms, lambda sums: ratio(sums[0], sums[1], "every label is 0"))
MSLE = mean_of(squared_log_errors)


@metric
def mse(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean squared error.

    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    return MSE(observe("regression", labels, predictions, weights))


@metric
def rmse(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Square root of the mean squared error, in the unit of the label.

    >>> rmse([1.0, 2.0], [3.0, 4.0])
    2.0
    """
    return RMSE(observe("regression", labels, predictions, weights))


@metric
def mae(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean absolute error, in the unit of the label.

    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    return MAE(observe("regression", labels, predictions, weights))


@metric
def r2(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Share of the labels' variance that is explained: ``1 - sum (y-p)^2 / sum (y-mean y)^2``.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    return R2(observe("regression", labels, predictions, weights))


@metric
def mape(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean absolute percentage error, in percent, over the rows whose label isn't 0.

    >>> mape([0.0, 2.0, 4.0], [1.0, 1.0, 4.0])
    25.0
    """
    return MAPE(observe("regression", labels, predictions, weights))


@metric
def msle(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean of ``(log(1 + y) - log(1 + p))^2``; a prediction below 0 counts as 0.

    >>> round(msle([0.0, 1.0], [0.0, 3.0]), 4)
    0.2402
    """
    return MSLE(observe("regression", labels, predictions, weights))
