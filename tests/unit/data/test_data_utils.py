from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from nextrec.data import data_utils
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, DataError
from nextrec.features import FeatureSet, SparseFeature


class TestCollate:
    def test_an_empty_list_gives_the_empty_form(self) -> None:
        empty = {"features": {}, "labels": None, "ids": None}
        assert data_utils.collate_fn([]) == empty

    def test_whole_batches_pass_through_or_are_joined(self) -> None:
        batch = {
            "features": {"s": torch.arange(2)},
            "labels": None,
            "ids": {"u": np.array(["a", "b"])},
        }
        marked = {**batch, "_already_batched": True}
        assert data_utils.collate_fn([marked]) == batch
        joined = data_utils.collate_fn([marked, marked])
        assert joined["features"]["s"].tolist() == [0, 1, 0, 1]
        assert joined["ids"]["u"].tolist() == ["a", "b", "a", "b"]
        assert joined["labels"] is None

    def test_packed_batches_pass_through_or_are_joined(self) -> None:
        features = FeatureSet(sparse=[SparseFeature("s", 9)])
        batch = PackedStore.from_data({"s": [1, 2]}, features)[:]
        assert data_utils.collate_fn([batch]) is batch
        assert data_utils.collate_fn([batch, batch]).features["s"].tolist() == [1, 2, 1, 2]

    def test_rows_are_stacked(self) -> None:
        rows = [
            {"features": {"s": torch.tensor(i), "f": float(i)}, "labels": {"y": np.float32(i)}}
            for i in range(3)
        ]
        batch = data_utils.collate_fn(rows)
        assert batch["features"]["s"].tolist() == [0, 1, 2]
        assert batch["features"]["f"].dtype == torch.float64
        assert batch["labels"]["y"].dtype == torch.float32
        assert batch["ids"] is None

    def test_tuples_are_concatenated_by_position(self) -> None:
        pieces: list[Any] = [(torch.tensor([i]), np.array([[i, i]]), [i, "x"]) for i in range(2)]
        tensors, arrays, lists = data_utils.collate_fn(pieces)
        assert tensors.tolist() == [0, 1]
        assert arrays.tolist() == [[0, 0], [1, 1]]
        assert lists == [0, "x", 1, "x"]

    def test_anything_else_is_refused(self) -> None:
        with pytest.raises(
            DataError, match="rows as dicts, tuples or lists, or batches; got 'int'"
        ):
            data_utils.collate_fn([1])


def test_a_column_of_dict_frame_or_object() -> None:
    assert data_utils.get_column_data({"a": [1]}, "a") == [1]
    assert data_utils.get_column_data({"a": [1]}, "b") is None
    frame = pd.DataFrame({"a": [1, 2]})
    column = data_utils.get_column_data(frame, "a")
    assert isinstance(column, np.ndarray)
    assert column.tolist() == [1, 2]
    assert data_utils.get_column_data(frame, "b") is None
    assert data_utils.get_column_data(SimpleNamespace(a=3), "a") == 3
    with pytest.raises(KeyError):
        data_utils.get_column_data(SimpleNamespace(a=3), "b")


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for number in range(2):
            frame = pd.DataFrame({"a": range(number, number + 5), "h": ["[1, 2]"] * 5})
            frame.to_csv(tmp_path / f"{number}.csv", index=False)
        return tmp_path

    def test_paths_and_kind(self, folder: Path) -> None:
        paths, kind = data_utils.resolve_file_paths(str(folder))
        assert paths == [str(folder / "0.csv"), str(folder / "1.csv")]
        assert kind == "csv"
        assert data_utils.resolve_file_paths(folder / "1.csv") == ([str(folder / "1.csv")], "csv")
        with pytest.raises(DataError):
            data_utils.resolve_file_paths(str(folder / "2.csv"))

    def test_frames(self, folder: Path) -> None:
        path = str(folder / "1.csv")
        expected = pd.read_csv(path)
        pd.testing.assert_frame_equal(data_utils.read_table(path, "csv"), expected)
        (first, second) = data_utils.load_dataframes([str(folder / "0.csv"), path], "csv")
        assert first["a"].tolist() == [0, 1, 2, 3, 4]
        pd.testing.assert_frame_equal(second, expected)
        chunks = list(data_utils.iter_file_chunks(path, "csv", 2))
        assert [len(chunk) for chunk in chunks] == [2, 2, 1]
        pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), expected)

    def test_parquet(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1, 2, 3]})
        frame.to_parquet(tmp_path / "a.parquet")
        pd.testing.assert_frame_equal(
            data_utils.read_table(str(tmp_path / "a.parquet"), "parquet"), frame
        )
        with pytest.raises(ConfigError):
            data_utils.read_table(str(tmp_path / "a.parquet"), "feather")

    def test_where_output_goes(self, folder: Path) -> None:
        assert data_utils.default_output_dir(folder / "0.csv") == folder / "0_preprocessed"
        assert data_utils.default_output_dir(folder / "0.csv.gz") == folder / "0_preprocessed"
        named = folder.parent / f"{folder.name}_preprocessed"
        assert data_utils.default_output_dir(str(folder)) == named


