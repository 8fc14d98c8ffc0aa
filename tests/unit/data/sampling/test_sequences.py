from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import build_sequences
from nextrec.errors import ConfigError, DataError


@given(
    events=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 4), st.booleans())),
    max_len=st.none() | st.integers(1, 4),
    min_len=st.integers(1, 3),
    masked=st.booleans(),
    timed=st.booleans(),
)
def test_every_sequence_is_that_of_a_loop(
    events: list[tuple[str, int, bool]],
    max_len: int | None,
    min_len: int,
    masked: bool,
    timed: bool,
) -> None:
    table = pa.table(
        {
            "user": pa.array([event[0] for event in events], pa.string()),
            "time": pa.array([event[1] for event in events], pa.int32()),
            "item": pa.array(range(len(events)), pa.int64()),
            "liked": pa.array([event[2] for event in events], pa.bool_()),
        }
    )
    expected = {}
    for user in dict.fromkeys(event[0] for event in events):
        rows = [
            row for row, event in enumerate(events) if event[0] == user and (event[2] or not masked)
        ]
        if timed:
            rows.sort(key=lambda row: events[row][1])  # stable
        if len(rows) >= min_len:
            expected[user] = rows[-max_len:] if max_len else rows
    result = build_sequences(
        table,
        *("user", "item", "time" if timed else None, max_len, ["time"]),
        min_len=min_len,
        only="liked" if masked else None,
    )
    assert result.column_names == ["user", "item", "time"]
    assert result["user"].to_pylist() == list(expected)
    assert result["item"].to_pylist() == list(expected.values())
    times = [[events[row][1] for row in rows] for rows in expected.values()]
    assert result["time"].to_pylist() == times


def test_the_kind_of_table_stays() -> None:
    events = {"user": [1, 2, 1], "item": ["x", "y", "z"], "day": [2, 1, 1]}
    frame = build_sequences(pd.DataFrame(events), "user", "item", "day", prefix="seq_")
    assert isinstance(frame, pd.DataFrame)
    assert frame["user"].dtype == np.int64
    assert frame["seq_item"].tolist() == [["z", "x"], ["y"]]
    polars = build_sequences(pl.DataFrame(events), "user", "item", "day")
    assert isinstance(polars, pl.DataFrame)
    assert polars["item"].to_list() == [["z", "x"], ["y"]]
    columns = build_sequences(events, "user", "item", "day")
    assert isinstance(columns, dict)
    assert columns["item"].to_pylist() == [["z", "x"], ["y"]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_len": 0}, ConfigError, "build_sequences: `min_len` must be an integer of at least"),
        ({"max_len": 0}, ConfigError, "`max_len` must be"),
        ({"columns": ["user"]}, ConfigError, "`prefix` must be one that keeps the columns"),
        ({"item": "day"}, DataError, "row 1: `day` must be a value, not missing"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, error: type, message: str) -> None:
    events = {"user": [1, 2], "item": [3, 4], "day": [1, None]}
    with pytest.raises(error, match=message):
        build_sequences(events, **{"user": "user", "item": "item", "time": None, **options})
