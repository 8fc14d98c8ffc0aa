"""Metrics of ranked lists: the rows of one group (a user, a request) ordered by score.

Arguments of all: ``labels`` ``(N,)`` (above 0 is positive; NaN rows are dropped), ``predictions``
``(N,)``, ``groups`` ``(N,)`` ids of any hashable kind, and the cut ``k``.

* Equal scores: the expected value over all their orders, so the order of rows never matters.
* Population: lists without a positive are skipped, by every metric.
* No list left, or a prediction that isn't finite: NaN with a reason.
* Every row counts once; sample weights don't apply to places in a list.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.metrics.expectation import (
    expected_first_positive,
    expected_gain,
    expected_hits,
    expected_precision_sum,
    ideal_gain,
)
from nextrec.metrics.grouping import GroupedRanking, grouped_ranking
from nextrec.metrics.inputs import check_k
from nextrec.metrics.observations import Observations, observe
from nextrec.metrics.undefined import UndefinedError, metric, ratio

Divisor = Literal["cut", "positives"]


def mean_over_lists(ranking: GroupedRanking, values: np.ndarray) -> float:
    """Mean of the values ``(G,)`` of the lists that have a positive."""
    population = ranking.positives > 0
    if not population.any():
        raise UndefinedError("no group has a positive label")
    return float(values[population].mean())


def mean_precision(ranking: GroupedRanking, k: int) -> float:
    """Value of :func:`precision_at_k`."""
    return mean_over_lists(ranking, expected_hits(ranking, k) / np.minimum(k, ranking.sizes))


def mean_recall(ranking: GroupedRanking, k: int) -> float:
    """Value of :func:`recall_at_k`."""
    found = expected_hits(ranking, k)
    return mean_over_lists(ranking, found / np.maximum(ranking.positives, 1))


def mean_hit(ranking: GroupedRanking, k: int) -> float:
    """Value of :func:`hitrate_at_k`."""
    return mean_over_lists(ranking, expected_first_positive(ranking, k)[0])


def mean_reciprocal_rank(ranking: GroupedRanking, k: int) -> float:
    """Value of :func:`mrr_at_k`."""
    return mean_over_lists(ranking, expected_first_positive(ranking, k)[1])


def mean_ndcg(ranking: GroupedRanking, k: int) -> float:
    """Value of :func:`ndcg_at_k`."""
    ideal = ideal_gain(ranking, k)
    return mean_over_lists(
        ranking, expected_gain(ranking, k) / np.where(ranking.positives > 0, ideal, 1.0)
    )


def mean_average_precision(ranking: GroupedRanking, k: int, divisor: Divisor = "cut") -> float:
    """Value of :func:`map_at_k`."""
    if divisor not in get_args(Divisor):
        raise ConfigError(unknown_option("map_at_k", "divisor", get_args(Divisor), divisor))
    positives = np.maximum(ranking.positives, 1)
    most = np.minimum(positives, k) if divisor == "cut" else positives
    return mean_over_lists(ranking, expected_precision_sum(ranking, k) / most)


def grouped_auc(ranking: GroupedRanking) -> float:
    """Value of :func:`gauc`: pairs won by positives, summed over their blocks; ties count half."""
    negatives = ranking.sizes - ranking.positives
    block_negatives = ranking.block_size - ranking.block_positives
    negatives_ahead = ranking.block_ahead - ranking.positives_ahead
    beaten = negatives[ranking.block_list] - negatives_ahead - block_negatives / 2  # (K,)
    pairs = ranking.per_list(ranking.block_positives * beaten)
    mixed = (ranking.positives > 0) & (negatives > 0)
    areas = pairs[mixed] / ranking.positives[mixed] / negatives[mixed]
    weight = ranking.sizes[mixed]
    return ratio(float(areas @ weight), int(weight.sum()), "no group has both classes")


def grouped_share(ranking: GroupedRanking) -> float:
    """Value of :func:`gauc_coverage`."""
    mixed = (ranking.positives > 0) & (ranking.positives < ranking.sizes)
    return float(ranking.sizes[mixed].sum() / ranking.sizes.sum())


def score_distance(data: Observations) -> float:
    """Mean score of positives minus mean score of the rest."""
    scores = data.predictions.astype(np.float64)
    weights = np.ones(len(data)) if data.weights is None else data.weights
    up = (data.labels > 0) * weights
    down = weights - up
    reason = "the labels have one class only"
    means = [ratio(float(each @ scores), float(each.sum()), reason) for each in (up, down)]
    return means[0] - means[1]


@metric
def gauc(labels: Any, predictions: Any, groups: Any) -> float:
    """AUC inside each group, averaged by rows: ``sum_u n_u AUC_u / sum_u n_u``.

    Groups of one class have no AUC and are skipped; :func:`gauc_coverage` tells the share of rows
    that is left (Zhu et al., "Optimized cost per click in Taobao display advertising", KDD 2017).

    Raises:
        ConfigError: ``groups`` is None; :func:`~nextrec.metrics.auc` is the metric without groups.

    >>> gauc([0, 1, 0, 1, 1], [0.1, 0.9, 0.8, 0.3, 0.5], ["a", "a", "b", "b", "c"])
    0.5
    """
    return grouped_auc(_ranking("gauc", labels, predictions, groups))


@metric
def gauc_coverage(labels: Any, predictions: Any, groups: Any) -> float:
    """Share of the rows whose group has both classes, which are those that GAUC is about.

    >>> gauc_coverage([0, 1, 0, 1, 1], [0.1, 0.9, 0.8, 0.3, 0.5], ["a", "a", "b", "b", "c"])
    0.8
    """
    return grouped_share(_ranking("gauc_coverage", labels, predictions, groups))


@metric
def precision_at_k(labels: Any, predictions: Any, groups: Any, k: int) -> float:
    """Share of positives in the first ``min(k, rows of the list)`` places.

    >>> precision_at_k([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], [7, 7, 7, 7], k=3)
    0.6666666666666666
    """
    return mean_precision(*_lists("precision_at_k", labels, predictions, groups, k))


@metric
def recall_at_k(labels: Any, predictions: Any, groups: Any, k: int) -> float:
    """Share of the list's positives that are in the first k places.

    >>> recall_at_k([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], [7, 7, 7, 7], k=2)
    0.5
    """
    return mean_recall(*_lists("recall_at_k", labels, predictions, groups, k))


@metric
def hitrate_at_k(labels: Any, predictions: Any, groups: Any, k: int) -> float:
    """Share of lists with a positive in the first k places.

    One positive among three equal scores is at the top one time in three:

    >>> round(hitrate_at_k([0, 1, 0], [0.5, 0.5, 0.5], [7, 7, 7], k=1), 4)
    0.3333
    """
    return mean_hit(*_lists("hitrate_at_k", labels, predictions, groups, k))


@metric
def mrr_at_k(labels: Any, predictions: Any, groups: Any, k: int) -> float:
    """Mean of 1/place of the first positive; 0 for a list whose first one is beyond k.

    >>> mrr_at_k([0, 1, 1], [0.9, 0.8, 0.7], [7, 7, 7], k=3)
    0.5
    """
    return mean_reciprocal_rank(*_lists("mrr_at_k", labels, predictions, groups, k))


@metric
def ndcg_at_k(labels: Any, predictions: Any, groups: Any, k: int) -> float:
    """Discounted gain of the first k places over that of the best order.

    Gain ``2^label - 1``, discount ``1 / log2(1 + place)`` (Burges et al., "Learning to rank using
    gradient descent", ICML 2005, after Järvelin and Kekäläinen, TOIS 2002). Labels below 0 have no
    gain.

    >>> round(ndcg_at_k([2, 1, 0], [0.7, 0.9, 0.8], [7, 7, 7], k=3), 4)
    0.6885
    """
    return mean_ndcg(*_lists("ndcg_at_k", labels, predictions, groups, k))


@metric
def map_at_k(labels: Any, predictions: Any, groups: Any, k: int, divisor: Divisor = "cut") -> float:
    """Mean over lists of the average precision of the first k places.

    The precisions at the places of the positives are summed and divided by ``min(positives, k)``,
    the most that fit (``divisor="cut"``: a perfect list has 1), or by all positives
    (``divisor="positives"``, as 0.3.1 did).

    >>> map_at_k([1, 1, 1], [0.9, 0.8, 0.7], [7, 7, 7], k=2)
    1.0
    """
    return mean_average_precision(*_lists("map_at_k", labels, predictions, groups, k), divisor)


@metric
def cosine(labels: Any, predictions: Any, weights: Any = None) -> float:
    """Mean score of the positives minus mean score of the others, as 0.3.1 named it.

    >>> round(cosine([1, 0, 1, 0], [0.9, 0.1, 0.5, 0.3]), 4)
    0.5
    """
    return score_distance(observe("regression", labels, predictions, weights))


def _ranking(owner: str, labels: Any, predictions: Any, groups: Any) -> GroupedRanking:
    if groups is None:
        raise ConfigError(invalid(owner, "groups", "an array with one id a row", None))
    return grouped_ranking(observe("binary", labels, predictions, groups=groups))


def _lists(
    owner: str, labels: Any, predictions: Any, groups: Any, k: Any
) -> tuple[GroupedRanking, int]:
    k = check_k(owner, k)
    return _ranking(owner, labels, predictions, groups), k
