"""What is learned of a column of moments: its years, its latest moment and its mean.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.transforms.base import Payload, State
from nextrec.data.transforms.moment_text import DAY
from nextrec.data.transforms.moments import MomentReader


class MomentState(State):
    """Range and exact mean of the moments, and the range of their years."""

    def __init__(self, reader: MomentReader) -> None:
        self.reader = reader
        self.count = 0
        self.days = 0
        self.microseconds = 0
        """Sum of the moments: whole days, and what is left of each."""
        self.latest: int | None = None
        self.years: tuple[int, int] | None = None

    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Take in a piece of the column."""
        moments = self.reader.read(columns[0], first_row)
        raw = moments.utc.drop_null().cast(pa.int64()).to_numpy()
        if not len(raw):
            return
        years = pc.min_max(pc.year(moments.local)).as_py()
        days = raw // DAY
        self._add(
            count=len(raw),
            days=int(days.sum()),
            microseconds=int((raw - days * DAY).sum()),
            latest=int(raw.max()),
            years=(years["min"], years["max"]),
        )

    def _add(
        self, count: int, days: int, microseconds: int, latest: int, years: Sequence[int]
    ) -> None:
        mine = self.years or years
        self.count += count
        self.days += days
        self.microseconds += microseconds
        self.latest = latest if self.latest is None else max(latest, self.latest)
        self.years = (min(mine[0], years[0]), max(mine[1], years[1]))

    def merge(self, other: Self) -> None:
        """Take in all that another state has seen."""
        if other.latest is not None and other.years is not None:
            self._add(other.count, other.days, other.microseconds, other.latest, other.years)

    def mean_age(self) -> float:
        """Mean distance to the latest moment, in days."""
        total = self.days * DAY + self.microseconds
        return ((self.latest or 0) * self.count - total) / (self.count * DAY)

    def dump(self) -> Payload:
        """The state as plain values."""
        return {
            "reader": asdict(self.reader),
            "count": self.count,
            "days": self.days,
            "microseconds": self.microseconds,
            "latest": self.latest,
            "years": self.years,
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """The state that :meth:`dump` wrote."""
        state = cls(MomentReader(**payload["reader"]))
        if payload["latest"] is not None:
            names = ("count", "days", "microseconds", "latest", "years")
            state._add(**{name: payload[name] for name in names})
        return state
