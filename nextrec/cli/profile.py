"""What the columns of a table hold: kind, range, distinct values, list lengths. One pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import plain
from nextrec.data.lists import Origin, flatten, is_list, is_text

Kind = Literal["integer", "real", "flag", "text", "time", "ids", "vector", "empty", "other"]

MAX_DISTINCT = 1_000_000
"""Above this many, distinct values are no longer counted."""
_NUMBER = r"\d{1,18}"
_MANY = "|".join(
    rf"{_NUMBER}(?:{cut}{_NUMBER})*" for cut in (r"\s*,\s*", r"\s*\|\s*", r"\s*;\s*", " +")
)
_LIST_TEXT = rf"^\s*(?:\[\s*(?:{_MANY})?\s*\]|\(\s*(?:{_MANY})?,?\s*\)|{_MANY})?\s*$"
_SEPARATOR = r"[,|;\[(]|\d +\d"


@dataclass
class Profile:
    """One column. ``ids`` are lists of integers, also as text; ``vector`` lists of numbers."""

    name: str
    kind: Kind = "empty"
    rows: int = 0
    missing: int = 0
    lowest: float = np.inf
    """Of numbers, or of the items of lists."""
    highest: float = -np.inf
    whole: bool = True
    """All numbers are integers."""
    shortest: int = np.iinfo(np.int64).max
    longest: int = 0
    """Items of a list."""
    distinct: int | None = 0
    """Different values; ``None`` when they are more than ``MAX_DISTINCT`` or not counted."""
    _fresh: list[pa.Array] = field(default_factory=list, repr=False)
    _lists_of_text: bool = field(default=True, repr=False)
    _separated: bool = field(default=False, repr=False)

    def take(self, column: pa.Array) -> None:
        """Count the rows of one record batch."""
        column = plain(pa.chunked_array([column])).chunk(0)
        kind = _kind(column.type)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        self.kind = kind if self.kind == "empty" else self.kind
        self.rows += len(column)
        self.missing += column.null_count
        if self.kind == "text" and self._lists_of_text:
            self._take_text(column)
        if self.kind in ("ids", "vector"):
            self._take_lists(column, pa.float64())
        elif self.kind in ("integer", "real", "flag"):
            self._take_numbers(column)
        if self.kind != "other" and not is_list(column.type):
            self._count(column)

    def finish(self) -> None:
        """Decide what only the last row can tell."""
        self._merge()
        self._fresh = []
        if self.kind == "text" and self._lists_of_text and self._separated:
            self.kind = "ids"

    def _take_text(self, column: pa.Array) -> None:
        fits = pc.fill_null(pc.match_substring_regex(column, _LIST_TEXT), True)
        self._lists_of_text = bool(pc.all(fits).as_py())
        if self._lists_of_text:
            self._separated |= bool(pc.any(pc.match_substring_regex(column, _SEPARATOR)).as_py())
            self._take_lists(column, pa.int64())

    def _take_lists(self, column: pa.Array, item: pa.DataType) -> None:
        values, lengths = flatten(column, Origin(self.name, 0), item)
        if len(lengths):
            self.longest = max(self.longest, int(lengths.max()))
            self.shortest = min(self.shortest, int(lengths.min()))
        self._take_numbers(values)

    def _take_numbers(self, values: pa.Array) -> None:
        numbers = values.drop_null().to_numpy(zero_copy_only=False)
        if numbers.dtype.kind == "f":
            finite = np.isfinite(numbers)
            self.missing += int((~finite).sum())
            numbers = numbers[finite]
            self.whole &= bool((np.floor(numbers) == numbers).all())
        if numbers.size:
            self.lowest = min(self.lowest, float(numbers.min()))
            self.highest = max(self.highest, float(numbers.max()))

    def _count(self, column: pa.Array) -> None:
        if self.kind == "real" and not self.whole:
            self.distinct, self._fresh = None, []  # measures: nobody asks how many differ
        if self.distinct is None:
            return
        self._fresh.append(column.drop_null().unique())
        # Merged only once they have doubled, so that each value is touched a few times.
        if sum(map(len, self._fresh)) > 2 * max(self.distinct, 50_000):
            self._merge()

    def _merge(self) -> None:
        if self.distinct is not None and self._fresh:
            known = pa.concat_arrays([each.cast(self._fresh[0].type) for each in self._fresh])
            self._fresh = [known.unique()]
            self.distinct = len(self._fresh[0])
            if self.distinct > MAX_DISTINCT:
                self.distinct, self._fresh = None, []


def profile_columns(names: Iterable[str], batches: Iterable[pa.RecordBatch]) -> list[Profile]:
    """Profiles of the columns of record batches, in the order of ``names``."""
    profiles = [Profile(name) for name in names]
    for batch in batches:
        for profile, column in zip(profiles, batch.columns, strict=True):
            profile.take(column)
    for profile in profiles:
        profile.finish()
    return profiles


def _kind(data_type: pa.DataType) -> Kind:
    types: Any = pa.types
    if is_text(data_type):
        return "text"
    if is_list(data_type):
        item = data_type.value_type
        if types.is_integer(item):
            return "ids"
        return "vector" if types.is_floating(item) else "other"
    kinds: dict[Kind, Any] = {
        "empty": types.is_null,
        "flag": types.is_boolean,
        "integer": types.is_integer,
        "real": lambda each: types.is_floating(each) or types.is_decimal(each),
        "time": types.is_temporal,
    }
    return next((kind for kind, fits in kinds.items() if fits(data_type)), "other")
