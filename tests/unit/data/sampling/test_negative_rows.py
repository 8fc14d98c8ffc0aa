from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import add_negatives, build_histories
from nextrec.data.sources import read_table_of
from nextrec.errors import ConfigError, DataError

EVENTS = {
    "user": ["b", "a", "b"],
    "item": [1, 2, 9],
    "label": [1, 0, 1],
    "stars": [5, 1, 4],
    "word": ["own", "own", "own"],
}
ITEMS = {"item": [1, 2, 3, 4], "word": ["one", "two", "three", "four"], "price": [1.5, 2, 3, 4]}


def rows(table: Any) -> list[dict[str, Any]]:
    return read_table_of(table).to_pylist()


class TestRows:
    def test_columns_come_from_the_row_the_item_or_nowhere(self) -> None:
        result = add_negatives(
            pa.table(EVENTS), "user", "item", ratio=2, items=ITEMS, pair_columns=["stars"]
        )
        assert result.column_names == ["user", "item", "label", "stars", "word", "price"]
        assert result["label"].to_pylist() == [1, 0, 0, 0, 1, 0, 0]
        words, prices = (dict(zip(ITEMS["item"], ITEMS[n], strict=True)) for n in ("word", "price"))
        for place, row in enumerate(rows(result)):
            source = [0, 0, 0, 1, 2, 2, 2][place]
            assert row["user"] == EVENTS["user"][source]
            if place in (0, 3, 4):  # a row itself: its own values, and what only `items` knows
                own = {name: values[source] for name, values in EVENTS.items()}
                assert row == {**own, "price": prices.get(row["item"])}
            else:
                assert row["item"] in {2, 3, 4}  # user b has 1 and 9
                assert row["stars"] is None
                assert row["word"] == words[row["item"]]
                assert row["price"] == prices[row["item"]]

    def test_without_labels_every_row_is_a_positive(self) -> None:
        events = {"user": [1, 1], "item": ["x", "y"]}
        result = add_negatives(events, "user", "item", "y", ratio=3, items={"item": list("xyzw")})
        assert result["y"].to_pylist() == [1, 0, 0, 1, 0, 0]  # two items are left
        assert {*result["item"].to_pylist()[1:3]} == {"z", "w"}

    def test_further_pairs_are_no_negatives(self) -> None:
        options: Any = {"seen": {"user": ["a"], "item": ["z"]}, "items": {"item": list("xyzw")}}
        events = pa.table({"user": ["a"], "item": ["x"]})
        result = add_negatives(events, "user", "item", ratio=9, **options)
        assert sorted(result["item"].to_pylist()) == ["w", "x", "y"]
        del options["items"]
        result = add_negatives(events, "user", "item", ratio=9, **options)
        assert result["item"].to_pylist() == ["x"]
        result = add_negatives(events, "user", "item", ratio=9, exclude_seen=False, **options)
        assert sorted(result["item"].to_pylist()) == ["x", "x", "z"]

    @given(
        events=st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 1)), min_size=1
        ),
        ratio=st.integers(1, 4),
        popular=st.booleans(),
    )
    def test_by_a_loop(self, events: list[tuple[int, int, int]], ratio: int, popular: bool) -> None:
        table = {
            name: np.array([event[place] for event in events])
            for place, name in enumerate(["user", "item", "label"])
        }
        method: Any = "popularity" if popular else "uniform"
        items = None if popular else {"item": np.arange(6)}
        result = rows(add_negatives(table, "user", "item", ratio=ratio, items=items, method=method))
        pool = {item for _, item, _ in events} if popular else set(range(6))
        place = 0
        for user, item, label in events:
            assert result[place] == {"user": user, "item": item, "label": label}
            place += 1
            left = pool - {what for who, what, _ in events if who == user}
            count = min(ratio, len(left)) if label else 0
            negatives = result[place : place + count]
            assert all((row["user"], row["label"]) == (user, 0) for row in negatives)
            drawn = {row["item"] for row in negatives}
            assert len(drawn) == count
            assert drawn <= left
            place += count
        assert place == len(result)


class TestTables:
    def test_pandas(self) -> None:
        frame = pd.DataFrame(EVENTS, index=[7, 8, 9])
        frame["half"] = np.float32(0.5)
        result = add_negatives(frame, "user", "item", items=pd.DataFrame(ITEMS))
        assert result.index.tolist() == list(range(len(result)))
        assert result.dtypes[list(frame)].tolist() == frame.dtypes.tolist()
        assert frame["label"].tolist() == [1, 0, 1]

    def test_other_kinds_and_histories(self) -> None:
        events = {**EVENTS, "time": [1, 2, 3]}
        expected = None
        for data in (events, pl.DataFrame(events), pa.table(events), pd.DataFrame(events)):
            table = build_histories(data, "user", "item", "time")
            result = add_negatives(table, "user", "item", items=ITEMS, seed=3)
            assert type(result) is type(table)
            found = rows(result)
            expected = expected or found
            assert found == expected
        assert [row["hist_item"] for row in expected][-3:] == [[1]] * 3

    def test_columns_of_a_dict_keep_their_kind(self) -> None:
        events = {"user": [1, 2], "item": (3, 4), "time": np.array([5, 6])}
        result = add_negatives(events, "user", "item", ratio=1)
        assert result["user"] == [1, 1, 2, 2]
        assert isinstance(result["time"], np.ndarray)


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({}, {"ratio": 0}, ConfigError, "`ratio` must be an integer of at least 1"),
        ({"user": ["a", None, "b"]}, {}, DataError, "row 1: `user` must be a value, not missing"),
        ({"label": [1, None, 0]}, {}, DataError, "row 1: `label` must be a value"),
        ({"label": list("xyz")}, {}, DataError, "`label` must be a column of numbers"),
        ({}, {"items": {"item": [1, 2, 1]}}, DataError, "`items`, row 2: `item` must be an item"),
        ({}, {"items": {"item": ["x"]}}, DataError, "`item` must be of one type in all tables"),
        ({}, {"items": {"itm": [1]}}, DataError, "lacks 1 column"),
        ({}, {"items": {"item": [1], "user": [1]}}, DataError, "which is not an item's"),
        ({}, {"pair_columns": ["star"]}, DataError, "Did you mean 'stars'"),
        ({}, {"method": "popular"}, ConfigError, "Did you mean 'popularity'"),
        ({}, {"seen": {"user": ["a"]}}, DataError, "lacks 1 column"),
    ],
)
def test_bad_arguments_are_refused(changes: Any, options: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        add_negatives({**EVENTS, **changes}, "user", "item", **options)
