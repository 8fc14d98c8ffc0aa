"""Metrics of a multiclass target.

Labels are class numbers ``(N,)``, predictions class probabilities ``(N, C)``. The decision is the
most likely class; of equally likely ones that with the lowest number, as ``argmax`` has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nextrec.metrics.classification import AUC
from nextrec.metrics.counts import ClassCounts
from nextrec.metrics.forms import macro, mean_of, on_counts
from nextrec.metrics.observations import Observations, observe, probabilities
from nextrec.metrics.undefined import UndefinedError, metric

# Softmax in bfloat16 has 8 bits a class; a row that is farther from 1 was never a distribution.
SUM_TOLERANCE = 0.05


def class_log_losses(data: Observations) -> np.ndarray:
    """``-log p`` of the labelled class of each row ``(N,)``."""
    p = probabilities(data)
    sums = p.sum(axis=1, dtype=np.float64)
    off = float(np.abs(sums - 1).max())
    if off > SUM_TOLERANCE:
        raise UndefinedError(f"the class probabilities of a row sum to 1 +- {off:.3g}")
    chosen = p[np.arange(len(data)), data.labels].astype(np.float64)  # (N, C) -> (N,)
    return -np.log(np.clip(chosen, float(np.finfo(p.dtype).eps), 1.0))


def class_counts(data: Observations) -> ClassCounts:
    """Counts of each class, ``(C,)``."""
    decisions = data.predictions.argmax(axis=1)  # (N, C) -> (N,)
    return ClassCounts.of_classes(data.labels, decisions, data.predictions.shape[1], data.weights)


def one_against_rest(data: Observations) -> list[Observations]:
    """C binary tasks: is the row of this class?"""
    return [
        Observations("binary", (data.labels == c).astype(np.float64), column, data.weights)
        for c, column in enumerate(np.ascontiguousarray(data.predictions.T))
    ]


CLASS_AUC = macro(one_against_rest, AUC)
CLASS_LOGLOSS = mean_of(class_log_losses)
CLASS_ACCURACY = on_counts(class_counts, ClassCounts.accuracy)
CLASS_PRECISION = on_counts(class_counts, ClassCounts.macro_precision)
CLASS_RECALL = on_counts(class_counts, ClassCounts.macro_recall)
CLASS_MICRO_F1 = on_counts(class_counts, ClassCounts.micro_f1)
CLASS_MACRO_F1 = on_counts(class_counts, ClassCounts.macro_f1)


@metric
def multiclass_auc(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean over classes of the AUC of the class against the rest.

    Classes that no row has, or every row, have no AUC and are left out (Provost and Domingos,
    "Well-trained PETs: improving probability estimation trees", 2000, unweighted).

    >>> multiclass_auc([0, 1, 1], [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]])
    1.0
    """
    return CLASS_AUC(observe("multiclass", labels, predictions, weights))


@metric
def multiclass_logloss(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean of ``-log p(labelled class)``, in nats.

    >>> round(multiclass_logloss([0, 1], [[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]), 4)
    0.6931
    """
    return CLASS_LOGLOSS(observe("multiclass", labels, predictions, weights))


@metric
def multiclass_accuracy(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Share of rows whose most likely class is the labelled one.

    >>> multiclass_accuracy([0, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    0.5
    """
    return CLASS_ACCURACY(observe("multiclass", labels, predictions, weights))


@metric
def multiclass_precision(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean precision of the classes that were decided for.

    >>> multiclass_precision([0, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    0.5
    """
    return CLASS_PRECISION(observe("multiclass", labels, predictions, weights))


@metric
def multiclass_recall(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean recall of the classes that have rows.

    >>> multiclass_recall([0, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    0.5
    """
    return CLASS_RECALL(observe("multiclass", labels, predictions, weights))


@metric
def multiclass_micro_f1(labels: Any, predictions: Any, weights: Any = None) -> float:
    """F1 of the counts of all classes together, which is the accuracy.

    >>> multiclass_micro_f1([0, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    0.5
    """
    return CLASS_MICRO_F1(observe("multiclass", labels, predictions, weights))


@metric
def multiclass_macro_f1(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean F1 of the classes that occur in labels or decisions.

    >>> round(multiclass_macro_f1([0, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), 4)
    0.3333
    """
    return CLASS_MACRO_F1(observe("multiclass", labels, predictions, weights))
