import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.errors import ConfigError, DataError
from nextrec.metrics import ece, logloss, ne, pcoc, reliability_curve


def sample(rows: int = 1000):
    rng = np.random.default_rng(0)
    p = rng.beta(1, 20, rows)
    return (rng.random(rows) < p).astype(float), p, rng.random(rows)


def test_pcoc_is_predicted_over_observed() -> None:
    labels, p, weights = sample()
    assert pcoc(labels, p) == pytest.approx(p.sum() / labels.sum())
    assert pcoc(labels, p, weights) == pytest.approx((p @ weights) / (labels @ weights))
    assert pcoc([0, 0], [0.1, 0.2]).reason == "the labels sum to 0"
    assert pcoc([10.0, 20.0], [40.0, 20.0]) == 2


def test_pcoc_of_a_downsampled_model_tells_the_rate() -> None:
    labels, p, _ = sample(200_000)
    kept = (labels == 1) | (np.random.default_rng(1).random(len(p)) < 0.1)
    shifted = p / (p + (1 - p) * 0.1)  # calibrated on the kept rows
    assert pcoc(labels[kept], shifted[kept]) == pytest.approx(1, abs=0.02)
    assert pcoc(labels, shifted) > 3


def test_ne_of_the_base_rate_is_one() -> None:
    labels, p, weights = sample()
    rate = labels.mean()
    assert ne(labels, np.full(len(labels), rate)) == pytest.approx(1)
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert ne(labels, p) == pytest.approx(logloss(labels, p) / entropy)
    rate = labels @ weights / weights.sum()
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert ne(labels, p, weights) == pytest.approx(logloss(labels, p, weights) / entropy)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_ne_needs_both_classes(labels) -> None:
    assert ne(labels, [0.3, 0.4, 0.5], [0.1, 0.2, 0.7]).reason == "the labels have one class only"


def loop_ece(labels, p, weights, bins, place) -> float:
    error = 0.0
    for b in range(bins):
        inside = place == b
        if weights[inside].sum() > 0:
            gap = np.average(p[inside], weights=weights[inside]) - np.average(
                labels[inside], weights=weights[inside]
            )
            error += weights[inside].sum() * abs(gap)
    return error / weights.sum()


@pytest.mark.parametrize("bins", [1, 7, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_ece_of_equal_width(bins: int, weighted: bool) -> None:
    labels, p, weights = sample()
    weights = weights if weighted else np.ones(len(p))
    place = np.minimum((p * bins).astype(int), bins - 1)
    expected = loop_ece(labels, p, weights, bins, place)
    value = ece(labels, p, weights if weighted else None, bins=bins, binning="width")
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 8, 10])
def test_ece_of_equal_frequency(bins: int) -> None:
    labels, p, _ = sample()
    place = np.empty(1000, dtype=int)
    place[np.argsort(p)] = np.arange(1000) * bins // 1000
    expected = loop_ece(labels, p, np.ones(1000), bins, place)
    assert ece(labels, p, bins=bins) == pytest.approx(expected, rel=1e-12)
    assert reliability_curve(labels, p, bins=bins).weight.tolist() == [1000 / bins] * bins


def test_bins_of_equal_frequency_have_equal_weight() -> None:
    labels, p, weights = sample(20_000)
    curve = reliability_curve(labels, p, weights)
    np.testing.assert_allclose(curve.weight, weights.sum() / 10, rtol=1e-3)


def test_equal_predictions_share_a_bin() -> None:
    curve = reliability_curve([0, 1, 0, 1, 1], [0.3, 0.3, 0.3, 0.3, 0.9], bins=4)
    assert curve.weight.tolist() == [4, 1]
    assert curve.predicted.tolist() == pytest.approx([0.3, 0.9])
    assert curve.observed.tolist() == [0.5, 1]
    assert curve.expected_error() == pytest.approx((4 * 0.2 + 0.1) / 5)


def test_a_tie_belongs_to_the_bin_of_its_middle() -> None:
    p = [0.1] * 2 + [0.5] * 6 + [0.9] * 2  # the middle of the tie stands at 5 of 10 rows
    assert reliability_curve([1] * 10, p, bins=2).weight.tolist() == [2, 8]
    assert reliability_curve([1] * 10, p, bins=3).weight.tolist() == [2, 6, 2]


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
    st.sampled_from(["frequency", "width"]),
)
@settings(max_examples=60, deadline=None)
def test_row_order_never_matters(rows, random, binning) -> None:
    shuffled = random.sample(rows, len(rows))
    values = [
        ece([y for y, _ in each], [p / 5 for _, p in each], bins=4, binning=binning)
        for each in (rows, shuffled)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_perfect_calibration() -> None:
    assert ece([0, 1] * 50, [0.5] * 100) == 0
    assert ece([1] * 10, [1.0] * 10, binning="width") == 0


def test_what_can_not_be_judged() -> None:
    assert "no probabilities" in ece([0, 1], [-1.0, 2.0]).reason
    assert "not finite" in ece([0, 1], [0.1, np.nan]).reason
    assert "weight is 0" in ece([0, 1], [0.1, 0.2], [0.0, 0.0]).reason
    with pytest.raises(DataError, match="reliability_curve: the predictions are no probabilities"):
        reliability_curve([0, 1], [-1.0, 2.0])


@pytest.mark.parametrize("bins", [0, 2.5, True])
def test_bad_bins(bins) -> None:
    with pytest.raises(ConfigError, match="`bins`"):
        ece([0, 1], [0.1, 0.2], bins=bins)


def test_bad_binning() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'width'"):
        ece([0, 1], [0.1, 0.2], binning="widths")
