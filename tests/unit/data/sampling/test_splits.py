from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import split, split3
from nextrec.errors import ConfigError, DataError


def check_partition(rows: int, train: np.ndarray, test: np.ndarray) -> None:
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(rows))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


class TestRandom:
    @given(rows=st.integers(2, 200), fraction=st.floats(0.01, 0.99))
    def test_rows_are_the_share_that_the_old_version_took(self, rows: int, fraction: float) -> None:
        kept = int(rows * (1 - fraction) + 1e-9)
        if kept == 0:
            with pytest.raises(DataError, match="leaves 0 row"):
                split(rows, fraction)
            return
        train, test = split(rows, fraction)
        check_partition(rows, train, test)
        assert len(train) == kept

    def test_the_default_rows_are_those_of_the_old_version(self) -> None:
        train, test = split(50, 0.3)
        old = np.random.default_rng(42).permutation(50)
        assert set(train) == set(old[:35])
        assert set(test) == set(old[35:])

    def test_the_seed_decides(self) -> None:
        assert split(50, 0.3, seed=1)[1].tolist() == split(50, 0.3, seed=1)[1].tolist()
        assert split(50, 0.3, seed=1)[1].tolist() != split(50, 0.3, seed=2)[1].tolist()


class TestGroup:
    @given(
        groups=st.lists(st.integers(0, 8), min_size=2, max_size=60).filter(
            lambda groups: len(set(groups)) > 1
        ),
        fraction=st.floats(0.1, 0.9),
        seed=st.integers(0, 5),
    )
    def test_no_group_is_on_both_sides(self, groups: list[int], fraction: float, seed: int) -> None:
        train, test = split(len(groups), fraction, "group", seed, values=groups)
        check_partition(len(groups), train, test)
        values = np.array(groups)
        assert not set(values[train]) & set(values[test])

    def test_the_share_of_rows_is_met_nearly(self) -> None:
        groups = np.random.default_rng(0).zipf(1.5, size=20_000) % 500
        for seed in range(5):
            _, test = split(len(groups), 0.2, "group", seed, values=groups)
            largest = np.bincount(groups).max()
            assert abs(len(test) - 4000) <= largest / 2

    def test_a_group_larger_than_the_test_side_is_not_drawn(self) -> None:
        groups = ["big"] * 90 + [f"small{row}" for row in range(10)]
        for seed in range(10):
            assert split(100, 0.1, "group", seed, values=groups)[1].tolist() == list(range(90, 100))

    def test_when_no_group_fits_the_smallest_is_drawn(self) -> None:
        _, test = split(5, 0.2, "group", values=["a", "a", "b", "b", "b"])
        assert test.tolist() == [0, 1]

    def test_one_group_cannot_be_split(self) -> None:
        with pytest.raises(DataError, match=r"leaves 0 row.* to train on and 3 to test on, of 3"):
            split(3, 0.5, "group", values=[7, 7, 7])

    def test_the_seed_decides(self) -> None:
        groups = np.arange(100) // 2
        tests = {tuple(split(100, 0.2, "group", seed, values=groups)[1]) for seed in range(5)}
        assert len(tests) == 5


class TestTime:
    @given(
        times=st.lists(st.integers(0, 10), min_size=2, max_size=40).filter(
            lambda times: len(set(times)) > 1
        ),
        fraction=st.floats(0.05, 0.95),
    )
    def test_the_cut_is_between_times_and_nearest_to_the_share(
        self, times: list[int], fraction: float
    ) -> None:
        rows = len(times)
        train, test = split(rows, fraction, "time", values=times)
        check_partition(rows, train, test)
        values = np.array(times)
        assert values[train].max() < values[test].min()
        wanted = rows - int(rows * (1 - fraction) + 1e-9)
        possible = [int((values >= time).sum()) for time in sorted(set(times))[1:]]
        assert abs(len(test) - wanted) == min(abs(size - wanted) for size in possible)

    @pytest.mark.parametrize(
        "times",
        [
            ["2024-01-01", "2024-03-01", "2024-02-01", "2024-03-01"],
            pd.to_datetime(["2024-01-01", "2024-03-01", "2024-02-01", "2024-03-01"]),
            pl.Series([1.5, 3.5, 2.5, 3.5]),
            np.array([-7, 9, 0, 9], dtype=np.int8),
        ],
        ids=lambda times: type(times).__name__,
    )
    def test_times_of_any_type(self, times: Any) -> None:
        assert split(4, 0.5, "time", values=times)[1].tolist() == [1, 3]

    def test_one_time_cannot_be_split(self) -> None:
        with pytest.raises(DataError, match="leaves 0 row"):
            split(3, 0.5, "time", values=[7, 7, 7])


