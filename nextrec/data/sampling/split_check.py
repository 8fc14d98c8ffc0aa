"""What is wrong with a split: later rows in training, repeats on both sides, strangers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.files import require_columns
from nextrec.data.lists import is_list
from nextrec.data.sampling.keys import codes, key_columns, names_of, one_array, ranks
from nextrec.data.sampling.times import times
from nextrec.data.sources import column_names, read_table_of
from nextrec.errors import DataError, invalid

_OWNER = "check_split"


@dataclass(frozen=True)
class SplitReport:
    """Counts of what :func:`check_split` found; None where a column to look at was not named."""

    train_rows: int
    test_rows: int
    duplicates: int
    """Test rows that are also in the training data, by all columns compared."""
    compared: tuple[str, ...]
    """The columns that were compared to find duplicates."""
    late_rows: int | None = None
    """Training rows at or after the earliest test row: the model knows what came later."""
    late_rows_of_user: int | None = None
    """Training rows at or after the same user's earliest test row."""
    unseen_user_rows: int | None = None
    """Test rows of users who have no training row."""
    unseen_item_rows: int | None = None
    """Test rows of items that have no training row."""

    @property
    def problems(self) -> list[str]:
        """What would make a result too good, in words. Users and items not seen are no problem."""
        found = []
        if self.duplicates:
            share = self.duplicates / self.test_rows
            found.append(
                f"{self.duplicates} test row(s) ({share:.1%}) are also in the training data, by "
                f"{', '.join(self.compared)}"
            )
        if self.late_rows:
            share = self.late_rows / self.train_rows
            found.append(
                f"{self.late_rows} training row(s) ({share:.1%}) lie at or after the earliest "
                "test row"
            )
        if self.late_rows_of_user:
            share = self.late_rows_of_user / self.train_rows
            found.append(
                f"{self.late_rows_of_user} training row(s) ({share:.1%}) lie at or after the "
                "earliest test row of their user"
            )
        return found


def check_split(
    train: Any,
    test: Any,
    *,
    time: str | None = None,
    user: str | None = None,
    item: str | None = None,
    columns: Sequence[str] | None = None,
) -> SplitReport:
    """Look for what leaks from test rows into training, and for users and items never seen.

    A split within users (``user_time``, ``leave_last_out``) has training rows later than the
    earliest test row by design; :attr:`SplitReport.late_rows_of_user` is the count to look at.

    Args:
        train, test: any tables with the same columns.
        time: column by which rows are late: numbers, dates, timestamps or ISO 8601 text.
        user, item: columns of ids.
        columns: columns by which rows are duplicates; ``None``: those of ``user``, ``item`` and
            ``time`` that are named, and without any of them all single-valued columns that both
            tables have.

    Raises:
        DataError: a column is absent, its types differ, text is no time, or one side is empty.

    >>> train = {"user": [1, 1, 2], "day": [1, 5, 1]}
    >>> report = check_split(train, {"user": [1, 3], "day": [5, 6]}, time="day", user="user")
    >>> report.duplicates, report.late_rows, report.late_rows_of_user, report.unseen_user_rows
    (1, 1, 1, 1)
    """
    shared = [name for name in column_names(train) if name in set(column_names(test))]
    compared = names_of(columns) or [name for name in (user, item, time) if name]
    require_columns(compared, shared, "what both tables have")
    both = [read_table_of(data, compared or shared) for data in (train, test)]
    sides = both[0].num_rows, both[1].num_rows
    if not all(sides):
        raise DataError(invalid(_OWNER, "train, test", "tables with rows", f"{sides} rows"))
    if not compared:
        compared = [name for name in shared if not is_list(both[0][name].type)]

    keys = {name: _both(name, train, test) for name in (user, item) if name}
    late = late_of_user = None
    if time is not None:
        when = _times_of_both(time, train, test)
        late = int((when[: sides[0]] >= when[sides[0] :].min()).sum())
        if user is not None:
            late_of_user = _late_of_user(keys[user], when, sides[0])
    unseen = [
        None if name is None else int((~_known(keys[name], sides[0])).sum())
        for name in (user, item)
    ]
    pairs = [_joined(name, both[0][name], both[1][name]) for name in compared]
    duplicates = int(_known(_row_codes(pairs), sides[0]).sum())
    return SplitReport(*sides, duplicates, tuple(compared), late, late_of_user, *unseen)


def _both(name: str, train: Any, test: Any) -> np.ndarray:
    """A column of both tables joined, as codes."""
    return codes(_joined(name, *(pa.chunked_array([part]) for part in _parts(name, train, test))))


def _times_of_both(name: str, train: Any, test: Any) -> np.ndarray:
    """A column of times of both tables joined, as ranks."""
    first, second = _parts(name, train, test)
    first = times(f"{_OWNER}, `train`", name, first)
    second = times(f"{_OWNER}, `test`", name, second)
    zones = [getattr(part.type, "tz", None) for part in (first, second)]
    if (zones[0] is None) != (zones[1] is None):
        must_be = "with a zone in both tables, or in none"
        got = f"{first.type} and {second.type}"
        raise DataError(invalid(_OWNER, name, must_be, got))
    return ranks(_joined(name, pa.chunked_array([first]), pa.chunked_array([second])))


def _parts(name: str, train: Any, test: Any) -> list[pa.Array]:
    """A column of both tables."""
    return [
        key_columns(f"{_OWNER}, `{side}`", data, [name])[0]
        for side, data in (("train", train), ("test", test))
    ]


def _joined(name: str, train: pa.ChunkedArray, test: pa.ChunkedArray) -> pa.Array:
    first, second = one_array(train), one_array(test)
    try:
        return pa.concat_arrays([first, second.cast(first.type)])
    except pa.ArrowException as error:
        got = f"{first.type} and {second.type}"
        raise DataError(invalid(_OWNER, name, "of one type in both tables", got)) from error


def _row_codes(columns: Sequence[pa.Array]) -> np.ndarray:
    """Numbers of the different rows; missing values are equal to each other."""
    rows = np.zeros(len(columns[0]) if columns else 0, dtype=np.int64)
    for column in columns:
        own = column.dictionary_encode(null_encoding="encode")
        own_codes = own.indices.to_numpy().astype(np.int64)
        rows = np.unique(rows * len(own.dictionary) + own_codes, return_inverse=True)[1]
    return rows


def _known(numbers: np.ndarray, train_rows: int) -> np.ndarray:
    """Which test rows have a number that a training row has."""
    seen = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=bool)
    seen[numbers[:train_rows]] = True
    return seen[numbers[train_rows:]]


def _late_of_user(users: np.ndarray, when: np.ndarray, train_rows: int) -> int:
    earliest = np.full(int(users.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(earliest, users[train_rows:], when[train_rows:])
    return int((when[:train_rows] >= earliest[users[:train_rows]]).sum())
