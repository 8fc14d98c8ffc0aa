"""Counts of hard decisions, and what is read from them: accuracy, precision, recall, F1.

Shapes: N rows, C classes (two for a binary task), L labels of a multilabel task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextrec.metrics.undefined import mean_of_defined, ratio, ratios


@dataclass(frozen=True)
class ClassCounts:
    """Weighted counts, one entry a class (or a label, or a row); all ``(C,)``."""

    hits: np.ndarray
    """Decided for the class, rightly."""
    decided: np.ndarray
    """Decided for the class."""
    actual: np.ndarray
    """Of the class."""
    rows: np.ndarray
    """Decisions taken."""

    @classmethod
    def of_classes(
        cls, labels: np.ndarray, decisions: np.ndarray, classes: int, weights: np.ndarray | None
    ) -> ClassCounts:
        """From class numbers ``(N,)``: every row is of one class and decided for one."""
        right = labels == decisions
        right_weights = None if weights is None else weights[right]
        actual = np.bincount(labels, weights, classes)
        return cls(
            np.bincount(labels[right], right_weights, classes).astype(np.float64),
            np.bincount(decisions, weights, classes).astype(np.float64),
            actual.astype(np.float64),
            np.full(classes, float(actual.sum())),
        )

    @classmethod
    def of_labels(
        cls, labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray, axis: int
    ) -> ClassCounts:
        """From 0 and 1 ``(N, L)`` with a weight a cell: per label (axis 0) or per row (axis 1)."""
        return cls(
            (labels * decisions * weights).sum(axis),
            (decisions * weights).sum(axis),
            (labels * weights).sum(axis),
            weights.sum(axis),
        )

    def stacked(self) -> np.ndarray:
        """The four counts as one array ``(4, C)``, which adds up over batches."""
        return np.stack([self.hits, self.decided, self.actual, self.rows])

    def precision(self) -> np.ndarray:
        """Share of right decisions, NaN for a class that nothing was decided for."""
        return ratios(self.hits, self.decided)

    def recall(self) -> np.ndarray:
        """Share of found rows, NaN for a class without rows."""
        return ratios(self.hits, self.actual)

    def f1(self) -> np.ndarray:
        """Harmonic mean of both, NaN for a class neither decided for nor present."""
        return ratios(2 * self.hits, self.decided + self.actual)

    def micro_f1(self) -> float:
        """F1 of the counts summed over classes."""
        both = float(self.decided.sum() + self.actual.sum())
        return ratio(2 * float(self.hits.sum()), both, "no label and no decision is positive")

    def accuracy(self) -> float:
        """Share of rows with the right class, for rows of one class each."""
        return ratio(float(self.hits.sum()), float(self.actual.sum()), "every weight is 0")

    def hamming_loss(self) -> float:
        """Share of wrong decisions."""
        wrong = self.decided + self.actual - 2 * self.hits
        return ratio(float(wrong.sum()), float(self.rows.sum()), "every weight is 0")

    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur in labels or decisions."""
        return mean_of_defined(self.f1(), "no label and no decision is positive")

    def macro_precision(self) -> float:
        """Mean precision of the classes that were decided for."""
        return mean_of_defined(self.precision(), "nothing was decided positive")

    def macro_recall(self) -> float:
        """Mean recall of the classes that have rows."""
        return mean_of_defined(self.recall(), "no label is positive")
