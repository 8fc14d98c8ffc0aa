import numpy as np
import pytest
from sklearn import metrics as sk

from nextrec.metrics import (
    multiclass_accuracy,
    multiclass_auc,
    multiclass_logloss,
    multiclass_macro_f1,
    multiclass_micro_f1,
    multiclass_precision,
    multiclass_recall,
)

ALL = [
    multiclass_accuracy,
    multiclass_auc,
    multiclass_logloss,
    multiclass_macro_f1,
    multiclass_micro_f1,
    multiclass_precision,
    multiclass_recall,
]


def sample(rows: int = 300, classes: int = 4):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rng.random(rows)


def averaged(score, average: str):
    return lambda y, p, **w: score(y, p.argmax(1), average=average, zero_division=np.nan, **w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (multiclass_accuracy, lambda y, p, **w: sk.accuracy_score(y, p.argmax(1), **w)),
        (multiclass_auc, lambda y, p, **w: sk.roc_auc_score(y, p, multi_class="ovr", **w)),
        (multiclass_logloss, lambda y, p, **w: sk.log_loss(y, p, labels=range(4), **w)),
        (multiclass_macro_f1, averaged(sk.f1_score, "macro")),
        (multiclass_micro_f1, averaged(sk.f1_score, "micro")),
        (multiclass_precision, averaged(sk.precision_score, "macro")),
        (multiclass_recall, averaged(sk.recall_score, "macro")),
    ],
)
def test_equals_scikit_learn(ours, theirs, weighted) -> None:
    labels, p, weights = sample()
    options = {"sample_weight": weights} if weighted else {}
    expected = theirs(labels, p, **options)
    assert ours(labels, p, weights if weighted else None) == pytest.approx(expected, rel=1e-12)


def test_classes_that_never_occur_are_left_out() -> None:
    labels = np.array([0, 1, 1, 0])
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1]])
    decisions = p.argmax(1)
    expected = sk.f1_score(labels, decisions, average="macro")
    assert multiclass_macro_f1(labels, p) == pytest.approx(expected)
    two = [sk.roc_auc_score(labels == c, p[:, c]) for c in (0, 1)]
    assert multiclass_auc(labels, p) == pytest.approx(np.mean(two))


def test_auc_of_one_class_is_undefined() -> None:
    assert "one class only" in multiclass_auc([0, 0], [[0.6, 0.4], [0.7, 0.3]]).reason


def test_logloss_needs_distributions() -> None:
    assert "sum to 1 +- 0.4" in multiclass_logloss([0, 1], [[0.6, 0.8], [0.5, 0.5]]).reason
    assert "no probabilities" in multiclass_logloss([0, 1], [[3.0, -2.0], [0.5, 0.5]]).reason


@pytest.mark.parametrize("metric", ALL)
def test_unobserved_rows_are_dropped_and_nan_is_told(metric) -> None:
    labels, p, _ = sample()
    hidden = np.where(np.arange(300) % 4 == 0, np.nan, labels)
    seen = ~np.isnan(hidden)
    assert metric(hidden, p) == metric(labels[seen], p[seen])
    assert "not finite" in metric([0], [[np.nan, 0.5]]).reason


def test_equally_likely_classes_go_to_the_lowest_number() -> None:
    assert multiclass_accuracy([0, 1], [[0.5, 0.5], [0.5, 0.5]]) == 0.5
