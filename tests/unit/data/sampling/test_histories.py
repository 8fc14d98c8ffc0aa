from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.datasets import movielens_small_ctr
from nextrec.data.sampling import build_histories, windows
from nextrec.data.sources import read_table_of
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, DataError
from nextrec.features import FeatureSet, SequenceFeature

EVENTS = {
    "user": ["b", "a", "b", "a", "b"],
    "item": [10, 20, 30, 40, 50],
    "time": [3, 1, 2, 1, 3],
}
EXPECTED = [[30], [], [], [], [30]]


def lists(table: Any, name: str = "hist_item") -> list[list[Any]]:
    return read_table_of(table, [name])[name].to_pylist()


def earlier(
    events: list[tuple[Any, ...]], row: int, max_len: int, gap: float | None, only: list[bool]
) -> list[int]:
    """Rows in the history of an event, by the definition."""
    user, time = events[row][0], events[row][1]
    found = [
        other
        for other, event in enumerate(events)
        if event[0] == user
        and event[1] < time
        and (gap is None or time - event[1] >= gap)
        and only[other]
    ]
    return sorted(found, key=lambda other: (events[other][1], other))[-max_len:]


class TestByALoop:
    @given(
        events=st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 5), st.booleans())),
        max_len=st.integers(1, 4),
        gap=st.sampled_from([None, 0, 1, 2, 2.5, 100]),
        masked=st.booleans(),
    )
    def test_every_history_is_that_of_the_loop(
        self, events: list[tuple[int, int, bool]], max_len: int, gap: float | None, masked: bool
    ) -> None:
        only = [event[2] or not masked for event in events]
        table = {
            "user": np.array([event[0] for event in events], dtype=np.int64),
            "time": np.array([event[1] for event in events], dtype=np.int64),
            "item": np.arange(len(events)) * 10,
        }
        result = build_histories(
            table,
            *("user", "item", "time", max_len),
            columns=["time"],
            only=only if masked else None,
            min_age=gap,
            ages=True,
        )
        rows = [earlier(events, row, max_len, gap, only) for row in range(len(events))]
        assert lists(result) == [[10 * other for other in history] for history in rows]
        assert lists(result, "hist_time") == [[events[o][1] for o in history] for history in rows]
        ages = [
            [events[row][1] - events[other][1] for other in history]
            for row, history in enumerate(rows)
        ]
        assert lists(result, "hist_age") == ages
        assert all(age > 0 for history in ages for age in history)

    @given(
        events=st.lists(
            st.tuples(
                st.sampled_from(["", "é", "u\0v", "u"]),
                st.floats(-4, 4, width=16) | st.just(-0.0) | st.just(1e300),
            )
        ),
        gap=st.sampled_from([None, 0.0, 0.5, 3]),
    )
    def test_texts_and_fractional_times(
        self, events: list[tuple[str, float]], gap: float | None
    ) -> None:
        table = pl.DataFrame(
            {
                "user": pl.Series([event[0] for event in events], dtype=pl.String),
                "time": pl.Series([event[1] for event in events], dtype=pl.Float64),
                "item": pl.Series([f"i{row}" for row in range(len(events))], dtype=pl.String),
            }
        )
        result = build_histories(table, "user", "item", "time", 3, min_age=gap)
        only = [True] * len(events)
        rows = [earlier(events, row, 3, gap, only) for row in range(len(events))]
        assert result["hist_item"].to_list() == [[f"i{o}" for o in history] for history in rows]

    def test_lists_are_cut_into_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        random = np.random.default_rng(0)
        table = {
            "user": random.integers(0, 5, 300),
            "item": random.integers(0, 99, 300),
            "time": random.integers(0, 60, 300),
        }
        whole = build_histories(table, "user", "item", "time", 7, ages=True)
        assert whole["hist_item"].num_chunks == 1
        for items in (1, 5, 100):
            monkeypatch.setattr(windows, "_BLOCK_ITEMS", items)
            cut = build_histories(table, "user", "item", "time", 7, ages=True)
            assert cut["hist_item"].num_chunks > 10
            for name in ("hist_item", "hist_age"):
                assert max(map(len, (c.values for c in cut[name].chunks))) <= items + 7
                assert cut[name].to_pylist() == whole[name].to_pylist()

    def test_the_bundled_data_set_has_these_histories(self) -> None:
        task = movielens_small_ctr(20)
        events = pd.concat([task.train, task.test], ignore_index=True)
        liked = events["label"] == 1
        built = build_histories(events, "user", "movie", "timestamp", 20, only=liked)
        expected = pa.array(events["history"], pa.list_(pa.int64()))
        assert pa.array(built["hist_movie"]).cast(expected.type).equals(pa.chunked_array(expected))


