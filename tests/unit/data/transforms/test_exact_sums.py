"""Sums against rational arithmetic, in any order and cutting."""

from __future__ import annotations

import json
import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import exact_sums
from nextrec.data.transforms.exact_sums import ExactSums
from nextrec.errors import DataError

FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.floats(-1e6, 1e6)
EXTREME = st.sampled_from([1.7976931348623157e308, -1e308, 5e-324, -2.2e-308, 1e-308, 0.1, 1e16])
REALS = st.lists(st.one_of(FINITE, PLAIN, EXTREME), max_size=40)
LONG = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40)


def sums_of(values: np.ndarray, squares: bool = True) -> ExactSums:
    sums = ExactSums(squares)
    sums.add(values)
    return sums


def rounded(value: Fraction) -> float:
    """The nearest float64, or an infinity beyond it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check(sums: ExactSums, values: list[Fraction]) -> None:
    count = len(values)
    assert sums.count == count
    assert sums.sum == rounded(sum(values, Fraction()))
    assert sums.sum_of_squares == rounded(sum((each**2 for each in values), Fraction()))
    if count:
        mean = sum(values, Fraction()) / count
        assert sums.mean == rounded(mean)
        variance = sum(((each - mean) ** 2 for each in values), Fraction()) / count
        assert sums.variance == rounded(variance)
        assert nearest_root(variance, sums.std)


def nearest_root(square: Fraction, root: float) -> bool:
    """Whether no other float64 is nearer to the root of ``square``, ties aside."""
    below = (Fraction(math.nextafter(root, 0.0)) + Fraction(root)) / 2
    above = (Fraction(math.nextafter(root, math.inf)) + Fraction(root)) / 2
    return below**2 <= square <= above**2


@settings(deadline=None)
@given(REALS)
def test_equals_rational_sums_to_the_last_bit(values: list[float]) -> None:
    check(sums_of(np.array(values, np.float64)), [Fraction(each) for each in values])


@settings(deadline=None)
@given(LONG)
def test_integers_of_64_bits_lose_no_digit(values: list[int]) -> None:
    check(sums_of(np.array(values, np.int64)), [Fraction(each) for each in values])


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_unsigned_integers_lose_no_digit(values: list[int]) -> None:
    check(sums_of(np.array(values, np.uint64)), [Fraction(each) for each in values])


@settings(deadline=None)
@given(st.one_of(REALS, LONG), st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_cutting_gives_the_same(values: list, random, parts: int) -> None:
    kind = np.float64 if values and isinstance(values[0], float) else np.int64
    whole = sums_of(np.array(values, kind))
    random.shuffle(values)
    pieces = [
        ExactSums.load(json.loads(json.dumps(sums_of(np.array(values[part::parts], kind)).dump())))
        for part in range(parts)
    ]
    random.shuffle(pieces)
    for other in pieces[1:]:
        pieces[0].merge(other)
    assert pieces[0].dump() == whole.dump()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1.0, 1e150, 1e300, 1e-300, 5e-324]))
def test_more_values_than_a_piece(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    count = exact_sums._PIECE + int(generator.integers(1, 300))
    values = generator.normal(size=count) * scale
    values[: count // 2] *= 10.0 ** generator.integers(-8, 8, count // 2)
    sums = sums_of(values)
    assert sums.sum == rounded(sum(map(Fraction, values.tolist()), Fraction()))
    squares = sum((Fraction(each) ** 2 for each in values.tolist()), Fraction())
    assert sums.sum_of_squares == rounded(squares)


@pytest.mark.parametrize("seed", range(6))
def test_large_digits_of_a_full_piece_stay_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = 2.0 - generator.random(exact_sums._PIECE) * 2.0**-10  # first digits up to 2^20 - 1
    sums = sums_of(values)
    unit = 1 << exact_sums._UNIT
    exact = [Fraction(each) for each in values.tolist()]
    assert Fraction(sums._sum, unit) == sum(exact)
    assert Fraction(sums._squares, unit**2) == sum(each**2 for each in exact)


def test_root_just_beyond_a_rounding_point() -> None:
    sums = ExactSums()
    sums.count = 1
    sums._squares = ((2**53 + 1) << exact_sums._UNIT) ** 2  # between two float64, evenly
    assert sums.std == 2.0**53
    sums._squares += 1
    assert sums.std == 2.0**53 + 2


def test_small_variance_beside_a_large_mean() -> None:
    values = 1.7e9 + np.random.default_rng(0).normal(size=5_000)  # times in seconds
    assert sums_of(values).std == pytest.approx(statistics.pstdev(values.tolist()), rel=1e-15)


def test_nothing_has_no_mean() -> None:
    sums = ExactSums()
    sums.add(np.empty(0))
    assert (sums.count, sums.sum) == (0, 0.0)
    assert math.isnan(sums.mean)
    assert math.isnan(sums.std)


def test_squares_are_left_out_unless_asked_for() -> None:
    sums = sums_of(np.array([3.0, 4.0]), squares=False)
    assert (sums.sum, sums.sum_of_squares) == (7.0, 0.0)
    assert ExactSums.load(sums.dump()).with_squares is False


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_refuses_what_has_no_digits(value: float) -> None:
    with pytest.raises(DataError, match="finite"):
        sums_of(np.array([1.0, value]))
