from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
import torch
from torch.utils.data import DataLoader

from nextrec.data.batch import Batch
from nextrec.data.dataloader import RecDataLoader
from nextrec.data.loaders import BatchLoader
from nextrec.data.stream import StreamLoader
from nextrec.errors import DataError, NotFittedError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature

from .conftest import COLUMNS, TARGETS
from .test_batch import check_expected
from .test_store import Doubler


def maker_of(features: FeatureSet, **options: Any) -> RecDataLoader:
    return RecDataLoader(
        list(features.dense), list(features.sparse), list(features.sequence), **options
    )


def test_every_form_makes_a_loader(any_form: Any, features: FeatureSet) -> None:
    maker = maker_of(features, target=list(TARGETS), id_columns="user")
    loader = maker.create_dataloader(any_form, 3, shuffle=False, weight_column="weight")
    assert isinstance(loader, BatchLoader)
    assert len(loader) == 3
    check_expected(Batch.concat(list(loader)))


def test_files_that_are_not_loaded_are_streamed(any_files: Any, features: FeatureSet) -> None:
    maker = maker_of(features, target=list(TARGETS), id_columns=["user"])
    loader = maker.create_dataloader(
        any_files, 3, shuffle=False, load_full=False, chunk_size=2, weight_column="weight"
    )
    assert isinstance(loader, StreamLoader)
    assert [len(batch) for batch in loader] == [3, 3, 1]
    check_expected(Batch.concat(list(loader)))


def test_only_what_need_not_fit_in_memory_is_streamed(features: FeatureSet) -> None:
    maker = maker_of(features)
    table = pa.table(COLUMNS)
    for data in (COLUMNS, pd.DataFrame(COLUMNS), table):
        assert isinstance(maker.create_dataloader(data, load_full=False), BatchLoader)
    data_set = pa.dataset.dataset(table)
    assert isinstance(maker.create_dataloader(data_set, load_full=False), StreamLoader)
    assert isinstance(maker.create_dataloader(data_set), BatchLoader)


def test_the_steps_have_the_batch_size_and_the_rows_are_shuffled(any_files: Any) -> None:
    maker = RecDataLoader(sparse_features=[SparseFeature("item", 50)])
    orders = set()
    for load_full in (True, False):
        loader = maker.create_dataloader(any_files, 2, load_full=load_full, seed=1)
        assert [len(batch) for batch in loader.batches()] == [2, 2, 2, 1]  # type: ignore[attr-defined]
        items = [i for batch in loader for i in batch.features["item"].tolist()]
        assert sorted(items) == sorted(COLUMNS["item"])
        orders.add(tuple(items))
    assert tuple(COLUMNS["item"]) not in orders


def test_a_loader_is_returned_as_it_is(features: FeatureSet) -> None:
    loader: DataLoader = DataLoader([1, 2])  # type: ignore[arg-type]
    assert maker_of(features).create_dataloader(loader) is loader


def test_options_reach_the_loader(features: FeatureSet) -> None:
    loader = maker_of(features).create_dataloader(COLUMNS, 3, seed=5, drop_last=True)
    assert isinstance(loader, BatchLoader)
    assert (loader.seed, loader.shuffle, len(loader)) == (5, True, 2)
    shared = maker_of(features).create_dataloader(COLUMNS, 2, shuffle=False, rank=1, world_size=2)
    items = [batch.features["item"].tolist() for batch in shared]
    assert items == [COLUMNS["item"][1:5:2], COLUMNS["item"][5::2]]
    default = maker_of(features).create_dataloader(COLUMNS)
    assert (default.batch_size, default.seed) == (32, torch.initial_seed())  # type: ignore[attr-defined]


@pytest.mark.parametrize("load_full", [True, False])
def test_labels_may_all_be_absent_but_not_some(
    any_files: Any, features: FeatureSet, load_full: bool
) -> None:
    maker = maker_of(features, target=["none", "of_these"])
    loader = maker.create_dataloader(any_files, load_full=load_full)
    assert next(iter(loader))["labels"] is None
    maker = maker_of(features, target=["click", "byu"])
    with pytest.raises(DataError, match=r"lacks 1 column\(s\): 'byu' \(Did you mean 'buy'"):
        maker.create_dataloader(any_files, load_full=load_full)


def test_a_processor_comes_first(tmp_path: Any) -> None:
    data = {"s": np.arange(10), "y": np.arange(10) % 2}
    pd.DataFrame(data).to_csv(tmp_path / "a.csv", index=False)
    maker = RecDataLoader(
        sparse_features=[SparseFeature("s", 20)],
        target="y",
        id_columns="s",
        processor=Doubler(),
    )
    for given, load_full in ((data, True), (tmp_path, True), (tmp_path, False)):
        loader = maker.create_dataloader(given, 10, shuffle=False, load_full=load_full)
        batch = next(iter(loader))
        assert batch.features["s"].tolist() == list(range(0, 20, 2))
        assert batch.ids["s"].tolist() == list(range(10))


def test_a_processor_must_be_fitted() -> None:
    processor = Doubler()
    processor.is_fitted = False
    maker = RecDataLoader(sparse_features=[SparseFeature("s", 20)], processor=processor)
    with pytest.raises(NotFittedError):
        maker.create_dataloader({"s": [1]})
    with pytest.raises(NotFittedError):
        maker.create_dataloader("no_such.csv", load_full=False)


def test_what_is_not_a_table_is_refused(features: FeatureSet) -> None:
    with pytest.raises(DataError, match="must be a pandas or Polars DataFrame"):
        maker_of(features).create_dataloader(3)


def test_it_keeps_the_lists_it_was_given() -> None:
    dense, sparse = DenseFeature("d"), SparseFeature("s", 5)
    sequence = SequenceFeature("h", 5)
    maker = RecDataLoader([dense], [sparse], [sequence], "y", ["u"])
    assert maker.all_features == [dense, sparse, sequence]
    assert maker.target_columns == ["y"]
    assert maker.id_columns == ["u"]
    assert maker.features.names == ("s", "h", "d")


def test_options_reach_the_stream(any_files: Any, features: FeatureSet) -> None:
    maker = maker_of(features)
    options = {"load_full": False, "seed": 5, "drop_last": True}
    loader = maker.create_dataloader(any_files, 2, buffer_rows=5, threads=0, **options)
    assert isinstance(loader, StreamLoader)
    assert (loader.seed, loader.shuffle, len(loader)) == (5, True, 3)
    assert (loader.buffer_rows, loader.threads) == (6, 0)
    ranks = [
        maker.create_dataloader(any_files, 2, rank=rank, world_size=2, **options)
        for rank in range(2)
    ]
    assert [len(rank) for rank in ranks] == [1, 1]
