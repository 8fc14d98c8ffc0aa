"""Which rows are tested on, and which items count as negatives.

Everything here works on positions and codes with whole-array operations and its own random
generator: the same seed gives the same rows, whatever ran before.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import first_true
from nextrec.data.sources import open_source, read_table_of
from nextrec.errors import ConfigError, DataError, invalid, unknown_option

SplitMethod = Literal["random", "group", "time", "user_time", "leave_last_out"]
SPLIT_METHODS: tuple[str, ...] = get_args(SplitMethod)


def split(
    data: Any,
    fraction: float = 0.2,
    method: SplitMethod = "random",
    seed: int = 42,
    values: Any = None,
    groups: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows to train on, and of the rows to test on, both ascending.

    * ``random``: a fixed share of rows.
    * ``group``: whole groups of ``values`` (users, sessions), so that none is on both sides. The
      share of rows is met as nearly as whole groups in random order allow; a group larger than
      the test side is not drawn.
    * ``time``: the latest rows by ``values``. Rows of one time stay together: the cut lies between
      the two times that come nearest to the share.
    * ``user_time``: the latest rows of each user in ``groups``, the share rounded to whole rows;
      every user keeps at least one row to train on.
    * ``leave_last_out``: the last row of each user in ``groups`` who has at least two rows.

    Within a user, equal times are ordered by row: the later row is the later event. Without
    ``values`` the last two methods go by row alone.

    Args:
        data: number of rows, or any table.
        fraction: share of rows to test on, in (0, 1); not used by ``leave_last_out``.
        method: one of the above.
        seed: of ``random`` and ``group``.
        values, groups: one value a row, or the name of a column of ``data``.

    Raises:
        ConfigError: an argument is out of range or missing.
        DataError: a value is missing, lengths differ, or one side would be empty.

    >>> train, test = split(5, 0.4, "time", values=[3, 1, 2, 2, 1])
    >>> train.tolist(), test.tolist()
    ([1, 4], [0, 2, 3])
    """
    if method not in SPLIT_METHODS:
        raise ConfigError(unknown_option("split", "method", SPLIT_METHODS, method))
    if method != "leave_last_out" and not 0 < fraction < 1:
        raise ConfigError(invalid("split", "fraction", "a number in (0, 1)", fraction))
    rows = int(data) if isinstance(data, (int, np.integer)) else _count(data)
    if method == "random":
        tested = _random_rows(rows, fraction, seed)
    elif method == "group":
        tested = _whole_groups(_codes(_column(data, rows, "values", values)), fraction, seed)
    elif method == "time":
        tested = _latest(_ranks(_column(data, rows, "values", values)), fraction)
    else:
        who = _codes(_column(data, rows, "groups", groups))
        given = values is not None
        when = _ranks(_column(data, rows, "values", values)) if given else np.arange(rows)
        tested = _latest_of_each(who, when, None if method == "leave_last_out" else fraction)
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    if not len(train) or not len(test):
        raise DataError(
            f"split by {method!r} leaves {len(train)} row(s) to train on and {len(test)} to test "
            f"on, of {rows}; both sides need at least one."
        )
    return train, test


def _count(data: Any) -> int:
    source = open_source(data)
    return sum(source.counts(source.names()[:1]))


def _column(data: Any, rows: int, parameter: str, values: Any) -> pa.Array:
    """One value a row, none missing."""
    if values is None or (isinstance(values, str) and isinstance(data, (int, np.integer))):
        must_be = "one value a row, or a column's name when `data` is a table"
        raise ConfigError(invalid("split", parameter, must_be, values))
    named = isinstance(values, str)
    table = read_table_of(data, [values]) if named else read_table_of({parameter: values})
    column = table.column(0).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    if len(column) != rows:
        must_be = f"one value for each of the {rows} rows"
        raise DataError(invalid("split", parameter, must_be, f"{len(column)} values"))
    missing = column.is_null(nan_is_null=True)
    if first_true(missing) >= 0:
        where = f"split, row {first_true(missing)}"
        raise DataError(invalid(where, parameter, "a value, not missing", None))
    return column


