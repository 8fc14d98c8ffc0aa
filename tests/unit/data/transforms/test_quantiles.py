"""The sketch against numpy.quantile, and against itself in any order and cutting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import quantiles
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.data.transforms.quantiles import QuantileSketch

LIMIT = 5_000  # above the 4,092 powers of two and signs, so that some bits of the number stay
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e3, 1e3),
    st.integers(-5, 5).map(float),
)
SHARES = np.concatenate([np.linspace(0, 1, 41), [1e-9, 0.123456789, 1 - 1e-9]])


def sketch_of(values: np.ndarray, limit: int = quantiles.LIMIT) -> QuantileSketch:
    sketch = QuantileSketch(limit)
    sketch.add(values)
    return sketch


def values_of(seed: int, count: int) -> np.ndarray:
    """Many distinct numbers of a form that depends on the seed."""
    generator = np.random.default_rng(seed)
    forms = [
        lambda: generator.normal(size=count),
        lambda: generator.lognormal(0, 5, count),
        lambda: np.round(generator.normal(size=count) * 100, 2),
        lambda: generator.integers(-20, 10**6, count).astype(float),
        lambda: 1.7e9 + generator.random(count) * 1e7,
        lambda: any_bits(generator, count),
        lambda: generator.normal(size=count) * 1e-310,
        lambda: np.concatenate([np.zeros(count - count // 3), generator.normal(size=count // 3)]),
    ]
    return forms[seed % len(forms)]()


def any_bits(generator: np.random.Generator, count: int) -> np.ndarray:
    values = generator.integers(-(2**63), 2**63, count).view(np.float64)
    return np.where(np.isfinite(values), values, 1.0)


def same(one: QuantileSketch, other: QuantileSketch) -> bool:
    return to_bytes(one.dump()) == to_bytes(other.dump())


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=60))
def test_few_values_are_exact(values: list[float]) -> None:
    array = np.array(values)
    sketch = sketch_of(array)
    assert sketch.relative_error == 0.0
    with np.errstate(all="ignore"):  # numpy overflows between -1e308 and 1e308 too
        theirs = np.quantile(array + 0.0, SHARES)
    ours, sound = sketch.quantiles(SHARES), np.isfinite(theirs)
    np.testing.assert_array_equal(ours[sound], theirs[sound])
    assert ((array.min() <= ours) & (ours <= array.max())).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(LIMIT + 1, 3 * LIMIT))
def test_many_values_are_within_the_stated_error(seed: int, count: int) -> None:
    values = values_of(seed, count)
    sketch = sketch_of(values, LIMIT)
    ordered = np.sort(values)
    ranks = np.unique(np.linspace(0, count - 1, 500).astype(int))
    exact = sketch.level == 0
    found = sketch._at_ranks(ranks)
    if exact:
        np.testing.assert_array_equal(found, ordered[ranks] + 0.0)
    error = sketch.relative_error * np.maximum(np.abs(ordered[ranks]), np.finfo(float).tiny)
    assert (np.abs(found - ordered[ranks]) <= error).all()
    assert sketch.quantiles(np.array([0.0, 1.0])).tolist() == [ordered[0], ordered[-1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 6), st.booleans())
def test_any_order_and_cutting_gives_the_same(seed: int, parts: int, eager: bool) -> None:
    values = values_of(seed, 3 * LIMIT)
    whole = sketch_of(values, LIMIT)
    generator = np.random.default_rng(seed)
    generator.shuffle(values)
    bounds = np.sort(generator.integers(0, len(values), parts))
    pieces = []
    for piece in np.split(values, bounds):
        sketch = QuantileSketch(LIMIT)
        for bit in np.array_split(piece, 3):
            sketch.add(bit)
            if eager:
                assert sketch.level >= 0  # which counts what waits
        pieces.append(QuantileSketch.load(from_bytes(to_bytes(sketch.dump()))))
    generator.shuffle(pieces)
    while len(pieces) > 1:  # in any grouping
        other = pieces.pop()
        before = to_bytes(other.dump())
        pieces[int(generator.integers(len(pieces)))].merge(other)
        assert to_bytes(other.dump()) == before
    assert same(pieces[0], whole)


def test_level_is_the_lowest_that_is_enough() -> None:
    values = np.random.default_rng(0).normal(size=4 * LIMIT)
    sketch = sketch_of(values, LIMIT)
    keys = quantiles._to_keys(values)
    distinct = [len(np.unique(keys >> level)) for level in (sketch.level - 1, sketch.level)]
    assert distinct[0] > LIMIT >= distinct[1]
    assert sketch.count == len(values)


def test_default_limit_keeps_the_promise_of_the_module() -> None:
    generator = np.random.default_rng(0)
    signs = generator.choice([-1.0, 1.0], 400_000)
    values = signs * 2.0 ** generator.uniform(0, 16, 400_000)  # 16 powers of two, both signs
    sketch = QuantileSketch()
    for piece in np.array_split(values, 7):
        sketch.add(piece)
    assert 0 < sketch.relative_error <= 2.5e-4
    found, true = sketch.quantiles(SHARES), np.quantile(values, SHARES)
    assert (np.abs(found - true) <= 2.5e-4 * np.abs(true) + 1e-6).all()


def test_zeros_of_both_signs_are_one_value() -> None:
    one, other = sketch_of(np.array([0.0, -0.0, 1.0])), sketch_of(np.array([1.0, 0.0, 0.0]))
    assert same(one, other)
    assert not np.signbit(one.quantiles(np.array([0.0]))[0])


def test_empty_pieces_change_nothing() -> None:
    sketch, empty = sketch_of(np.array([2.0, 1.0])), QuantileSketch()
    before = to_bytes(sketch.dump())
    sketch.add(np.empty(0))
    sketch.merge(empty)
    assert to_bytes(sketch.dump()) == before
    empty.merge(sketch)
    assert same(empty, sketch)


def test_a_merged_sketch_does_not_change_its_source() -> None:
    source, into = sketch_of(np.arange(3.0)), QuantileSketch()
    into.merge(source)
    before = to_bytes(source.dump())
    into.add(np.arange(3.0))
    assert into.count == 6
    assert into.quantiles(np.array([0.5])) == pytest.approx(1.0)
    assert to_bytes(source.dump()) == before
