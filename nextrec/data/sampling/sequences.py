"""Each user with all that they did, in order: what sequential models train on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.sampling.keys import (
    check_count,
    codes,
    key_columns,
    mask_of,
    moments,
    names_of,
    one_array,
)
from nextrec.data.sampling.tables import in_kind_of, loaded
from nextrec.data.sampling.windows import Windows
from nextrec.data.sources import read_table_of
from nextrec.errors import ConfigError, invalid

_OWNER = "build_sequences"


def build_sequences(
    events: Any,
    user: str,
    item: str,
    time: str | None,
    max_len: int | None = None,
    columns: Sequence[str] | None = None,
    *,
    min_len: int = 1,
    only: Any = None,
    prefix: str = "",
) -> Any:
    """One row a user, with their items in order of time, oldest first.

    Events of one time keep the order of their rows. Users come in the order of their first row.
    For training and testing apart, split the events first (``leave_last_out``, ``time``).

    Args:
        events, user, item, time, columns: as for :func:`build_histories`.
        max_len: keep each user's newest ``max_len`` events; ``None``: all.
        min_len: leave out users with fewer events (those that ``only`` lets in; counted before
            ``max_len`` cuts).
        only: mask of the events that count, or the name of a column of booleans.
        prefix: the columns of lists are ``<prefix><column>``.

    Returns:
        A table of the kind that came in: ``user``, then the lists.

    Raises:
        DataError, ConfigError: as :func:`build_histories`.

    >>> events = {"user": ["a", "b", "a"], "item": [7, 8, 9], "day": [2, 1, 1]}
    >>> sequences = build_sequences(events, "user", "item", "day")
    >>> sequences["user"].to_pylist(), sequences["item"].to_pylist()
    (['a', 'b'], [[9, 7], [8]])
    """
    check_count(_OWNER, "min_len", min_len)
    if max_len is not None:
        check_count(_OWNER, "max_len", max_len)
    events = loaded(events)
    further = names_of(columns)
    names = [user, *(prefix + name for name in (item, *further))]
    if len(set(names)) < len(names):
        must_be = f"one that keeps the columns {names} apart"
        raise ConfigError(invalid(_OWNER, "prefix", must_be, prefix))
    who, what, *times = key_columns(_OWNER, events, [user, item, *([time] if time else [])])
    users = codes(who)
    when = moments(_OWNER, str(time), times[0]).values if times else np.arange(len(users))
    enters = None if only is None else mask_of(_OWNER, "only", events, len(users), only)
    windows, kept = _runs(users, when, enters, min_len, max_len)

    first_row = np.full(int(users.max(initial=-1)) + 1, len(users))
    np.minimum.at(first_row, users, np.arange(len(users)))
    lists = [windows.lists(what)]
    if further:
        table = read_table_of(events, further)
        lists += [windows.lists(one_array(table[name])) for name in further]
    return in_kind_of(events, pa.table([who.take(pa.array(first_row[kept])), *lists], names))


def _runs(
    users: np.ndarray,
    when: np.ndarray,
    enters: np.ndarray | None,
    min_len: int,
    max_len: int | None,
) -> tuple[Windows, np.ndarray]:
    """The run of each user who is long enough, and which users these are."""
    order = np.lexsort((when, users))  # stable: equal times keep the order of their rows
    entries = order if enters is None else order[enters[order]]
    sizes = np.bincount(users[entries], minlength=int(users.max(initial=-1)) + 1)
    kept = np.flatnonzero(sizes >= min_len)
    stops, lengths = np.cumsum(sizes)[kept], sizes[kept]
    if max_len is not None:
        lengths = np.minimum(lengths, max_len)
    return Windows(entries, stops - lengths, lengths), kept
