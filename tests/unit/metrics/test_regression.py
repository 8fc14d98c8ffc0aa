import numpy as np
import pytest
from sklearn import metrics as sk

from nextrec.metrics import Undefined, mae, mape, mse, msle, r2, rmse

ALL = [mse, mae, rmse, r2, mape, msle]


def sample(rows: int = 300, dtype: type = np.float64):
    rng = np.random.default_rng(0)
    labels = rng.gamma(2, 3, rows).astype(dtype)
    return labels, (labels + rng.normal(size=rows)).clip(0).astype(dtype), rng.random(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (mse, sk.mean_squared_error),
        (mae, sk.mean_absolute_error),
        (rmse, sk.root_mean_squared_error),
        (r2, sk.r2_score),
        (mape, lambda y, p, **w: 100 * sk.mean_absolute_percentage_error(y, p, **w)),
        (msle, sk.mean_squared_log_error),
    ],
)
def test_equals_scikit_learn(ours, theirs, weighted, dtype) -> None:
    labels, predictions, weights = sample(dtype=dtype)
    options = {"sample_weight": weights} if weighted else {}
    exact = [each.astype(np.float64) for each in (labels, predictions)]
    expected = theirs(*exact, **options)
    value = ours(labels, predictions, weights if weighted else None)
    assert value == pytest.approx(expected, rel=1e-12)


def test_mape_skips_labels_of_zero() -> None:
    assert mape([0.0, -4.0], [5.0, -3.0]) == 25
    assert mape([0.0, 0.0], [1.0, 2.0]).reason == "every label is 0"


def test_msle_counts_a_prediction_below_0_as_0() -> None:
    assert msle([0.0], [-5.0]) == 0
    assert "above -1; the least is -1" in msle([-1.0], [0.0]).reason
    assert msle([-0.5], [0.0]) == pytest.approx(np.log(0.5) ** 2)


def test_r2_of_equal_labels_is_undefined() -> None:
    assert r2([2.0, 2.0], [2.0, 2.0]).reason == "all labels are equal"


def test_r2_of_labels_far_from_zero() -> None:
    labels, predictions, _ = sample()
    assert r2(labels + 1e9, predictions + 1e9) == pytest.approx(r2(labels, predictions), rel=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_missing_and_spoiled_rows(metric) -> None:
    labels, predictions, _ = sample()
    hidden = np.where(np.arange(300) % 3 == 0, np.nan, labels)
    seen = ~np.isnan(hidden)
    assert metric(hidden, predictions) == metric(labels[seen], predictions[seen])
    assert "not finite" in metric([1.0, 2.0], [1.0, np.nan]).reason
    assert isinstance(metric([1.0, 2.0], [1.0, 2.0], [0.0, 0.0]), Undefined)


def test_an_overflow_is_no_number() -> None:
    assert "overflows" in mse([0.0], [1e200]).reason
    assert "overflows" in r2([0.0, 1.0], [1e200, 0.0]).reason
