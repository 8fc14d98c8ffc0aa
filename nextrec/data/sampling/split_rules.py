"""Which of N rows are tested on, by each rule of :func:`~nextrec.data.sampling.split`.

Every function returns a mask ``(N,)``.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.errors import ConfigError, invalid


def _share(rows: int, fraction: float) -> int:
    """Rows to test on: all but the whole number of rows to train on, as 0.3.1 counted."""
    return rows - int(rows * (1 - fraction) + 1e-9)


def random_rows(rows: int, fraction: float, seed: int) -> np.ndarray:
    """A share of rows."""
    tested = np.zeros(rows, dtype=bool)
    order = np.random.default_rng(seed).permutation(rows)
    tested[order[rows - _share(rows, fraction) :]] = True
    return tested


def whole_groups(groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Whole groups (codes) in random order that come nearest to the share of rows."""
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


def latest(times: np.ndarray, fraction: float) -> np.ndarray:
    """The latest rows, cut between the two times (ranks) that come nearest to the share."""
    counts = np.bincount(times)
    from_each_on = counts[::-1].cumsum()[::-1]  # rows at this time or later
    if len(counts) == 1:
        return np.ones(len(times), dtype=bool)
    cut = 1 + np.abs(from_each_on[1:] - _share(len(times), fraction)).argmin()
    return times >= cut


def from_on(owner: str, times: pa.Array, at: Any) -> np.ndarray:
    """Rows at or after a given time."""
    kind = times.type
    must_be = f"a time like those of {kind}"
    number = isinstance(at, (int, float, np.number)) and not isinstance(at, (bool, np.timedelta64))
    if number and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.asarray(times.to_numpy(zero_copy_only=False) >= at)
    try:
        if pa.types.is_temporal(kind) and isinstance(at, (str, date, np.datetime64)):
            times, cut = _comparable(times, pd.Timestamp(at))
            return pc.greater_equal(times, cut).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, ValueError) as error:
        raise ConfigError(invalid(owner, "at", must_be, at)) from error
    raise ConfigError(invalid(owner, "at", must_be, at))


def _comparable(times: pa.Array, cut: pd.Timestamp) -> tuple[pa.Array, pa.Scalar]:
    """Dates or timestamps, and a cut in nanoseconds; a date is its midnight."""
    if pa.types.is_date(times.type):
        times = times.cast(pa.timestamp("ms"))
    zone = getattr(times.type, "tz", None)
    if (zone is None) != (cut.tz is None):
        raise ValueError("either both times have a zone or none")
    return times, pa.scalar(cut.as_unit("ns").value, pa.timestamp("ns", zone))


def latest_of_each(
    users: np.ndarray, times: np.ndarray, sizes: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """The last ``wanted`` rows of each user, all but one at most; ``sizes`` are rows a user."""
    order = np.lexsort((times, users))  # stable: equal times keep the order of their rows
    ends = np.cumsum(sizes)
    tested_of = np.minimum(wanted, sizes - 1)
    tested = np.zeros(len(users), dtype=bool)
    user = users[order]
    tested[order] = np.arange(len(order)) >= (ends - tested_of)[user]
    return tested
