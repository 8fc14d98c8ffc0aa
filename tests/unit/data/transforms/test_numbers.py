"""What is a number, what is missing, and what is refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.csv_types import MISSING
from nextrec.data.lists import Origin
from nextrec.data.transforms.numbers import read_numbers
from nextrec.errors import DataError

ORIGIN = Origin("scale of column 'x'", 100)
NAN = float("nan")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None, 3], pa.int8()), [1, None, 3]),
        (pa.array([2**63 - 1, -(2**63)]), [2**63 - 1, -(2**63)]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([1.5, None, NAN]), [1.5, None, None]),
        (pa.array([0.1, None], pa.float32()), [float(np.float32(0.1)), None]),
        (pa.array(np.array([1.5, NAN], np.float16)), [1.5, None]),
        (pa.array([True, False, None]), [1, 0, None]),
        (pa.array([Decimal("1.10"), None]), [1.1, None]),
        (pa.array([Decimal("12345678901234567.89")]), [12345678901234567.89]),
        (pa.array(["1", "-2.5", "1e3", "+4", None]), [1, -2.5, 1000, 4, None]),
        (pa.array([" 1 ", "TRUE", "false", "-nan"], pa.large_string()), [1, 1, 0, None]),
        (pa.array(MISSING), [None] * len(MISSING)),
        (pa.nulls(2), [None, None]),
        (pa.array([], pa.string()), []),
        (pa.array([], pa.int64()), []),
    ],
)
def test_reads_numbers(column: pa.Array, expected: list) -> None:
    for shifted in (column, pa.concat_arrays([column[:1], column])[len(column[:1]) :]):
        numbers = read_numbers(shifted, ORIGIN)
        pairs = zip(numbers.values.tolist(), numbers.missing.tolist(), strict=True)
        assert [None if missing else value for value, missing in pairs] == expected
        assert numbers.missing_count == expected.count(None)
        assert numbers.present.tolist() == [each for each in expected if each is not None]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["1"] * 50 + ["0x1f"], r"row 150: `value` must be a finite number; got '0x1f'"),
        (["1", "1_000"], r"row 101: .*got '1_000'"),
        (["1", "n a", "x"], r"row 101: .*got 'n a'"),
        (["NA", "1", "inf"], r"row 102: .*finite number; got 'inf'"),
        (["1e400"], r"row 100: .*finite number; got '1e400'"),
        ([1.0, None, float("-inf")], r"row 102: .*finite number; got -inf"),
        ([None, date(2020, 1, 1)], r"row 101: .*datetime feature; got datetime.date\(2020, 1, 1\)"),
        ([datetime(2020, 1, 1)], r"row 100: .*datetime feature"),
        ([timedelta(1)], r"row 100: .*datetime feature"),
        ([None, [1, 2]], r"row 101: .*not of type list.*got \[1, 2\]"),
        ([{"a": 1}], r"row 100: .*not of type struct"),
        ([b"1"], r"row 100: .*not of type binary; got b'1'"),
    ],
)
def test_refuses_what_is_no_number(column: list, message: str) -> None:
    with pytest.raises(DataError, match=r"scale of column 'x', " + message):
        read_numbers(pa.array(column), ORIGIN)


@pytest.mark.parametrize("column", [[1, None], [1.0, NAN], ["1", "NA"]])
def test_policy_error_names_the_first_missing_row(column: list) -> None:
    with pytest.raises(DataError, match=r"row 101: .*`missing` 'error'\); got (None|nan|'NA')"):
        read_numbers(pa.array(column, from_pandas=False), ORIGIN, "error")


def test_fills_only_what_is_missing() -> None:
    numbers = read_numbers(pa.array([1, None, 3]), ORIGIN)
    assert numbers.filled(0.5).tolist() == [1.0, 0.5, 3.0]


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=6), st.floats().map(str), st.none()), max_size=20))
def test_text_is_read_value_by_value(texts: list[str | None]) -> None:
    """What a value is does not depend on its neighbours."""

    def read(some: list[str | None]) -> list[float | None]:
        numbers = read_numbers(pa.array(some, pa.string()), Origin("x", 0))
        return [
            None if missing else value
            for value, missing in zip(numbers.values.tolist(), numbers.missing, strict=True)
        ]

    alone: list[float | None] = []
    for row, text in enumerate(texts):
        try:
            alone += read([text])
        except DataError:
            with pytest.raises(DataError, match=rf"row {row}: "):
                read(texts)
            return
    assert read(texts) == alone
