"""Hashes of values: the same however a value is stored, different for different values."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.lists import Origin
from nextrec.data.transforms.value_hashes import joined, value_hashes
from nextrec.errors import DataError

HERE = Origin("column 'x'", 100)


def hashes(values: Any, kind: pa.DataType | None = None, seed: int = 0) -> list[int]:
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return value_hashes(array, HERE, seed).tolist()


def csv_of(values: pa.Array) -> list[str]:
    """The column as pandas writes it, then as Polars does."""
    text = pd.DataFrame({"x": values.to_pandas()}).to_csv(index=False)
    other = pl.DataFrame({"x": pl.Series(values)}).write_csv()
    read = [pd.read_csv(io.StringIO(each), dtype=str)["x"].tolist() for each in (text, other)]
    return [*read[0], *read[1]]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([12, -7, 0]),
        pa.array([12.0, -7.5, 0.1, 1e-7, 1e22, 123456.789, -0.0]),
        pa.array([0.1, 3.0, 1e10, 1e-5, 16_777_216.0], pa.float32()),
        pa.array([np.float16(0.1), np.float16(3)], pa.float16()),
        pa.array([Decimal("1.50"), Decimal("-3.00")]),
        pa.array([True, False]),
        pa.array([dt.datetime(2024, 1, 1, 2, 3, 4), dt.datetime(1969, 12, 31, 23)]),
        pa.array([dt.datetime(2024, 1, 1, 2, 3, 4, 50_000)]),
        pa.array([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)]),
        pa.array([dt.datetime(2024, 1, 1, 2, 3)], pa.timestamp("us", "Europe/Berlin")),
        pa.array([dt.date(2024, 1, 1), dt.date(1900, 2, 3)]),
    ],
    ids=str,
)
def test_a_value_and_its_text_in_files(values: pa.Array) -> None:
    expected = hashes(values)
    assert len(set(expected)) == len(values)
    if pa.types.is_float16(values.type):  # neither writes it
        texts = [str(np.float16(each)) for each in values.to_pylist()]
        assert hashes(texts) == expected
    else:
        assert hashes(csv_of(values)) == [*expected, *expected]
        assert hashes(pa.array(csv_of(values)).dictionary_encode()) == [*expected, *expected]
        assert hashes(values.dictionary_encode()) == expected
    assert hashes(values[1:]) == expected[1:]
    assert not set(hashes(values, seed=1)) & set(expected)


def test_one_moment_in_every_type() -> None:
    day, moment = dt.date(2024, 3, 1), dt.datetime(2024, 3, 1)
    expected = hashes([day])
    for unit in ("s", "ms", "us", "ns"):
        assert hashes([moment], pa.timestamp(unit)) == expected
        assert hashes([moment], pa.timestamp(unit, "UTC")) == expected
    assert hashes([day], pa.date64()) == expected
    texts = [
        "2024-03-01",
        "2024-03-01 00:00:00",
        "2024-03-01T00:00:00.000000",
        "2024-03-01T00:00:00Z",
    ]
    texts += ["2024-03-01 02:00:00+02:00", "2024-02-29T22:30:00-0130", "2024-03-01 00:00:00+00:00"]
    assert hashes(texts) == expected * len(texts)
    late = pa.array([1], pa.timestamp("ns"))
    assert hashes(late) == hashes(["1970-01-01T00:00:00.000000001"])
    assert len(set(hashes(["2024-13-01", "2024-03-01 25:00:00", "2024-03-01x", *texts[:1]]))) == 4


def test_one_truth_value_in_every_form() -> None:
    assert (
        hashes([True, False, None])
        == hashes(["True", "false", None])
        == hashes(["TRUE", "False", None])
    )
    assert hashes([True, False]) == hashes([1.0, 0.0]) == hashes(["1", "0.0"])


def test_other_text_keeps_its_own_hash() -> None:
    texts = [
        "a",
        "",
        " 1",
        "1 2",
        "12a",
        "1.2.3",
        "-",
        "+",
        ".",
        "nan",
        "é",
        "1:2",
        "0x10",
        "inf",
        "-inf",
    ]
    found = hashes(texts)
    assert len(set(found)) == len(texts)
    assert hashes([np.inf, -np.inf]) == found[-2:]
    assert hashes([each.encode() for each in texts]) == found
    many = pa.array(texts * 3_000)
    assert hashes(many) == found * 3_000


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1))))
def test_numbers_equal_their_text(values: list[Any]) -> None:
    numbers = [None if each is None else float(each) for each in values]
    texts = [None if each is None else repr(each) for each in numbers]
    assert hashes(numbers, pa.float64()) == hashes(texts, pa.string())
    whole = [each for each in values if isinstance(each, int)]
    assert hashes(whole, pa.int64()) == hashes([str(each) for each in whole], pa.string())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))))
)
def test_moments_equal_their_text(values: list[Any]) -> None:
    expected = hashes(values, pa.timestamp("us"))
    assert hashes([each and each.isoformat(" ") for each in values], pa.string()) == expected
    assert hashes(values, pa.timestamp("ns")) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(), st.from_regex(r"\A[-+0-9.eE:TZ ]{0,12}\Z"))))
def test_a_hash_does_not_depend_on_the_piece(values: list[str | None]) -> None:
    expected = hashes(values, pa.string())
    assert [hashes([each], pa.string())[0] for each in values] == expected
    assert hashes(pa.array(values, pa.string()).dictionary_encode()) == expected


def test_lists_of_every_kind() -> None:
    rows = [[1, 2], [2, 1], [], None, [None, 1], [1]]
    expected = hashes(rows)
    assert len(set(expected)) == len(rows)
    for kind in (pa.float32(), pa.uint8(), pa.string()):
        column = pa.array(rows).cast(pa.list_(kind))
        assert hashes(column) == hashes(column.cast(pa.large_list(kind))) == expected
    if hasattr(pa, "list_view"):
        assert hashes(rows, pa.list_view(pa.int64())) == expected
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), pa.array([[1, 2], None]))
    assert hashes(runs) == [expected[0], expected[3], expected[3]]


def test_what_has_no_token_is_refused() -> None:
    with pytest.raises(DataError, match="'x', row 101"):
        hashes([None, dt.timedelta(1)])


def test_order_and_spread() -> None:
    one, two = (np.array(hashes([value])).astype(np.uint64) for value in ("a", "b"))
    assert joined(one, two) != joined(two, one)
    folds = value_hashes(pa.array(np.arange(50_000)), HERE, 0) % np.uint64(5)
    assert np.bincount(folds.astype(int)).min() > 9_600
