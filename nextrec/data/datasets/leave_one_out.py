"""Leave-one-out: each user's last item is tested on, the last but one chosen on."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from nextrec.data.datasets.dataset import Dataset
from nextrec.data.datasets.encoding import encode, lists_of, vocabulary_of
from nextrec.data.datasets.tasks import Task, TaskSchema
from nextrec.errors import ConfigError, DataError, invalid, unknown_option

TRAIN_ROWS = ("user", "event")


def leave_one_out(
    data: Dataset | pd.DataFrame,
    max_len: int = 50,
    train_rows: Literal["user", "event"] = "user",
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
) -> Task:
    """Next-item prediction: the last item of each user is test, the last but one valid.

    Columns of all three frames: ``user`` and ``item`` (ids), ``history`` (array of the ids of at
    most ``max_len`` items before it, newest last), ``user_id`` (raw). The test history holds the
    valid item. Users of fewer than three items are trained on alone; a user of one item has no
    history and so no row. Every item of the data has an id, since all are ranked.

    Events are sorted by user and time; those of one time stay in the order of the table. Published
    numbers compare only under the same rule.

    Source: Wang-Cheng Kang and Julian McAuley. Self-Attentive Sequential Recommendation. ICDM 2018.

    Args:
        data: a data set with ``sequences`` or with events that have user, item and time; or a frame
            of events.
        max_len: items kept of a history.
        train_rows: ``"user"``: one row a user, its last train item and what came before, as models
            that predict every position take it; ``"event"``: one row for each train item but the
            first.
        user: column of a frame; a data set knows its own. So ``item`` and ``time``.

    Raises:
        ConfigError: an argument is wrong.
        DataError: a value is missing, or no user has two items.

    >>> events = pd.DataFrame({"who": [7, 7, 7, 7], "what": [3, 5, 9, 5], "when": [4, 1, 2, 3]})
    >>> task = leave_one_out(events, user="who", item="what", time="when")
    >>> task.test["history"][0].tolist(), int(task.test["item"][0])  # 3, 5, 9 have the ids 2, 3, 4
    ([3, 4, 3], 2)
    """
    if max_len < 1:
        raise ConfigError(invalid("leave_one_out", "max_len", "an integer of at least 1", max_len))
    if train_rows not in TRAIN_ROWS:
        raise ConfigError(unknown_option("leave_one_out", "train_rows", TRAIN_ROWS, train_rows))
    found = _sequences(data, user, item, time)
    vocabularies = {"user": vocabulary_of(found.users), "item": vocabulary_of(found.items)}
    coded = found._replace(items=pd.Series(encode(vocabularies["item"], found.items)))
    tested = found.lengths >= 3
    held_out = np.flatnonzero(tested)
    ends = np.cumsum(found.lengths)
    train, valid, test = (
        _rows(coded, who, targets, max_len)
        for who, targets in (
            _train_targets(found.lengths, ends, found.lengths - 2 * tested, train_rows),
            (held_out, ends[held_out] - 2),
            (held_out, ends[held_out] - 1),
        )
    )
    if train.empty and test.empty:
        raise DataError("leave_one_out: no user has two items, so none has a history.")
    for part in (train, valid, test):
        part.insert(0, "user", encode(vocabularies["user"], part["user_id"]))
    lists, shared = {"history": max_len}, {"history": "item"}
    return Task(train, valid, test, TaskSchema(vocabularies, None, "user_id", lists, shared))


class _Sequences(NamedTuple):
    """All items in one flat column, user after user in time order."""

    users: pd.Series
    lengths: np.ndarray
    """Items of each user."""
    items: pd.Series


def _sequences(
    data: Dataset | pd.DataFrame, user: str | None, item: str | None, time: str | None
) -> _Sequences:
    if isinstance(data, Dataset):
        if "sequences" in data.tables:
            frame = data.frame("sequences")
            lists = pa.array(frame["items"], pa.list_(pa.int64()))
            lengths = lists.value_lengths().to_numpy()
            return _Sequences(frame["user_id"], lengths, lists.flatten().to_pandas())
        schema = data.schema
        user, item, time = user or schema.user, item or schema.item, time or schema.time
        data = data.frame(next(iter(data.tables)))
    names = [
        _column(data, argument, name)
        for argument, name in (("user", user), ("item", item), ("time", time))
    ]
    events = data.sort_values([names[0], names[2]], kind="stable", ignore_index=True)
    owners = events[names[0]]
    first = np.flatnonzero((owners != owners.shift()).to_numpy())
    lengths = np.diff(np.append(first, len(events)))
    return _Sequences(owners.iloc[first], lengths, events[names[1]])


def _column(data: pd.DataFrame, argument: str, name: str | None) -> str:
    if name is None:
        raise ConfigError(invalid("leave_one_out", argument, "the name of a column", name))
    if name not in data:
        raise ConfigError(unknown_option("leave_one_out", argument, map(str, data), name))
    missing = data[name].isna().to_numpy()
    if missing.any():
        row = int(missing.argmax())
        raise DataError(invalid(f"leave_one_out, row {row}", name, "present", None))
    return name


def _train_targets(
    lengths: np.ndarray, ends: np.ndarray, train: np.ndarray, rows: str
) -> tuple[np.ndarray, np.ndarray]:
    """User and place of each train target; ``train`` items of a user are not held out."""
    who = np.flatnonzero(train >= 2)
    starts = ends - lengths
    if rows == "user":
        return who, starts[who] + train[who] - 1
    targets = train[who] - 1
    within = np.arange(targets.sum()) - np.repeat(np.cumsum(targets) - targets, targets)
    who = np.repeat(who, targets)
    return who, starts[who] + 1 + within


def _rows(coded: _Sequences, who: np.ndarray, targets: np.ndarray, max_len: int) -> pd.DataFrame:
    """A row for each target: it, and what its user did before."""
    items = coded.items.to_numpy()
    starts = np.cumsum(coded.lengths) - coded.lengths
    first = np.maximum(starts[who], targets - max_len)
    size = targets - first
    stops = np.cumsum(size)
    before = np.arange(size.sum()) + np.repeat(first - (stops - size), size)
    frame = pd.DataFrame({"item": items[targets]})
    frame["history"] = lists_of(size, items[before]).to_pandas()
    frame["user_id"] = coded.users.to_numpy()[who]
    return frame
