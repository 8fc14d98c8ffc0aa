"""Text of moments, in ISO 8601 or by directives of ``strptime`` -> microseconds since 1970 in UTC.

Letters: N rows.
"""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin, first_true
from nextrec.errors import ConfigError, invalid, unknown_option

MICROSECONDS, UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")
DAY = 86_400_000_000
ISO = (
    "a moment in ISO 8601, such as 2024-01-31 or 2024-01-31T13:05:00+01:00; "
    "give `format` for another form"
)
_FEW = 32
DATE_ALONE = r"^\d{4}-\d{2}-\d{2}$"
ZONE = r":\d{2}(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)$"
SHORTHANDS = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y"}
# What each directive of a format reads, as a regular expression of Arrow's (RE2).
DIRECTIVES = {
    **dict.fromkeys(("%m", "%d", "%e", "%y", "%H", "%I", "%M", "%S"), r"\s*\d{1,2}"),
    **dict.fromkeys(("%b", "%B", "%h", "%a", "%A", "%p"), r"\s*\pL+"),
    "%Y": r"\s*\d{1,4}",
    "%z": r"\s*(?:Z|[+-]\d{2}:?(?:\d{2})?)",
    "%%": "%",
}
UNITS_OF_FORMAT = {
    "year": ("%Y", "%y"),
    "month": ("%m", "%b", "%B", "%h"),
    "day": ("%d", "%e"),
    "hour": ("%H", "%I"),
    "minute": ("%M",),
}
"""The directives that give each unit of a moment."""
# What is read in the place of a unit of the date that a format lacks.
FILLED_IN = {"year": ("%Y", "1970"), "month": ("%m", "1"), "day": ("%d", "1")}


def from_iso(text: pa.Array, origin: Origin) -> pa.Array:
    """Text in ISO 8601, stripped ``(N,)``, as timestamp[us] in UTC.

    Raises:
        DataError: a text is no moment; names its row.
    """
    for kind in (MICROSECONDS, UTC):  # all without a zone, or all with one: the fast ways
        with contextlib.suppress(pa.ArrowInvalid):
            text[:_FEW].cast(kind)  # Arrow describes every failure: a long failing cast is slow
            return text.cast(kind).cast(MICROSECONDS)
    text = pc.replace_substring_regex(text, r"(:\d{2}\.\d{6})\d+", r"\1")  # no nanoseconds
    zoned = pc.match_substring_regex(text, ZONE)
    nothing = pa.scalar(None, text.type)
    with_zone = pc.if_else(zoned, text, nothing)
    without = pc.if_else(zoned, nothing, text)
    try:
        return pc.coalesce(with_zone.cast(UTC).cast(MICROSECONDS), without.cast(MICROSECONDS))
    except pa.ArrowInvalid:
        failures = (_first_failure(with_zone, UTC), _first_failure(without, MICROSECONDS))
        wrong = min(each for each in failures if each >= 0)
        raise origin.error(wrong, ISO, text[wrong].as_py()) from None


def _first_failure(text: pa.Array, kind: pa.DataType) -> int:
    """Position of the first text that is no moment, by bisection; -1 when all are."""

    def readable(start: int, stop: int) -> bool:
        try:
            text[start:stop].cast(kind)
        except pa.ArrowInvalid:
            return False
        return True

    start, stop = 0, len(text)
    if readable(start, stop):
        return -1
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (middle, stop) if readable(start, middle) else (start, middle)
    return start


def from_format(text: pa.Array, form: str, origin: Origin) -> pa.Array:
    """Text in a checked form, stripped ``(N,)``, as timestamp[us] in UTC.

    Raises:
        DataError: a text has another form or names a day that does not exist.
    """
    filled, full_form = text, form
    for unit, (directive, value) in FILLED_IN.items():
        if not holds(form, unit):
            filled = pc.binary_join_element_wise(filled, *_large(value, " "))
            full_form += " " + directive
    parsed = pc.strptime(filled, format=full_form, unit="us", error_is_null=True)
    parsed = parsed.cast(MICROSECONDS)
    unreadable = pc.and_(parsed.is_null(), text.is_valid())
    rolled_over = _no_such_day(filled, parsed, full_form)
    wrong = first_true(pc.or_(unreadable, rolled_over))
    if wrong >= 0:
        raise origin.error(wrong, f"a moment in the form {form!r}", text[wrong].as_py())
    return parsed


def _large(*texts: str) -> list[pa.Scalar]:
    return [pa.scalar(text, pa.large_string()) for text in texts]


def _no_such_day(text: pa.Array, parsed: pa.Array, form: str) -> pa.Array:
    """Whether the text names a day that its month lacks ``(N,)``.

    ``strptime`` reads February 30 as March 1 or 2. So where the moment lies at the start of a
    month, the day in the text is compared with it (give or take a day, when a zone moved it).
    """
    pattern = "".join(
        f"(?P<day>{DIRECTIVES[part]})" if part in UNITS_OF_FORMAT["day"]
        else DIRECTIVES.get(part) or (r"\s*" if part.isspace() else re.escape(part))
        for part in re.findall(r"%.|\s+|[^%\s]", form)
    )  # fmt: skip
    suspects = pc.less_equal(pc.day(parsed), 31 if "%z" in form else 3)
    if first_true(suspects) < 0:
        return pa.array(np.zeros(len(text), dtype=bool))
    day = pc.struct_field(pc.extract_regex(pc.if_else(suspects, text, None), pattern), "day")
    day = pc.utf8_trim_whitespace(day).cast(pa.int64())
    same = pa.array(np.zeros(len(text), dtype=bool))
    for shift in (-DAY, 0, DAY) if "%z" in form else (0,):
        near = pc.add(parsed, pa.scalar(shift, pa.duration("us")))
        same = pc.or_(same, pc.fill_null(pc.equal(pc.day(near), day), False))
    return pc.fill_null(pc.and_not(suspects, same), False)


def holds(form: str, unit: str) -> bool:
    """Whether a form gives a unit of :data:`UNITS_OF_FORMAT`."""
    return any(directive in form for directive in UNITS_OF_FORMAT[unit])


def checked_format(owner: str, form: object) -> str:
    """The form with its shorthands written out.

    Raises:
        ConfigError: it is no form, or holds what Arrow does not read on every platform.
    """
    if not isinstance(form, str) or "%" not in form:
        must_be = "directives of strptime, such as '%Y-%m-%d %H:%M', or None"
        raise ConfigError(invalid(owner, "format", must_be, form))
    for shorthand, directives in SHORTHANDS.items():
        form = form.replace(shorthand, directives)
    for directive in re.findall(r"%.?", form):
        if directive not in DIRECTIVES:
            options = [*DIRECTIVES, *SHORTHANDS]
            raise ConfigError(unknown_option(owner, "format", options, directive))
    return form