class TestTables:
    def test_a_pandas_frame_keeps_index_and_types(self) -> None:
        frame = pd.DataFrame(EVENTS, index=[4, 4, 1, 0, 9]).astype({"user": "category"})
        before = frame.copy()
        result = build_histories(frame, "user", "item", "time")
        assert isinstance(result, pd.DataFrame)
        assert result["hist_item"].tolist() == EXPECTED
        assert result.columns.tolist() == ["user", "item", "time", "hist_item"]
        pd.testing.assert_frame_equal(result[["user", "item", "time"]], before)
        pd.testing.assert_frame_equal(frame, before)

    def test_other_frames(self) -> None:
        polars = build_histories(pl.DataFrame(EVENTS), "user", "item", "time")
        assert isinstance(polars, pl.DataFrame)
        assert polars.schema["hist_item"] == pl.List(pl.Int64)
        lazy = build_histories(pl.LazyFrame(EVENTS), "user", "item", "time")
        assert isinstance(lazy, pl.DataFrame)
        columns = build_histories(EVENTS, "user", "item", "time")
        assert isinstance(columns, dict)
        assert columns["user"] is EVENTS["user"]
        assert "hist_item" not in EVENTS
        for result in (polars, lazy, columns):
            assert lists(result) == EXPECTED

    def test_what_is_no_frame_becomes_an_arrow_table(self, tmp_path: Path) -> None:
        table = pa.table(EVENTS)
        pq.write_table(table, tmp_path / "events.parquet")
        pl.DataFrame(EVENTS).write_csv(tmp_path / "events.csv")
        chunked = pa.concat_tables([table[:2], table[2:]])
        stream = pa.RecordBatchReader.from_batches(table.schema, chunked.to_batches())
        files = [tmp_path / "events.parquet", str(tmp_path / "events.csv")]
        for data in (table, chunked, stream, table.to_pylist(), *files):
            result = build_histories(data, "user", "item", "time")
            assert isinstance(result, pa.Table)
            assert result.column_names == ["user", "item", "time", "hist_item"]
            assert lists(result) == EXPECTED

    def test_an_empty_table(self) -> None:
        table = pa.table(EVENTS)[:0]
        result = build_histories(table, "user", "item", "time", columns=["time"], ages=True)
        assert result.num_rows == 0
        assert result.schema.field("hist_item").type == pa.list_(pa.int64())
        untyped = {name: [] for name in EVENTS}
        assert (
            build_histories(untyped, "user", "item", "time", only=[])["hist_item"].to_pylist() == []
        )

    def test_loaders_read_the_result(self) -> None:
        features = FeatureSet(sequence=[SequenceFeature("hist_item", 60, max_len=3)])
        for data in (EVENTS, pd.DataFrame(EVENTS), pl.DataFrame(EVENTS), pa.table(EVENTS)):
            result = build_histories(data, "user", "item", "time")
            batch = PackedStore.from_data(result, features)[:]
            assert batch.features["hist_item"].tolist() == [
                [*history, 0, 0, 0][:3] for history in EXPECTED
            ]


