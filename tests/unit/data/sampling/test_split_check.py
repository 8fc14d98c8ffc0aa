from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import check_split, split
from nextrec.errors import DataError

SIDE = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=15
)
Events = list[tuple[int, int, int]]


def table(events: Events) -> pa.Table:
    columns = {
        name: pa.array([event[place] for event in events], pa.int64())
        for place, name in enumerate(["user", "item", "time"])
    }
    return pa.table(columns)


@given(train=SIDE, test=SIDE)
def test_counts_are_those_of_a_loop(train: Events, test: Events) -> None:
    report = check_split(table(train), table(test), user="user", item="item", time="time")
    assert (report.train_rows, report.test_rows) == (len(train), len(test))
    assert report.compared == ("user", "item", "time")
    assert report.duplicates == sum(row in train for row in test)
    first = min(time for _, _, time in test)
    assert report.late_rows == sum(time >= first for _, _, time in train)
    assert report.late_rows_of_user == sum(
        any(who == user and time >= when for who, _, when in test) for user, _, time in train
    )
    assert report.unseen_user_rows == sum(
        user not in {who for who, _, _ in train} for user, _, _ in test
    )
    assert report.unseen_item_rows == sum(
        item not in {what for _, what, _ in train} for _, item, _ in test
    )
    leaks = (report.duplicates, report.late_rows, report.late_rows_of_user)
    assert len(report.problems) == sum(count > 0 for count in leaks)


def test_without_names_all_single_valued_columns_are_compared() -> None:
    columns = {"a": ["x", None, None], "b": [1.5, 2.5, None], "l": [[1], [2], [3]], "c": [1, 2, 3]}
    train = pd.DataFrame(columns)
    test = pl.DataFrame({"b": [1.5, None, 2.5], "a": ["x", None, "x"], "l": [[9]] * 3})
    report = check_split(train, test)
    assert report.compared == ("a", "b")
    assert report.duplicates == 2
    assert report.late_rows is report.late_rows_of_user is report.unseen_user_rows is None
    assert report.problems == ["2 test row(s) (66.7%) are also in the training data, by a, b"]
    assert check_split(train, test, columns=["b"]).duplicates == 3


def test_splits_have_no_problem_by_their_own_rule() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"user": random.integers(0, 20, 500), "item": range(500), "time": random.permutation(500)}
    )
    sides = split(frame, method="time", values="time")
    report = check_split(*(frame.iloc[rows] for rows in sides), time="time", user="user")
    assert report.problems == []
    sides = split(frame, method="user_time", values="time", groups="user")
    report = check_split(*(frame.iloc[rows] for rows in sides), time="time", user="user")
    assert report.late_rows_of_user == 0
    assert report.late_rows > 0
    sides = split(frame)
    report = check_split(*(frame.iloc[rows] for rows in sides), time="time", user="user")
    assert report.late_rows_of_user > 0


@pytest.mark.parametrize(
    ("test", "options", "message"),
    [
        ({"time": [1]}, {"user": "user"}, "lacks 1 column"),
        ({"user": ["a"], "time": [1]}, {"user": "user"}, "`user` must be of one type in both"),
        ({"user": [1], "time": [None]}, {"time": "time"}, "`test`, row 0: `time` must be a value"),
        ({"user": [], "time": []}, {}, r"tables with rows; got '\(1, 0\) rows'"),
    ],
)
def test_what_cannot_be_compared_is_refused(test: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_split({"user": [1], "time": [1]}, test, **options)


def test_iso_text_is_compared_as_time() -> None:
    train = {"t": ["2024-10-01T09:00:00+09:00", "2024-10-01T02:00:00Z"], "u": [1, 2]}
    test = {"t": ["2024-10-01T01:00:00Z"], "u": [1]}
    report = check_split(train, test, time="t", user="u")
    assert (report.late_rows, report.late_rows_of_user) == (1, 0)
    stamps = {"t": pd.to_datetime(test["t"]), "u": [1]}
    assert check_split(train, stamps, time="t", columns=["u"]).late_rows == 1


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (["9.5.2024"], r"check_split, `test`, row 0: `t` must be ISO 8601.*got '9\.5\.2024'"),
        (["2024-01-01T00:00Z"], "`t` must be with a zone in both tables, or in none"),
    ],
)
def test_text_without_an_order_of_time_is_refused(test: list[str], message: str) -> None:
    train = {"t": ["2024-01-01", "2024-01-02"]}
    with pytest.raises(DataError, match=message):
        check_split(train, {"t": test}, time="t")