class TestWithinUsers:
    @given(
        events=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=2, max_size=40),
        fraction=st.floats(0.1, 0.9) | st.none(),
    )
    def test_the_latest_of_each_user_by_a_loop(
        self, events: list[tuple[int, int]], fraction: float | None
    ) -> None:
        expected = []
        for user in {user for user, _ in events}:
            rows = [row for row, event in enumerate(events) if event[0] == user]
            rows.sort(key=lambda row: events[row][1])  # stable, as the rule for ties says
            wanted = 1 if fraction is None else int(np.floor(len(rows) * fraction + 0.5))
            count = min(wanted, len(rows) - 1)
            expected += rows[len(rows) - count :]
        users, times = [user for user, _ in events], [time for _, time in events]
        method: Any = "leave_last_out" if fraction is None else "user_time"
        options: Any = {"values": times, "groups": users}
        if not expected:
            with pytest.raises(DataError, match="0 to test on"):
                split(len(events), fraction or 0.5, method, **options)
            return
        train, test = split(len(events), fraction or 0.5, method, **options)
        check_partition(len(events), train, test)
        assert test.tolist() == sorted(expected)

    def test_without_times_the_last_row_is_the_latest(self) -> None:
        users = ["a", "b", "a", "b", "c"]
        assert split(5, 0.5, "leave_last_out", groups=users)[1].tolist() == [2, 3]

    def test_the_fraction_is_not_used_to_leave_the_last_out(self) -> None:
        assert split(4, 7.0, "leave_last_out", groups=[1, 1, 2, 2])[1].tolist() == [1, 3]


