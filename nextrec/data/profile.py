"""What the columns of a table hold: kind, range, distinct values, list lengths. One pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import plain
from nextrec.data.lists import Origin, flatten, is_list, is_text
from nextrec.data.value_counts import ValueCounts

Kind = Literal[
    "integer", "real", "flag", "text", "time", "ids", "vector", "empty", "other", "mixed"
]

MAX_DISTINCT = 1_000_000
"""Above this many, distinct values are no longer counted."""
FEW = 1000
"""Integers with at most so many values are taken for categories."""
LARGE_TABLE = 10_000_000
EXAMPLES = 1000
LABELS = [
    "label",
    "labels",
    "target",
    "click",
    "clicked",
    "is_click",
    "is_clicked",
    "like",
    "is_like",
    "is_buy",
    "buy",
    "purchase",
    "purchased",
    "conversion",
    "converted",
    "is_conversion",
    "long_view",
    "rating",
    "y",
]
"""Names that labels go by, the likeliest first."""
USERS = ("user_id", "userid", "uid", "user", "customer_id", "member_id", "visitor_id")
ITEMS = (
    "item_id",
    "itemid",
    "iid",
    "item",
    "movie_id",
    "product_id",
    "video_id",
    "news_id",
    "asin",
)
_ID_NAME = re.compile(
    r"(?:^|_)(?:id|uid|idx|code)s?$|(?<=[a-z])I[dD]$|^(?i:item|movie|product|video|news)(?i:_?id)?$"
)
_TIME_NAME = re.compile(r"(?:^|_)(?:time|timestamp|date|datetime|ts)(?:$|_)", re.IGNORECASE)
_NUMBER = r"\d{1,18}"
_MANY = "|".join(
    rf"{_NUMBER}(?:{cut}{_NUMBER})*" for cut in (r"\s*,\s*", r"\s*\|\s*", r"\s*;\s*", " +")
)
_LIST_TEXT = rf"^\s*(?:\[\s*(?:{_MANY})?\s*\]|\(\s*(?:{_MANY})?,?\s*\)|{_MANY})?\s*$"
_SEPARATOR = r"[,|;\[(]|\d +\d"


@dataclass
class Profile:
    """One column. ``ids`` are lists of integers, also as text; ``vector`` lists of numbers.

    ``mixed`` holds values of kinds that have no common one: only rows and missing ones are counted.
    """

    name: str
    kind: Kind = "empty"
    rows: int = 0
    missing: int = 0
    """Rows without a value; NaN and infinity count as such."""
    infinite: int = 0
    """How many of the missing ones are infinite."""
    lowest: float = np.inf
    """Of numbers, or of the items of lists."""
    highest: float = -np.inf
    whole: bool = True
    """All numbers are integers."""
    shortest: int = np.iinfo(np.int64).max
    longest: int = 0
    """Items of a list."""
    distinct: int | None = 0
    """Different values, of lists different items; ``None`` when they are more than
    ``MAX_DISTINCT`` or not counted."""
    types: dict[str, int] = field(default_factory=dict)
    """Arrow types of the pieces, each with the row where it came first."""
    counts: ValueCounts = field(default_factory=lambda: ValueCounts(MAX_DISTINCT), repr=False)
    """How often each of the different values occurs."""
    examples: pa.Array = field(default_factory=lambda: pa.nulls(0), repr=False)
    """The first values of text, whatever was counted."""
    _lists_of_text: bool = field(default=True, repr=False)
    _separated: bool = field(default=False, repr=False)

    def take(self, column: pa.Array) -> None:
        """Count the rows of one record batch."""
        if not len(column):
            return
        column = plain(pa.chunked_array([column])).chunk(0)
        self.types.setdefault(str(column.type), self.rows)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        self.kind = _joined(self.kind, _kind(column.type))
        self.rows += len(column)
        self.missing += column.null_count
        if self.kind == "mixed":
            self.counts.stop()
            return
        if self.kind == "text" and not len(self.examples):
            self.examples = column.drop_null()[:EXAMPLES]
        if self.kind == "text" and self._lists_of_text and is_text(column.type):
            self._take_text(column)
        if self.kind in ("ids", "vector"):
            self._take_lists(column, pa.float64())
        elif self.kind in ("integer", "real", "flag"):
            self._take_numbers(column)
        self._count(column)

    def finish(self) -> None:
        """Decide what only the last row can tell."""
        self.distinct = self.counts.distinct
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
            self.infinite += int(np.isinf(numbers).sum())
            numbers = numbers[finite]
            self.whole &= bool((np.floor(numbers) == numbers).all())
        if numbers.size:
            self.lowest = min(self.lowest, float(numbers.min()))
            self.highest = max(self.highest, float(numbers.max()))

    def _count(self, column: pa.Array) -> None:
        measures = self.kind == "real" and not self.whole  # nobody asks how many differ
        if is_list(column.type) and self.kind != "vector":
            self._count_items(column.flatten())
        elif measures or self.kind in ("vector", "other"):
            self.counts.stop()
        elif (values := _countable(column)) is not None:
            self.counts.take(values)
        else:
            self.counts.stop()

    def _count_items(self, items: pa.Array) -> None:
        if pa.types.is_nested(items.type):
            self.counts.stop()
        else:
            self.counts.take(items)


def profile_columns(names: Iterable[str], batches: Iterable[pa.RecordBatch]) -> list[Profile]:
    """Profiles of the columns of record batches, in the order of ``names``."""
    profiles = [Profile(name) for name in names]
    for batch in batches:
        for profile, column in zip(profiles, batch.columns, strict=True):
            profile.take(column)
    for profile in profiles:
        profile.finish()
    return profiles


# -- what a column may be, by its name and range -------------------------------------------------


def is_user(profile: Profile) -> bool:
    """Whether the column names users: what groups GAUC, and what predictions should carry."""
    return profile.name.lower() in USERS


def names_time(name: str) -> bool:
    """Whether a column is called like one of times."""
    return bool(_TIME_NAME.search(name))


def is_time(profile: Profile) -> bool:
    """Whether the column says when."""
    seconds = profile.kind in ("integer", "real") and profile.lowest > 1e8
    return profile.kind == "time" or (seconds and names_time(profile.name))


def is_id(profile: Profile) -> bool:
    """Whether the column is called like one of ids."""
    return bool(_ID_NAME.search(profile.name)) or is_user(profile)


def is_packed(profile: Profile) -> bool:
    """Whether integers from 0 on are few and close together, as codes of categories are."""
    whole = profile.whole and profile.lowest >= 0
    if not whole or profile.kind not in ("integer", "flag"):
        return False
    few = profile.distinct is not None and profile.distinct <= FEW
    close = profile.highest - profile.lowest + 1 <= 4 * (profile.distinct or 0)
    return few and close and profile.highest < LARGE_TABLE


def is_category(profile: Profile) -> bool:
    """Whether values are names of things, not measures."""
    if profile.kind in ("text", "flag"):
        return True
    return profile.kind == "integer" and (is_id(profile) or is_packed(profile))


def is_packed_below_zero(profile: Profile) -> bool:
    """The same of integers of which some are negative, as -1 for what is not known."""
    if profile.kind != "integer" or profile.distinct is None or profile.lowest >= 0:
        return False
    close = profile.highest - profile.lowest + 1 <= 4 * profile.distinct
    return 3 <= profile.distinct <= FEW and close


def _joined(one: Kind, other: Kind) -> Kind:
    """The kind of a column whose pieces have two."""
    if other in (one, "empty"):
        return one
    if one == "empty":
        return other
    return "real" if {one, other} == {"integer", "real"} else "mixed"


def _countable(column: pa.Array) -> pa.Array | None:
    """Integers of every width and whole reals as int64, in which equal ones are equal.

    Whole reals are not only alike then: Arrow groups them a hundred times faster. Those beyond
    int64 are measures.
    """
    if pa.types.is_floating(column.type):
        column = column.filter(pc.fill_null(pc.is_finite(column), False))
    elif not pa.types.is_integer(column.type):
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column if pa.types.is_integer(column.type) else None


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
