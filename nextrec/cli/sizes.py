"""How many rows the tables will have of columns whose ids a processor learns.

A fitted processor knows it. Before, the counts of the diagnosis tell, and where they end, a bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import is_text
from nextrec.data.profile import MAX_DISTINCT, Profile
from nextrec.data.transforms import (
    Bucketize,
    Cross,
    DatetimePart,
    EncodeSequence,
    Transform,
)
from nextrec.data.transforms.list_text import items_of_text
from nextrec.data.transforms.token_transform import TokenTransform, settings_of
from nextrec.errors import NotFittedError
from nextrec.features import UNKNOWN_ID

FIRST_TOKEN = UNKNOWN_ID + 1
MOST_YEARS = 200


@dataclass(frozen=True)
class Size:
    """Rows of a table."""

    rows: int
    is_known: bool
    """Whether training will make exactly so many; otherwise they are at most so many, as far as
    was counted."""


def token_table(profile: Profile, separator: str | None = None) -> pa.Table | None:
    """Each token of a column and how often it occurs; ``None`` where it was not counted.

    Args:
        separator: between the items of text that holds lists; every item is a token then.
    """
    values = profile.counts.values
    if profile.counts.over or pa.types.is_nested(values.type):
        return None
    text, counts = values.cast(pa.large_string()), pa.array(profile.counts.counts, pa.int64())
    if separator is not None and is_text(values.type):
        text, lengths = items_of_text(text, separator)
        counts = pa.array(np.repeat(profile.counts.counts, lengths), pa.int64())
    table = pa.table({"token": text.cast(pa.large_string()), "count": counts})
    return table.group_by("token").aggregate([("count", "sum")]).rename_columns(["token", "count"])


def vocabulary_rows(
    tables: Iterable[pa.Table],
    min_frequency: int = 1,
    max_size: int | None = None,
    num_unknown: int = 1,
) -> int:
    """Rows of the table of a vocabulary over columns whose tokens were counted.

    >>> tokens = pa.table({"token": ["a", "b"], "count": [2, 1]})
    >>> vocabulary_rows([tokens]), vocabulary_rows([tokens], min_frequency=2)
    (4, 3)
    """
    whole = pa.concat_tables(tables).group_by("token").aggregate([("count", "sum")])
    kept = pc.sum(pc.greater_equal(whole["count_sum"], min_frequency)).as_py() or 0
    tokens = kept if max_size is None else min(kept, max_size)
    return 1 + num_unknown + tokens


def sizes_before_fitting(
    transforms: Mapping[str, Transform], profiles: Mapping[str, Profile], rows: int
) -> dict[str, Size]:
    """The rows of the tables of all columns that have one."""
    sizes = {}
    for name, transform in transforms.items():
        if transform.role in ("sparse", "sequence"):
            readers = [transform]
            if transform.shares is not None:
                readers = [each for each in transforms.values() if each.shares == transform.shares]
            sizes[name] = _size(transform, readers, profiles, rows)
    return sizes


def _size(
    transform: Transform, readers: list[Transform], profiles: Mapping[str, Profile], rows: int
) -> Size:
    try:
        size = transform.vocab_size
    except NotFittedError:
        pass
    else:
        assert size is not None
        return Size(size, True)
    if isinstance(transform, Bucketize):
        return Size(FIRST_TOKEN + transform.num_buckets, transform.method == "equal_width")
    if isinstance(transform, DatetimePart):
        return _years(profiles.get(transform.inputs[0]))
    assert isinstance(transform, TokenTransform)
    options = settings_of(transform.options)
    if isinstance(transform, Cross):
        counted = [_distinct(profiles.get(name)) + 1 for name in transform.inputs]
        tokens = min(math.prod(counted), rows)
        return Size(1 + options["num_unknown"] + min(tokens, options["max_size"] or tokens), False)
    return _vocabulary(readers, profiles, options)


def _vocabulary(
    readers: Iterable[Transform], profiles: Mapping[str, Profile], options: dict[str, int]
) -> Size:
    tables, uncounted = [], 0
    for each in readers:
        separator = each.separator if isinstance(each, EncodeSequence) else None
        profile = profiles.get(each.inputs[0])
        table = None if profile is None else token_table(profile, separator)
        if table is None:
            uncounted += MAX_DISTINCT
        else:
            tables.append(table)
    size = vocabulary_rows(tables, **options) if tables else 1 + options["num_unknown"]
    if uncounted:
        most = options["max_size"]
        size = min(size + uncounted, 1 + options["num_unknown"] + (most or size + uncounted))
    return Size(size, not uncounted)


def _years(profile: Profile | None) -> Size:
    if profile is None or not pa.types.is_temporal(profile.counts.values.type):
        return Size(FIRST_TOKEN + MOST_YEARS, False)
    found = pc.min_max(pc.year(profile.counts.values)).as_py()
    if found["min"] is None:
        return Size(FIRST_TOKEN + MOST_YEARS, False)
    return Size(FIRST_TOKEN + found["max"] - found["min"] + 1, True)


def _distinct(profile: Profile | None) -> int:
    return MAX_DISTINCT if profile is None else profile.distinct or MAX_DISTINCT
