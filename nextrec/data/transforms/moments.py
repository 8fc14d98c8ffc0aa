"""Columns of moments in any form -> one form: microseconds since 1970 in UTC, and the wall clock.

Forms: Arrow dates and timestamps, Unix times, text in ISO 8601 or in a given ``format``. A moment
without a zone is UTC. A date alone is no moment, so no time zone moves it. Null, NaN, blank text
and the words of :data:`~nextrec.data.csv_types.MISSING` are missing.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import numeric
from nextrec.data.csv_types import MISSING
from nextrec.data.lists import Origin, first_true, is_text
from nextrec.data.transforms.moment_text import (
    DATE_ALONE,
    DAY,
    MICROSECONDS,
    UNITS_OF_FORMAT,
    checked_format,
    from_format,
    from_iso,
    holds,
)
from nextrec.errors import ConfigError, did_you_mean, invalid, unknown_option

PER_UNIT = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
"""Microseconds in one of each unit of Unix time."""
FIRST, END = -62_135_596_800_000_000, 253_402_300_800_000_000  # years 1 to 9999
IN_CALENDAR = "a moment in the years 1 to 9999 (is `unit` right?)"


@dataclass(frozen=True)
class Moments:
    """A piece of a column of moments; missing ones are null."""

    utc: pa.Array
    """``(N,)`` timestamp[us] in UTC."""
    local: pa.Array
    """``(N,)`` timestamp[us]: what the wall clock shows in the time zone."""

    @property
    def missing(self) -> int:
        """Rows without a moment."""
        return self.utc.null_count


@dataclass(frozen=True)
class MomentReader:
    """How to read one column of moments.

    Args:
        owner: who reads, for errors.
        format: of text and of integers that are digits of a date, in ``strptime``'s directives
            ``%Y %y %m %b %B %d %e %H %I %p %M %S %z %a %A %F %T %R %D``; ``None`` reads text as
            ISO 8601 and numbers as Unix time.
        unit: of Unix times: ``s``, ``ms``, ``us`` or ``ns``.
        timezone: IANA name of the wall clock; ``None`` takes that of the column's type, or UTC.

    Raises:
        ConfigError: a setting is wrong.
    """

    owner: str
    format: str | None = None
    unit: str = "s"
    timezone: str | None = None

    def __post_init__(self) -> None:
        if self.unit not in PER_UNIT:
            raise ConfigError(unknown_option(self.owner, "unit", PER_UNIT, self.unit))
        if self.format is not None:
            object.__setattr__(self, "format", checked_format(self.owner, self.format))
        if self.timezone is not None:
            _check_timezone(self.owner, self.timezone)

    def require(self, units: Iterable[str], purpose: str) -> None:
        """Raise ``ConfigError`` when the format lacks a unit that ``purpose`` needs."""
        for unit in units:
            if self.format is not None and not holds(self.format, unit):
                directives = " or ".join(UNITS_OF_FORMAT[unit])
                must_be = f"a form that holds the {unit} ({directives}), which {purpose!r} needs"
                raise ConfigError(invalid(self.owner, "format", must_be, self.format))

    def read(self, values: pa.Array, first_row: int) -> Moments:
        """The moments of a piece ``(N,)`` of the column.

        Raises:
            DataError: a value is no moment; names column, row and value.
        """
        origin = Origin(self.owner, first_row)
        kind = values.type
        if pa.types.is_date(kind):
            unit, days = ("D", pa.int32()) if pa.types.is_date32(kind) else ("ms", pa.int64())
            utc = _from_integers(values.cast(days), unit, origin)
            return Moments(utc, utc)
        if pa.types.is_timestamp(kind):
            utc = _from_integers(values.cast(pa.int64()), kind.unit, origin)
            return Moments(utc, _wall_clock(utc, self.timezone or kind.tz))
        if is_text(kind):
            return self._from_text(values.cast(pa.large_string()), origin)
        values = numeric(values, origin, "dates, timestamps, text or Unix times")
        if pa.types.is_boolean(kind):
            raise origin.error(0, "a moment, not a boolean", values[0].as_py())
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        if self.format is not None:
            return self._from_text(_digits(values, origin).cast(pa.large_string()), origin)
        from_numbers = _from_floats if pa.types.is_floating(values.type) else _from_integers
        utc = from_numbers(values, self.unit, origin)
        return Moments(utc, _wall_clock(utc, self.timezone))

    def _from_text(self, text: pa.Array, origin: Origin) -> Moments:
        text = pc.utf8_trim_whitespace(text)
        no_moment = pc.is_in(text, pa.array(MISSING, text.type))
        text = pc.if_else(no_moment, pa.scalar(None, text.type), text)
        if self.format is None:
            utc = from_iso(text, origin)
        else:
            utc = from_format(text, self.format, origin)
        if self.timezone is None:
            return Moments(utc, utc)
        if self.format is None:
            dates = pc.match_substring_regex(text, DATE_ALONE)
        else:
            dates = pa.scalar(not holds(self.format, "hour"))
        return Moments(utc, pc.if_else(dates, utc, _wall_clock(utc, self.timezone)))


def _wall_clock(utc: pa.Array, timezone: str | None) -> pa.Array:
    if timezone is None:
        return utc
    instants = pc.assume_timezone(utc, "UTC").cast(pa.timestamp("us", timezone))
    return pc.local_timestamp(instants)


def _from_integers(values: pa.Array, unit: str, origin: Origin) -> pa.Array:
    if pa.types.is_uint64(values.type):
        wrong = first_true(pc.greater(values, pa.scalar(2**63 - 1, pa.uint64())))
        if wrong >= 0:
            raise origin.error(wrong, IN_CALENDAR, values[wrong].as_py())
    raw = pc.fill_null(values, 0).cast(pa.int64()).to_numpy()
    if unit == "ns":  # whatever int64 holds lies in the calendar
        return _as_moments(raw // 1000, values)
    per_unit = DAY if unit == "D" else int(PER_UNIT[unit])
    wrong = first_true((raw < FIRST // per_unit) | (raw >= END // per_unit))
    if wrong >= 0:
        raise origin.error(wrong, IN_CALENDAR, raw[wrong])
    return _as_moments(raw * per_unit, values)


def _from_floats(values: pa.Array, unit: str, origin: Origin) -> pa.Array:
    raw = pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy() * PER_UNIT[unit]
    wrong = first_true(~((raw >= FIRST) & (raw < END)))
    if wrong >= 0:
        raise origin.error(wrong, IN_CALENDAR, values[wrong].as_py())
    return _as_moments(np.rint(raw).astype(np.int64), values)


def _as_moments(microseconds: np.ndarray, values: pa.Array) -> pa.Array:
    missing = values.is_null().to_numpy(zero_copy_only=False)
    return pa.array(microseconds, pa.int64(), mask=missing).cast(MICROSECONDS)


def _digits(values: pa.Array, origin: Origin) -> pa.Array:
    """Whole numbers as integers: a column of them with gaps is often floating."""
    if not pa.types.is_floating(values.type):
        return values
    wrong = first_true(pc.not_equal(pc.floor(values), values))
    if wrong >= 0:
        raise origin.error(wrong, "digits of a date, by `format`", values[wrong].as_py())
    return values.cast(pa.int64())


def _check_timezone(owner: str, timezone: object) -> None:
    try:
        _wall_clock(pa.array([0]).cast(MICROSECONDS), str(timezone))
    except pa.ArrowInvalid:
        must_be = "an IANA name, such as 'Europe/Berlin', of the system's time zone data"
        message = invalid(owner, "timezone", must_be, timezone)
        raise ConfigError(message + did_you_mean(timezone, _known_timezones())) from None


def _known_timezones() -> list[str]:
    from zoneinfo import available_timezones  # reads the disk: only when an error needs it

    return sorted(available_timezones())
