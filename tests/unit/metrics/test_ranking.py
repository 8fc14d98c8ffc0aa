"""Ranking metrics against every order of the tied rows, loops per user, and scikit-learn."""

import itertools
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
from sklearn import metrics as sk

from nextrec.errors import ConfigError, DataError
from nextrec.metrics import (
    cosine,
    gauc,
    gauc_coverage,
    hitrate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

AT_K = [precision_at_k, recall_at_k, hitrate_at_k, mrr_at_k, ndcg_at_k, map_at_k]


# -- one list in one order, as the definitions say it ---------------------------------------------


def precision_of(labels, k):
    return sum(y > 0 for y in labels[:k]) / min(k, len(labels))


def recall_of(labels, k):
    return sum(y > 0 for y in labels[:k]) / sum(y > 0 for y in labels)


def hit_of(labels, k):
    return float(any(y > 0 for y in labels[:k]))


def reciprocal_of(labels, k):
    return next((1 / place for place, y in enumerate(labels[:k], 1) if y > 0), 0.0)


def ndcg_of(labels, k):
    def gain(order):
        return sum((2**y - 1) / math.log2(1 + place) for place, y in enumerate(order[:k], 1))

    return gain(labels) / gain(sorted(labels, reverse=True))


def average_precision_of(labels, k, divisor="cut"):
    hits, total = 0, 0.0
    for place, y in enumerate(labels[:k], 1):
        if y > 0:
            hits += 1
            total += hits / place
    positives = sum(y > 0 for y in labels)
    return total / (min(positives, k) if divisor == "cut" else positives)


DEFINITIONS = [
    (precision_at_k, precision_of),
    (recall_at_k, recall_of),
    (hitrate_at_k, hit_of),
    (mrr_at_k, reciprocal_of),
    (ndcg_at_k, ndcg_of),
    (map_at_k, average_precision_of),
]


def over_orders(definition, labels, scores, k):
    """Mean over all orders that the scores allow."""
    values = []
    for order in itertools.permutations(range(len(labels))):
        if all(scores[i] >= scores[j] for i, j in itertools.pairwise(order)):
            values.append(definition([labels[i] for i in order], k))
    return math.fsum(values) / len(values)


small_lists = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 2]), st.integers(0, 2)), min_size=1, max_size=6
).filter(lambda rows: any(y for y, _ in rows))


@pytest.mark.parametrize(("metric", "definition"), DEFINITIONS)
@given(rows=small_lists, k=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_expectation_over_every_order(metric, definition, rows, k) -> None:
    labels, scores = [y for y, _ in rows], [s for _, s in rows]
    expected = over_orders(definition, labels, scores, k)
    assert metric(labels, scores, [0] * len(rows), k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("positives", [1, 2, 3, 6])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 9])
@pytest.mark.parametrize(("metric", "definition"), DEFINITIONS)
def test_constant_scores(metric, definition, positives, k) -> None:
    labels = [1] * positives + [0] * (6 - positives)
    orders = set(itertools.permutations(labels))
    expected = math.fsum(definition(list(each), k) for each in orders) / len(orders)
    for shuffled in (labels, labels[::-1]):
        value = metric(shuffled, [0.5] * 6, ["u"] * 6, k)
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("size", "positives", "k"), [(1000, 3, 10), (1000, 400, 20), (50, 49, 2)])
def test_hitrate_of_a_large_tie_is_hypergeometric(size: int, positives: int, k: int) -> None:
    labels = np.arange(size) < positives
    expected = 1 - hypergeom(size, positives, k).pmf(0)
    assert hitrate_at_k(labels, np.zeros(size), np.zeros(size), k) == pytest.approx(
        expected, rel=1e-9
    )


def test_a_large_tie_against_random_orders() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(200) < 15).astype(int)
    for metric, definition in DEFINITIONS:
        drawn = [definition(list(rng.permutation(labels)), 30) for _ in range(3000)]
        error = np.std(drawn) / math.sqrt(len(drawn))
        value = metric(labels, np.zeros(200), np.zeros(200), 30)
        assert value == pytest.approx(np.mean(drawn), abs=5 * error)


