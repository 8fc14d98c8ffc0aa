"""Exact counts of values, piece by piece."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.value_counts import ValueCounts


def counted(pieces, limit: int = 1000) -> ValueCounts:
    counts = ValueCounts(limit)
    for piece in pieces:
        counts.take(pa.array(piece))
    return counts


def as_dict(counts: ValueCounts) -> dict:
    return dict(zip(counts.values.to_pylist(), counts.counts.tolist(), strict=True))


@given(st.lists(st.lists(st.sampled_from(["a", "b", "é", ""]), min_size=1), min_size=1))
def test_counts_are_those_of_a_counter(pieces):
    expected = Counter(value for piece in pieces for value in piece)
    found = counted(pieces)
    assert as_dict(found) == expected
    assert found.total == sum(expected.values())
    assert found.once == sum(count == 1 for count in expected.values())


def test_many_pieces_merge(monkeypatch):
    monkeypatch.setattr("nextrec.data.value_counts._SMALL", 10)
    values = np.random.default_rng(0).integers(0, 300, 5000)
    found = counted(np.array_split(values, 50))
    expected = Counter(values.tolist())
    assert as_dict(found) == expected


def test_above_the_limit_nothing_is_counted():
    found = counted([range(5), range(5, 11)], limit=10)
    assert found.distinct is None
    assert len(found.values) == len(found.counts) == 0


def test_the_rest_of_a_part():
    whole, part = counted([["a", "a", "b", "c"]]), counted([["a", "c"]])
    assert as_dict(whole.minus(part)) == {"a": 1, "b": 1}
    assert whole.minus(counted([range(3)], limit=2)).over


def test_values_of_other_types_are_compared_as_text():
    found = counted([[1, 2, 2]])
    assert found.counts_of(pa.array([2, 9])).tolist() == [2, 0]
    assert found.counts_of(pa.array(["2", "x", None])).tolist() == [2, 0, 0]


@pytest.mark.parametrize("pieces", [[[1, 2], ["a"]], [[2**63], [-1]]])
def test_pieces_of_several_types(pieces):
    counts = ValueCounts(10)
    counts.take(pa.array(pieces[0], pa.uint64() if pieces[0][0] == 2**63 else None))
    counts.take(pa.array(pieces[1]))
    assert set(counts.values.to_pylist()) == {str(v) for piece in pieces for v in piece}


def test_the_largest_come_first_and_ties_by_text():
    assert counted([["b", "a", "c", "c"]]).largest(2) == [("c", 2), ("a", 1)]
