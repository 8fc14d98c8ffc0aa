"""Which rows are trained on, validated on and tested on.

Everything works on positions and codes with whole-array operations and its own random generator:
the same seed gives the same rows, whatever ran before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from nextrec.data.sampling.keys import check_count, codes, one_a_row, ranks
from nextrec.data.sampling.split_rules import (
    from_on,
    latest,
    latest_of_each,
    random_rows,
    whole_groups,
)
from nextrec.data.sampling.times import times
from nextrec.data.sources import open_source
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
    *,
    at: Any = None,
    n: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows to train on, and of the rows to test on, both ascending.

    * ``random``: a fixed share of rows.
    * ``group``: whole groups of ``values`` (users, sessions), so that none is on both sides. The
      share of rows is met as nearly as whole groups in random order allow; a group larger than
      the test side is not drawn.
    * ``time``: the latest rows by ``values``. Rows of one time stay together: the cut lies between
      the two times that come nearest to the share, or just before the time ``at``.
    * ``user_time``: the latest rows of each user in ``groups``, the share rounded to whole rows;
      every user keeps at least one row to train on.
    * ``leave_last_out``: the last ``n`` rows of each user in ``groups``; every user keeps at least
      one row to train on.

    Within a user, equal times are ordered by row: the later row is the later event. Without
    ``values`` the last two methods go by row alone.

    Args:
        data: number of rows, or any table.
        fraction: share of rows to test on, in (0, 1); not used by ``leave_last_out`` nor with
            ``at``.
        method: one of the above.
        seed: of ``random`` and ``group``.
        values, groups: one value a row, or the name of a column of ``data``. Times are numbers,
            dates, timestamps or ISO 8601 text; other text has no order of time.
        at: of ``time``: rows of this time or later are tested on. A number, or for dates and
            timestamps a date, a datetime or ISO text.
        n: of ``leave_last_out``: rows a user to test on.

    Raises:
        ConfigError: an argument is out of range or missing.
        DataError: a value is missing or a text is no time, lengths differ, or one side would be
            empty.

    >>> train, test = split(5, 0.4, "time", values=[3, 1, 2, 2, 1])
    >>> train.tolist(), test.tolist()
    ([1, 4], [0, 2, 3])
    >>> split(5, method="time", values=[3, 1, 2, 2, 1], at=3)[1].tolist()
    [0]
    """
    rule = _Rule.read("split", data, method, seed, values, groups, n)
    rule.check_cut(at)
    if at is None and method != "leave_last_out" and not 0 < fraction < 1:
        raise ConfigError(invalid("split", "fraction", "a number in (0, 1)", fraction))
    tested = rule.tested(np.arange(rule.rows), fraction, at)
    sides = np.flatnonzero(~tested), np.flatnonzero(tested)
    rule.refuse_empty(*sides)
    return sides


