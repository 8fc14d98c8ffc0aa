"""Bucketize against pandas and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms.base import TRANSFORMS
from nextrec.data.transforms.buckets import Bucketize
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import ConfigError, DataError, NotFittedError
from nextrec.features import SparseFeature


def fit(bucketize: Bucketize, column: Any) -> Bucketize:
    state = bucketize.state()
    state.update([pa.array(column)], 0)
    bucketize.learn(state)
    return bucketize


def ids(bucketize: Bucketize, column: Any) -> list[int]:
    return bucketize.apply([pa.array(column)], 0).values.to_pylist()


def test_equal_width() -> None:
    age = fit(Bucketize("age", num_buckets=5), [0, 10, 3, None])
    assert age.edges.tolist() == [0, 2, 4, 6, 8, 10]
    assert ids(age, [0, 1.999, 2, 8, 10, -50, 50, None]) == [2, 2, 3, 6, 6, 2, 6, 1]
    assert age.vocab_size == 7


def test_equal_width_of_integers_has_exact_edges() -> None:
    tenths = fit(Bucketize("x", num_buckets=10), [0, 1])
    assert tenths.edges.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_equal_width_over_all_float64() -> None:
    wide = fit(Bucketize("x", num_buckets=4), [-1.7e308, 1.7e308])
    np.testing.assert_allclose(wide.edges, [-1.7e308, -0.85e308, 0.0, 0.85e308, 1.7e308])
    assert ids(wide, [-1.7e308, -1.0, 1.0, 1.7e308]) == [2, 3, 4, 5]


def test_equal_frequency_equals_pandas() -> None:
    values = np.random.default_rng(0).lognormal(size=1_003)
    buckets = fit(Bucketize("x", method="equal_frequency", num_buckets=8), values)
    expected, edges = pd.qcut(values, 8, labels=False, retbins=True)
    np.testing.assert_allclose(buckets.edges, edges, rtol=1e-12)
    inner = ~np.isin(values, edges)  # theirs are closed on the right
    np.testing.assert_array_equal(np.array(ids(buckets, values))[inner], expected[inner] + 2)
    counts = np.bincount(ids(buckets, values))[2:]
    assert counts.max() - counts.min() <= 1


def test_equal_frequency_merges_equal_edges() -> None:
    buckets = fit(Bucketize("x", method="equal_frequency", num_buckets=4), [0] * 90 + [1, 2, 3])
    assert buckets.edges.tolist() == [0.0, 3.0]
    assert buckets.vocab_size == 3
    assert ids(buckets, [0, 2, 3, 9, None]) == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("method", ["equal_width", "equal_frequency"])
def test_constant_and_one_row(method: str) -> None:
    for column in ([4.0, 4.0], [4.0], ["4", "NA"]):
        buckets = fit(Bucketize("x", method=method), column)
        assert buckets.vocab_size == 3
        assert ids(buckets, [3.0, 4.0, 5.0, None]) == [2, 2, 2, 1]


def test_given_edges() -> None:
    buckets = Bucketize("x", method="edges", edges=[-np.inf, 0, 1.5, np.inf])
    assert ids(buckets, [-1e300, -0.0, 1.4, 1.5, 1e300]) == [2, 3, 3, 4, 4]
    assert buckets.vocab_size == 5
    assert buckets.learned() == {}


@settings(deadline=None)
@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=8, unique_by=lambda each: each + 0.0),
    st.lists(st.one_of(st.none(), st.floats(-150, 150)), max_size=30),
)
def test_intervals_are_closed_on_the_left(edges: list[float], column: list) -> None:
    edges = sorted(edges)
    expected = []
    for value in column:
        bucket = 0
        while bucket < len(edges) - 2 and value is not None and value >= edges[bucket + 1]:
            bucket += 1
        expected.append(1 if value is None else bucket + 2)
    buckets = Bucketize("x", method="edges", edges=edges)
    output = buckets.apply([pa.array(column, pa.float64())], 0)
    assert output.values.to_pylist() == expected
    assert output.values.type == buckets.output_type == pa.int32()
    assert (output.missing, output.total) == (column.count(None), len(column))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.sampled_from(["equal_width", "equal_frequency"]),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_any_order_and_cutting_learns_the_same(column, method, num_buckets, random) -> None:
    whole = fit(Bucketize("x", method=method, num_buckets=num_buckets), column)
    cut = Bucketize("x", method=method, num_buckets=num_buckets)
    shuffled = random.sample(column, len(column))
    states = []
    for part in range(3):
        state = cut.state()
        state.update([pa.array(shuffled[part::3], pa.float64())], part)
        states.append(cut.state_type().load(from_bytes(to_bytes(state.dump()))))
    states[2].merge(states[0])
    states[2].merge(states[1])
    cut.learn(states[2])
    assert cut.edges.tobytes() == whole.edges.tobytes()
    assert (np.diff(cut.edges[1:-1]) > 0).all()
    assert set(ids(cut, column)) <= set(range(2, cut.vocab_size))


@pytest.mark.parametrize("method", ["equal_width", "equal_frequency", "edges"])
def test_saved_and_restored(method: str) -> None:
    edges = [0, 1, 5] if method == "edges" else None
    buckets = fit(Bucketize("x", "raw", method, 3, edges), [0.0, 1.0, 2.5, 9.0])
    saved = from_bytes(to_bytes({"settings": buckets.settings(), "learned": buckets.learned()}))
    again = TRANSFORMS[buckets.kind](**saved["settings"])
    again.restore(saved["learned"])
    column = [-1.0, 0.5, 2.5, 7.0, None]
    assert ids(again, column) == ids(buckets, column)
    assert (again.inputs, again.vocab_size) == (("raw",), buckets.vocab_size)


def test_policy_and_errors() -> None:
    strict = Bucketize("x", method="edges", edges=[0, 1], missing="error")
    with pytest.raises(DataError, match=r"bucketize of column 'x', row 1: .*got None"):
        ids(strict, [1.0, None])
    with pytest.raises(DataError, match=r"bucketize of column 'x', row 0: .*got 'a'"):
        fit(Bucketize("x"), ["a"])
    with pytest.raises(DataError, match=r"bucketize of column 'x': there is no value"):
        fit(Bucketize("x"), [None])
    with pytest.raises(NotFittedError, match="bucketize of column 'x'"):
        ids(Bucketize("x"), [1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "equal_widht"}, r"`method` must be one of .*Did you mean 'equal_width'\?"),
        ({"num_buckets": 0}, "`num_buckets` must be an integer of at least 1; got 0"),
        ({"num_buckets": 2.5}, "`num_buckets` must be an integer"),
        ({"method": "edges"}, "`edges` must be at least two ascending numbers"),
        ({"method": "edges", "edges": [1]}, "`edges` must be at least two ascending numbers"),
        ({"method": "edges", "edges": [1, 1]}, "`edges` must be at least two ascending numbers"),
        ({"method": "edges", "edges": [0, np.nan]}, "`edges` must be at least two ascending"),
        ({"edges": [0, 1]}, "`edges` must be None with `method` 'equal_width'"),
        ({"missing": "skip"}, "`missing` must be one of fill, error"),
    ],
)
def test_settings_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match="Bucketize 'x': " + message):
        Bucketize("x", **arguments)


def test_feature() -> None:
    buckets = Bucketize("x", method="edges", edges=[0, 1, 2])
    feature = buckets.feature({"embedding_dim": 8})
    assert isinstance(feature, SparseFeature)
    assert (feature.name, feature.vocab_size, feature.embedding_dim) == ("x", 4, 8)
    assert buckets.describe() == "buckets of edges"
