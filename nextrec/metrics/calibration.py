"""Are predicted probabilities right on average? PCOC, ECE, normalised entropy, reliability.

A model can order perfectly and still predict ten times too much, which an auction pays for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from nextrec.errors import ConfigError, DataError, invalid, unknown_option
from nextrec.metrics.classification import log_losses
from nextrec.metrics.curves import ThresholdCurve, score_curve
from nextrec.metrics.forms import Sums
from nextrec.metrics.observations import Observations, observe, probabilities
from nextrec.metrics.undefined import UndefinedError, metric, ratio

Binning = Literal["frequency", "width"]
DEFAULT_BINS = 10


@dataclass(frozen=True)
class Reliability:
    """What was predicted and what came, in each bin that has rows, from low to high scores."""

    weight: np.ndarray
    """``(bins,)`` rows, or their weight."""
    predicted: np.ndarray
    """``(bins,)`` mean prediction."""
    observed: np.ndarray
    """``(bins,)`` mean label."""

    def expected_error(self) -> float:
        """Mean distance of predicted and observed, weighted by rows."""
        gaps = np.abs(self.predicted - self.observed)
        return ratio(float(self.weight @ gaps), float(self.weight.sum()), "every weight is 0")


def _reliability(data: Observations, bins: int, binning: Binning) -> Reliability:
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise ConfigError(invalid("ece", "bins", "a whole number of at least 1", bins))
    if binning not in get_args(Binning):
        raise ConfigError(unknown_option("ece", "binning", get_args(Binning), binning))
    probabilities(data)
    curve = data.once(score_curve)
    assert curve.scores is not None
    score = curve.scores.astype(np.float64)  # (S,) descending
    weight = curve.positives + curve.negatives
    place = _bins_by_width(score, bins) if binning == "width" else _bins_by_rank(curve, bins)
    sums = [np.bincount(place, each, bins) for each in (weight, weight * score, curve.positives)]
    filled = sums[0] > 0
    total, predicted, observed = (each[filled] for each in sums)
    return Reliability(total, predicted / total, observed / total)


def _bins_by_width(score: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((score * bins).astype(np.intp), bins - 1)


def _bins_by_rank(curve: ThresholdCurve, bins: int) -> np.ndarray:
    """Bins of equal weight; rows of one score share the bin of their middle."""
    weight = curve.positives + curve.negatives
    below = weight.sum() - np.cumsum(weight)  # (S,)
    share = (below + weight / 2) / max(float(weight.sum()), np.finfo(np.float64).tiny)
    return np.minimum((share * bins).astype(np.intp), bins - 1)


def _expected_calibration_error(data: Observations) -> float:
    return _reliability(data, DEFAULT_BINS, "frequency").expected_error()


def _totals(data: Observations) -> np.ndarray:
    labels, predictions = (each.astype(np.float64) for each in (data.labels, data.predictions))
    return np.array([data.total(predictions), data.total(labels)])


def _entropy_terms(data: Observations) -> np.ndarray:
    labels = data.labels.astype(np.float64)
    return np.array([data.total(log_losses(data)), data.total(labels), data.total(1 - labels)])


def _normalised(sums: np.ndarray) -> float:
    loss, positives, negatives = (float(each) for each in sums)
    if positives == 0 or negatives == 0:
        raise UndefinedError("the labels have one class only")
    rows = positives + negatives
    entropy = -positives * np.log(positives / rows) - negatives * np.log(negatives / rows)
    return loss / float(entropy)


PCOC = Sums(_totals, lambda sums: ratio(sums[0], sums[1], "the labels sum to 0"))
NE = Sums(_entropy_terms, _normalised)
ECE = _expected_calibration_error


@metric
def pcoc(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Predicted over observed clicks: ``sum p / sum y``. 1 is calibrated, 2 predicts double.

    >>> pcoc([0, 1, 0, 1], [0.1, 0.4, 0.2, 0.3])
    0.5
    """
    return PCOC(observe("regression", labels, predictions, weights))


@metric
def ne(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Normalised entropy: log loss over the log loss of always predicting the base rate.

    Below 1 the model knows more than the base rate (He et al., "Practical lessons from predicting
    clicks on ads at Facebook", ADKDD 2014).

    >>> ne([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    1.0
    """
    return NE(observe("binary", labels, predictions, weights))


@metric
def ece(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    bins: int = DEFAULT_BINS,
    binning: Binning = "frequency",
) -> float:
    """Expected calibration error: mean over bins of ``|mean p - mean y|``, weighted by rows.

    Args:
        bins: number of bins.
        binning: ``"frequency"`` makes bins of equal weight (Nguyen and O'Connor, "Posterior
            calibration and exploratory analysis for natural language processing models", EMNLP
            2015), which suits click rates far below 0.5; equal predictions always share a bin.
            ``"width"`` makes bins of equal width (Naeini, Cooper and Hauskrecht, "Obtaining well
            calibrated probabilities using Bayesian binning", AAAI 2015).

    >>> round(ece([0, 0, 1, 1], [0.2, 0.2, 0.7, 0.7], bins=2), 4)
    0.25
    """
    return _reliability(
        observe("binary", labels, predictions, weights), bins, binning
    ).expected_error()


def reliability_curve(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    bins: int = DEFAULT_BINS,
    binning: Binning = "frequency",
) -> Reliability:
    """Mean prediction and mean label of each bin, to draw; arguments as :func:`ece`.

    Raises:
        DataError: there is nothing to draw: no observed label, or predictions that are not finite
            probabilities.

    >>> reliability_curve([0, 0, 1, 1], [0.2, 0.2, 0.7, 0.7], bins=2).observed
    array([0., 1.])
    """
    try:
        return _reliability(observe("binary", labels, predictions, weights), bins, binning)
    except UndefinedError as error:
        raise DataError(f"reliability_curve: {error}.") from error