def test_values_may_be_columns_of_any_table() -> None:
    columns = {"user": ["a", "a", "b", "b"], "time": [2, 1, 5, 6], "other": [0, 0, 0, 0]}
    for data in (columns, pd.DataFrame(columns), pl.DataFrame(columns).lazy()):
        options: Any = {"values": "time", "groups": "user"}
        assert split(data, 0.5, "user_time", **options)[1].tolist() == [0, 3]
        assert split(data, 0.5)[0].shape == (2,)
        grouped: Any = split(data, 0.5, "group", values="user")
        assert {*grouped[0].tolist()} in ({0, 1}, {2, 3})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((10, 0.0), ConfigError, "`fraction` must be a number in"),
        ((10, 1.0), ConfigError, "`fraction` must be a number in"),
        ((10, 0.5, "grup"), ConfigError, "Did you mean 'group'"),
        ((10, 0.5, "group"), ConfigError, "`values` must be one value a row"),
        ((10, 0.5, "time", 0, "ts"), ConfigError, "`values` must be one value a row"),
        ((2, 0.5, "user_time", 0, [1, 2]), ConfigError, "`groups` must be one value a row"),
        ((3, 0.5, "time", 0, [1, 2]), DataError, "for each of the 3 rows; got '2 values'"),
        ((2, 0.5, "group", 0, [1, None]), DataError, "row 1: `values` must be a value, not mis"),
        ((2, 0.5, "time", 0, pl.Series([1.0, float("nan")])), DataError, "row 1: `values`"),
        (({"a": [1, 2]}, 0.5, "time", 0, "b"), DataError, "lacks 1 column"),
        ((1, 0.5), DataError, "leaves 0 row"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        split(*arguments)


class TestCut:
    @pytest.mark.parametrize(
        ("times", "at"),
        [
            (np.array([5, 1, 3]), 3),
            (np.array([5, 1, 3]), 2.5),
            (np.array([5, 1, 3], dtype=np.uint64) + np.uint64(2**63), 2**63 + 3),
            (np.array([0.5, 0.1, 0.3]), 0.3),
            (pd.to_datetime(["2024-03-01", "2024-01-01", "2024-02-01"]), "2024-02-01"),
            (pd.to_datetime(["2024-03-01", "2024-01-01", "2024-02-01"]), datetime(2024, 1, 31, 23)),
            (
                pd.to_datetime(["2024-03-01", "2024-01-01", "2024-02-01"], utc=True),
                "2024-02-01T01:00+01:00",
            ),
            ([date(2024, 3, 1), date(2024, 1, 1), date(2024, 2, 1)], date(2024, 2, 1)),
            ([date(2024, 3, 1), date(2024, 1, 1), date(2024, 2, 1)], "2024-01-15"),
            (["2024-03-01", "2024-01-01", "2024-02-01"], "2024-01-31T12"),
            (
                ["2024-03-01T00:00Z", "2024-01-01T00:00Z", "2024-02-01T05:00+05:00"],
                "2024-02-01T00:00Z",
            ),
        ],
    )
    def test_rows_of_that_time_or_later_are_tested_on(self, times: Any, at: Any) -> None:
        train, test = split(3, method="time", values=times, at=at)
        assert train.tolist() == [1]
        assert test.tolist() == [0, 2]

    def test_integers_beyond_floats_are_compared_exactly(self) -> None:
        times = np.array([2**53, 2**53 + 1])
        assert split(2, method="time", values=times, at=2**53 + 1)[1].tolist() == [1]

    @pytest.mark.parametrize(
        ("times", "at"),
        [
            ([1, 2], "2"),
            ([1, 2], True),
            ([date(2024, 1, 1), date(2024, 1, 2)], 2),
            ([datetime(2024, 1, 1), datetime(2024, 1, 2)], "tomorrow or so"),
            ([datetime(2024, 1, 1), datetime(2024, 1, 2)], "2024-01-02T00:00+00:00"),
            (["2024-01-01", "2024-01-02"], 1),
            (["2024-01-01", "2024-01-02"], "b"),
        ],
    )
    def test_a_cut_of_another_kind_is_refused(self, times: Any, at: Any) -> None:
        with pytest.raises(ConfigError, match="split: `at` must be a time like those of"):
            split(2, method="time", values=times, at=at)

    def test_a_cut_beyond_all_rows_leaves_one_side_empty(self) -> None:
        with pytest.raises(DataError, match=r"leaves 2 row.* to train on and 0 to test on"):
            split(2, method="time", values=[1, 2], at=3)


class TestTimesAsText:
    USERS = ("a", "a", "b", "b", "b", "a")
    TEXTS = (
        *("2024-10-01", "2024-09-30 23:00:00", "2023-01-01"),
        *("2024-10-01T00:00:00.5", "2025-01-01", "2024-01-01"),
    )

    @pytest.mark.parametrize("method", ["time", "user_time", "leave_last_out"])
    @pytest.mark.parametrize("encoding", [list, pd.Categorical, "large", "view"])
    def test_iso_text_counts_as_timestamps(self, method: Any, encoding: Any) -> None:
        options: Any = {"groups": self.USERS} if method != "time" else {}
        if encoding in ("large", "view"):
            kind = pa.large_string() if encoding == "large" else pa.string_view()
            values = pa.array(self.TEXTS, kind)
        else:
            values = encoding(self.TEXTS)
        moments = pd.to_datetime(list(self.TEXTS), format="ISO8601")
        for splitter, shares in ((split, (0.4,)), (split3, ((0.4, 0.3, 0.3),))):
            found, expected = (
                splitter(6, *shares, method, values=each, **options) for each in (values, moments)
            )
            assert [each.tolist() for each in found] == [each.tolist() for each in expected]

    @pytest.mark.parametrize("method", ["time", "user_time", "leave_last_out"])
    @pytest.mark.parametrize("splitter", [split, split3])
    @pytest.mark.parametrize(
        ("texts", "row", "got"),
        [
            (["9.5.2024", "10.4.2025"] * 3, 0, "9.5.2024"),
            (["10", "9", "8", "7", "6", "5"], 0, "10"),
            (["2024-05-01"] * 50 + ["05/02/2024", "05/03/2024"], 50, "05/02/2024"),
            (["2024-05-01", "2024-05-01 12:00:00Z", "2024-05-02"], 1, "2024-05-01 12:00:00Z"),
            (["2024-05-01T00:00Z", "2024-05-01T00:00", "x"], 1, "2024-05-01T00:00"),
            (["2024-05-01", "2024-02-30", "x"], 1, "2024-02-30"),
            (["2024-05-01", "0001-01-01", "x"], 1, "0001-01-01"),
        ],
    )
    def test_other_text_is_refused(
        self, splitter: Any, method: Any, texts: list[str], row: int, got: str
    ) -> None:
        data = {"at": texts, "user": ["u"] * len(texts)}
        groups = None if method == "time" else "user"
        message = rf"{splitter.__name__}, row {row}: `at` must be ISO 8601 .*parse.*'{got}'"
        with pytest.raises(DataError, match=message.replace("+", r"\+")):
            splitter(data, method=method, values="at", groups=groups)

    def test_groups_may_be_any_text(self) -> None:
        assert sum(map(len, split(4, 0.5, "group", values=["b", "b", "a", "a"]))) == 4

    def test_half_floats_are_times(self) -> None:
        halves = pa.array(np.array([3, 1, 2], np.float16))
        assert split(3, 0.33, "time", values=halves)[1].tolist() == [0]
        assert split(3, method="time", values=halves, at=2)[1].tolist() == [0, 2]

    @pytest.mark.parametrize("values", [[True, False], [b"1", b"2"]])
    def test_what_has_no_time_is_refused(self, values: Any) -> None:
        with pytest.raises(DataError, match="`values` must be a column of numbers, dates"):
            split(2, 0.5, "time", values=values)


class TestLastN:
    @given(
        users=st.lists(st.integers(0, 4), min_size=2, max_size=40),
        n=st.integers(1, 4),
    )
    def test_by_a_loop(self, users: list[int], n: int) -> None:
        expected = []
        for user in set(users):
            rows = [row for row, who in enumerate(users) if who == user]
            expected += rows[max(1, len(rows) - n) :]
        if not expected:
            return
        _, test = split(len(users), method="leave_last_out", groups=users, n=n)
        assert test.tolist() == sorted(expected)


class TestThreeWays:
    @given(
        events=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=8, max_size=60),
        method=st.sampled_from(["random", "group", "time", "user_time", "leave_last_out"]),
        seed=st.integers(0, 3),
    )
    def test_sides_are_a_partition_and_the_test_rows_those_of_two_ways(
        self, events: list[tuple[int, int]], method: Any, seed: int
    ) -> None:
        users, times = (np.array(each) for each in zip(*events, strict=True))
        options: Any = {"seed": seed}
        if method == "group":
            options["values"] = users
        if method in ("time", "user_time", "leave_last_out"):
            options["values"] = times
        if method in ("user_time", "leave_last_out"):
            options["groups"] = users
        try:
            train, valid, test = split3(len(events), (0.5, 0.25, 0.25), method, **options)
        except DataError:
            return
        assert sorted([*train, *valid, *test]) == list(range(len(events)))
        for side in (train, valid, test):
            assert (np.diff(side) > 0).all()
        assert test.tolist() == split(len(events), 0.25, method, **options)[1].tolist()
        if method == "group":
            sides = [set(users[side]) for side in (train, valid, test)]
            assert sum(map(len, sides)) == len(set.union(*sides))
        if method == "time":
            assert times[train].max() < times[valid].min()
            assert times[valid].max() < times[test].min()
        if method in ("user_time", "leave_last_out"):
            when = times * len(times) + np.arange(len(times))
            for user in set(users):
                parts = [when[side[users[side] == user]] for side in (train, valid, test)]
                ordered = [part for part in parts if len(part)]
                assert all(a.max() < b.min() for a, b in pairwise(ordered))

    def test_shares_are_met(self) -> None:
        for method, options in (("random", {}), ("time", {"values": np.arange(1000)})):
            sides = split3(1000, method=method, **options)
            assert [len(side) for side in sides] == [800, 100, 100]

    def test_last_for_test_last_but_one_for_validation(self) -> None:
        users = ["a", "b", "a", "b", "a", "c"]
        train, valid, test = split3(6, method="leave_last_out", groups=users)
        assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1, 5], [2], [3, 4])
        train, valid, test = split3(6, method="leave_last_out", groups=["a"] * 6, n=2)
        assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1], [2, 3], [4, 5])

    def test_two_cuts(self) -> None:
        sides = split3(5, method="time", values=[1, 5, 3, 4, 2], at=(3, 5))
        assert [side.tolist() for side in sides] == [[0, 4], [2, 3], [1]]

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"fractions": 0.2}, ConfigError, "three positive shares"),
            ({"fractions": (0.8, 0.2)}, ConfigError, "three positive shares"),
            ({"fractions": (0.8, 0.2, 0.0)}, ConfigError, "three positive shares"),
            ({"fractions": (0.8, 0.1, 0.2)}, ConfigError, "three positive shares"),
            ({"method": "time", "values": range(9), "at": 3}, ConfigError, "two times"),
            ({"at": (1, 2)}, ConfigError, "`at` must be given for method 'time' only"),
            ({"method": "time", "values": range(9), "at": (9, 5)}, DataError, "0 to validate on"),
            ({"method": "leave_last_out", "groups": [1] * 2 + [2] * 7, "n": 0}, ConfigError, "`n`"),
            ({"n": 2}, ConfigError, "`n` must be left alone for method 'random'"),
            ({"method": "leave_last_out", "groups": range(9)}, DataError, "of 9; both sides"),
        ],
    )
    def test_bad_arguments_are_refused(self, options: Any, error: type, message: str) -> None:
        with pytest.raises(error, match=message):
            split3(9, **options)
