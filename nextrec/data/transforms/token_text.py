"""The text of values that are no text, and the one spelling of text that writes such a value.

Values are written once a distinct one, so a value that only Python can write (a float of 300
digits) may take its time. Letters: K distinct values.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import NUMBER_TEXT
from nextrec.data.lists import first_true, is_text

TEXT = pa.large_string()
_ZERO_FRACTION = r"^(?:(-?[1-9][0-9]*)|-?(0))\.0+$"
_BEFORE_LAST = np.isin(np.arange(256), list(b".0us"))
_SHORT = 10  # bytes
_LONGEST_EXPONENT = 400  # beyond all floats; a text such as 1e999999999 is not written out


def text_of(values: pa.Array) -> pa.Array | None:
    """Each value as text ``(K,)`` ``large_string``, null for a missing one.

    ``None`` when the type has no text (lists, structs, durations).

    Raises:
        pyarrow.ArrowInvalid: a value has none (bytes that are not UTF-8).
    """
    data_type = values.type
    if is_text(data_type) or pa.types.is_null(data_type):
        return values.cast(TEXT)
    for is_kind, write in _WRITERS:
        if is_kind(data_type):
            return write(values).cast(TEXT)
    return None


def is_number(data_type: pa.DataType) -> bool:
    """Whether values of the type are numbers; truth values are not."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(kind(data_type) for kind in kinds)


def canonical(text: pa.Array) -> pa.Array:
    """Text with whole numbers written without a fraction and truth values in lower case ``(K,)``.

    Other text stays as it is, and an array of nothing else is returned itself.

    Args:
        text: ``large_string``.

    >>> text = pa.array(["3.0", "-7.00", "-0.0", "True", "007.0", "1.10", " 1.0"], TEXT)
    >>> canonical(text).to_pylist()
    ['3', '-7', '0', 'true', '007.0', '1.10', ' 1.0']
    """
    rows = _perhaps_not_canonical(text)
    if not len(rows):
        return text
    chosen = text.take(pa.array(rows)).dictionary_encode()
    spelled = chosen.dictionary
    written = pc.replace_substring_regex(spelled, _ZERO_FRACTION, r"\1\2")
    truth = pc.is_in(spelled, pa.array(["True", "False"], TEXT))
    written = pc.if_else(truth, pc.ascii_lower(written), written)
    if written == spelled:
        return text
    mask = np.zeros(len(text), bool)
    mask[rows] = True
    return pc.replace_with_mask(text, pa.array(mask), written.take(chosen.indices))


def _perhaps_not_canonical(text: pa.Array) -> np.ndarray:
    """Rows whose text ends like ``.0``, ``00``, ``ue`` or ``se``; to be matched afterwards.

    A look at two bytes is much faster than a match, and so is it to see that short texts have no
    dot, ``T`` or ``F`` at all. A text of one byte borrows another from the text before it.
    """
    nowhere = np.zeros(0, np.int64)
    _, offset_buffer, data_buffer = text.buffers()
    if len(text) == 0 or data_buffer is None or data_buffer.size < 2:
        return nowhere
    data = np.frombuffer(data_buffer, np.uint8)
    offsets = np.frombuffer(offset_buffer, np.int64)[text.offset :][: len(text) + 1]
    held, ends = data[offsets[0] : offsets[-1]], offsets[1:]
    if len(held) < _SHORT * len(text) and not any((held == byte).any() for byte in b".TF"):
        return nowhere
    last = data[ends - 1]
    rows = np.flatnonzero((last == ord("0")) | (last == ord("e")))
    return rows[_BEFORE_LAST[data[ends[rows] - 2]]]


def number_text(text: pa.Array) -> pa.Array:
    """The token of the number that each text writes ``(K,)``; null where it writes none.

    >>> number_text(pa.array(["2.0", " +07 ", "1e3", ".50", "-0", "two"])).to_pylist()
    ['2', '7', '1000', '0.5', '0', None]
    """
    text = text.cast(TEXT)
    text = pc.if_else(
        pc.match_substring_regex(text, NUMBER_TEXT), pc.utf8_trim_whitespace(text), None
    )
    for pattern, replacement in (
        (r"^\+", ""),
        (r"^(-?)\.", r"\10."),
        (r"^(-?)0+(\d)", r"\1\2"),
        (r"^([^eE]*\.\d*?)0+$", r"\1"),
        (r"\.$", ""),
        (r"^-0$", "0"),
    ):
        text = pc.replace_substring_regex(text, pattern, replacement)
    # An exponent, or a number so small that Python writes one.
    awkward = pc.fill_null(pc.match_substring_regex(text, r"[eE]|^-?0\.0000"), False)
    return _rewritten(text, text, awkward.to_numpy(zero_copy_only=False), _number)


