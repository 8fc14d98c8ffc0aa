"""Metrics of a binary target: how well scores order, how good probabilities and decisions are.

Labels are ``(N,)`` of 0 and 1, or NaN where nothing was observed; such rows are dropped. A metric
that has no value (one class only, no decision to judge, predictions that are not finite) is NaN
with a reason, see :class:`~nextrec.metrics.Undefined`.

Decisions are ``prediction > threshold``. Without a threshold it is 0.5, which needs probabilities:
raw scores then give NaN. Give a threshold to judge raw scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nextrec.errors import DataError, invalid
from nextrec.metrics.counts import ClassCounts
from nextrec.metrics.curves import ThresholdCurve
from nextrec.metrics.forms import OnCurve, mean_of, on_counts
from nextrec.metrics.inputs import OWNER
from nextrec.metrics.observations import Observations, binary_labels, observe, probabilities
from nextrec.metrics.undefined import UndefinedError, metric

DEFAULT_THRESHOLD = 0.5


def log_losses(data: Observations) -> np.ndarray:
    """``-y log p - (1 - y) log(1 - p)`` of each row ``(N,)``; y may be a share in [0, 1]."""
    labels = data.labels.astype(np.float64)
    wrong = (labels < 0) | (labels > 1)
    if wrong.any():
        raise DataError(invalid(OWNER, "labels", "in [0, 1]", float(labels[wrong.argmax()])))
    given = probabilities(data)
    # The nearest the given type comes to 0 and 1: a sure and wrong row costs a finite amount.
    edge = float(np.finfo(given.dtype).eps)
    p = np.clip(given.astype(np.float64), edge, 1 - edge)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p))


def binary_counts(data: Observations) -> ClassCounts:
    """Counts of the classes 0 and 1 at the default threshold."""
    return counts_at(data, None)


def counts_at(data: Observations, threshold: float | None) -> ClassCounts:
    """Counts of the classes 0 and 1, ``(2,)`` each."""
    labels = binary_labels(data).astype(np.intp)
    return ClassCounts.of_classes(labels, decide(data, threshold), 2, data.weights)


def decide(data: Observations, threshold: float | None) -> np.ndarray:
    """1 where the prediction is above the threshold, else 0; the shape of the predictions."""
    if threshold is None:
        return (probabilities(data) > DEFAULT_THRESHOLD).astype(np.intp)
    return (data.predictions > threshold).astype(np.intp)


def positive_precision(counts: ClassCounts) -> float:
    """Precision of class 1."""
    return _of_positive(counts.precision(), "no prediction is above the threshold")


def positive_recall(counts: ClassCounts) -> float:
    """Recall of class 1."""
    return _of_positive(counts.recall(), "no label is positive")


def positive_f1(counts: ClassCounts) -> float:
    """F1 of class 1."""
    return _of_positive(counts.f1(), "no label and no prediction is positive")


def _of_positive(values: np.ndarray, reason: str) -> float:
    if np.isnan(values[1]):
        raise UndefinedError(reason)
    return float(values[1])


AUC = OnCurve(ThresholdCurve.auc)
KS = OnCurve(ThresholdCurve.ks)
PR_AUC = OnCurve(ThresholdCurve.average_precision)
LOGLOSS = mean_of(log_losses)
ACCURACY = on_counts(binary_counts, ClassCounts.accuracy)
PRECISION = on_counts(binary_counts, positive_precision)
RECALL = on_counts(binary_counts, positive_recall)
F1 = on_counts(binary_counts, positive_f1)
MICRO_F1 = on_counts(binary_counts, ClassCounts.micro_f1)
MACRO_F1 = on_counts(binary_counts, ClassCounts.macro_f1)


@metric
def auc(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Area under the ROC curve: the chance that a positive is scored above a negative.

    ``(pairs in the right order + pairs of equal score / 2) / (positives * negatives)``, the
    Mann-Whitney statistic with average ranks (Hanley and McNeil, "The meaning and use of the area
    under a receiver operating characteristic curve", Radiology 1982). With ``weights`` a pair
    counts the product of its weights.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> auc([1, 1], [0.2, 0.3]).reason
    'the labels have one class only'
    """
    return AUC(observe("binary", labels, predictions, weights))


@metric
def ks(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Kolmogorov-Smirnov distance of the scores of positives and negatives.

    ``max_t |TPR(t) - FPR(t)|`` over the distinct scores t only: a tie can't be cut in two.

    >>> ks([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    >>> ks([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    0.0
    """
    return KS(observe("binary", labels, predictions, weights))


@metric
def pr_auc(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Average precision, the area under the precision-recall curve in steps.

    ``sum_t (R_t - R_{t-1}) P_t`` over the distinct scores t, downwards. Steps, because a straight
    line between two points of this curve promises too much (Davis and Goadrich, "The relationship
    between Precision-Recall and ROC curves", ICML 2006).

    >>> round(pr_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return PR_AUC(observe("binary", labels, predictions, weights))


average_precision = pr_auc


@metric
def logloss(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean of ``-y log p - (1 - y) log(1 - p)``, in nats.

    p is kept one machine epsilon of its type away from 0 and 1, as scikit-learn does.

    >>> round(logloss([0, 1], [0.1, 0.8]), 4)
    0.1643
    >>> logloss([0, 1], [-3.0, 2.0]).reason
    'the predictions are no probabilities: they range from -3 to 2'
    """
    return LOGLOSS(observe("binary", labels, predictions, weights))


@metric
def accuracy(
    labels: Any, predictions: Any, weights: Any = None, threshold: float | None = None
) -> float:
    """Share of right decisions.

    >>> accuracy([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.8])
    0.75
    """
    return _counts(labels, predictions, weights, threshold).accuracy()


@metric
def precision(
    labels: Any, predictions: Any, weights: Any = None, threshold: float | None = None
) -> float:
    """Share of positives among the rows decided positive; NaN when there are none.

    >>> precision([0, 1, 1], [0.6, 0.7, 0.2])
    0.5
    """
    return positive_precision(_counts(labels, predictions, weights, threshold))


@metric
def recall(
    labels: Any, predictions: Any, weights: Any = None, threshold: float | None = None
) -> float:
    """Share of the positives that are decided positive; NaN when there are none.

    >>> recall([0, 1, 1], [0.6, 0.7, 0.2])
    0.5
    """
    return positive_recall(_counts(labels, predictions, weights, threshold))


@metric
def f1(labels: Any, predictions: Any, weights: Any = None, threshold: float | None = None) -> float:
    """``2 TP / (2 TP + FP + FN)``, the harmonic mean of precision and recall.

    >>> f1([0, 1, 1], [0.6, 0.7, 0.2])
    0.5
    """
    return positive_f1(_counts(labels, predictions, weights, threshold))


@metric
def micro_f1(
    labels: Any, predictions: Any, weights: Any = None, threshold: float | None = None
) -> float:
    """F1 of the counts of both classes together, which is the accuracy.

    >>> micro_f1([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.8])
    0.75
    """
    return _counts(labels, predictions, weights, threshold).micro_f1()


@metric
def macro_f1(
    labels: Any, predictions: Any, weights: Any = None, threshold: float | None = None
) -> float:
    """Mean of the F1 of class 0 and of class 1.

    >>> round(macro_f1([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.8]), 4)
    0.7333
    """
    return _counts(labels, predictions, weights, threshold).macro_f1()


def _counts(labels: Any, predictions: Any, weights: Any, threshold: float | None) -> ClassCounts:
    return counts_at(observe("binary", labels, predictions, weights), threshold)
