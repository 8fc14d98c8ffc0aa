"""Parts of moments: the calendar's as ids, the cycles' as sines and cosines, and the age.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin, first_true
from nextrec.data.transforms.base import TRANSFORMS, Output, Payload, Role, Transform
from nextrec.data.transforms.moment_state import MomentState
from nextrec.data.transforms.moment_text import DAY
from nextrec.data.transforms.moments import MomentReader
from nextrec.errors import ConfigError, DataError, NotFittedError, invalid, unknown_option
from nextrec.features import UNKNOWN_ID, DenseFeature, Feature, SparseFeature

FIRST_TOKEN_ID = UNKNOWN_ID + 1


@dataclass(frozen=True)
class CalendarPart:
    """A part with a fixed range of integers."""

    lowest: int
    count: int
    read: Callable[[pa.Array], pa.Array]
    """Moments ``(N,)`` -> integers ``(N,)``."""


def weekday(moments: pa.Array) -> pa.Array:
    """Days since Monday."""
    return pc.day_of_week(moments, count_from_zero=True, week_start=1)


CALENDAR = {
    "quarter": CalendarPart(1, 4, pc.quarter),
    "month": CalendarPart(1, 12, pc.month),
    "week": CalendarPart(1, 53, pc.iso_week),
    "day": CalendarPart(1, 31, pc.day),
    "weekday": CalendarPart(0, 7, weekday),
    "is_weekend": CalendarPart(0, 2, lambda moments: pc.greater_equal(weekday(moments), 5)),
    "day_of_year": CalendarPart(1, 366, pc.day_of_year),
    "hour": CalendarPart(0, 24, pc.hour),
    "minute": CalendarPart(0, 60, pc.minute),
}


def _turn_of_day(moments: pa.Array) -> np.ndarray:
    return (moments.cast(pa.int64()).to_numpy() % DAY) / DAY


def _turn_of_week(moments: pa.Array) -> np.ndarray:
    return weekday(moments).to_numpy() / 7


def _turn_of_year(moments: pa.Array) -> np.ndarray:
    days = np.where(pc.is_leap_year(moments).to_numpy(zero_copy_only=False), 366, 365)
    return (pc.day_of_year(moments).to_numpy() - 1) / days


CYCLES: dict[str, tuple[Callable[[pa.Array], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    f"{name}_{wave.__name__}": (turn, wave)
    for name, turn in (
        ("hour", _turn_of_day),
        ("weekday", _turn_of_week),
        ("day_of_year", _turn_of_year),
    )
    for wave in (np.sin, np.cos)
}
AGES = ("age", "log_age")
PARTS = ("year", *CALENDAR, *CYCLES, *AGES)
# What a format must hold for a part; the others need the whole date.
NEEDS = {
    "year": ("year",),
    "quarter": ("month",),
    "month": ("month",),
    "day": ("day",),
    **dict.fromkeys(("hour", "hour_sin", "hour_cos"), ("hour",)),
    "minute": ("minute",),
}


@TRANSFORMS.register("datetime_part")
class DatetimePart(Transform):
    """One part of a column of moments.

    * Ids: ``quarter``, ``month``, ``week`` (ISO 8601), ``day``, ``weekday`` (Monday is 0),
      ``is_weekend``, ``day_of_year``, ``hour``, ``minute`` have the id ``2 + value - lowest``
      whatever was fitted; ``year`` has ``2 + year - first fitted year``, and years outside the
      fitted range are unknown.
    * Numbers on a circle: ``hour_sin``, ``hour_cos`` (the time of day, seconds included),
      ``weekday_sin``, ``weekday_cos``, ``day_of_year_sin``, ``day_of_year_cos``: the sine and
      cosine of ``2 pi`` times the share of the cycle that has passed.
    * ``age``: days from the moment to the latest fitted one, negative after it; ``log_age``:
      ``sign(age) log(1 + |age|)``. A Unix time itself does not fit float32: seconds are lost.

    Args:
        name: the output column.
        column: the column of moments: Arrow dates and timestamps, Unix times, or text.
        part: one of the above.
        format: of text; ``None``: ISO 8601. See :class:`~.moments.MomentReader`.
        unit: of Unix times: ``s``, ``ms``, ``us`` or ``ns``.
        timezone: IANA name of the place whose clock counts; moments without a zone are UTC.
        missing: ``fill`` gives a missing moment the unknown id, the circle's centre (0) or the
            mean age; ``error`` refuses it.

    Raises:
        ConfigError: a setting is wrong.
    """

    kind: ClassVar[str] = "datetime_part"

    def __init__(
        self,
        name: str,
        column: str,
        part: str,
        format: str | None = None,
        unit: str = "s",
        timezone: str | None = None,
        missing: Literal["fill", "error"] = "fill",
    ) -> None:
        owner = f"{self.kind} of column {column!r}"
        if part not in PARTS:
            raise ConfigError(unknown_option(owner, "part", PARTS, part))
        if missing not in ("fill", "error"):
            raise ConfigError(unknown_option(owner, "missing", ("fill", "error"), missing))
        self.name, self.inputs, self.part, self.missing = name, (column,), part, missing
        self.reader = MomentReader(owner, format, unit, timezone)
        self.role: Role = "numeric" if part in CYCLES or part in AGES else "sparse"
        self.reader.require(NEEDS.get(part, ("year", "month", "day")), part)
        self.first_year: int | None = None
        self.last_year: int | None = None
        self.latest: int | None = None
        self.mean_age = 0.0

    def state(self) -> MomentState:
        """An empty state."""
        return MomentState(self.reader)

    def learn(self, state: MomentState) -> None:
        """Keep the years or the latest moment, for the parts that need them."""
        learns = self.part == "year" or self.part in AGES
        if state.years is None or state.latest is None:
            if learns:
                must_be = "a column with at least one moment"
                raise DataError(invalid(self.reader.owner, "column", must_be, "only missing ones"))
            return
        if self.part == "year":
            self.first_year, self.last_year = state.years
        elif learns:
            self.latest, self.mean_age = state.latest, state.mean_age()

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The part of each moment of a piece of the column."""
        moments = self.reader.read(columns[0], first_row)
        if self.missing == "error" and moments.missing:
            wrong = first_true(moments.utc.is_null())
            raise Origin(self.reader.owner, first_row).error(wrong, "present", None)
        if self.part in AGES:
            values, unknown = self._ages(moments.utc), 0
        elif self.part in CYCLES:
            values, unknown = self._waves(moments.local), 0
        else:
            values, unknown = self._ids(moments.local)
        return Output(values, moments.missing, unknown, len(values))

    def _ids(self, local: pa.Array) -> tuple[pa.Array, int]:
        if self.part == "year":
            lowest, highest = self._fitted(self.first_year), self._fitted(self.last_year)
            part = pc.year(local)
        else:
            calendar = CALENDAR[self.part]
            lowest, highest = calendar.lowest, calendar.lowest + calendar.count - 1
            part = calendar.read(local).cast(pa.int64())
        inside = pc.and_(pc.greater_equal(part, lowest), pc.less_equal(part, highest))
        unknown = pc.sum(pc.invert(inside)).as_py() or 0
        ids = pc.add(part, FIRST_TOKEN_ID - lowest)
        return pc.if_else(pc.fill_null(inside, False), ids, UNKNOWN_ID).cast(pa.int32()), unknown

    def _waves(self, local: pa.Array) -> pa.Array:
        turn, wave = CYCLES[self.part]
        missing = local.is_null().to_numpy(zero_copy_only=False)
        turns = turn(pc.fill_null(local, pa.scalar(0, pa.int64()).cast(local.type)))
        return pa.array(np.where(missing, 0.0, wave(2 * np.pi * turns)).astype(np.float32))

    def _ages(self, utc: pa.Array) -> pa.Array:
        latest = self._fitted(self.latest)
        raw = pc.fill_null(utc.cast(pa.int64()), 0).to_numpy()
        missing = utc.is_null().to_numpy(zero_copy_only=False)
        days = np.where(missing, self.mean_age, (latest - raw) / DAY)
        if self.part == "log_age":
            days = np.copysign(np.log1p(np.abs(days)), days)
        return pa.array(days.astype(np.float32))

    def _fitted(self, value: int | None) -> int:
        if value is None:
            raise NotFittedError(f"{self.reader.owner}: fit it before transform.")
        return value

    @property
    def output_type(self) -> pa.DataType:
        """int32 ids or float32 numbers."""
        return pa.int32() if self.role == "sparse" else pa.float32()

    @property
    def vocab_size(self) -> int | None:
        """Padding, unknown and one row a value."""
        if self.role != "sparse":
            return None
        if self.part == "year":
            return FIRST_TOKEN_ID + self._fitted(self.last_year) - self._fitted(self.first_year) + 1
        return FIRST_TOKEN_ID + CALENDAR[self.part].count

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "name": self.name,
            "column": self.inputs[0],
            "part": self.part,
            "format": self.reader.format,
            "unit": self.reader.unit,
            "timezone": self.reader.timezone,
            "missing": self.missing,
        }

    def learned(self) -> Payload:
        """Years, latest moment (microseconds since 1970) and mean age (days)."""
        return {
            "first_year": self.first_year,
            "last_year": self.last_year,
            "latest": self.latest,
            "mean_age": self.mean_age,
        }

    def restore(self, payload: Payload) -> None:
        """Set what :meth:`learned` wrote."""
        self.first_year, self.last_year = payload["first_year"], payload["last_year"]
        self.latest, self.mean_age = payload["latest"], payload["mean_age"]

    def feature(self, arguments: Mapping[str, Any]) -> Feature:
        """A sparse feature of the ids, or a dense one."""
        if self.role == "sparse":
            return SparseFeature(self.name, self.vocab_size, **arguments)  # type: ignore[arg-type]
        return DenseFeature(self.name, **arguments)

    def describe(self) -> str:
        """The part and the clock."""
        return self.part + (f" in {self.reader.timezone}" if self.reader.timezone else "")
