import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nextrec.errors import DataError
from nextrec.metrics import (
    Undefined,
    accuracy,
    auc,
    average_precision,
    f1,
    ks,
    logloss,
    macro_f1,
    micro_f1,
    pr_auc,
    precision,
    recall,
)

SCORED = [auc, ks, pr_auc, logloss, accuracy, precision, recall, f1, micro_f1, macro_f1]


def sample(seed: int, rows: int = 400, levels: int = 0, dtype: type = np.float64):
    """Labels, predictions and weights; with levels, predictions are tied."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(float)
    predictions = np.clip(0.3 * labels + 0.7 * rng.random(rows), 0.01, 0.99)
    if levels:
        predictions = np.round(predictions * levels) / levels
    return labels, predictions.astype(dtype), rng.random(rows) * 3


@pytest.mark.parametrize("levels", [0, 10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (auc, sk.roc_auc_score),
        (pr_auc, sk.average_precision_score),
        (logloss, sk.log_loss),
        (accuracy, lambda y, p, **w: sk.accuracy_score(y, p > 0.5, **w)),
        (precision, lambda y, p, **w: sk.precision_score(y, p > 0.5, **w)),
        (recall, lambda y, p, **w: sk.recall_score(y, p > 0.5, **w)),
        (f1, lambda y, p, **w: sk.f1_score(y, p > 0.5, **w)),
        (micro_f1, lambda y, p, **w: sk.f1_score(y, p > 0.5, average="micro", **w)),
        (macro_f1, lambda y, p, **w: sk.f1_score(y, p > 0.5, average="macro", **w)),
    ],
)
def test_equals_scikit_learn(ours, theirs, weighted, dtype, levels) -> None:
    labels, predictions, weights = sample(1, levels=levels, dtype=dtype)
    options = {"sample_weight": weights} if weighted else {}
    expected = theirs(labels, predictions, **options)
    value = ours(labels, predictions, weights if weighted else None)
    # scikit-learn sums float32 logarithms in float32.
    assert value == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("levels", [0, 4])
def test_ks_is_the_largest_gap_of_the_roc_curve(levels: int) -> None:
    labels, predictions, weights = sample(2, levels=levels)
    fpr, tpr, _ = sk.roc_curve(labels, predictions, sample_weight=weights)
    assert ks(labels, predictions, weights) == pytest.approx(np.abs(tpr - fpr).max(), abs=1e-12)


def test_ks_of_a_constant_score_is_zero() -> None:
    assert ks([0, 1] * 50, [0.5] * 100) == 0
    assert ks([0] * 50 + [1] * 50, [0.5] * 100) == 0
    assert auc([0] * 50 + [1] * 50, [0.5] * 100) == 0.5


def test_auc_is_the_chance_of_a_pair_in_order() -> None:
    labels, predictions, weights = sample(3, rows=60, levels=5)
    won = total = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pair = weights[i] * weights[j]
            total += pair
            won += pair * (
                (predictions[i] > predictions[j]) + (predictions[i] == predictions[j]) / 2
            )
    assert auc(labels, predictions, weights) == pytest.approx(won / total, abs=1e-12)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=30
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_row_order_never_matters(rows, random) -> None:
    shuffled = random.sample(rows, len(rows))
    for metric in SCORED:
        before, after = (
            metric([y for y, _, _ in each], [p / 4 for _, p, _ in each], [w for _, _, w in each])
            for each in (rows, shuffled)
        )
        assert before == pytest.approx(after, abs=1e-12, nan_ok=True)


def test_an_integer_weight_is_a_repeated_row() -> None:
    labels, predictions, _ = sample(4, rows=80, levels=6)
    times = np.random.default_rng(0).integers(0, 4, 80)
    for metric in SCORED:
        repeated = metric(np.repeat(labels, times), np.repeat(predictions, times))
        assert metric(labels, predictions, times) == pytest.approx(repeated, abs=1e-12)


def test_ties_are_judged_on_the_values_as_given() -> None:
    close = np.array([0.5, 0.5 + 1e-12])
    assert auc([0, 1], close) == 1
    assert auc([0, 1], close.astype(np.float32)) == 0.5


@pytest.mark.parametrize(
    ("metric", "labels", "predictions", "reason"),
    [
        (auc, [1, 1], [0.1, 0.2], "one class"),
        (ks, [0, 0], [0.1, 0.2], "one class"),
        (pr_auc, [0, 0], [0.1, 0.2], "no label is positive"),
        (precision, [0, 1], [0.1, 0.2], "no prediction is above the threshold"),
        (recall, [0, 0], [0.1, 0.9], "no label is positive"),
        (f1, [0, 0], [0.1, 0.2], "no label and no prediction is positive"),
        (logloss, [0, 1], [0.1, 1.2], "no probabilities: they range from 0.1 to 1.2"),
        (accuracy, [0, 1], [-3.0, 4.0], "no probabilities"),
    ],
)
def test_undefined_is_nan_with_a_reason(metric, labels, predictions, reason) -> None:
    value = metric(labels, predictions)
    assert isinstance(value, Undefined)
    assert reason in value.reason


@pytest.mark.parametrize("metric", SCORED)
def test_every_metric_refuses_to_judge_what_is_not_there(metric) -> None:
    assert "not finite" in metric([0, 1], [0.5, np.nan]).reason
    assert "not finite" in metric([0, 1], [0.5, np.inf]).reason
    assert "no label is observed" in metric([np.nan], [0.5]).reason
    assert isinstance(metric([0, 1], [0.2, 0.7], [0.0, 0.0]), Undefined)


@pytest.mark.parametrize("metric", SCORED)
def test_unobserved_labels_are_dropped(metric) -> None:
    labels, predictions, _ = sample(5)
    hidden = np.where(np.arange(400) % 3 == 0, np.nan, labels)
    seen = ~np.isnan(hidden)
    assert metric(hidden, predictions) == metric(labels[seen], predictions[seen])


@pytest.mark.parametrize("metric", SCORED)
def test_labels_that_are_no_classes_are_an_error(metric) -> None:
    with pytest.raises(DataError, match=r"`labels` must be .*got 2\.0"):
        metric([0, 2], [0.1, 0.2])


def test_threshold_judges_raw_scores() -> None:
    labels, scores = [0, 0, 1, 1], [-2.0, 1.0, 0.5, 3.0]
    assert accuracy(labels, scores, threshold=0) == 0.75
    assert precision(labels, scores, threshold=0) == pytest.approx(2 / 3)
    assert recall(labels, scores, threshold=2) == 0.5
    assert f1(labels, scores, threshold=0) == pytest.approx(0.8)
    assert micro_f1(labels, scores, threshold=0) == 0.75
    assert 0.7 < macro_f1(labels, scores, threshold=0) < 0.75


def test_a_half_is_not_above_the_threshold() -> None:
    assert accuracy([0, 1], [0.5, 0.6]) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sure_and_wrong_costs_a_finite_amount(dtype) -> None:
    predictions = np.array([1.0, 0.0], dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sk.log_loss([0, 1], predictions)
    assert logloss([0, 1], predictions) == pytest.approx(expected, rel=1e-6)


def test_logloss_takes_shares_as_labels() -> None:
    expected = -(0.25 * np.log(0.4) + 0.75 * np.log(0.6))
    assert logloss([0.25], [0.4]) == pytest.approx(expected)


def test_average_precision_is_another_name() -> None:
    assert average_precision is pr_auc