def _number(text: str) -> str | None:
    number = Decimal(text)
    if abs(number.adjusted()) > _LONGEST_EXPONENT:
        return None
    if number == number.to_integral_value():
        return str(int(number))
    shortest = repr(float(number))
    return shortest if Decimal(shortest) == number else f"{number:f}".rstrip("0")


def _float_text(values: pa.Array) -> pa.Array:
    raw = values.to_numpy(zero_copy_only=False)  # a missing value becomes NaN
    numbers = raw.astype(np.float64)
    missing = np.isnan(numbers)
    whole = np.isfinite(numbers) & (np.trunc(numbers) == numbers)
    short = whole & (np.abs(numbers) < 2.0**63)
    integers = pa.array(np.where(short, numbers, 0).astype(np.int64)).cast(TEXT)
    if raw.dtype == np.float16:
        written = short
        text = integers
    else:  # Arrow finds the same shortest digits as Python, but places the point differently
        text = pc.if_else(pa.array(short), integers, pa.array(raw).cast(TEXT))
        exponent = pc.match_substring(text, "e").to_numpy(zero_copy_only=False)
        small = np.abs(numbers) < 1e-4
        written = short | ~(whole | exponent | small)
    text = pc.if_else(pa.array(missing), pa.scalar(None, TEXT), text)
    return _rewritten(text, raw, ~written & ~missing, _float)


def _float(value: np.floating) -> str:
    return str(int(value)) if np.isfinite(value) and value == np.trunc(value) else str(value)


def _decimal_text(values: pa.Array) -> pa.Array:
    return number_text(values.cast(TEXT))


def _bytes_text(values: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    return values.cast(pa.large_binary()).cast(TEXT)


def _date_text(values: pa.Array) -> pa.Array:
    return _in_range(values.cast(pa.date32()).cast(TEXT))


def _time_text(values: pa.Array) -> pa.Array:
    text = values.cast(TEXT)
    return _in_range(pc.replace_substring_regex(text, r"\.0+$|(\.\d*?)0+$", r"\1"))


def _instant_text(values: pa.Array) -> pa.Array:
    zone = values.type.tz
    text = _time_text(values.cast(pa.timestamp(values.type.unit)))  # without the zone: in UTC
    text = pc.replace_substring(text, " ", "T", max_replacements=1)
    return text if zone is None else pc.replace_substring_regex(text, "$", "Z")


def _in_range(text: pa.Array) -> pa.Array:
    if first_true(pc.starts_with(text, "<")) >= 0:  # Arrow: <value out of range>
        raise pa.ArrowInvalid("a date that has no text")
    return text


def _rewritten(
    text: pa.Array, values: pa.Array | np.ndarray, mask: np.ndarray, write: Callable
) -> pa.Array:
    """The text with the places of the mask written by a function, one by one."""
    if not mask.any():
        return text
    chosen = values[mask] if isinstance(values, np.ndarray) else values.filter(pa.array(mask))
    chosen = chosen if isinstance(chosen, np.ndarray) else chosen.to_pylist()
    return pc.replace_with_mask(text, pa.array(mask), pa.array(map(write, chosen), TEXT))


_WRITERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_integer, lambda values: values),
    (pa.types.is_boolean, lambda values: values),
    (pa.types.is_floating, _float_text),
    (pa.types.is_decimal, _decimal_text),
    (pa.types.is_date, _date_text),
    (pa.types.is_timestamp, _instant_text),
    (pa.types.is_time, _time_text),
    (pa.types.is_binary, _bytes_text),
    (pa.types.is_large_binary, _bytes_text),
    (pa.types.is_fixed_size_binary, _bytes_text),
    (getattr(pa.types, "is_binary_view", lambda data_type: False), _bytes_text),
)
