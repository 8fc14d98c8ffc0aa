"""The formulas against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn import preprocessing

from nextrec.data.transforms.number_state import NumberState
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.data.transforms.scalers import SCALERS, Scaler
from nextrec.errors import DataError

GENERATOR = np.random.default_rng(0)
COLUMNS = {
    "normal": GENERATOR.normal(size=2_000),
    "times": 1.7e9 + GENERATOR.normal(size=2_000) * 1e4,
    "skewed": GENERATOR.lognormal(0, 4, 2_000),
    "counts": GENERATOR.integers(-3, 8, 2_000).astype(float),
    "mostly zero": np.where(GENERATOR.random(2_000) < 0.8, 0.0, GENERATOR.normal(size=2_000)),
    "constant": np.full(50, 3.25),
    "zero": np.zeros(50),
    "one row": np.array([-7.5]),
    "two rows": np.array([1.0, 2.0]),
}
OURS_AND_THEIRS = {
    "standard": preprocessing.StandardScaler(),
    "minmax": preprocessing.MinMaxScaler(),
    "maxabs": preprocessing.MaxAbsScaler(),
    "robust": preprocessing.RobustScaler(),
}


def fitted(scaler: str, values: np.ndarray) -> Scaler:
    made = SCALERS[scaler]()
    state = NumberState("column 'x'", made.needs)
    state.update([pa.array(values)], 0)
    made.fit(state)
    return made


def new_values(values: np.ndarray) -> np.ndarray:
    """The fitted values, and others around and far outside of them."""
    low, high = values.min(), values.max()
    return np.concatenate([values, np.linspace(low - 5, high + 5, 97), [-1e9, 1e9]])


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("scaler", OURS_AND_THEIRS)
def test_equals_scikit_learn(scaler: str, column: str) -> None:
    values = COLUMNS[column]
    reference = OURS_AND_THEIRS[scaler].fit(values[:, None])
    seen = new_values(values)
    expected = reference.transform(seen[:, None])[:, 0]
    np.testing.assert_allclose(fitted(scaler, values)(seen), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("column", COLUMNS)
def test_quantile_equals_scikit_learn(column: str) -> None:
    values = COLUMNS[column]
    reference = preprocessing.QuantileTransformer(
        n_quantiles=min(1_000, len(values)), subsample=None
    ).fit(values[:, None])
    seen = new_values(values)
    expected = reference.transform(seen[:, None])[:, 0]
    if len(np.unique(values)) > 1:  # theirs calls every value of a constant column the lowest
        np.testing.assert_allclose(fitted("quantile", values)(seen), expected, atol=1e-9)


def test_quantile_of_a_constant_column() -> None:
    scaler = fitted("quantile", COLUMNS["constant"])
    assert scaler(np.array([3.0, 3.25, 4.0])).tolist() == [0.0, 0.0, 1.0]


def test_quantile_is_even() -> None:
    shares = fitted("quantile", COLUMNS["skewed"])(COLUMNS["skewed"])
    assert stats.kstest(shares, "uniform").statistic < 2e-3
    assert (shares.min(), shares.max()) == (0.0, 1.0)


def test_quantile_normal_equals_the_normal_quantile_of_the_share() -> None:
    seen = new_values(COLUMNS["skewed"])
    shares = np.clip(fitted("quantile", COLUMNS["skewed"])(seen), 1e-7, 1 - 1e-7)
    found = fitted("quantile_normal", COLUMNS["skewed"])(seen)
    np.testing.assert_allclose(found, stats.norm.ppf(shares), rtol=1e-12, atol=1e-14)
    assert np.abs(found).max() < 5.2


def test_log_counts_negative_numbers_as_zero() -> None:
    values = np.array([-3.0, 0.0, 1e-12, 5.0])
    assert SCALERS["log"]()(values).tolist() == [0.0, 0.0, np.log1p(1e-12), np.log1p(5.0)]


def test_none_changes_nothing() -> None:
    values = np.array([-3.0, 1e300])
    assert SCALERS["none"]()(values).tolist() == values.tolist()


def test_a_narrow_column_is_not_constant() -> None:
    values = np.array([1.0, 3.0]) * 1e-300
    for scaler in ("standard", "minmax", "robust"):
        scaled = fitted(scaler, values)(values)
        assert scaled[1] - scaled[0] == pytest.approx(
            {"robust": 2.0, "standard": 2.0}.get(scaler, 1.0)
        )


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "quantile"])
def test_refuses_a_range_beyond_float64(scaler: str) -> None:
    with pytest.raises(DataError, match=r"column 'x'.*apart; got"):
        fitted(scaler, np.array([-1e308, 1e308]))


@pytest.mark.parametrize("scaler", SCALERS)
def test_restores_what_was_learned(scaler: str) -> None:
    one, other = fitted(scaler, COLUMNS["skewed"]), SCALERS[scaler]()
    other.restore(from_bytes(to_bytes(one.learned())))
    seen = new_values(COLUMNS["skewed"])
    np.testing.assert_array_equal(one(seen), other(seen))
