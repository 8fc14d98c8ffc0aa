"""Reading a column as numbers: which rows are missing, and what the others are.

A number is an integer, a real, a decimal, a boolean (1 and 0), or text that is one of these. NaN
and null are missing, and in text so are an empty field and the words of
:data:`~nextrec.data.csv_types.MISSING`. Everything else is an error naming column, row and value:
infinities, hexadecimal text, dates, lists.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.csv_types import MISSING
from nextrec.data.lists import Origin, first_true, is_text
from nextrec.errors import ConfigError, unknown_option

Missing = Literal["fill", "error"]
POLICIES = ("fill", "error")


@dataclass(frozen=True)
class Numbers:
    """The numbers of one piece of a column."""

    values: np.ndarray
    """``(N,)``, float64 or integers, finite; 0 where missing."""
    missing: np.ndarray
    """``(N,)`` of bool."""
    missing_count: int

    @property
    def present(self) -> np.ndarray:
        """The numbers that are not missing."""
        return self.values[~self.missing] if self.missing_count else self.values

    def filled(self, fill: float) -> np.ndarray:
        """``(N,)`` of float64 with ``fill`` where a number is missing."""
        values = self.values.astype(np.float64, copy=False)
        return np.where(self.missing, fill, values) if self.missing_count else values


def check_policy(owner: str, missing: object) -> None:
    """Refuse a policy of missing values that does not exist."""
    if missing not in POLICIES:
        raise ConfigError(unknown_option(owner, "missing", POLICIES, missing))


def read_numbers(column: pa.Array, origin: Origin, policy: Missing = "fill") -> Numbers:
    """The numbers of one piece of a column ``(N,)``.

    Args:
        column: of any Arrow type.
        origin: where the piece comes from.
        policy: ``"error"``: a missing number is an error too.

    Raises:
        DataError: a value is no finite number, or is missing though it must not be.
    """
    numbers = _read(column, origin)
    if numbers.missing_count and policy == "error":
        row = first_true(numbers.missing)
        must_be = "a number (missing ones are refused by `missing` 'error')"
        raise origin.error(row, must_be, column[row].as_py())
    return numbers


def _read(column: pa.Array, origin: Origin) -> Numbers:
    kind = column.type
    if pa.types.is_null(kind):
        return _with_nulls(np.zeros(len(column)), column)
    if is_text(kind):
        return _read_text(column, origin)
    if pa.types.is_float16(kind):  # which not every pyarrow casts
        column = pa.array(column.to_numpy(zero_copy_only=False).astype(np.float64))
    if pa.types.is_floating(kind):
        return _read_reals(column, column, origin)
    if pa.types.is_integer(kind):
        whole = column.fill_null(0) if column.null_count else column
        return _with_nulls(whole.to_numpy(zero_copy_only=False), column)
    if pa.types.is_boolean(kind):
        return _read_reals(column.cast(pa.uint8()), column, origin)
    if pa.types.is_decimal(kind):  # by way of text, which is read to the nearest float64
        return _read_reals(column.cast(pa.string()), column, origin)
    row = max(first_true(column.is_valid()), 0)
    raise origin.error(row, _must_be(kind), column[row].as_py() if len(column) else str(kind))


def _must_be(kind: pa.DataType) -> str:
    if pa.types.is_temporal(kind):
        return "a number; for dates and times there is the datetime feature"
    return f"a number, not of type {kind}"


def _with_nulls(values: np.ndarray, column: pa.Array) -> Numbers:
    if not column.null_count:
        return Numbers(values, np.zeros(len(column), np.bool_), 0)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return Numbers(values, missing, column.null_count)


def _read_reals(numbers: pa.Array, column: pa.Array, origin: Origin) -> Numbers:
    """From what Arrow casts to float64; ``column`` holds the values as they were."""
    values = numbers.cast(pa.float64()).to_numpy(zero_copy_only=False)  # NaN for null
    finite = np.isfinite(values)
    if finite.all():
        return Numbers(values, np.zeros(len(values), np.bool_), 0)
    missing = np.isnan(values)
    infinite = first_true(~(finite | missing))
    if infinite >= 0:
        raise origin.error(infinite, "a finite number", column[infinite].as_py())
    return Numbers(np.where(missing, 0.0, values), missing, int(np.count_nonzero(missing)))


def _read_text(text: pa.Array, origin: Origin) -> Numbers:
    if text.type not in (pa.string(), pa.large_string()):  # a view, which few kernels take
        text = text.cast(pa.string())
    # The few first: a cast that fails describes every failure, which is slow.
    reals = None if _cast(text[:32]) is None else _cast(text)
    if reals is None:
        cleaned = _cleaned(text)
        reals = _cast(cleaned)
        if reals is None:
            row = _first_failure(cleaned)
            raise origin.error(row, "a finite number", text[row].as_py())
    return _read_reals(reals, text, origin)


def _cleaned(text: pa.Array) -> pa.Array:
    """Without spaces around; null for the words of missing; true and false as 1 and 0."""
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(
        pc.is_in(text, pa.array(MISSING, text.type)), pa.scalar(None, text.type), text
    )
    lowered = pc.utf8_lower(text)
    for word, number in (("true", "1"), ("false", "0")):
        text = pc.if_else(pc.equal(lowered, word), pa.scalar(number, text.type), text)
    return text


def _cast(text: pa.Array) -> pa.Array | None:
    try:
        return text.cast(pa.float64())  # which refuses hexadecimal
    except pa.ArrowInvalid:
        return None


def _first_failure(text: pa.Array) -> int:
    """Position of the first value that is no finite number, found by halving."""
    ends = range(1, len(text))
    return bisect.bisect_left(ends, True, key=lambda end: not _is_finite(text[:end]))


def _is_finite(text: pa.Array) -> bool:
    reals = _cast(text)
    return reals is not None and not pc.any(pc.is_inf(reals)).as_py()
