"""Columns that say when: how they are read, and which parts of a moment they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.profile import Profile
from nextrec.data.transforms.datetimes import CALENDAR, FIRST_TOKEN_ID
from nextrec.data.transforms.moments import MomentReader
from nextrec.errors import DataError

DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d")
CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S")
FORMS = (None, *(day + clock for day, clock in product(DAYS, CLOCKS)))
"""Forms of text that are tried, ISO 8601 first."""
UNITS = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""Unix times below this count in this unit."""


@dataclass(frozen=True)
class Moment:
    """How a column of moments stands under ``processor.datetime``."""

    why: str
    parts: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Rows of the table of each part."""
        return {part: FIRST_TOKEN_ID + CALENDAR[part].count for part in self.parts}


def moment_of(profile: Profile) -> Moment | None:
    """How the moments of a column are read; ``None`` when no way is known."""
    if profile.kind in ("integer", "real"):
        unit = next((unit for unit, end in UNITS.items() if profile.highest < end), "ns")
        options = {} if unit == "s" else {"unit": unit}
        return Moment(f"Unix times in {unit}", ("hour", "weekday"), options)
    if profile.kind == "time":
        kinds = set(profile.types)
        if not all(each.startswith(("date", "timestamp")) for each in kinds):
            return None  # times of day and durations
        values = profile.counts.values
        return Moment(*_told("dates", values))
    return _moment_of_text(profile)


def _moment_of_text(profile: Profile) -> Moment | None:
    values = profile.counts.values
    known = not profile.counts.over
    text = values if known else profile.examples
    fitting = [form for form in FORMS if _reads(text, form)] if len(text.drop_null()) else []
    if not fitting:
        return None
    form = fitting[0]
    why, parts = _told("dates as text", MomentReader("init", form).read(text, 0).utc)
    if len(fitting) > 1:
        why += f"; {fitting[1]} fits as well"
    if not known:
        why += f"; the form was tried on {len(text):,} of them"
    return Moment(why, parts, {} if form is None else {"format": form})


def _reads(text: pa.Array, form: str | None) -> bool:
    for part in (text[:20], text):  # most forms fail at the first value
        try:
            if MomentReader("init", form).read(part, 0).missing == len(part):
                return False
        except DataError:
            return False
    return True


def _told(what: str, values: pa.Array) -> tuple[str, tuple[str, ...]]:
    """The words for moments, and their parts: the hour only where there is a time of day."""
    is_date = pa.types.is_date(values.type) or (
        pa.types.is_timestamp(values.type)
        and len(values) > 0
        and not pc.any(_inside_a_day(values)).as_py()
    )
    if is_date:
        return f"{what}, without a time of day", ("weekday", "month")
    return what, ("hour", "weekday")


def _inside_a_day(values: pa.Array) -> pa.Array:
    clock = pc.add(pc.hour(values), pc.add(pc.minute(values), pc.second(values)))
    return pc.greater(clock, 0)