def split3(
    data: Any,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    method: SplitMethod = "random",
    seed: int = 42,
    values: Any = None,
    groups: Any = None,
    *,
    at: Sequence[Any] | None = None,
    n: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the rows to train on, to validate on and to test on, each ascending.

    First the test rows are split off, the same that :func:`split` gives for their share; then the
    rest is split again by the same method. So by time, validation lies between training and
    testing, and ``leave_last_out`` tests on each user's last row and validates on the last but one
    (``n`` rows each); a user with two rows has none to validate on.

    Args:
        data, method, seed, values, groups: as for :func:`split`.
        fractions: shares of rows to train, validate and test on; they sum to 1. Not used by
            ``leave_last_out`` nor with ``at``.
        at: of ``time``: two times; rows from the first on are validated on, from the second on
            tested on.
        n: of ``leave_last_out``: rows a user to test on, and to validate on.

    Raises:
        ConfigError, DataError: as :func:`split`; all three sides need at least one row.

    >>> train, valid, test = split3(6, method="leave_last_out", groups=["a"] * 4 + ["b"] * 2)
    >>> train.tolist(), valid.tolist(), test.tolist()
    ([0, 1, 4], [2], [3, 5])
    """
    rule = _Rule.read("split3", data, method, seed, values, groups, n)
    test_share, valid_share, valid_at, test_at = 0.0, 0.0, None, None
    if at is not None:
        if isinstance(at, str) or not isinstance(at, Sequence) or len(at) != 2:
            raise ConfigError(invalid("split3", "at", "two times, (valid, test)", at))
        valid_at, test_at = at
    elif method != "leave_last_out":
        _, valid, test_share = _three_shares(fractions)
        valid_share = valid / (1 - test_share)
    rule.check_cut(valid_at)
    rule.check_cut(test_at)
    tested = rule.tested(np.arange(rule.rows), test_share, test_at)
    rest, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    rule.refuse_empty(rest, test)
    validated = rule.tested(rest, valid_share, valid_at)
    sides = rest[~validated], rest[validated], test
    rule.refuse_empty(*sides)
    return sides


def _three_shares(fractions: Sequence[float]) -> tuple[float, float, float]:
    shares = tuple(fractions) if isinstance(fractions, Sequence) else ()
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        must_be = "three positive shares (train, valid, test) that sum to 1"
        raise ConfigError(invalid("split3", "fractions", must_be, fractions))
    return shares


@dataclass(frozen=True)
class _Rule:
    """How test rows are chosen among any rows of the data."""

    owner: str
    rows: int
    method: str
    seed: int
    n: int
    when: pa.Array | None
    """Times, or for ``group`` the groups."""
    order: np.ndarray | None
    """Ranks of the times, or codes of the groups."""
    users: np.ndarray | None

    @classmethod
    def read(
        cls, owner: str, data: Any, method: str, seed: int, values: Any, groups: Any, n: int
    ) -> _Rule:
        if method not in SPLIT_METHODS:
            raise ConfigError(unknown_option(owner, "method", SPLIT_METHODS, method))
        check_count(owner, "n", n)
        if n != 1 and method != "leave_last_out":
            raise ConfigError(invalid(owner, "n", f"left alone for method {method!r}", n))
        rows = int(data) if isinstance(data, (int, np.integer)) else _count(data)
        when = order = users = None
        if method in ("group", "time") or (method != "random" and values is not None):
            when = one_a_row(owner, "values", data, rows, values)
            if method == "group":
                order = codes(when)
            else:
                name = values if isinstance(values, str) else "values"
                when = times(owner, name, when)
                order = ranks(when)
        if method in ("user_time", "leave_last_out"):
            users = codes(one_a_row(owner, "groups", data, rows, groups))
            order = np.arange(rows) if order is None else order
        return cls(owner, rows, method, seed, int(n), when, order, users)

    def check_cut(self, at: Any) -> None:
        """Raise when a cut is given to a method that has none."""
        if at is not None and self.method != "time":
            raise ConfigError(invalid(self.owner, "at", "given for method 'time' only", at))

    def refuse_empty(self, *sides: np.ndarray) -> None:
        """Raise when a side has no rows."""
        if all(len(side) for side in sides):
            return
        train, *valid, test = (len(side) for side in sides)
        between = f", {valid[0]} to validate on" if valid else ""
        raise DataError(
            f"{self.owner} by {self.method!r} leaves {train} row(s) to train on{between} and "
            f"{test} to test on, of {self.rows}; {'all' if valid else 'both'} sides need at least "
            "one."
        )

    def tested(self, among: np.ndarray, fraction: float, at: Any) -> np.ndarray:
        """Which of the rows ``among`` (ascending positions) are tested on."""
        if self.method == "random":
            return random_rows(len(among), fraction, self.seed)
        if at is not None:
            assert self.when is not None
            return from_on(self.owner, self.when, at)[among]
        assert self.order is not None
        order = _dense(self.order, among)
        if self.method == "group":
            return whole_groups(order, fraction, self.seed)
        if self.users is None:
            return latest(order, fraction)
        users = _dense(self.users, among)
        sizes = np.bincount(users)
        per_user = np.floor(sizes * fraction + 0.5)
        wanted = np.full_like(sizes, self.n) if self.method == "leave_last_out" else per_user
        return latest_of_each(users, order, sizes, wanted)


def _count(data: Any) -> int:
    source = open_source(data)
    return sum(source.counts(source.names()[:1]))


def _dense(numbers: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The numbers of some rows, renumbered without gaps in the same order."""
    if len(among) == len(numbers):
        return numbers
    return np.unique(numbers[among], return_inverse=True)[1]
