"""What the columns of a table hold."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from nextrec.data import profile
from nextrec.data.profile import Profile, profile_columns


def profiled(values, rows: int = 2, data_type: pa.DataType | None = None) -> Profile:
    """The profile of one column, read in batches of ``rows``."""
    table = pa.table({"x": pa.array(values, data_type)})
    (found,) = profile_columns(["x"], table.to_batches(max_chunksize=rows))
    return found


@pytest.mark.parametrize(
    ("values", "data_type", "kind"),
    [
        ([1, 2, 3], None, "integer"),
        ([1, None, 3], pa.uint8(), "integer"),
        ([1.5, 2.0, 3.0], None, "real"),
        ([decimal.Decimal("1.5")] * 3, None, "real"),
        ([True, False, True], None, "flag"),
        (["a", "1|2", ""], None, "text"),
        (["5", "6", "7"], None, "text"),  # one number a row is no list
        (["1|2", "3", ""], None, "ids"),
        (["[1, 2]", "[]", None], None, "ids"),
        (["1,2", "3 , 4", "5"], None, "ids"),
        (["1 2", "3", "4 5 6"], None, "ids"),
        (["(1, 2)", "(3,)", "()"], None, "ids"),
        (["1,2", "1|2,3", "5"], None, "text"),  # two separators in one list
        (["1|2", "3", "b"], None, "text"),
        (["1|99999999999999999999", "3", "4"], None, "text"),  # no id has twenty digits
        ([[1, 2], [], [3]], pa.list_(pa.int32()), "ids"),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], None, "vector"),
        ([["a"], ["b"], []], None, "other"),
        ([None, None, None], None, "empty"),
        ([datetime.datetime(2024, 1, 1)] * 3, None, "time"),
        ([{"a": 1}] * 3, None, "other"),
    ],
)
def test_kinds(values, data_type, kind):
    assert profiled(values, data_type=data_type).kind == kind


def test_counts_over_batches():
    found = profiled([3, None, -1, 3, 7], rows=2)
    assert (found.rows, found.missing, found.lowest, found.highest) == (5, 1, -1.0, 7.0)
    assert found.distinct == 3
    assert found.whole


def test_real_numbers():
    found = profiled([1.0, 2.0, float("nan"), float("inf")])
    assert (found.missing, found.lowest, found.highest, found.whole) == (2, 1.0, 2.0, True)
    assert not profiled([1.0, 2.5]).whole


@pytest.mark.parametrize("values", [[[1, 2, 3], [], None, [9]], ["1|2|3", "", None, "9"]])
def test_lists(values):
    found = profiled(values)
    assert (found.shortest, found.longest, found.lowest, found.highest) == (0, 3, 1.0, 9.0)


def test_dictionaries_are_read_as_their_values():
    found = profiled(pa.array(["a", "b", "a"]).dictionary_encode())
    assert (found.kind, found.distinct) == ("text", 2)


def test_distinct_values_over_many_batches(monkeypatch):
    values = np.random.default_rng(0).integers(0, 5000, 20_000)
    assert profiled(values, rows=64).distinct == len(np.unique(values))
    monkeypatch.setattr(profile, "MAX_DISTINCT", 1000)
    assert profiled(values, rows=64).distinct is None