def _codes(values: pa.Array) -> np.ndarray:
    """Numbers of the different values, in order of appearance."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return pc.dictionary_encode(values).indices.to_numpy()


def _ranks(values: pa.Array) -> np.ndarray:
    """Numbers of the different values, in ascending order of value, from 0."""
    return pc.rank(values, tiebreaker="dense").to_numpy().astype(np.int64) - 1


def _share(rows: int, fraction: float) -> int:
    """Rows to test on: all but the whole number of rows to train on, as 0.3.1 counted."""
    return rows - int(rows * (1 - fraction) + 1e-9)


def _random_rows(rows: int, fraction: float, seed: int) -> np.ndarray:
    tested = np.zeros(rows, dtype=bool)
    order = np.random.default_rng(seed).permutation(rows)
    tested[order[rows - _share(rows, fraction) :]] = True
    return tested


def _whole_groups(groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    sizes = np.bincount(groups)
    wanted = _share(len(groups), fraction)
    fitting = np.flatnonzero(sizes <= wanted)
    if not len(fitting):
        fitting = np.array([sizes.argmin()])
    order = np.random.default_rng(seed).permutation(fitting)
    order = order[: max(len(sizes) - 1, 1)]  # one group stays to train on
    nearest = np.abs(np.cumsum(sizes[order]) - wanted).argmin()
    drawn = np.zeros(len(sizes), dtype=bool)
    drawn[order[: nearest + 1]] = True
    return drawn[groups]


def _latest(times: np.ndarray, fraction: float) -> np.ndarray:
    counts = np.bincount(times)
    from_each_on = counts[::-1].cumsum()[::-1]  # rows at this time or later
    if len(counts) == 1:
        return np.ones(len(times), dtype=bool)
    cut = 1 + np.abs(from_each_on[1:] - _share(len(times), fraction)).argmin()
    return times >= cut


def _latest_of_each(users: np.ndarray, times: np.ndarray, fraction: float | None) -> np.ndarray:
    order = np.lexsort((times, users))  # stable: equal times keep the order of their rows
    sizes = np.bincount(users)
    ends = np.cumsum(sizes)
    wanted = np.ones_like(sizes) if fraction is None else np.floor(sizes * fraction + 0.5)
    tested_of = np.minimum(wanted, sizes - 1)
    tested = np.zeros(len(users), dtype=bool)
    user = users[order]
    tested[order] = np.arange(len(order)) >= (ends - tested_of)[user]
    return tested


def sample_unseen(
    users: np.ndarray,
    seen_users: np.ndarray,
    seen_items: np.ndarray,
    num_items: int,
    count: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Items that a user has not seen, drawn without replacement, for many users at once.

    Each row is drawn on its own: the ranks among the unseen items by Floyd's algorithm (Bentley
    and Floyd, "A sample of brilliance", CACM 1987), then each rank is mapped to its item. No draw
    is ever rejected, so it takes no longer for a user who has seen nearly everything.

    Args:
        users: user code of each row to draw ``(N,)``.
        seen_users, seen_items: codes of the pairs that were seen; users count from 0, items are
            in ``[0, num_items)``.
        count: items to draw a row.

    Returns:
        Item codes ``(N, count)``, in random order; -1 at the end of a row whose user has fewer
        than ``count`` unseen items.

    >>> one = np.array([0])
    >>> drawn = sample_unseen(one, one, np.array([2]), 4, 3, np.random.default_rng(0))
    >>> sorted(drawn[0].tolist())
    [0, 1, 3]
    """
    pairs = np.unique(seen_users.astype(np.int64) * num_items + seen_items)
    user, item = np.divmod(pairs, num_items)
    num_users = int(max(users.max(initial=-1), user.max(initial=-1))) + 1
    seen = np.bincount(user, minlength=num_users)
    starts = np.cumsum(seen) - seen
    # An unseen item of rank r lies after all seen items that have at most r unseen ones below.
    unseen_below = item - (np.arange(len(pairs)) - starts[user])
    free = num_items - seen[users]
    ranks = _distinct_ranks(free, np.minimum(count, free), count, random)
    stride = num_items + 1
    keys = user * stride + unseen_below
    asked = users[:, None] * stride + np.maximum(ranks, 0)
    before = np.searchsorted(keys, asked, side="right") - starts[users][:, None]
    return np.where(ranks >= 0, ranks + before, -1)


def _distinct_ranks(
    free: np.ndarray, counts: np.ndarray, width: int, random: np.random.Generator
) -> np.ndarray:
    """For each row, ``counts`` different numbers below ``free``, then -1 up to ``width``."""
    ranks = np.full((len(free), width), -1, dtype=np.int64)
    for step in range(width):
        last = np.maximum(free - counts + step, 0)
        drawn = random.integers(0, last + 1)
        taken = (ranks[:, :step] == drawn[:, None]).any(axis=1)
        ranks[:, step] = np.where(step < counts, np.where(taken, last, drawn), -1)
    ranks = random.permuted(ranks, axis=1)  # Floyd's order is not a random one
    return np.take_along_axis(ranks, np.argsort(ranks < 0, axis=1, kind="stable"), axis=1)
