"""Scale: fill, policies, errors, and results that no cutting of the data changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms.base import TRANSFORMS, NothingToLearn, Output
from nextrec.data.transforms.numeric import Scale
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.data.transforms.scalers import SCALERS
from nextrec.errors import ConfigError, DataError, NotFittedError
from nextrec.features import DenseFeature

PRICES = [2.0, None, 4.0, float("nan"), 12.0]


def fit(scale: Scale, column: Any, first_row: int = 0) -> Scale:
    state = scale.state()
    state.update([pa.array(column)], first_row)
    scale.learn(state)
    return scale


def apply(scale: Scale, column: Any, first_row: int = 0) -> Output:
    return scale.apply([pa.array(column)], first_row)


def values(scale: Scale, column: Any) -> list[float]:
    return apply(scale, column).values.to_pylist()


def test_missing_values_are_no_part_of_the_statistics() -> None:
    with_gaps, without = fit(Scale("x"), PRICES), fit(Scale("x"), [2.0, 4.0, 12.0])
    assert with_gaps.learned() == without.learned()
    assert with_gaps.learned()["center"] == 6.0
    assert with_gaps.learned()["scale"] == np.std([2.0, 4.0, 12.0])


@pytest.mark.parametrize(
    ("fill_na", "expected"),
    [(None, 6.0), ("mean", 6.0), ("median", 4.0), ("min", 2.0), ("max", 12.0), (5, 5.0)],
)
def test_fills_before_scaling(fill_na: Any, expected: float) -> None:
    scale = fit(Scale("x", scaler="minmax", fill_na=fill_na), PRICES)
    output = apply(scale, [None, float("nan"), 12.0])
    assert output.values.to_pylist() == [pytest.approx((expected - 2) / 10)] * 2 + [1.0]
    assert (output.missing, output.unknown, output.total) == (2, 0, 3)


def test_fill_is_known_though_the_fitted_data_had_no_gap() -> None:
    assert values(fit(Scale("x", scaler="none", fill_na=5), [1.0]), [None]) == [5.0]
    assert values(fit(Scale("x", scaler="none"), [1.0, 2.0]), [None]) == [1.5]


def test_standard_of_large_numbers_with_gaps() -> None:
    times = 1.7e9 + np.random.default_rng(0).normal(size=4_000)
    times[::2] = np.nan
    scale = fit(Scale("x"), times)
    assert scale.learned()["scale"] == pytest.approx(np.nanstd(times - 1.7e9), rel=1e-9)


def test_only_what_is_needed_is_learned() -> None:
    assert isinstance(Scale("x", scaler="log", fill_na=0).state(), NothingToLearn)
    assert isinstance(Scale("x", scaler=None, missing="error").state(), NothingToLearn)
    state = Scale("x", scaler="minmax", fill_na="min").state()
    assert (state.sums, state.sketch) == (None, None)
    state = Scale("x", scaler="robust").state()
    assert state.sums.with_squares is False


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("column", [[5.0], [3, 3, 3], [None, 7], ["1", "NA", "2.5"], [True, False]])
def test_small_columns(scaler: str, column: list) -> None:
    output = apply(fit(Scale("x", scaler=scaler), column), column)
    assert output.values.type == pa.float32()
    assert len(output.values) == len(column)
    assert np.isfinite(output.values.to_numpy()).all()


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("column", [[], [None, None], [float("nan")], ["", "NA"]])
def test_a_column_without_a_value(scaler: str, column: list) -> None:
    with pytest.raises(DataError, match=r"scale of column 'x': there is no value.*`fill_na`"):
        fit(Scale("x", scaler=scaler), column)


def test_a_column_without_a_value_and_nothing_to_learn() -> None:
    assert values(fit(Scale("x", scaler="log", fill_na=0), [None]), [None, 1.0]) == [
        0.0,
        pytest.approx(np.log(2)),
    ]


def test_empty_pieces() -> None:
    scale = fit(Scale("x"), [1.0, 2.0])
    assert values(scale, pa.array([], pa.float64())) == []
    state = scale.state()
    state.update([pa.array([], pa.string())], 0)
    assert state.count == 0


def test_policy_error() -> None:
    scale = Scale("price", "raw", missing="error")
    with pytest.raises(DataError, match=r"scale of column 'raw', row 11: .*got None"):
        fit(scale, [1.0, None], first_row=10)
    fit(scale, [1.0, 3.0])
    assert values(scale, [1.0]) == [-1.0]
    with pytest.raises(DataError, match=r"scale of column 'raw', row 6: .*got nan"):
        apply(scale, [1.0, np.nan], first_row=5)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, "abc", "0x1f", b"1"])
def test_errors_name_column_row_and_value(bad: Any) -> None:
    column = ["1", bad] if isinstance(bad, str) else [None, bad]
    named = rf"scale of column 'x', row 8: .*got .*{str(bad).lstrip('-')}"
    with pytest.raises(DataError, match=named):
        fit(Scale("x"), column, first_row=7)
    with pytest.raises(DataError, match=named):
        apply(fit(Scale("x"), [1.0, 2.0]), column, first_row=7)


def test_refuses_what_is_beyond_float32_after_scaling() -> None:
    scale = fit(Scale("x", scaler="none"), [1.0])
    assert values(scale, [3e38]) == [pytest.approx(3e38)]
    with pytest.raises(DataError, match=r"row 4: .*within float32.*not 1e\+39; got 1e\+39"):
        apply(scale, [1.0, 1e39], first_row=3)
    wide = fit(Scale("x", clip=(-10, 10)), [1.0, 2.0])
    assert values(wide, [1e300, -1e300]) == [10.0, -10.0]


def test_long_integers() -> None:
    column = [2**63 - 1, 2**63 - 7, None]
    scale = fit(Scale("x"), column)
    assert scale.learned()["scale"] == 3.0  # float64 sees one number twice
    unsigned = pa.array([0, 2**64 - 1, 2**63], pa.uint64())
    assert values(fit(Scale("x", scaler="minmax"), unsigned), unsigned) == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaler": "minmx"}, r"`scaler` must be one of .*Did you mean 'minmax'\?"),
        ({"fill_na": "avg"}, "`fill_na` must be one of a number, mean"),
        ({"fill_na": float("nan")}, "`fill_na` must be a finite number"),
        ({"fill_na": True}, "`fill_na` must be a finite number"),
        ({"fill_na": 10**400}, "`fill_na` must be a finite number"),
        ({"missing": "errors"}, r"`missing` must be one of fill, error.*Did you mean 'error'\?"),
        ({"clip": (1, -1)}, "`clip` must be two numbers"),
        ({"clip": (1, 2, 3)}, "`clip` must be two numbers"),
    ],
)
def test_settings_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match="Scale 'x': " + message):
        Scale("x", **arguments)


def test_apply_before_learn() -> None:
    with pytest.raises(NotFittedError, match="scale of column 'x'"):
        apply(Scale("x"), [1.0])
    assert values(Scale("x", scaler="none", fill_na=0), [1.0]) == [1.0]


def test_refit_forgets() -> None:
    scale = fit(Scale("x", scaler="minmax"), [0.0, 1.0])
    assert fit(scale, [0.0, 10.0]).learned() == fit(Scale("x", scaler="minmax"), [0, 10]).learned()


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("fill_na", [None, "median", 3])
def test_saved_and_restored(scaler: str, fill_na: Any) -> None:
    column = [*PRICES, -3.5]
    scale = fit(Scale("x", "raw", scaler, fill_na, clip=(-2, 2)), column)
    saved = from_bytes(to_bytes({"settings": scale.settings(), "learned": scale.learned()}))
    again = TRANSFORMS[scale.kind](**saved["settings"])
    again.restore(saved["learned"])
    assert apply(again, column).values.equals(apply(scale, column).values)
    assert (again.inputs, again.settings()) == (("raw",), scale.settings())


def test_unfitted_stays_unfitted_when_saved() -> None:
    scale = Scale("x")
    scale.restore(from_bytes(to_bytes(Scale("x").learned())))
    with pytest.raises(NotFittedError):
        apply(scale, [1.0])


def test_feature() -> None:
    feature = Scale("x").feature({"embedding_dim": 3})
    assert isinstance(feature, DenseFeature)
    assert (feature.name, feature.embedding_dim) == ("x", 3)
    assert Scale("x").vocab_size is None
    assert Scale("x").describe() == "standard"


NUMBERS = st.one_of(
    st.none(),
    st.floats(-1e6, 1e6),
    st.sampled_from([float("nan"), -0.0, 0.0, 1e17, 1e-320, 1e150]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(NUMBERS, max_size=40).filter(lambda some: any(x == x and x is not None for x in some)),
    st.sampled_from(list(SCALERS)),
    st.sampled_from([None, "median", "min", "max", 0]),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_any_order_and_cutting_learns_the_same(column, scaler, fill_na, parts, random) -> None:
    scale = Scale("x", scaler=scaler, fill_na=fill_na)
    fit(scale, pa.array(column, pa.float64()))
    shuffled = random.sample(column, len(column))
    states = []
    for part in range(parts):
        state = scale.state()
        state.update([pa.array(shuffled[part::parts], pa.float64())], part)
        state = scale.state_type().load(from_bytes(to_bytes(state.dump())))
        states.insert(random.randint(0, part), state)
    for other in states[1:]:
        states[0].merge(other)
    cut = Scale("x", scaler=scaler, fill_na=fill_na)
    cut.learn(states[0])
    assert to_bytes(cut.learned()) == to_bytes(scale.learned())
    assert not any(
        np.signbit(v) for v in cut.learned().values() if v == 0.0 and isinstance(v, float)
    )
