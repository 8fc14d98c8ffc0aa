"""Each event with what its user did before it.

Letters: N events, L ``max_len``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.sampling.keys import (
    Moments,
    check_count,
    codes,
    key_columns,
    mask_of,
    moments,
    names_of,
    one_array,
)
from nextrec.data.sampling.tables import loaded, refuse_taken, with_columns
from nextrec.data.sampling.windows import Windows
from nextrec.data.sources import read_table_of
from nextrec.errors import ConfigError, invalid

_OWNER = "build_histories"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def build_histories(
    events: Any,
    user: str,
    item: str,
    time: str | None,
    max_len: int = 50,
    columns: Sequence[str] | None = None,
    *,
    only: Any = None,
    min_age: Any = None,
    ages: bool = False,
    prefix: str = "hist_",
) -> Any:
    """Add to every event what its user did strictly before it, as columns of lists.

    A history holds the user's newest ``max_len`` earlier events, newest last. Events of one time
    never see each other, in whatever order their rows lie; those of one time in a later event's
    history keep the order of their rows. The work is a sort and a gather: no loop over users.

    To train on some events and test on others, build histories from all of them and split the
    rows afterwards: a row only ever sees what was there when it happened.

    Args:
        events: any table (see :func:`~nextrec.data.sources.read_table_of`), one row an event, in
            any order.
        user, item: columns of ids of any type.
        time: column of numbers, dates, timestamps or ISO 8601 text, which counts as timestamps;
            ``None``: the order of rows is the order of time, and each row is later than the one
            before.
        max_len: longest history L.
        columns: further columns whose values at the same events become parallel histories, such as
            a category, a rating or the time itself. A missing value stays missing in its list.
        only: mask of the events that enter histories (such as the liked ones), or the name of a
            column of booleans. Every event gets a row with a history all the same.
        min_age: leave out events that are younger than this at the row's own event, such as the
            delay with which a serving system learns of events: a number in the unit of ``time``,
            or for dates and timestamps a ``timedelta`` (or text such as ``"30min"``).
        ages: add ``<prefix>age``, how long ago each event was: in the unit of ``time`` for
            numbers, in seconds (float64) for dates and timestamps.
        prefix: the new columns are ``<prefix><column>``.

    Returns:
        The table with new columns at its end and rows in their order: a pandas or Polars frame, an
        Arrow table or a dict as it came (Arrow for files, data sets, streams and row dicts).

    Raises:
        DataError: a user, item or time is missing or of the wrong type; names the row.
        ConfigError: an argument is out of range, or a new column's name is taken.

    >>> events = {"user": ["a", "b", "a", "a"], "item": [7, 7, 8, 9], "day": [1, 1, 2, 2]}
    >>> build_histories(events, "user", "item", "day")["hist_item"].to_pylist()
    [[], [], [7], [7]]
    """
    check_count(_OWNER, "max_len", max_len)
    events = loaded(events)
    further = names_of(columns)
    names = [prefix + name for name in (item, *further, *(["age"] if ages else []))]
    refuse_taken(_OWNER, events, names)
    who, what, *times = key_columns(_OWNER, events, [user, item, *([time] if time else [])])
    rows = len(who)
    when = moments(_OWNER, str(time), times[0]) if times else Moments(np.arange(rows), None)
    enters = None if only is None else mask_of(_OWNER, "only", events, rows, only)
    windows = _before(codes(who), when.values, _gap(min_age, when), enters, max_len)

    histories = [windows.lists(what)]
    if further:
        table = read_table_of(events, further)
        histories += [windows.lists(one_array(table[name])) for name in further]
    if ages:
        histories.append(_in_seconds(windows.ages(when.values), when.unit))
    return with_columns(events, dict(zip(names, histories, strict=True)))


def _before(
    users: np.ndarray,
    when: np.ndarray,
    gap: float | None,
    enters: np.ndarray | None,
    max_len: int,
) -> Windows:
    """Each event's run of earlier events ``(N,)``."""
    times, rank = np.unique(when, return_inverse=True)
    # One number orders events by user, then time; a user's numbers never meet another's.
    stride = len(times) + 1
    keys = users * stride + rank
    order = np.argsort(keys, kind="stable")
    until = rank  # events of a lower rank are strictly earlier
    if gap:
        until = np.minimum(rank, np.searchsorted(times, when - gap, side="right"))
    entries = order if enters is None else order[enters[order]]
    entry_keys = keys[entries]

    # Looked up in sorted order: neighbours are found in memory that was just read.
    stops = np.empty_like(order)
    stops[order] = np.searchsorted(entry_keys, (users * stride + until)[order])
    num_users = int(users.max(initial=-1)) + 1
    first_of_user = np.searchsorted(entry_keys, np.arange(num_users) * stride)
    starts = np.maximum(first_of_user[users], stops - max_len)
    return Windows(entries, starts, stops - starts)


def _gap(min_age: Any, when: Moments) -> float | None:
    """``min_age`` in the unit of the times; whole where they are, as fractions can't be between."""
    if min_age is None:
        return None
    if when.unit is None:
        number = isinstance(min_age, (int, float, np.number)) and not isinstance(min_age, bool)
        if not number or not 0 <= min_age < math.inf:
            must_be = "a number of at least 0, in the unit of `time`"
            raise ConfigError(invalid(_OWNER, "min_age", must_be, min_age))
        gap = float(min_age) if when.values.dtype.kind == "f" else math.ceil(min_age)
        return min(gap, 2**62)
    must_be = "a timedelta of at least 0, or text such as '30min', as `time` holds dates"
    if not isinstance(min_age, (timedelta, np.timedelta64, str)):
        raise ConfigError(invalid(_OWNER, "min_age", must_be, min_age))
    try:
        age = pd.Timedelta(min_age).as_unit("ns").value
    except (ValueError, OverflowError) as error:
        raise ConfigError(invalid(_OWNER, "min_age", must_be, min_age)) from error
    if age < 0:  # as is NaT
        raise ConfigError(invalid(_OWNER, "min_age", must_be, min_age))
    return -(-age * _PER_SECOND[when.unit] // 10**9)


def _in_seconds(ages: pa.ChunkedArray, unit: str | None) -> pa.ChunkedArray:
    if unit is None:
        return ages
    chunks = []
    for chunk in ages.chunks:
        seconds = pc.divide(chunk.values.cast(pa.float64(), safe=False), _PER_SECOND[unit])
        chunks.append(pa.ListArray.from_arrays(chunk.offsets, seconds))
    return pa.chunked_array(chunks, pa.list_(pa.float64()))
