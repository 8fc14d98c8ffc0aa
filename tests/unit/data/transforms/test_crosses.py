"""Crosses: different parts never make one token, and a missing part makes none."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import payload
from nextrec.data.transforms.base import TRANSFORMS
from nextrec.data.transforms.crosses import Cross
from nextrec.errors import ConfigError, DataError

PART = st.text(alphabet="a|\\é", max_size=4)


def ids(cross: Cross, *columns: Any) -> list[int]:
    arrays = [each if isinstance(each, pa.Array) else pa.array(each) for each in columns]
    output = cross.apply(arrays, 0)
    assert output.values.type == cross.output_type
    return output.values.to_pylist()


def fitted(cross: Cross, *columns: Any) -> Cross:
    state = cross.state()
    state.update([pa.array(each) for each in columns], 0)
    cross.learn(state)
    return cross


def test_the_token_of_a_cross_and_its_hash() -> None:
    cross = Cross("both", ["a", "b"], hash_size=1_000, seed=3)
    found = ids(cross, ["x", "a|b", "a\\"], [1.0, 2.0, 3.0])
    tokens = ["x|1", "a\\|b|2", "a\\\\|3"]
    assert found == [2 + xxhash.xxh64_intdigest(token.encode(), 3) % 998 for token in tokens]


def test_a_part_is_one_token_in_every_spelling() -> None:
    numbers, truths = [3, -7, 3], [True, False, False]
    forms = [
        ([3.0, -7.0, 3.0], ["True", "False", "False"]),
        (["3.0", "-7", "3"], ["true", "False", "false"]),
    ]
    label = fitted(Cross("both", ["a", "b"], "label"), numbers, truths)
    hashed = Cross("both", ["a", "b"], hash_size=1_000)
    assert label.learned()["tokens"].to_pylist() == ["-7|false", "3|false", "3|true"]
    for form in forms:
        assert ids(label, *form) == ids(label, numbers, truths) == [4, 2, 3]
        assert ids(hashed, *form) == ids(hashed, numbers, truths)
        again = fitted(Cross("both", ["a", "b"], "label"), *form)
        assert again.learned()["counts"] == label.learned()["counts"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(PART, PART, PART), min_size=1, max_size=20), st.integers(2, 3))
def test_different_parts_are_different_tokens(rows: list[tuple[str, ...]], width: int) -> None:
    columns = [[row[place] for row in rows] for place in range(width)]
    cross = fitted(Cross("all", list("abc")[:width], "label"), *columns)
    found = ids(cross, *columns)
    for (one, left), (other, right) in itertools.product(zip(rows, found, strict=True), repeat=2):
        assert (left == right) == (one[:width] == other[:width])
    assert cross.vocab_size == 2 + len({row[:width] for row in rows})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.sampled_from([1, 2, None]))),
    st.booleans(),
)
def test_counts_equal_a_loop(rows: list[tuple[Any, Any]], encoded: bool) -> None:
    left = pa.array([row[0] for row in rows], pa.string())
    right = pa.array([row[1] for row in rows], pa.int64())
    left = left.dictionary_encode() if encoded else left
    cross = Cross("both", ["a", "b"], "label")
    state = cross.state()
    state.update([left, right], 0)
    cross.learn(state)
    whole = [f"{one}|{two}" for one, two in rows if one is not None and two is not None]
    assert cross.learned()["tokens"].to_pylist() == sorted(set(whole))
    assert cross.learned()["counts"].to_pylist() == [whole.count(t) for t in sorted(set(whole))]
    output = cross.apply([left, right], 0)
    order = {token: 2 + place for place, token in enumerate(sorted(set(whole)))}
    assert output.values.to_pylist() == [order.get(f"{one}|{two}", 1) for one, two in rows]
    assert output.missing == len(rows) - len(whole)
    assert output.unknown == 0


def test_unseen_combinations_of_known_parts_are_unknown() -> None:
    cross = fitted(Cross("both", ["a", "b"], "label"), ["x", "y"], ["1", "2"])
    output = cross.apply([pa.array(["x", "y", None]), pa.array(["2", "2", "1"])], 0)
    assert output.values.to_pylist() == [1, 3, 1]
    assert (output.missing, output.unknown, output.total) == (1, 1, 3)


def test_columns_without_any_value() -> None:
    cross = Cross("both", ["a", "b"], hash_size=10)
    assert ids(cross, pa.nulls(2), ["x", "y"]) == [1, 1]
    assert ids(cross, pa.nulls(0), pa.array([], pa.string())) == []


def test_missing_may_be_refused() -> None:
    cross = Cross("both", ["a", "b"], hash_size=10, missing="error")
    with pytest.raises(DataError, match="cross of columns 'a', 'b', row 6"):
        cross.apply([pa.array(["x", "x"]), pa.array([1, None])], 5)


def test_saved_and_built_again() -> None:
    cross = fitted(Cross("both", ["a", "b"], "label", None, 0, 1, 5, 2), ["x", "y"], ["1", "2"])
    again = TRANSFORMS["cross"](**cross.settings())
    again.restore(payload.from_bytes(payload.to_bytes(cross.learned())))
    columns = [pa.array(["x", "z"]), pa.array(["1", "1"])]
    assert again.apply(columns, 0) == cross.apply(columns, 0)
    assert again.settings() == cross.settings()
    hashed = Cross("both", ["a", "b"], hash_size=10)
    assert TRANSFORMS["cross"](**hashed.settings()).settings() == hashed.settings()
    assert hashed.feature({"embedding_dim": 8}).vocab_size == 10  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given_settings", "parameter"),
    [
        ({"columns": ["a"], "hash_size": 9}, "columns"),
        ({"columns": "ab", "hash_size": 9}, "columns"),
        ({"columns": ["a", "b"]}, "hash_size"),
        ({"columns": ["a", "b"], "encode_method": "label", "hash_size": 9}, "hash_size"),
        ({"columns": ["a", "b"], "encode_method": "hsah"}, "encode_method"),
    ],
)
def test_settings_are_checked(given_settings: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"sparse feature 'both': `{parameter}` must be"):
        Cross("both", **given_settings)
