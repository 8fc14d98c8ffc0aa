from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from nextrec.data.data_utils import collate_fn
from nextrec.data.row_datasets import FileDataset, TensorDictDataset, build_tensors_from_data
from nextrec.errors import ConfigError, DataError, NotFittedError
from nextrec.features import DenseFeature, FeatureSet, SparseFeature

from .conftest import COLUMNS, EXPECTED
from .test_store import Doubler


class TestTensorDictDataset:
    def make(self) -> TensorDictDataset:
        return TensorDictDataset(
            {
                "features": {"s": torch.arange(5), "h": torch.arange(10).reshape(5, 2)},
                "labels": {"y": torch.arange(5.0)},
                "ids": {"name": np.array(list("abcde"))},
            }
        )

    def test_a_row_is_a_dict(self) -> None:
        data = self.make()
        assert len(data) == 5
        row = data[3]
        assert row["features"]["s"].item() == 3
        assert row["features"]["h"].tolist() == [6, 7]
        assert row["labels"]["y"].item() == 3
        assert row["ids"]["name"] == "d"

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_a_torch_loader_gets_whole_batches(self, shuffle: bool) -> None:
        loader: DataLoader = DataLoader(
            self.make(), batch_size=2, shuffle=shuffle, collate_fn=collate_fn
        )
        batches = list(loader)
        assert [len(batch["features"]["s"]) for batch in batches] == [2, 2, 1]
        rows = torch.cat([batch["features"]["s"] for batch in batches])
        assert sorted(rows.tolist()) == list(range(5))
        assert torch.equal(torch.cat([batch["labels"]["y"] for batch in batches]), rows.float())
        names = np.concatenate([batch["ids"]["name"] for batch in batches])
        assert names.tolist() == ["abcde"[row] for row in rows.tolist()]
        assert "_already_batched" not in batches[0]

    def test_stacked_rows_equal_a_fetched_batch(self) -> None:
        data = self.make()
        stacked = collate_fn([data[1], data[4]])
        fetched = collate_fn(data.__getitems__([1, 4]))
        for part in ("features", "labels"):
            for name, values in stacked[part].items():
                assert torch.equal(values, fetched[part][name])
        assert stacked["ids"]["name"].tolist() == fetched["ids"]["name"].tolist() == ["b", "e"]

    def test_labels_and_ids_may_be_absent(self) -> None:
        row = TensorDictDataset({"features": {"s": torch.arange(5)}, "labels": None})[0]
        assert row["labels"] is None
        assert row["ids"] is None

    @pytest.mark.parametrize("part", ["features", "labels", "ids"])
    def test_every_column_must_have_the_rows(self, part: str) -> None:
        tensors: dict[str, Any] = {"features": {"s": torch.arange(5)}, "labels": {}, "ids": {}}
        tensors[part]["long"] = torch.arange(6)
        with pytest.raises(DataError, match=f"features 's' has 5 rows, {part} 'long' has 6"):
            TensorDictDataset(tensors)

    def test_a_feature_is_needed(self) -> None:
        with pytest.raises(DataError, match="at least one feature"):
            TensorDictDataset({"features": {}})


