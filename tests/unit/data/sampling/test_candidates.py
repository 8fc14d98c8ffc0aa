from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import build_eval_candidates
from nextrec.data.sources import read_table_of
from nextrec.errors import ConfigError, DataError

ITEMS = pd.DataFrame({"item": [f"i{n}" for n in range(8)], "price": np.arange(8)})
USERS = pd.DataFrame({"user": ["u0", "u1", "u2"], "age": [10, 20, 30]})


@given(
    events=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 1), st.integers(0, 5)),
        min_size=1,
        max_size=40,
    ).filter(lambda events: any(event[1] < 8 for event in events)),
    positives=st.integers(1, 3),
    negatives=st.integers(1, 9),
    timed=st.booleans(),
)
def test_candidates_are_those_of_a_loop(
    events: list[tuple[int, int, int, int]], positives: int, negatives: int, timed: bool
) -> None:
    frame = pd.DataFrame(events, columns=["user", "item", "label", "time"])
    frame["user"] = "u" + frame["user"].astype(str)
    frame["item"] = "i" + frame["item"].astype(str)
    result = build_eval_candidates(
        frame,
        *("user", "item", "label", USERS, ITEMS, positives, negatives),
        time_col="time" if timed else None,
    )
    assert list(result.columns) == ["user", "item", "label", "age", "price"]
    place = 0
    for user in dict.fromkeys(frame["user"]):
        own = frame[frame["user"] == user]
        if timed:
            own = own.iloc[np.argsort(own["time"], kind="stable")[::-1]]
        liked = list(dict.fromkeys(own["item"][own["label"] == 1]))[:positives]
        left = set(ITEMS["item"]) - set(own["item"])
        count = min(negatives, len(left))
        for item in liked:
            group = result.iloc[place : place + 1 + count]
            place += 1 + count
            assert group["user"].tolist() == [user] * (1 + count)
            assert group["label"].tolist() == [1] + [0] * count
            assert group["item"].iloc[0] == item
            assert len(set(group["item"][1:])) == count
            assert set(group["item"][1:]) <= left
    assert place == len(result)
    ages, prices = USERS.set_index("user")["age"], ITEMS.set_index("item")["price"]
    for name, known, key in (("age", ages, "user"), ("price", prices, "item")):
        expected = result[key].map(known)
        expected = expected if expected.isna().any() else expected.astype(np.int64)
        pd.testing.assert_series_equal(result[name], expected, check_names=False)


class TestFrames:
    def build(self, events: dict[str, Any], **options: Any) -> pd.DataFrame:
        given: dict[str, Any] = {"user_features": USERS, "item_features": ITEMS, **options}
        return build_eval_candidates(
            pd.DataFrame(events), user_col="user", item_col="item", label_col="label", **given
        )

    def test_missing_ids_and_labels_are_left_out(self) -> None:
        frame = pd.DataFrame({"user": ["u0", None, "u1", "u2"], "item": ["i0", "i1", None, "i2"]})
        frame["label"] = pd.array([1, 1, 1, None], dtype="Int64")
        result = self.build(frame, num_neg_per_pos=1)
        assert result[["user", "label"]].to_numpy().tolist() == [["u0", 1], ["u0", 0]]
        assert result["item"].iloc[0] == "i0"

    def test_columns_named_like_ours_or_in_both_frames(self) -> None:
        users = USERS.assign(place=[1, 2, 3], price=[7, 8, 9])
        result = self.build({"user": ["u1"], "item": ["i3"], "label": [1]}, user_features=users)
        assert list(result.columns) == [
            "user",
            "item",
            "label",
            "age",
            "place",
            "price_x",
            "price_y",
        ]
        assert result.iloc[0].tolist() == ["u1", "i3", 1, 20, 2, 8, 3]

    def test_the_first_row_of_a_user_or_item_counts(self) -> None:
        twice = pd.concat([ITEMS, ITEMS.assign(price=-1)])
        result = self.build({"user": ["u1"], "item": ["i3"], "label": [True]}, item_features=twice)
        assert result["item"].is_unique
        assert (result["price"] >= 0).all()

    def test_users_without_positives_give_an_empty_frame(self) -> None:
        result = self.build({"user": ["u1"], "item": ["i3"], "label": [0]})
        assert result.shape == (0, 5)
        assert list(result.columns) == ["user", "item", "label", "age", "price"]

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"item_features": pd.DataFrame({"item": [1, 2]})}, DataError, "with ids in common"),
            ({"item_features": ITEMS[:0]}, DataError, "with ids in common"),
            ({"user_features": USERS.assign(label=0)}, DataError, "without the column 'label'"),
            ({"item_features": ITEMS.assign(user=0)}, DataError, "without the column 'user'"),
            ({"time_col": "time"}, DataError, "`df_all` lacks 1 column"),
            ({"num_neg_per_pos": 0}, ConfigError, "`num_neg_per_pos` must be an integer of at"),
            ({"num_pos_per_user": 0}, ConfigError, "`num_pos_per_user` must be"),
        ],
    )
    def test_bad_arguments_are_refused(self, options: Any, error: type, message: str) -> None:
        with pytest.raises(error, match=message):
            self.build({"user": ["u1"], "item": ["i3"], "label": [1]}, **options)

    def test_a_missing_time_is_named(self) -> None:
        events = {"user": ["u1"] * 2, "item": ["i3"] * 2, "label": [1] * 2, "time": [1.0, None]}
        with pytest.raises(DataError, match="row 1: `time` must be a value, not missing"):
            self.build(events, time_col="time")


