"""Scores of a stream counted in bins: the threshold curve in 16 MB, whatever the stream's length.

Bins follow the float32 number format: 2^13 bins to each power of two from 2^-32 to 2^32, for both
signs. Their width is 1/8192 of the score or less, so click rates of 0.001 are resolved as finely
as rates of 0.5, and raw scores need no range. Within a bin the order is unknown; what that can
change is computed from the counts themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nextrec.metrics.curves import ThresholdCurve
from nextrec.metrics.undefined import NoRowsError, ratio, ratios

MANTISSA_BITS = 13
EXPONENT_BITS = 6
HALF = 1 << (MANTISSA_BITS + EXPONENT_BITS)
"""Bins of one sign; ``2 * HALF`` in all."""
_LEAST = (127 - 32) << MANTISSA_BITS
"""Code of 2^-32: float32 stores an exponent plus 127."""


def bin_numbers(scores: np.ndarray) -> np.ndarray:
    """Bins ``(N,)`` of finite scores ``(N,)``; never descending for ascending scores.

    >>> int(bin_numbers(np.array([0.5]))[0] - bin_numbers(np.array([0.25]))[0]) == 2**13
    True
    """
    with np.errstate(over="ignore"):  # a float64 beyond float32 belongs to the outermost bin
        single = scores.astype(np.float32) + np.float32(0)  # turns -0.0 into 0.0
    bits = single.view(np.int32)
    magnitude = ((bits & 0x7FFFFFFF) >> (23 - MANTISSA_BITS)).astype(np.intp)
    code = np.clip(magnitude - _LEAST, 0, HALF - 1)
    return np.where(bits < 0, HALF - 1 - code, HALF + code)


class ScoreHistogram:
    """Weights of positives and negatives in each bin; adds up over batches and machines."""

    def __init__(self) -> None:
        self.positives = np.zeros(2 * HALF)
        self.negatives = np.zeros(2 * HALF)

    def add(self, labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> None:
        """Count rows: labels of 0 and 1, finite scores, weights or None, all ``(N,)``."""
        bins = bin_numbers(scores)
        for counts, rows in ((self.positives, labels == 1), (self.negatives, labels == 0)):
            np.add.at(counts, bins[rows], 1.0 if weights is None else weights[rows])

    def merge(self, other: ScoreHistogram) -> None:
        """Add the counts of another stream."""
        self.positives += other.positives
        self.negatives += other.negatives

    def curve(self) -> ThresholdCurve:
        """The threshold curve with the bins for scores, highest first."""
        filled = np.flatnonzero(self.positives + self.negatives)[::-1]
        if not len(filled):
            raise NoRowsError
        return ThresholdCurve(self.positives[filled], self.negatives[filled])


def auc_bound(curve: ThresholdCurve) -> float:
    """Pairs within a bin count half and might count 0 or 1: half their share of all pairs."""
    pairs = float(curve.positives.sum() * curve.negatives.sum())
    return ratio(float(curve.positives @ curve.negatives) / 2, pairs, "one class only")


def ks_bound(curve: ThresholdCurve) -> float:
    """Inside a bin one rate can rise before the other, by the bin's share at most.

    A bin of one class can't hide anything: there the distance is largest at an end.
    """
    mixed = (curve.positives > 0) & (curve.negatives > 0)
    rises = [
        ratio(float((each * mixed).max()), float(each.sum()), "one class only")
        for each in (curve.positives, curve.negatives)
    ]
    return max(rises)


def average_precision_bound(curve: ThresholdCurve) -> float:
    """A bin's positives might all stand before its negatives, or all behind them."""
    hits, misses = np.cumsum(curve.positives), np.cumsum(curve.negatives)
    hits_before, misses_before = hits - curve.positives, misses - curve.negatives
    value = ratios(hits, hits + misses)
    best = ratios(hits, hits + misses_before)
    least = ratios(hits_before, hits_before + misses)
    distance = np.fmax(best - value, value - np.nan_to_num(least))
    some = curve.positives > 0
    total = float(curve.positives.sum())
    return ratio(float(curve.positives[some] @ distance[some]), total, "no label is positive")


BOUNDS: dict[Callable[[ThresholdCurve], float], Callable[[ThresholdCurve], float]] = {
    ThresholdCurve.auc: auc_bound,
    ThresholdCurve.ks: ks_bound,
    ThresholdCurve.average_precision: average_precision_bound,
}
"""How far each value can be from that of the scores themselves."""