class TestFileDataset:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[str]:
        numbers = np.arange(25)
        table = pa.table({"s": numbers, "y": numbers % 2, "name": [f"n{i}" for i in numbers]})
        pq.write_table(table.slice(0, 11), tmp_path / "0.parquet")
        pq.write_table(table.slice(11), tmp_path / "1.parquet", row_group_size=3)
        return [str(tmp_path / "0.parquet"), str(tmp_path / "1.parquet")]

    def make(self, paths: list[str], **options: Any) -> FileDataset:
        options = {"chunk_size": 10, "file_type": "parquet", **options}
        return FileDataset(paths, [], [SparseFeature("s", 50)], [], ["y"], ["name"], **options)

    def test_a_chunk_has_exactly_its_rows(self, paths: list[str]) -> None:
        chunks = list(self.make(paths))
        assert all(chunk["_already_batched"] for chunk in chunks)
        rows = [chunk["features"]["s"].tolist() for chunk in chunks]
        assert rows == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
        assert chunks[2]["labels"]["y"].tolist() == [0, 1, 0, 1, 0]
        assert chunks[2]["ids"]["name"].tolist() == ["n20", "n21", "n22", "n23", "n24"]

    @pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_row_comes_once_whatever_the_workers(self, paths: list[str], workers: int) -> None:
        loader: DataLoader = DataLoader(
            self.make(paths), batch_size=1, num_workers=workers, collate_fn=collate_fn
        )
        rows = [row for batch in loader for row in batch["features"]["s"].tolist()]
        assert sorted(rows) == list(range(25))

    def test_rows_in_errors_count_through_all_files(self, paths: list[str]) -> None:
        pq.write_table(pa.table({"s": [1, 99], "y": [0, 0], "name": ["a", "b"]}), paths[1])
        with pytest.raises(DataError, match=r"SparseFeature 's', row 12: .*got 99"):
            list(self.make(paths))

    def test_labels_may_be_absent(self, paths: list[str]) -> None:
        data = FileDataset(paths, [], [SparseFeature("s", 50)], [], ["no"], file_type="parquet")
        chunk = next(iter(data))
        assert chunk["labels"] is None
        assert chunk["ids"] is None

    def test_csv_is_the_default(self, tmp_path: Path) -> None:
        pd.DataFrame({"s": [1, 2], "d": [0.5, 1]}).to_csv(tmp_path / "a.csv", index=False)
        features = [DenseFeature("d")], [SparseFeature("s", 50)]
        chunk = next(iter(FileDataset([str(tmp_path / "a.csv")], *features, [], [])))
        assert chunk["features"]["d"].tolist() == [0.5, 1]

    def test_a_processor_transforms_each_chunk(self, paths: list[str]) -> None:
        chunks = list(self.make(paths, processor=Doubler()))
        assert chunks[1]["features"]["s"].tolist() == list(range(20, 40, 2))
        processor = Doubler()
        processor.is_fitted = False
        with pytest.raises(NotFittedError):
            self.make(paths, processor=processor)

    def test_an_unknown_type_is_refused(self, paths: list[str]) -> None:
        with pytest.raises(ConfigError, match="one of csv, parquet; got 'json'"):
            self.make(paths, file_type="json")


class TestBuildTensors:
    def test_columns_become_tensors(self, any_form: Any, features: FeatureSet) -> None:
        if hasattr(any_form, "read_next_batch"):
            any_form = any_form.read_all()  # a stream can be read only once
        tensors = build_tensors_from_data(
            any_form, any_form, list(features), ["click", "absent"], ["user", "item"]
        )
        assert tensors["features"]["item"].tolist() == COLUMNS["item"]
        assert tensors["features"]["liked"].tolist() == EXPECTED["sequence"]
        assert tensors["features"]["price"].shape == (7,)
        assert tensors["features"]["place"].shape == (7, 2)
        assert list(tensors["labels"]) == ["click"]
        assert tensors["labels"]["click"].dtype == torch.float32
        assert tensors["ids"]["user"].tolist() == COLUMNS["user"]
        assert torch.equal(tensors["ids"]["item"].long(), torch.tensor(COLUMNS["item"]))

    def test_ids_come_from_the_raw_data_first(self) -> None:
        data, raw = {"s": [1, 2], "more": [5, 6]}, {"s": ["x", "y"]}
        tensors = build_tensors_from_data(data, raw, [SparseFeature("s", 9)], ["y"], ["s", "more"])
        assert tensors["features"]["s"].tolist() == [1, 2]
        assert tensors["ids"]["s"].tolist() == ["x", "y"]
        assert tensors["ids"]["more"].tolist() == [5, 6]
        assert tensors["labels"] is None

    def test_a_missing_id_is_refused(self) -> None:
        with pytest.raises(DataError, match="'u'"):
            build_tensors_from_data({"s": [1]}, None, [SparseFeature("s", 9)], [], ["u"])