class TestSplitDict:
    def test_columns_keep_their_kind_and_their_rows(self) -> None:
        data = {
            "a": np.arange(10),
            "l": [[row] * row for row in range(10)],
            "t": torch.arange(10),
            "s": pd.Series(range(10)),
            "p": tuple(range(10)),
        }
        train, test = data_utils.split_dict_random(data, 0.26, random_state=1)
        assert len(train["a"]) == 7
        for part in (train, test):
            assert isinstance(part["l"], list)
            assert isinstance(part["p"], tuple)
            assert isinstance(part["t"], torch.Tensor)
            assert isinstance(part["s"], pd.Series)
            rows = part["a"].tolist()
            assert [len(each) for each in part["l"]] == rows
            assert list(part["p"]) == part["t"].tolist() == part["s"].tolist() == rows
        assert sorted([*train["a"], *test["a"]]) == list(range(10))
        again, _ = data_utils.split_dict_random(data, 0.26, random_state=1)
        assert again["a"].tolist() == train["a"].tolist()

    def test_bad_arguments_are_refused(self) -> None:
        with pytest.raises(DataError, match="one length"):
            data_utils.split_dict_random({"a": [1], "b": [1, 2]})
        with pytest.raises(ConfigError, match="`test_size` must be"):
            data_utils.split_dict_random({"a": [1, 2]}, 1.0)


class TestEvalCandidates:
    ALL = pd.DataFrame(
        {
            "u": ["b", "a", "b", "b", "a", "b", "c", "b"],
            "i": [1, 2, 3, 1, 9, 4, 5, 6],
            "y": [1, 1, 0, 1, 1, 1, 0, 1],
            "time": range(8),
        }
    )
    USERS = pd.DataFrame({"u": ["a", "b", "c", "a"], "age": [10, 20, 30, 11]})
    ITEMS = pd.DataFrame({"i": range(8), "price": [i / 2 for i in range(8)]})

    def build(self, **options: Any) -> pd.DataFrame:
        options = {"num_pos_per_user": 2, "num_neg_per_pos": 3, **options}
        return data_utils.build_eval_candidates(
            self.ALL, "u", "i", "y", self.USERS, self.ITEMS, **options
        )

    def test_each_positive_is_followed_by_its_negatives(self) -> None:
        frame = self.build()
        assert list(frame.columns) == ["u", "i", "y", "age", "price"]
        assert frame["y"].tolist() == [1, 0, 0, 0] * 4
        assert frame["u"].tolist() == ["b"] * 8 + ["a"] * 8
        assert frame.loc[frame["y"] == 1, "i"].tolist() == [1, 4, 2, 9]
        assert frame["age"].tolist() == [20] * 8 + [10] * 8
        known = frame["i"] < 8
        assert (frame["price"][known] == frame["i"][known] / 2).all()
        assert frame["price"][~known].isna().all()

    def test_negatives_are_items_never_touched_without_repeats(self) -> None:
        touched = {"b": {1, 3, 4, 6}, "a": {2, 9}}
        frame = self.build()
        for number in range(0, len(frame), 4):
            negatives = frame["i"][number + 1 : number + 4].tolist()
            assert len(set(negatives)) == 3
            assert not set(negatives) & touched[frame["u"][number]]
            assert set(negatives) <= set(range(8))

    def test_a_user_who_touched_nearly_all_has_fewer(self) -> None:
        frame = self.build(num_neg_per_pos=5)
        sizes = frame.groupby("u", sort=False)["y"].agg(list)
        assert sizes["b"] == [1, 0, 0, 0, 0] * 2
        assert sizes["a"] == [1, 0, 0, 0, 0, 0] * 2

    def test_the_seed_decides(self) -> None:
        assert self.build(random_seed=1).equals(self.build(random_seed=1))
        assert not self.build(random_seed=1).equals(self.build(random_seed=2))

    def test_a_missing_column_is_named(self) -> None:
        with pytest.raises(DataError, match=r"`item_features` lacks 1 column.*'i'"):
            data_utils.build_eval_candidates(
                self.ALL, "u", "i", "y", self.USERS, self.ITEMS.rename(columns={"i": "item"})
            )
