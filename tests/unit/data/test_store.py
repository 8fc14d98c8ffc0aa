from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from nextrec.data.batch import Schema
from nextrec.data.data_utils import collate_fn
from nextrec.data.store import PackedStore, prepare
from nextrec.errors import DataError, NotFittedError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature

FEATURES = FeatureSet(
    [DenseFeature("d")], [SparseFeature("s", 100)], [SequenceFeature("h", 100, max_len=2)]
)
DATA = {
    "d": np.arange(10) / 4,
    "s": np.arange(10),
    "h": [[row] * (row % 3) for row in range(10)],
    "y": np.arange(10) % 2,
    "name": [f"n{row}" for row in range(10)],
    "row": np.arange(10, 20),
    "w": np.linspace(0, 1, 10),
}


@pytest.fixture
def store() -> PackedStore:
    return PackedStore.from_data(DATA, FEATURES, ["y"], ["name", "row"], "w")


def check_rows(batch: Any, rows: list[int]) -> None:
    assert batch.features["s"].tolist() == rows
    assert batch.features["d"][:, 0].tolist() == [row / 4 for row in rows]
    expected = [([row] * (row % 3) + [0, 0])[:2] for row in rows]
    assert batch.features["h"].tolist() == expected
    assert batch.labels[:, 0].tolist() == [row % 2 for row in rows]
    assert batch.ids["name"].tolist() == [f"n{row}" for row in rows]
    assert batch.ids["row"].tolist() == [row + 10 for row in rows]
    np.testing.assert_allclose(batch.weights.numpy(), np.array(rows) / 9, rtol=1e-6)


@pytest.mark.parametrize(
    "index",
    [[7, 0, 7], np.array([7, 0, 7], dtype=np.int32), torch.tensor([7, 0, 7])],
    ids=lambda index: type(index).__name__,
)
def test_rows_come_in_the_order_asked(store: PackedStore, index: Any) -> None:
    check_rows(store.select(index), [7, 0, 7])
    check_rows(store[index], [7, 0, 7])


def test_a_mask_selects_where_it_is_true(store: PackedStore) -> None:
    check_rows(store.select(torch.arange(10) > 7), [8, 9])


def test_slices_and_single_rows(store: PackedStore) -> None:
    assert len(store) == 10
    check_rows(store[2:5], [2, 3, 4])
    check_rows(store[::-4], [9, 5, 1])
    check_rows(store[-1], [9])
    check_rows(store[3], [3])
    assert len(store[5:2]) == 0
    for outside in (10, -11):
        with pytest.raises(IndexError):
            store[outside]
    with pytest.raises(IndexError):
        store.select([10])


def test_a_slice_shares_memory_and_a_selection_does_not(store: PackedStore) -> None:
    block = store.data.features.sparse
    assert block is not None
    part, chosen = store[2:4], store.select([2, 3])
    block[2, 0] = 99
    assert part.features["s"].tolist() == [99, 3]
    assert chosen.features["s"].tolist() == [2, 3]


def test_a_subset_is_a_store_of_its_own(store: PackedStore) -> None:
    subset = store.subset([9, 1])
    assert len(subset) == 2
    check_rows(subset[:], [9, 1])
    check_rows(subset.select([1]), [1])
    with pytest.raises(DataError, match="at least one row"):
        store.subset([])


def test_bytes_are_those_of_the_rows(store: PackedStore) -> None:
    row = 8 + 2 * 8 + 4 + 4 + 4 + 8  # one id, a history of two, a number, label, weight, row
    text = sum(map(len, DATA["name"]))
    offsets = store.nbytes - 10 * row - text
    assert offsets in (8 * 10, 8 * 11)


def test_it_is_a_torch_data_set(store: PackedStore) -> None:
    loader: DataLoader = DataLoader(store, batch_size=4, collate_fn=collate_fn)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    check_rows(batches[1], [4, 5, 6, 7])


class Doubler:
    """A processor that doubles ``s`` in a frame, and loses rows when told to."""

    is_fitted = True

    def __init__(self, keep: int | None = None) -> None:
        self.keep = keep
        self.given: list[Any] = []

    def transform(self, data: Any, return_dict: bool = True) -> Any:
        assert return_dict is False
        self.given.append(data)
        frame = pd.DataFrame(data)
        return frame.assign(s=frame["s"] * 2, extra=0)[: self.keep]


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (pd.DataFrame, pd.DataFrame),
        (dict, dict),
        (pa.table, pd.DataFrame),
        (pl.DataFrame, pd.DataFrame),
    ],
)
def test_a_processor_transforms_features_and_leaves_ids(make: Any, given: type) -> None:
    doubler = Doubler()
    store = PackedStore.from_data(make(DATA), FEATURES, ["y"], ["s", "name"], processor=doubler)
    assert store[:].features["s"].tolist() == list(range(0, 20, 2))
    assert store[:].ids["s"].tolist() == list(range(10))
    assert store[:].ids["name"].tolist() == DATA["name"]
    assert type(doubler.given[0]) is given


def test_a_processor_may_make_the_id_columns() -> None:
    store = PackedStore.from_data(DATA, FEATURES, id_columns=["extra"], processor=Doubler())
    assert store[:].ids["extra"].tolist() == [0] * 10


def test_a_processor_may_drop_rows_unless_ids_go_beside_them() -> None:
    store = PackedStore.from_data(DATA, FEATURES, ["y"], processor=Doubler(keep=9))
    assert store[:].features["s"].tolist() == list(range(0, 18, 2))
    with pytest.raises(DataError, match="the ids have 10 rows, the features 9"):
        PackedStore.from_data(DATA, FEATURES, id_columns=["row"], processor=Doubler(keep=9))


def test_a_processor_must_give_every_column() -> None:
    features = FeatureSet(sparse=[SparseFeature("s2", 100)])
    with pytest.raises(DataError, match=r"what the processor returned lacks 1 column.*'s2'"):
        PackedStore.from_data(DATA, features, id_columns=["name"], processor=Doubler())


def test_a_processor_must_be_fitted() -> None:
    doubler = Doubler()
    doubler.is_fitted = False
    with pytest.raises(NotFittedError, match="Doubler must be fitted"):
        PackedStore.from_data(DATA, FEATURES, processor=doubler)


def test_rows_in_errors_count_from_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("s\n1\n200\n")
    schema = Schema(FeatureSet(sparse=[SparseFeature("s", 100)]))
    with pytest.raises(DataError, match=r"row 41: .*got 200"):
        prepare(path, schema, first_row=40)
