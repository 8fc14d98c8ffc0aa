"""Tokens: one text for one value, whatever the type it came in."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.lists import Origin
from nextrec.data.transforms.token_text import canonical, number_text
from nextrec.data.transforms.tokens import Tokens, token_order, tokens_of
from nextrec.errors import DataError

HERE = Origin("vocabulary of column 'item'", 100)


def each(tokens: Tokens) -> list[str | None]:
    """The token of each value, by a loop."""
    texts = tokens.text.to_pylist()
    if tokens.codes is None:
        return texts
    return [None if code < 0 else texts[code] for code in tokens.codes.tolist()]


def written(values: Any, kind: pa.DataType | None = None) -> list[str | None]:
    return each(tokens_of(pa.array(values, kind), HERE))


def test_one_number_is_one_token_in_every_type() -> None:
    kinds = [pa.int8(), pa.uint8(), pa.int32(), pa.uint64(), pa.float16(), pa.float32()]
    for kind in [*kinds, pa.float64(), pa.decimal128(10, 4), pa.decimal256(40, 4)]:
        values = [np.float16(3), None, np.float16(1)] if kind == pa.float16() else [3, None, 1]
        assert written(values, kind) == ["3", None, "1"], kind


@pytest.mark.parametrize(
    ("value", "kind", "token"),
    [
        (2**64 - 1, pa.uint64(), "18446744073709551615"),
        (-(2**63), pa.int64(), "-9223372036854775808"),
        (2.0**53 + 2, pa.float64(), "9007199254740994"),
        (1e22, pa.float64(), "10000000000000000000000"),
        (-1e23, pa.float64(), str(int(-1e23))),
        (-0.0, pa.float64(), "0"),
        (0.1, pa.float64(), "0.1"),
        (0.1, pa.float32(), "0.1"),
        (1e-7, pa.float64(), "1e-07"),
        (1e-5, pa.float32(), "1e-05"),
        (math.inf, pa.float64(), "inf"),
        (-math.inf, pa.float32(), "-inf"),
        (Decimal("1.500"), pa.decimal128(8, 3), "1.5"),
        (Decimal("0.00001"), pa.decimal128(8, 5), "1e-05"),
        (Decimal("12345678901234567890.25"), pa.decimal128(30, 2), "12345678901234567890.25"),
        (True, pa.bool_(), "true"),
        (" as it is ", pa.string(), " as it is "),
        ("", pa.large_string(), ""),
        ("é".encode(), pa.binary(), "é"),
        (b"ab", pa.binary(2), "ab"),
        (dt.date(2024, 2, 29), pa.date32(), "2024-02-29"),
        (dt.date(2024, 2, 29), pa.date64(), "2024-02-29"),
        (dt.datetime(2024, 1, 2, 3, 4, 5, 120_000), pa.timestamp("us"), "2024-01-02T03:04:05.12"),
        (dt.datetime(2024, 1, 2), pa.timestamp("ns"), "2024-01-02T00:00:00"),
        (dt.time(1, 2, 3), pa.time64("us"), "01:02:03"),
    ],
)
def test_text_of_a_value(value: Any, kind: pa.DataType, token: str) -> None:
    assert written([value, None], kind) == [token, None]


def test_an_instant_is_told_in_utc() -> None:
    there = dt.timezone(dt.timedelta(hours=2))
    moment = dt.datetime(2024, 1, 1, 1, 30, tzinfo=there)
    assert written([moment], pa.timestamp("s", "Europe/Berlin")) == ["2023-12-31T23:30:00Z"]


def test_missing_in_every_form() -> None:
    assert written([None, math.nan, 1.0]) == [None, None, "1"]
    assert each(tokens_of(pa.nulls(2), HERE)) == [None, None]
    assert each(tokens_of(pa.array(pd.Series([pd.NaT, pd.Timestamp(0)])), HERE))[0] is None
    tokens = tokens_of(pa.array([math.nan, 1.0, None]), HERE)
    assert tokens.missing.tolist() == [True, False, True]
    assert tokens.missing_count == 2


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("3.0", "3"),
        ("-7.00", "-7"),
        ("1000000.0", "1000000"),
        ("0.0", "0"),
        ("-0.0", "0"),
        ("100.0", "100"),
        ("123456789012345678901234567890.000", "123456789012345678901234567890"),
        ("True", "true"),
        ("False", "false"),
        *(
            (same, same)
            for same in (
                "007", "007.0", "1.10", "1e3", " 1", "1.0 ", "+1.0", "1.", ".0", "00", "0", "10",
                "", "x1.0", "1.0.0", "-", "TRUE", "true", "Truest", "e", "is True", "1.0\n",
            )
        ),
    ],
)  # fmt: skip
def test_two_spellings_of_text_are_one_token(text: str, token: str) -> None:
    assert written([text, None]) == [token, None]
    assert written([text.encode()]) == [token]
    assert each(tokens_of(pa.array([None, text]).dictionary_encode(), HERE)) == [None, token]
    assert tokens_of(pa.array([text]), HERE).counted()[0].to_pylist() == [token]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(-(10**20), 10**20).map("{}.0".format),
            st.text("0123456789.-+eE ", max_size=7),
            st.sampled_from(["True", "False", "0", "", "e"]),
        )
    ),
    st.integers(0, 3),
    st.booleans(),
)
def test_one_spelling_equals_a_loop(texts: list[str | None], cut: int, encoded: bool) -> None:
    array = pa.array(texts, pa.large_string())[cut:]
    expected = [None if text is None else spelling(text) for text in texts[cut:]]
    assert canonical(array).to_pylist() == expected
    tokens = tokens_of(array.dictionary_encode() if encoded else array, HERE)
    assert each(tokens) == each(tokens.distinct()) == expected
    text, counts = tokens.counted()
    found: Counter[str] = Counter()
    for token, count in zip(text.to_pylist(), counts.tolist(), strict=True):
        found[token] += count
    assert found == Counter(value for value in expected if value is not None)


def spelling(text: str) -> str:
    """The rule in words: a whole number with a zero fraction, or a truth value."""
    if text in ("True", "False"):
        return text.lower()
    whole, point, fraction = text.partition(".")
    zeros = bool(point and fraction) and set(fraction) == {"0"}
    if zeros and (whole == "-0" or (whole.lstrip("-").isdecimal() and str(int(whole)) == whole)):
        return str(int(whole))
    return text


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_moment_is_one_token_in_every_unit(unit: str) -> None:
    moments = [dt.datetime(2024, 1, 2, 3, 4, 5), None, dt.datetime(2024, 1, 2)]
    expected = ["2024-01-02T03:04:05", None, "2024-01-02T00:00:00"]
    assert written(moments, pa.timestamp(unit)) == expected
    aware = [None if each is None else each.replace(tzinfo=dt.UTC) for each in moments]
    in_utc = [None if each is None else each + "Z" for each in expected]
    assert written(aware, pa.timestamp(unit, "UTC")) == in_utc
    clock = {"s": pa.time32, "ms": pa.time32, "us": pa.time64, "ns": pa.time64}[unit]
    assert written([dt.time(1, 2, 3)], clock(unit)) == ["01:02:03"]
    assert written([dt.date(2024, 1, 2)]) == ["2024-01-02"]  # a day is not its first moment


def test_run_ends_are_decoded() -> None:
    values = pa.array(["1.0", None, "b"])
    for distinct in (values, values.dictionary_encode(), pa.array([1.0, None, 2.0])):
        runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5], pa.int32()), distinct)
        last = "2" if pa.types.is_floating(distinct.type) else "b"
        assert each(tokens_of(runs, HERE)) == ["1", "1", None, last, last]
        assert each(tokens_of(runs[1:4], HERE)) == ["1", None, last]


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int64()])
def test_a_dictionary_keeps_its_codes(index: pa.DataType) -> None:
    codes = pa.array([2, 0, None, 1, 2], index)
    values = pa.DictionaryArray.from_arrays(codes, pa.array([5.0, None, 7.5]))
    tokens = tokens_of(values, HERE)
    assert len(tokens.text) == 3
    assert each(tokens) == ["7.5", "5", None, None, "7.5"]
    assert tokens.missing_count == 2


def test_counts_of_a_full_small_dictionary() -> None:
    values = pa.DictionaryArray.from_arrays(
        pa.array([127] * 3, pa.int8()), pa.array(list(range(128)))
    )
    text, counts = tokens_of(values, HERE).counted()
    assert (text.to_pylist(), counts.tolist()) == (["127"], [3])


@pytest.mark.parametrize(
    ("values", "row", "got"),
    [
        (pa.array([None, [1]]), 101, "[1]"),
        (pa.array([{"a": 1}]), 100, "{'a': 1}"),
        (pa.array([None, None, 5], pa.duration("s")), 102, "seconds=5"),
        (pa.array([b"ok", b"\xff"]), 101, "xff"),
        (pa.array([b"ok", b"\xff", b"ok"]).dictionary_encode(), 101, "xff"),
        (pa.array([0, 2**62], pa.timestamp("s")), 101, "timestamp"),
        (pa.array([0, 2**31 - 1], pa.date32()), 101, "date32"),
    ],
)
def test_what_has_no_token_is_refused(values: pa.Array, row: int, got: str) -> None:
    with pytest.raises(DataError, match=f"'item', row {row}: .*{got}"):
        tokens_of(values, HERE)


def test_a_bad_entry_that_no_row_uses_is_no_error() -> None:
    values = pa.array([b"ok", b"\xff"]).dictionary_encode()[:1]
    assert each(tokens_of(values, HERE)) == ["ok"]


def spelled(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_as_python_writes_them(values: list[float]) -> None:
    assert written(values, pa.float64()) == [spelled(value) for value in values]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_floats_of_32_bits_as_numpy_writes_them(values: list[float]) -> None:
    expected = [
        str(int(value)) if value == int(value) else str(np.float32(value)) for value in values
    ]
    assert written(values, pa.float32()) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.decimals(-(10**20), 10**20, places=8), min_size=1))
def test_decimals_lose_no_digit(values: list[Decimal]) -> None:
    tokens = written(values, pa.decimal128(38, 8))
    assert [Decimal(token) for token in tokens if token] == values
    assert all(token is not None and not token.endswith(".0") for token in tokens)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**53), 2.0**53), min_size=1))
def test_a_number_in_text_is_the_number(values: list[float]) -> None:
    tokens = written(values, pa.float64())
    for spelling in ("{!r}", " {:+} ", "{:030}", "{:.60f}", "{!r}  "):
        texts = [spelling.format(value) for value in values]
        if ".60f" in spelling:  # exact for halves, more digits than the shortest for others
            texts = [text for text in texts if text.rstrip("0")[-2:] in ("0.", ".5")]
            assert number_text(pa.array(texts, pa.string())).to_pylist() == [
                spelled(float(text)) for text in texts
            ]
        else:
            assert number_text(pa.array(texts)).to_pylist() == tokens


def test_text_that_is_no_number() -> None:
    texts = [None, "1.2.3", "0x10", "1e9999", "nan", "", "1 2", "--1", "."]
    assert number_text(pa.array(texts)).to_pylist() == [None] * len(texts)


def test_a_whole_number_in_text_keeps_all_digits() -> None:
    texts = ["1e23", "0123456789012345678901234567890.000", "-5.", "12e-1"]
    expected = ["1" + "0" * 23, "123456789012345678901234567890", "-5", "1.2"]
    assert number_text(pa.array(texts)).to_pylist() == expected


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(-(10**25), 10**25) | st.integers(-50, 50)))
def test_integers_are_ordered_by_value(values: set[int]) -> None:
    tokens = pa.array([str(value) for value in values], pa.large_string())
    order = token_order(tokens)
    assert [int(tokens[place].as_py()) for place in order.tolist()] == sorted(values)


@settings(max_examples=100, deadline=None)
@given(st.sets(st.text(), min_size=1))
def test_other_tokens_are_ordered_by_code_point(values: set[str]) -> None:
    values |= {"007"}
    tokens = pa.array(list(values), pa.large_string())
    assert tokens.take(pa.array(token_order(tokens))).to_pylist() == sorted(values)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c"])), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_counts_and_fills_equal_a_loop(values: list[str | None], encoded: bool, fill: bool) -> None:
    array = pa.array(values, pa.string())
    tokens = tokens_of(array.dictionary_encode() if encoded else array, HERE)
    if fill:
        tokens = tokens.filled("b")
        values = ["b" if value is None else value for value in values]
    assert each(tokens) == values
    assert each(tokens.distinct()) == values
    assert tokens.missing_count == values.count(None)
    text, counts = tokens.counted()
    found: Counter[str] = Counter()  # texts may repeat
    for token, count in zip(text.to_pylist(), counts.tolist(), strict=True):
        found[token] += count
    assert found == Counter(value for value in values if value is not None)