class TestTimes:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
    def test_timestamps(self, unit: str, zone: str | None) -> None:
        seconds = [30, 10, 20, 10, 30]
        times = pa.array([datetime(2024, 3, 31, 0, 59, each) for each in seconds])
        table = pa.table(EVENTS).set_column(2, "time", times.cast(pa.timestamp(unit, zone)))
        result = build_histories(table, "user", "item", "time", ages=True)
        assert lists(result) == EXPECTED
        assert lists(result, "hist_age") == [[10.0], [], [], [], [10.0]]
        for age in (timedelta(seconds=10), np.timedelta64(10_000, "ms"), "10s", pd.Timedelta(10e9)):
            exactly = build_histories(table, "user", "item", "time", min_age=age)
            assert lists(exactly) == EXPECTED
        later = build_histories(
            table, "user", "item", "time", min_age=timedelta(seconds=10, microseconds=1)
        )
        assert lists(later) == [[]] * 5

    def test_dates(self) -> None:
        days = [date(2024, 2, 20 + each) for each in EVENTS["time"]]
        for kind in (pa.date32(), pa.date64()):
            table = pa.table({**EVENTS, "time": pa.array(days, kind)})
            result = build_histories(table, "user", "item", "time", ages=True)
            assert lists(result) == EXPECTED
            assert lists(result, "hist_age") == [[86400.0], [], [], [], [86400.0]]
            assert lists(build_histories(table, "user", "item", "time", min_age="2D")) == [[]] * 5

    def test_without_time_each_row_is_later_than_the_one_before(self) -> None:
        assert lists(build_histories(EVENTS, "user", "item", None)) == [
            [],
            [],
            [10],
            [20],
            [10, 30],
        ]

    def test_unsigned_and_far_times_are_exact(self) -> None:
        times = np.array([2**64 - 1, 2**64 - 2**61, 2**64 - 2], dtype=np.uint64)
        table = {"user": [1, 1, 1], "item": [1, 2, 3], "time": times}
        result = build_histories(table, "user", "item", "time", ages=True, min_age=2)
        assert lists(result) == [[2], [], [2]]
        assert lists(result, "hist_age") == [[2**61 - 1], [], [2**61 - 2]]
        for times in (
            np.array([2**63 + 9, 2**63 - 9, 2**63], dtype=np.uint64),
            np.array([127, -128, 0], dtype=np.int8),
            np.array([255, 0, 128], dtype=np.uint8),
        ):
            result = build_histories({**table, "time": times}, "user", "item", "time", ages=True)
            assert lists(result) == [[2, 3], [], [2]]
            newest, oldest, between = times.tolist()
            assert lists(result, "hist_age") == [
                [newest - oldest, newest - between],
                [],
                [between - oldest],
            ]
        far = {**table, "time": np.array([-(2**63), 0, 2**63 - 1])}
        with pytest.raises(DataError, match="`time` must be times at most"):
            build_histories(far, "user", "item", "time")


