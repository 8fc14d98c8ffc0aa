"""Columns of times in an order that is the order of time.

Numbers, dates and timestamps have one; text has not, unless it is parsed: ``9.5.2024`` sorts behind
``10.4.2025``. Every rule that goes by time reads its column here, so that text either becomes
timestamps or is refused.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nextrec.data.csv_types import cast_text
from nextrec.data.lists import first_true, is_text
from nextrec.errors import DataError, invalid

_KINDS = (pa.timestamp("ns"), pa.timestamp("ns", "UTC"))
"""What ISO 8601 text becomes: without a zone, or with one."""


def times(
    owner: str, name: str, column: pa.Array, first_row: int = 0, kind: pa.DataType | None = None
) -> pa.Array:
    """A column of times ``(N,)``, none missing, as values that Arrow orders by time.

    ISO 8601 text (``2024-05-01``, ``2024-05-01 12:00:00``, ``2024-05-01T12:00:00.5Z``) becomes
    timestamps in nanoseconds, in UTC when it has zones: all of it or none.

    Args:
        column: without dictionary encoding.
        first_row: number, in the whole data, of the first row; errors count from it.
        kind: what other pieces of the same column became; ``None``: this is the first.

    Raises:
        DataError: text that is no such time names its row; other kinds of values have no time.
    """
    if pa.types.is_null(column.type):  # no rows, to which Arrow gives no type
        return column.cast(kind or pa.int64())
    if pa.types.is_float16(column.type):  # which has no kernels
        column = pa.array(column.to_numpy(zero_copy_only=False).astype(np.float32))
    if is_text(column.type):
        if kind is not None and not pa.types.is_temporal(kind):
            return _as_numbers(owner, name, column, first_row, kind)
        return _parsed(owner, name, column, first_row, kind)
    if not _has_order(column.type):
        must_be = "a column of numbers, dates, timestamps or ISO 8601 text"
        raise DataError(invalid(owner, name, must_be, str(column.type)))
    if kind is None or kind == column.type:
        return column
    try:
        if getattr(kind, "tz", None) and not getattr(column.type, "tz", None):
            raise pa.ArrowInvalid("times with and without a zone have no common order")
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        where = f"{owner}, from row {first_row} on"
        got = str(column.type)
        raise DataError(invalid(where, name, f"of one type, {kind}", got)) from error


def _has_order(data_type: pa.DataType) -> bool:
    kinds = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_date,
        pa.types.is_timestamp,
        pa.types.is_time,
        pa.types.is_duration,
    )
    return any(each(data_type) for each in kinds)


def _as_numbers(
    owner: str, name: str, text: pa.Array, first_row: int, kind: pa.DataType
) -> pa.Array:
    """Numbers of a piece that is read as it is written."""
    try:
        numbers = cast_text(text, kind)
    except pa.ArrowInvalid as error:
        raise DataError(
            invalid(f"{owner}, from row {first_row} on", name, f"{kind}", "text")
        ) from error
    missing = first_true(numbers.is_null())
    if missing >= 0:
        where, got = f"{owner}, row {first_row + missing}", text[missing].as_py()
        raise DataError(invalid(where, name, "a value, not missing", got))
    return numbers


def _parsed(
    owner: str, name: str, text: pa.Array, first_row: int, kind: pa.DataType | None
) -> pa.Array:
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        text = text.cast(pa.large_string())  # views have no kernels
    if kind is None:
        kind = next((each for each in _KINDS if _reads(text[:1], each)), _KINDS[0])
    if _reads(text[:32], kind):  # a failing cast describes every failure, which is slow
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            pass  # the row is found below
    row = _first_failure(text, kind)
    zone = "with a zone, as in the first row" if getattr(kind, "tz", None) else "without a zone"
    must_be = (
        f"ISO 8601 text such as 2024-05-01 12:00:00 in all rows, {zone}, from 1678 to 2261 "
        "(parse other text first, or give numbers or timestamps)"
    )
    raise DataError(invalid(f"{owner}, row {first_row + row}", name, must_be, text[row].as_py()))


def _reads(text: pa.Array, kind: pa.DataType) -> bool:
    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _first_failure(text: pa.Array, kind: pa.DataType) -> int:
    """The first row that can't be read, by bisection; there is one."""
    start, stop = 0, len(text)
    while stop - start > 1:
        middle = (start + stop) // 2
        if _reads(text[start:middle], kind):
            start = middle
        else:
            stop = middle
    return start
