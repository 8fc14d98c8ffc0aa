import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.metrics import HistogramAccumulator, auc, ks, pr_auc
from nextrec.metrics.histogram import HALF, ScoreHistogram, bin_numbers
from nextrec.metrics.undefined import NoRowsError

NAMES = {"auc": auc, "ks": ks, "pr_auc": pr_auc}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
@settings(deadline=None)
def test_bins_keep_the_order(scores) -> None:
    bins = bin_numbers(np.sort(np.array(scores)))
    assert (np.diff(bins) >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < 2 * HALF


def test_bins_are_narrow_at_every_size() -> None:
    for score in (1e-6, 0.001, 0.3, 0.99, 40.0, -7.0):
        near, far = score * (1 + 1 / 32768), score * (1 + 1 / 4000)
        bins = bin_numbers(np.array([score, far, near]))
        assert bins[0] != bins[1]
        assert abs(bins[0] - bins[2]) <= 1


def test_zero_has_one_bin() -> None:
    bins = bin_numbers(np.array([0.0, -0.0], dtype=np.float32))
    assert bins[0] == bins[1]


def test_an_empty_histogram_has_no_curve() -> None:
    with pytest.raises(NoRowsError):
        ScoreHistogram().curve()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.random(n),
        lambda rng, n: rng.beta(1, 100, n),
        lambda rng, n: 5 * rng.normal(size=n),
        lambda rng, n: 0.5 + 1e-4 * rng.random(n),  # a model that hardly learned
        lambda rng, n: rng.integers(0, 5, n) / 4,
        lambda rng, n: np.full(n, 0.3),
    ],
)
def test_the_value_is_within_its_bound(name, draw) -> None:
    rng = np.random.default_rng(0)
    scores = draw(rng, 20_000)
    labels = (rng.random(20_000) < 0.1 + 0.3 * (scores > np.median(scores))).astype(float)
    accumulator = HistogramAccumulator(name)
    for part in np.array_split(np.arange(20_000), 7):
        accumulator.update(scores[part], labels[part])
    exact = NAMES[name](labels, scores)
    assert abs(accumulator.compute() - exact) <= accumulator.error_bound() + 1e-12


def test_bound_of_auc_is_small_for_common_scores() -> None:
    rng = np.random.default_rng(0)
    for scores in (rng.random(200_000), rng.beta(1, 50, 200_000), rng.normal(size=200_000)):
        accumulator = HistogramAccumulator("auc")
        accumulator.update(scores, rng.random(200_000) < 0.3)
        assert accumulator.error_bound() < 1e-4


def test_tied_scores_are_exact() -> None:
    scores = np.array([0.25, 0.25, 0.5, 0.5, 0.75])
    labels = np.array([0, 1, 1, 0, 1])
    accumulator = HistogramAccumulator("auc")
    accumulator.update(scores, labels)
    assert accumulator.compute() == auc(labels, scores)


def test_weights_are_counted() -> None:
    rng = np.random.default_rng(1)
    scores, weights = rng.integers(0, 9, 500) / 8, rng.random(500)
    labels = rng.random(500) < 0.4
    accumulator = HistogramAccumulator("auc")
    accumulator.update(scores, labels, weights=weights)
    assert accumulator.compute() == pytest.approx(auc(labels, scores, weights), abs=1e-12)