class TestColumns:
    def test_missing_values_of_further_columns_stay_missing(self) -> None:
        table = {**EVENTS, "stars": [1.0, None, None, 2.0, 3.0], "word": ["x", None, "", "y", "z"]}
        result = build_histories(table, "user", "item", None, columns=["stars", "word"])
        assert lists(result, "hist_stars") == [[], [], [1.0], [None], [1.0, None]]
        assert lists(result, "hist_word") == [[], [], ["x"], [None], ["x", ""]]

    def test_only_may_name_a_column(self) -> None:
        table = {**EVENTS, "liked": [False, True, True, True, True]}
        assert lists(build_histories(table, "user", "item", None, only="liked"))[4] == [30]

    def test_names(self) -> None:
        result = build_histories(
            EVENTS, "user", "item", "time", columns="time", ages=True, prefix="before_"
        )
        assert list(result)[3:] == ["before_item", "before_time", "before_age"]

    @pytest.mark.parametrize(
        "column",
        [
            pa.array([b"x", b"\xff", b"x", b"y", b"z"]),
            pa.array(["x", "y", "x", "y", "z"]).dictionary_encode(),
            pa.array(["x", "y", "x", "y", "z"], pa.large_string()),
            pa.array([True, False, True, False, True]),
            pa.array([date(2024, 1, 1)] * 5),
        ],
        ids=lambda column: str(column.type),
    )
    def test_items_of_any_type(self, column: pa.Array) -> None:
        values = column.to_pylist()
        result = build_histories({**EVENTS, "item": column}, "user", "item", None)
        expected = [[values[row] for row in history] for history in [[], [], [0], [1], [0, 2]]]
        assert lists(result) == expected


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"user": ["b", None, "b", "a", "b"]}, {}, DataError, "row 1: `user` must be a value, not"),
        ({"item": [1, 2, 3, None, 5]}, {}, DataError, "row 3: `item` must be a value, not missing"),
        ({"time": [1.0, 2, float("nan"), 4, 5]}, {}, DataError, "row 2: `time` must be a value"),
        ({"time": [1.0, 2, np.inf, 4, 5]}, {}, DataError, "row 2: `time` must be a finite number"),
        ({"time": list("abcde")}, {}, DataError, r"row 0: `time` must be ISO 8601.*got 'a'"),
        ({"item": [[1]] * 5}, {}, DataError, "`item` must be a column of single values"),
        ({}, {"user": "usr"}, DataError, r"lacks 1 column.*Did you mean 'user'"),
        ({}, {"columns": ["cat"]}, DataError, "lacks 1 column"),
        ({}, {"max_len": 0}, ConfigError, "`max_len` must be an integer of at least 1; got 0"),
        ({}, {"max_len": 2.0}, ConfigError, "`max_len` must be"),
        ({}, {"min_age": -1}, ConfigError, "`min_age` must be a number of at least 0"),
        ({}, {"min_age": float("nan")}, ConfigError, "`min_age` must be a number of at least 0"),
        ({}, {"min_age": "1h"}, ConfigError, "`min_age` must be a number of at least 0"),
        ({"time": [date(2024, 1, 1)] * 5}, {"min_age": 3}, ConfigError, "must be a timedelta"),
        ({"time": [date(2024, 1, 1)] * 5}, {"min_age": "x"}, ConfigError, "must be a timedelta"),
        ({"time": [date(2024, 1, 1)] * 5}, {"min_age": "-1D"}, ConfigError, "must be a timedelta"),
        ({"time": [date(2024, 1, 1)] * 5}, {"min_age": "NaT"}, ConfigError, "must be a timedelta"),
        ({}, {"only": [True]}, DataError, "`only` must be one value for each of the 5 rows"),
        ({}, {"only": [1, 0, 1, 0, 1]}, DataError, "`only` must be booleans"),
        ({}, {"only": [True, None, True, True, True]}, DataError, "row 1: `only` must be a value"),
        ({"hist_item": range(5)}, {}, ConfigError, "a name that no other column has.*'hist_item'"),
        ({}, {"columns": ["item"]}, ConfigError, "a name that no other column has"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], options: dict[str, Any], error: type, message: str
) -> None:
    arguments = {"user": "user", "item": "item", "time": "time", **options}
    with pytest.raises(error, match=message):
        build_histories({**EVENTS, **changes}, **arguments)


def test_iso_text_counts_as_timestamps() -> None:
    texts = ["2024-10-01T02:00:00+02:00", "2024-09-30T23:30:00Z", "2024-10-01T00:00:00Z"]
    events = {"user": [1] * 3, "item": [1, 2, 3], "time": texts}
    built = build_histories(events, "user", "item", "time", ages=True)
    assert built["hist_item"].to_pylist() == [[2], [], [2]]
    assert built["hist_age"].to_pylist() == [[1800.0], [], [1800.0]]
    late = build_histories(events, "user", "item", "time", min_age="45min")
    assert late["hist_item"].to_pylist() == [[], [], []]


def test_half_floats_are_times() -> None:
    halves = pa.array(np.array([3, 1, 2], np.float16))
    built = build_histories({"u": [1] * 3, "i": [1, 2, 3], "t": halves}, "u", "i", "t")
    assert built["hist_i"].to_pylist() == [[2, 3], [], [2]]
