"""Types for text: the narrowest that holds all values of a column.

CSV has no types. A column takes the narrowest of integer, real number, true/false and text that
holds all its values in all files, so a real number or a word in the last row changes the type of
the whole column, instead of breaking the read or being lost.

An empty field is missing. The words in ``MISSING`` are missing in columns of numbers only: in a
column of text, ``NA`` may be a country.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None", "\\N")


def narrow(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cast a text column to the narrowest type that holds all its values."""
    pieces = [narrow_piece(chunk) for chunk in text.chunks]
    found = pa.null()
    for piece in pieces:
        found = wider(found, piece.type)
    pairs = zip(pieces, text.chunks, strict=True)
    fitting = [each if each.type == found else cast_text(chunk, found) for each, chunk in pairs]
    return pa.chunked_array(fitting, type=found)


def narrow_piece(text: pa.Array) -> pa.Array:
    """Cast a piece of a text column to the narrowest type that holds its values.

    >>> narrow_piece(pa.array(["1", "2.5", "NA"])).type
    DataType(double)
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
    if integers is not None:
        # Arrow reads 0x1f as 31; whoever writes that means a name.
        return None if pc.any(pc.starts_with(text, "0x")).as_py() else integers
    reals = _try_cast(text, pa.float64())
    if reals is None or pc.any(pc.is_nan(reals)).as_py() or _has_long_integer(text, reals):
        return None
    return reals


def _has_long_integer(text: pa.Array, reals: pa.Array) -> bool:
    """Whether a value is an integer that int64 can't hold: a name, which a float would blur."""
    largest = pc.max(pc.abs(reals)).as_py()
    if largest is None or largest < 2**63:
        return False
    integers = text.filter(pc.match_substring_regex(text, r"^-?\d+$"))
    return _try_cast(integers, pa.int64()) is None


def _as_flags(text: pa.Array) -> pa.Array | None:
    words = pa.array(["true", "false"])
    for part in (text[:32], text):
        lowered = pc.utf8_lower(part)
        if pc.any(pc.invert(pc.is_in(lowered.drop_null(), words))).as_py():
            return None
    return pc.equal(lowered, "true")


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both.

    >>> wider(pa.int64(), pa.float64()), wider(pa.int64(), pa.string())
    (DataType(double), DataType(string))
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.string()


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
