"""Lists in text are read as what wrote them meant."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms.list_text import items_of_text, ragged


def lists(texts: list[str | None], separator: str = ",") -> list[list[str | None]]:
    items, lengths = items_of_text(pa.array(texts, pa.string()), separator)
    assert lengths.dtype == np.int64
    flat, result = iter(items.to_pylist()), []
    for length in lengths.tolist():
        result.append([next(flat) for _ in range(length)])
    assert list(flat) == []
    return result


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ["a", "b"]),
        (" x, y ,,z, ", ["x", "y", "z"]),
        ("one", ["one"]),
        ("", []),
        (" , ", []),
        (None, []),
        ("[1, 2, 3]", ["1", "2", "3"]),
        ("(1,)", ["1"]),
        ("()", []),
        ("[ ]", []),
        ("[1 2  3]", ["1", "2", "3"]),
        ("[ 1.5\n -2e3]", ["1.5", "-2e3"]),
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("[' a', '']", [" a", ""]),
        ("['a, b', 'c']", ["a, b", "c"]),
        ("""["it's", 'b']""", ["it's", "b"]),
        (r"['a\'b', 'c\\d', 'é']", ["a'b", "c\\d", "é"]),
        ("['a', 1, None]", ["a", "1", None]),
        ("[1, None, nan]", ["1", None, None]),
        ("['None']", ["None"]),
        ("[a, b c]", ["a", "b c"]),
        ("[a], [b]", ["a]", "[b"]),
        ("a [b]", ["a [b]"]),
        ("[", ["["]),
        ("None", ["None"]),
        ("'a','b'", ["'a'", "'b'"]),
    ],
)
def test_items(text: str | None, items: list[str | None]) -> None:
    assert lists([text]) == [items]
    assert lists(["x", text, "[1]", "['y']"]) == [["x"], items, ["1"], ["y"]]


def test_a_separator_of_ones_own() -> None:
    texts = ["a|b", "a,b", "['a', 'b|c']", "[1, 2]"]
    assert lists(texts, "|") == [["a", "b"], ["a,b"], ["a", "b|c"], ["1", "2"]]
    assert lists(["a  b", "c"], " ") == [["a", "b"], ["c"]]
    assert lists(["a::b"], "::") == [["a", "b"]]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=6))
def test_lists_that_python_wrote(rows: list[list[str]]) -> None:
    assert lists([str(row) for row in rows]) == rows


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False)))),
    st.sampled_from([str, json.dumps, lambda row: str(tuple(row))]),
)
def test_lists_of_numbers(rows, write) -> None:
    infinite = {"Infinity": "inf", "-Infinity": "-inf"}
    found = [[infinite.get(item, item) for item in row] for row in lists(list(map(write, rows)))]
    assert found == [[None if item is None else repr(item) for item in row] for row in rows]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="ab ,|", max_size=8), max_size=6))
def test_delimited_text_equals_a_loop(texts: list[str]) -> None:
    expected = [[p.strip() for p in text.split("|") if p.strip()] for text in texts]
    assert lists(texts, "|") == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_ragged_equals_a_loop(ranges: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in ranges], np.int64)
    lengths = np.array([length for _, length in ranges], np.int64)
    expected = [place for start, length in ranges for place in range(start, start + length)]
    assert ragged(starts, lengths).tolist() == expected
