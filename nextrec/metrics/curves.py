"""Rates at every threshold, and what is read from them: AUC, KS, average precision.

Shapes: N rows, S distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextrec.metrics.observations import Observations, binary_labels
from nextrec.metrics.undefined import UndefinedError, ratio


@dataclass(frozen=True)
class ThresholdCurve:
    """Positive and negative weight at each distinct score, from the highest score down.

    Rows of one score stand or fall together at any threshold, so their order can't matter.
    """

    positives: np.ndarray
    """``(S,)``"""
    negatives: np.ndarray
    """``(S,)``"""
    scores: np.ndarray | None = None
    """``(S,)`` descending, where they are known."""

    @classmethod
    def of(
        cls, labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
    ) -> ThresholdCurve:
        """Sort once; labels are 0 or 1, all arrays ``(N,)``."""
        order = np.argsort(scores)[::-1]
        scores, labels = scores[order], labels[order].astype(np.float64)
        starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
        weights = np.ones(len(order)) if weights is None else weights[order]
        positives = np.add.reduceat(labels * weights, starts)
        negatives = np.add.reduceat((1 - labels) * weights, starts)
        return cls(positives, negatives, scores[starts])

    def auc(self) -> float:
        """Share of (positive, negative) pairs in the right order, equal scores counting half."""
        positive, negative = self._both_classes()
        ahead = np.cumsum(self.positives) - self.positives
        pairs = self.negatives @ (ahead + self.positives / 2)
        return float(pairs / positive / negative)

    def ks(self) -> float:
        """Largest distance between the rates of positives and negatives above a threshold."""
        positive, negative = self._both_classes()
        rates = np.cumsum(self.positives) / positive, np.cumsum(self.negatives) / negative
        return float(np.abs(rates[0] - rates[1]).max())

    def average_precision(self) -> float:
        """Precision at each threshold, weighted by the recall that the threshold adds."""
        hits = np.cumsum(self.positives)
        above = hits + np.cumsum(self.negatives)
        precision = np.divide(hits, above, out=np.zeros_like(hits), where=above > 0)
        return ratio(float(self.positives @ precision), float(hits[-1]), "no label is positive")

    def _both_classes(self) -> tuple[float, float]:
        positive, negative = float(self.positives.sum()), float(self.negatives.sum())
        if positive == 0 or negative == 0:
            raise UndefinedError("the labels have one class only")
        return positive, negative


def score_curve(data: Observations) -> ThresholdCurve:
    """The curve of binary observations."""
    return ThresholdCurve.of(binary_labels(data), data.predictions, data.weights)