# -- many lists -----------------------------------------------------------------------------------


def sample(seed: int, rows: int = 2000, users: int = 150, grades: int = 2, levels: int = 0):
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, rows)
    # A fifth of the users have no positive.
    labels = rng.integers(0, grades, rows) * (rng.random(rows) < 0.4) * (user >= users / 5)
    scores = rng.normal(size=rows) + 0.5 * labels
    scores = np.round(scores * levels) if levels else scores
    return labels, scores, user


@pytest.mark.parametrize("k", [1, 3, 10, 1000])
@pytest.mark.parametrize("grades", [2, 4])
@pytest.mark.parametrize(("metric", "definition"), DEFINITIONS)
def test_mean_over_users_that_have_a_positive(metric, definition, grades, k) -> None:
    labels, scores, users = sample(1, grades=grades)
    values = []
    for user in np.unique(users):
        mine = np.flatnonzero(users == user)
        ordered = labels[mine[np.argsort(-scores[mine])]].tolist()
        if any(ordered):
            values.append(definition(ordered, k))
    assert 100 < len(values) <= 120
    assert metric(labels, scores, users, k) == pytest.approx(np.mean(values), abs=1e-12)


def test_map_divided_by_all_positives() -> None:
    labels = [1, 1, 1, 1, 1]
    assert map_at_k(labels, [5, 4, 3, 2, 1], [0] * 5, 2) == 1
    assert map_at_k(labels, [5, 4, 3, 2, 1], [0] * 5, 2, divisor="positives") == pytest.approx(0.4)
    with pytest.raises(ConfigError, match="`divisor`"):
        map_at_k(labels, labels, labels, 2, divisor="all")


def test_ndcg_equals_scikit_learn() -> None:
    """Without a cut its tie rule is the expectation too; with a cut only when nothing ties."""
    labels, scores, users = sample(2, grades=4, levels=2)
    gains = 2.0**labels - 1
    values = [
        sk.ndcg_score(gains[None, users == u], scores[None, users == u])
        for u in np.unique(users)
        if labels[users == u].any() and (users == u).sum() > 1
    ]
    assert ndcg_at_k(labels, scores, users, 1000) == pytest.approx(np.mean(values), abs=1e-12)
    labels, scores, users = sample(2, grades=4)
    values = [
        sk.ndcg_score(2.0 ** labels[None, users == u] - 1, scores[None, users == u], k=3)
        for u in np.unique(users)
        if labels[users == u].any() and (users == u).sum() > 1
    ]
    assert ndcg_at_k(labels, scores, users, 3) == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("levels", [0, 2])
def test_gauc_is_the_mean_of_user_aucs_by_rows(levels: int) -> None:
    labels, scores, users = sample(3, levels=levels)
    areas, rows = [], []
    for user in np.unique(users):
        mine = users == user
        if 0 < labels[mine].sum() < mine.sum():
            areas.append(sk.roc_auc_score(labels[mine], scores[mine]))
            rows.append(mine.sum())
    assert len(areas) < 150
    assert gauc(labels, scores, users) == pytest.approx(np.average(areas, weights=rows), abs=1e-12)
    assert gauc_coverage(labels, scores, users) == sum(rows) / 2000


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25
    ),
    st.randoms(use_true_random=False),
    st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_row_order_and_group_names_never_matter(rows, random, k) -> None:
    shuffled = random.sample(rows, len(rows))
    for metric in (*AT_K, gauc):
        cut = () if metric is gauc else (k,)
        before = metric(
            [y for y, _, _ in rows], [s for _, s, _ in rows], [u for *_, u in rows], *cut
        )
        renamed = [f"user {9 - u}" for *_, u in shuffled]
        after = metric([y for y, _, _ in shuffled], [s for _, s, _ in shuffled], renamed, *cut)
        assert before == pytest.approx(after, abs=1e-12, nan_ok=True)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25
    ),
    st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_bounds_and_relations(rows, k) -> None:
    labels, scores, users = ([row[i] for row in rows] for i in range(3))
    if not any(labels):
        return
    values = {metric: metric(labels, scores, users, k) for metric in AT_K}
    assert all(-1e-12 <= value <= 1 + 1e-12 for value in values.values())
    assert values[mrr_at_k] <= values[hitrate_at_k] + 1e-12
    assert values[recall_at_k] <= values[hitrate_at_k] + 1e-12
    perfect = [metric(labels, labels, users, k) for metric in (ndcg_at_k, hitrate_at_k, map_at_k)]
    assert perfect == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    "dress",
    [
        list,
        lambda ids: np.array([f"user {i}" for i in ids]),
        lambda ids: np.array([f"user {i}" for i in ids], dtype=object),
        lambda ids: pd.Series(ids).astype(pd.ArrowDtype(pa.int64())),
        lambda ids: pd.Series([f"user {i}" for i in ids]),
    ],
)
def test_ids_of_any_kind(dress) -> None:
    labels, scores, users = sample(4)
    assert gauc(labels, scores, dress(users)) == gauc(labels, scores, users)


