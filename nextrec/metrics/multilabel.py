"""Metrics of a multilabel target: a row has any number of L labels.

Labels ``(N, L)`` are 0, 1 or NaN (that label of that row was not observed), predictions ``(N, L)``
probabilities. Averages are those of 0.3.1: AUC over labels, precision, recall and F1 over rows
(Godbole and Sarawagi, "Discriminative methods for multi-labeled classification", PAKDD 2004).
A label or row for which a metric is undefined is left out of its mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nextrec.errors import DataError, invalid
from nextrec.metrics.classification import AUC, KS, LOGLOSS, PR_AUC, decide
from nextrec.metrics.counts import ClassCounts
from nextrec.metrics.forms import Sums, macro, mean_of, on_counts, through
from nextrec.metrics.inputs import OWNER
from nextrec.metrics.observations import Observations, observe
from nextrec.metrics.undefined import metric, ratio


def label_columns(data: Observations) -> list[Observations]:
    """L binary tasks, each with the rows where its label was observed."""
    columns = []
    for labels, predictions in zip(data.labels.T, data.predictions.T, strict=True):
        seen = ~np.isnan(labels)
        if seen.any():
            weights = None if data.weights is None else data.weights[seen]
            columns.append(Observations("binary", labels[seen], predictions[seen], weights))
    return columns


def cells(data: Observations) -> Observations:
    """One binary task of all observed cells."""
    seen = ~np.isnan(data.labels)  # (N, L)
    weights = None
    if data.weights is not None:
        weights = np.broadcast_to(data.weights[:, None], seen.shape)[seen]
    return Observations("binary", data.labels[seen], data.predictions[seen], weights)


def counts_by_label(data: Observations) -> ClassCounts:
    """Counts of each label, ``(L,)``."""
    labels, decisions, seen = _decisions(data)
    weights = seen if data.weights is None else seen * data.weights[:, None]
    return ClassCounts.of_labels(labels, decisions, weights, axis=0)


def counts_by_row(data: Observations) -> ClassCounts:
    """Counts of each row, ``(N,)``, without its weight."""
    return ClassCounts.of_labels(*_decisions(data), axis=1)


def _decisions(data: Observations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    seen = ~np.isnan(data.labels)
    labels = np.where(seen, data.labels, 0.0)
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        raise DataError(invalid(OWNER, "labels", "0 or 1", float(labels[wrong][0])))
    return labels, decisions_where(data, seen), seen.astype(np.float64)


def decisions_where(data: Observations, seen: np.ndarray) -> np.ndarray:
    """Decisions ``(N, L)``, 0 where nothing was observed."""
    known = Observations("binary", data.labels, np.where(seen, data.predictions, 0.0))
    return decide(known, None).astype(np.float64)


def exact_rows(data: Observations) -> np.ndarray:
    """1 for each row with no wrong decision, else 0, ``(N,)``."""
    counts = data.once(counts_by_row)
    return (counts.decided + counts.actual == 2 * counts.hits).astype(np.float64)


def mean_over_rows(values: str, reason: str) -> Sums:
    """Weighted mean of a value of each row's counts, over the rows that define it."""

    def terms(data: Observations) -> np.ndarray:
        rows = getattr(data.once(counts_by_row), values)()  # (N,)
        defined = ~np.isnan(rows)
        return np.array([data.total(np.where(defined, rows, 0.0)), data.total(defined * 1.0)])

    return Sums(terms, lambda sums: ratio(sums[0], sums[1], reason))


LABEL_AUC = macro(label_columns, AUC)
LABEL_KS = macro(label_columns, KS)
LABEL_PR_AUC = macro(label_columns, PR_AUC)
CELL_LOGLOSS = through(cells, LOGLOSS)
SUBSET_ACCURACY = mean_of(exact_rows)
HAMMING_LOSS = on_counts(counts_by_label, ClassCounts.hamming_loss)
ROW_PRECISION = mean_over_rows("precision", "no row has a decision for a label")
ROW_RECALL = mean_over_rows("recall", "no row has a label")
ROW_F1 = mean_over_rows("f1", "no row has a label or a decision for one")
LABEL_MICRO_F1 = on_counts(counts_by_label, ClassCounts.micro_f1)
LABEL_MACRO_F1 = on_counts(counts_by_label, ClassCounts.macro_f1)


@metric
def multilabel_auc(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean over labels of the AUC of each label that has both classes.

    >>> multilabel_auc([[0, 1], [1, 1]], [[0.2, 0.9], [0.7, 0.8]])
    1.0
    """
    return LABEL_AUC(observe("multilabel", labels, predictions, weights))


@metric
def multilabel_logloss(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean log loss of the observed cells, in nats.

    >>> round(multilabel_logloss([[0, 1], [1, float("nan")]], [[0.5, 0.5], [0.5, 0.1]]), 4)
    0.6931
    """
    return CELL_LOGLOSS(observe("multilabel", labels, predictions, weights))


@metric
def hamming_loss(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Share of wrong decisions among the observed cells.

    >>> hamming_loss([[0, 1], [1, 1]], [[0.2, 0.9], [0.7, 0.1]])
    0.25
    """
    return HAMMING_LOSS(observe("multilabel", labels, predictions, weights))


@metric
def subset_accuracy(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Share of rows whose every observed label is decided right.

    >>> subset_accuracy([[0, 1], [1, 1]], [[0.2, 0.9], [0.7, 0.1]])
    0.5
    """
    return SUBSET_ACCURACY(observe("multilabel", labels, predictions, weights))


@metric
def multilabel_precision(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean precision of the rows with a positive decision.

    >>> multilabel_precision([[0, 1], [1, 0]], [[0.9, 0.9], [0.2, 0.1]])
    0.5
    """
    return ROW_PRECISION(observe("multilabel", labels, predictions, weights))


@metric
def multilabel_recall(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean recall of the rows with a label.

    >>> multilabel_recall([[0, 1], [1, 0]], [[0.9, 0.9], [0.2, 0.1]])
    0.5
    """
    return ROW_RECALL(observe("multilabel", labels, predictions, weights))


@metric
def multilabel_f1(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean F1 of the rows with a label or a positive decision.

    >>> round(multilabel_f1([[0, 1], [1, 0]], [[0.9, 0.9], [0.2, 0.1]]), 4)
    0.3333
    """
    return ROW_F1(observe("multilabel", labels, predictions, weights))


@metric
def multilabel_micro_f1(labels: Any, predictions: Any, weights: Any = None) -> float:
    """F1 of the counts of all labels together.

    >>> round(multilabel_micro_f1([[0, 1], [1, 1]], [[0.2, 0.9], [0.7, 0.1]]), 4)
    0.8
    """
    return LABEL_MICRO_F1(observe("multilabel", labels, predictions, weights))


@metric
def multilabel_macro_f1(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean F1 of the labels that occur in labels or decisions.

    >>> round(multilabel_macro_f1([[0, 1], [1, 1]], [[0.2, 0.9], [0.7, 0.1]]), 4)
    0.8333
    """
    return LABEL_MACRO_F1(observe("multilabel", labels, predictions, weights))
