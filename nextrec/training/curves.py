"""The numbers behind a report's curves: ROC, precision and recall, calibration, quantile bins."""

from __future__ import annotations

import numpy as np

POINTS = 500
"""Most points of one drawn curve."""
CALIBRATION_BINS = 10


def roc_curve(hits: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """False and true positive rates ``(M,)`` over falling thresholds, and the area between.

    Args:
        hits: ``(N,)`` bool, with both values.
        scores: ``(N,)``; equal ones share a threshold.

    >>> x, y, area = roc_curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.4]))
    >>> area
    0.5
    """
    true, false = _counts(hits, scores)
    x = np.concatenate([[0.0], false / false[-1]])
    y = np.concatenate([[0.0], true / true[-1]])
    return x, y, float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def precision_recall_curve(
    hits: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Recall and precision ``(M,)`` from the lowest threshold up, and the average precision.

    The average is the sum of ``(R_n - R_{n-1}) P_n`` over falling thresholds ``n``: the area under
    the curve as a step function. The last point carries the highest threshold's precision to 0.

    >>> precision_recall_curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.4]))[2]
    0.8333333333333333
    """
    true, false = _counts(hits, scores)
    recall, precision = true / true[-1], true / (true + false)
    average = float((np.diff(recall, prepend=0.0) * precision).sum())
    return np.append(recall[::-1], 0.0), np.append(precision[::-1], precision[0]), average


def calibration_curve(
    labels: np.ndarray, scores: np.ndarray, bins: int = CALIBRATION_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score, mean label and rows of up to ``bins`` bins with equal numbers of rows.

    >>> calibration_curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.6, 0.8]), bins=2)
    (array([0.2, 0.7]), array([0.5, 0.5]), array([2, 2]))
    """
    index = quantile_bins(scores, bins)
    counts = np.bincount(index)
    used = counts > 0
    means = [np.bincount(index, values)[used] / counts[used] for values in (scores, labels)]
    return means[0], means[1], counts[used]


def quantile_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each value, ``(N,)``; equal values are never parted."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
    return np.searchsorted(edges[1:-1], values, side="right")


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` points of a curve, evenly along its length; the ends stay."""
    if len(x) <= most:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    chosen = np.searchsorted(length, np.linspace(0.0, length[-1], most))
    chosen[-1] = len(x) - 1
    chosen = np.unique(chosen)
    return x[chosen], y[chosen]


def _counts(hits: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    true = np.cumsum(hits[order])[last]
    return true, last + 1 - true