# -- what has no value, and what is an error -------------------------------------------------------


@pytest.mark.parametrize("metric", AT_K)
def test_users_without_a_positive_are_skipped(metric) -> None:
    labels, scores, users = [1, 0, 0, 0], [0.9, 0.1, 0.8, 0.7], [0, 0, 1, 1]
    assert metric(labels, scores, users, 1) == 1


@pytest.mark.parametrize("metric", AT_K)
def test_undefined(metric) -> None:
    assert metric([0, 0], [0.1, 0.2], [1, 1], 3).reason == "no group has a positive label"
    assert "not finite" in metric([0, 1], [np.nan, 0.2], [1, 1], 3).reason
    assert "not finite" in metric([0, 1], [np.inf, 0.2], [1, 1], 3).reason
    assert "no label is observed" in metric([np.nan], [0.1], [1], 3).reason


def test_undefined_gauc() -> None:
    assert gauc([1, 0], [0.1, 0.2], [1, 2]).reason == "no group has both classes"
    assert gauc_coverage([1, 0], [0.1, 0.2], [1, 2]) == 0


@pytest.mark.parametrize("metric", AT_K)
def test_unobserved_labels_are_dropped(metric) -> None:
    labels, scores, users = sample(5)
    hidden = np.where(np.arange(2000) % 3 == 0, np.nan, labels)
    seen = ~np.isnan(hidden)
    expected = metric(labels[seen], scores[seen], users[seen], 5)
    assert metric(hidden, scores, users, 5) == pytest.approx(expected, abs=1e-12)


def test_groups_are_named_when_they_are_missing() -> None:
    for metric in AT_K:
        message = f"{metric.__name__}: `groups` must be an array with one id a row; got None"
        with pytest.raises(ConfigError, match=message):
            metric([0, 1], [0.1, 0.2], None, 2)
    with pytest.raises(ConfigError, match="gauc: `groups`"):
        gauc([0, 1], [0.1, 0.2], None)


@pytest.mark.parametrize("metric", AT_K)
def test_bad_arguments(metric) -> None:
    with pytest.raises(DataError, match="2 labels; got 3"):
        metric([0, 1], [0.1, 0.2], [1, 1, 1], 2)
    with pytest.raises(ConfigError, match=rf"{metric.__name__}: `k` must be"):
        metric([0, 1], [0.1, 0.2], [1, 1], 0)


def test_grades_that_overflow_are_no_number() -> None:
    assert "overflows" in ndcg_at_k([2000, 1], [0.1, 0.2], [1, 1], 2).reason


def test_labels_below_zero_have_no_gain() -> None:
    assert ndcg_at_k([-3, 1, 0], [3, 2, 1], [1, 1, 1], 3) == pytest.approx(1 / math.log2(3))


def test_cosine_is_a_distance_of_means() -> None:
    labels, scores, _ = sample(6)
    expected = scores[labels > 0].mean() - scores[labels == 0].mean()
    assert cosine(labels, scores) == pytest.approx(expected)
    assert cosine([1, 0, 0], [0.9, 0.1, 0.5], [1, 3, 1]) == pytest.approx(0.9 - 0.2)
    assert "one class" in cosine([1, 1], [0.1, 0.2]).reason
