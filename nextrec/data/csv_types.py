"""Types for text: the narrowest that holds all values of a column.

CSV has no types. A column takes the narrowest of integer, real number, true/false and text that
holds all its values in all files, so a real number or a word in the last row changes the type of
the whole column, instead of breaking the read or being lost. Nothing of what is written is lost
either: ``007`` and ``+5`` are text, and so are integers beyond 2^53 beside real numbers. ``-0`` is
a real number, as an integer it would lose its sign.

An empty field is missing. The words in ``MISSING`` are missing in columns of numbers only: in a
column of text, ``NA`` may be a country.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None", "\\N")


LONG = pa.decimal128(19)
"""Stands, while types are being found, for integers beyond 2^53: int64 holds them, reals do not."""

_EXACT = 2**53
"""Up to here reals hold every integer."""

_STARTS = pa.array([*(f"{sign}{digit}" for sign in "0+" for digit in range(10)), "0x", "0X", "-0"])
_NO_INTEGER = r"^(?:-?0[0-9xX]|-0$|\+)"
_NO_REAL = r"^(?:-?0[0-9xX]|\+[0-9]+$)"


def narrow(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cast a text column to the narrowest type that holds all its values."""
    pieces = [narrow_piece(chunk) for chunk in text.chunks]
    found = pa.null()
    for piece in pieces:
        found = wider(found, kind(piece))
    found = settled(found)
    pairs = zip(pieces, text.chunks, strict=True)
    fitting = [each if each.type == found else cast_text(chunk, found) for each, chunk in pairs]
    return pa.chunked_array(fitting, type=found)


def narrow_piece(text: pa.Array) -> pa.Array:
    """Cast a piece of a text column to the narrowest type that holds its values.

    >>> narrow_piece(pa.array(["1", "2.5", "NA"])).type, narrow_piece(pa.array(["007"])).type
    (DataType(double), DataType(string))
    """
    numbers = _as_numbers(text)
    if numbers is None:
        cleaned = _without_missing(text)
        numbers = _as_numbers(cleaned)
    if numbers is not None:
        return pa.nulls(len(text)) if numbers.null_count == len(text) else numbers
    flags = _as_flags(cleaned)
    return text if flags is None else flags


def _as_numbers(text: pa.Array) -> pa.Array | None:
    """The text as integers or else reals without NaN; None when it is neither."""
    integers = _try_cast(text, pa.int64())
    if integers is not None and not _any_is(text, _NO_INTEGER):
        return integers
    reals = _try_cast(text, pa.float64())
    if reals is None or pc.any(pc.is_nan(reals)).as_py():
        return None
    return None if _any_is(text, _NO_REAL) or _has_long_integer(text, reals) else reals


def _any_is(text: pa.Array, pattern: str) -> bool:
    """Whether a value is written as no number is: its zeros or its sign would be lost."""
    likely = text.filter(pc.is_in(pc.utf8_slice_codeunits(text, 0, 2), _STARTS))
    return bool(pc.any(pc.match_substring_regex(likely, pattern)).as_py())


def _has_long_integer(text: pa.Array, reals: pa.Array) -> bool:
    """Whether a value is an integer beyond 2^53, of which a real would lose digits."""
    large = pc.greater_equal(pc.abs(reals), float(_EXACT))
    text, reals = text.filter(large), reals.filter(large)
    whole = pc.match_substring_regex(text, r"^-?\d+$")
    digits = pc.utf8_ltrim(text.filter(whole), "-")
    return bool(pc.any(pc.not_equal(digits, str(_EXACT))).as_py())


def _as_flags(text: pa.Array) -> pa.Array | None:
    words = pa.array(["true", "false"])
    for part in (text[:32], text):
        lowered = pc.utf8_lower(part)
        if pc.any(pc.invert(pc.is_in(lowered.drop_null(), words))).as_py():
            return None
    return pc.equal(lowered, "true")


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both.

    >>> wider(pa.int64(), pa.float64()), wider(LONG, pa.float64()), wider(pa.int64(), LONG) == LONG
    (DataType(double), DataType(string), True)
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    both = {one, other}
    if both == {pa.int64(), LONG}:
        return LONG
    return pa.float64() if both == {pa.int64(), pa.float64()} else pa.string()


def kind(array: pa.Array) -> pa.DataType:
    """The type of a narrowed piece, :data:`LONG` where its integers are."""
    if not pa.types.is_integer(array.type):
        return array.type
    bounds = pc.min_max(array).as_py()
    least, most = bounds["min"], bounds["max"]
    return LONG if least is not None and max(-least, most) > _EXACT else array.type


def settled(found: pa.DataType) -> pa.DataType:
    """The type that a column of a found kind has."""
    return pa.int64() if found == LONG else found


def cast_text(text: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast text to a type that is wide enough for it."""
    if pa.types.is_string(to):
        return text
    if pa.types.is_null(to):
        return pa.nulls(len(text))
    quick = _try_cast(text, to)
    if quick is None or (pa.types.is_floating(to) and pc.any(pc.is_nan(quick)).as_py()):
        return _without_missing(text).cast(to)
    return quick


def casts(text: pa.Array, to: pa.DataType) -> bool:
    """Whether all text is a number of the type as it stands, without words for missing values."""
    quick = _try_cast(text, to)
    return quick is not None and not (pa.types.is_floating(to) and pc.any(pc.is_nan(quick)).as_py())


def _try_cast(text: pa.Array, to: pa.DataType) -> pa.Array | None:
    try:
        text[:32].cast(to)  # a failing cast describes every row that failed, which is slow
        return text.cast(to)
    except pa.ArrowInvalid:
        return None


def _without_missing(text: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(MISSING)), pa.scalar(None, text.type), text)
