import numpy as np
import pytest
from sklearn import metrics as sk

from nextrec.errors import DataError
from nextrec.metrics import (
    compute_single_metric,
    hamming_loss,
    multilabel_auc,
    multilabel_f1,
    multilabel_logloss,
    multilabel_macro_f1,
    multilabel_micro_f1,
    multilabel_precision,
    multilabel_recall,
    subset_accuracy,
)

NAN = np.nan
ALL = [
    hamming_loss,
    multilabel_auc,
    multilabel_f1,
    multilabel_logloss,
    multilabel_macro_f1,
    multilabel_micro_f1,
    multilabel_precision,
    multilabel_recall,
    subset_accuracy,
]


def sample(rows: int = 200, count: int = 3):
    rng = np.random.default_rng(0)
    labels = (rng.random((rows, count)) < [0.2, 0.5, 0.7]).astype(float)
    p = np.clip(0.3 * labels + 0.7 * rng.random((rows, count)), 0.01, 0.99)
    return labels, p, rng.random(rows)


def averaged(score, average: str):
    return lambda y, p, **w: score(y, p > 0.5, average=average, zero_division=np.nan, **w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (hamming_loss, lambda y, p, **w: sk.hamming_loss(y, p > 0.5, **w)),
        (subset_accuracy, lambda y, p, **w: sk.accuracy_score(y, p > 0.5, **w)),
        (multilabel_auc, lambda y, p, **w: sk.roc_auc_score(y, p, average="macro", **w)),
        (multilabel_precision, averaged(sk.precision_score, "samples")),
        (multilabel_recall, averaged(sk.recall_score, "samples")),
        (multilabel_f1, averaged(sk.f1_score, "samples")),
        (multilabel_micro_f1, averaged(sk.f1_score, "micro")),
        (multilabel_macro_f1, averaged(sk.f1_score, "macro")),
    ],
)
def test_equals_scikit_learn(ours, theirs, weighted) -> None:
    labels, p, weights = sample()
    options = {"sample_weight": weights} if weighted else {}
    expected = theirs(labels, p, **options)
    assert ours(labels, p, weights if weighted else None) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "score"),
    [("pr_auc", sk.average_precision_score), ("mse", sk.mean_squared_error)],
)
def test_metrics_without_a_function_of_their_own(name, score) -> None:
    labels, p, _ = sample()
    expected = np.mean([score(y, q) for y, q in zip(labels.T, p.T, strict=True)])
    assert compute_single_metric(name, labels, p, "multilabel") == pytest.approx(expected)


def test_logloss_is_the_mean_over_cells() -> None:
    labels, p, weights = sample()
    cells = sk.log_loss(labels.ravel(), p.ravel(), sample_weight=np.repeat(weights, 3))
    assert multilabel_logloss(labels, p, weights) == pytest.approx(cells, rel=1e-12)


def test_only_observed_cells_are_judged() -> None:
    labels = np.array([[1, NAN, 0], [0, 1, NAN], [NAN, NAN, NAN], [1, 0, 1]])
    p = np.array([[0.9, 0.9, 0.8], [0.2, 0.7, NAN], [0.9, 0.9, 0.9], [0.3, 0.1, 0.6]])
    # Right: 1 0 / 1 1 / - / 0 1 1, so 2 wrong of 7 cells and one clean row of three.
    assert hamming_loss(labels, p) == pytest.approx(2 / 7)
    assert subset_accuracy(labels, p) == pytest.approx(1 / 3)
    assert multilabel_precision(labels, p) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert multilabel_recall(labels, p) == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert multilabel_micro_f1(labels, p) == pytest.approx(2 * 3 / (4 + 4))
    seen = ~np.isnan(labels)
    assert multilabel_logloss(labels, p) == pytest.approx(sk.log_loss(labels[seen], p[seen]))
    assert multilabel_auc(labels, p) == pytest.approx((1 + 1 + 0) / 3)


def test_labels_with_one_class_are_left_out_of_the_mean_auc() -> None:
    labels, p, _ = sample()
    labels[:, 1] = 1
    expected = np.mean([sk.roc_auc_score(labels[:, i], p[:, i]) for i in (0, 2)])
    assert multilabel_auc(labels, p) == pytest.approx(expected)
    assert "one class only" in multilabel_auc(np.ones((4, 2)), np.full((4, 2), 0.5)).reason


@pytest.mark.parametrize("metric", ALL)
def test_labels_must_be_0_or_1(metric) -> None:
    with pytest.raises(DataError, match=r"`labels` must be .*got 3\.0"):
        metric([[0, 3], [1, 0]], [[0.1, 0.2], [0.3, 0.4]])


@pytest.mark.parametrize("metric", ALL)
def test_nan_is_told(metric) -> None:
    assert "not finite" in metric([[0, 1]], [[0.5, NAN]]).reason