KINDS: dict[str, Any] = {
    "polars": pl.DataFrame,
    "lazy": lambda columns: pl.DataFrame(columns).lazy(),
    "arrow": pa.table,
    "dict": dict,
    "stream": lambda columns: pa.table(columns).to_reader(),
    "records": lambda columns: pa.table(columns).to_pylist(),
}
RESULTS = {"polars": pl.DataFrame, "lazy": pl.DataFrame, "dict": dict}


class TestKinds:
    EVENTS: ClassVar = {
        "user": ["u0", "u1", "u0", "u0"],
        "item": ["i0", "i1", "i2", "i3"],
        "label": [1, 1, 0, 1],
        "time": [1, 1, 1, 2],
    }
    USERS: ClassVar = {"user": ["u0"], "age": [10]}
    ITEMS: ClassVar = {"item": [f"i{n}" for n in range(9)], "tags": [[n] for n in range(9)]}

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("same", [True, False])
    def test_any_table_gives_its_kind_and_the_same_rows(self, kind: str, same: bool) -> None:
        make = KINDS[kind]
        other = make if same else pd.DataFrame
        names: Any = ("user", "item", "label")
        options: Any = {"num_neg_per_pos": 3, "time_col": "time"}
        result = build_eval_candidates(
            make(self.EVENTS), *names, other(self.USERS), other(self.ITEMS), **options
        )
        assert isinstance(result, RESULTS.get(kind, pa.Table))
        table = read_table_of(result)
        expected = build_eval_candidates(
            *(pd.DataFrame(self.EVENTS), *names, make(self.USERS), pd.DataFrame(self.ITEMS)),
            **options,
        )
        assert table.column_names == list(expected.columns)
        assert table.schema.field("age").type == pa.int64()  # missing values don't change it
        ages = [None if age != age else int(age) for age in expected["age"]]
        assert table["age"].to_pylist() == ages
        for name in ("user", "item", "label"):
            assert table[name].to_pylist() == expected[name].tolist()
        assert table["tags"].to_pylist() == [list(each) for each in expected["tags"]]

    def test_files_give_arrow(self, tmp_path: Path) -> None:
        pd.DataFrame(self.EVENTS).to_csv(tmp_path / "events.csv", index=False)
        result = build_eval_candidates(
            tmp_path / "events.csv", "user", "item", "label", self.USERS, self.ITEMS
        )
        assert isinstance(result, pa.Table)

    @pytest.mark.parametrize("kind", ["pandas", *KINDS])
    def test_labels_of_text_are_refused(self, kind: str) -> None:
        events = {**self.EVENTS, "label": ["1", "0", "1", "0"]}
        make = KINDS.get(kind, pd.DataFrame)
        with pytest.raises(DataError, match=r"'label', row 0: .* not text: map it.*got '1'"):
            build_eval_candidates(make(events), "user", "item", "label", self.USERS, self.ITEMS)

    def test_absent_columns_are_named(self) -> None:
        with pytest.raises(DataError, match=r"`df_all` lacks 1 column.*'when'"):
            build_eval_candidates(
                self.EVENTS, "user", "item", "label", self.USERS, self.ITEMS, time_col="when"
            )
        with pytest.raises(DataError, match=r"`item_features` lacks 1 column.*'item'"):
            build_eval_candidates(self.EVENTS, "user", "item", "label", self.USERS, {"x": [1]})
