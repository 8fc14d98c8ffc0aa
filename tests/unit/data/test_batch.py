from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from nextrec.data.batch import Batch, Schema, as_batch, pack
from nextrec.data.sources import read_table_of
from nextrec.data.store import PackedStore
from nextrec.errors import DataError, FeatureError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature

from .conftest import COLUMNS, EXPECTED, TARGETS, USER


def check_expected(batch: Batch) -> None:
    blocks = {
        "sparse": batch.features.sparse,
        "sequence": batch.features.sequence,
        "dense": batch.features.dense,
        "labels": batch.labels,
        "weights": batch.weights,
    }
    for name, block in blocks.items():
        assert block is not None
        np.testing.assert_allclose(block.numpy(), EXPECTED[name], rtol=1e-6, err_msg=name)
        integers = name in ("sparse", "sequence")
        assert block.dtype == (torch.int64 if integers else torch.float32)
    assert list(batch.ids["user"]) == USER
    assert batch.targets == TARGETS


def test_every_form_gives_the_same_batch(any_form: Any, features: FeatureSet) -> None:
    store = PackedStore.from_data(any_form, features, TARGETS, ["user"], "weight")
    check_expected(store[:])
    check_expected(store.select(np.arange(len(store))))


def test_a_batch_reads_like_the_dict_of_the_old_loaders(features: FeatureSet) -> None:
    batch = PackedStore.from_data(COLUMNS, features, TARGETS, ["user"])[1:3]
    assert len(batch) == 2
    assert list(batch) == ["features", "labels", "ids"]
    assert batch["labels"]["click"].tolist() == [0, 0]
    assert batch["features"]["liked"].shape == (2, 4)
    assert batch["ids"]["user"].tolist() == ["bob", "ann"]
    assert batch.get("weights") is None
    assert "labels" in batch
    assert "weights" not in batch
    with pytest.raises(KeyError):
        batch["weights"]


def test_a_batch_without_labels_says_none(features: FeatureSet) -> None:
    columns = {name: each for name, each in COLUMNS.items() if name not in TARGETS}
    store = PackedStore.from_data(columns, features, TARGETS, require_labels=False)
    assert store[:].labels is None
    assert store[:]["labels"] is None
    with pytest.raises(DataError, match=r"lacks 2 column\(s\): 'click'.*, 'buy'"):
        PackedStore.from_data(columns, features, TARGETS)


def test_one_absent_target_is_not_observed_where_labels_may_be_absent(
    features: FeatureSet,
) -> None:
    columns = {name: each for name, each in COLUMNS.items() if name != "click"}
    labels = PackedStore.from_data(columns, features, TARGETS, require_labels=False)[:].labels
    assert labels is not None
    assert torch.isnan(labels[:, 0]).all()
    np.testing.assert_array_equal(labels[:, 1].numpy(), np.array(EXPECTED["labels"])[:, 1])


def test_all_missing_columns_are_listed_with_the_likely_word(features: FeatureSet) -> None:
    columns = {"itme": COLUMNS["item"], "price": COLUMNS["price"], "place": COLUMNS["place"]}
    with pytest.raises(DataError) as caught:
        PackedStore.from_data(columns, features, ["click"], ["user"], "weight")
    message = str(caught.value)
    assert "'item' (Did you mean 'itme'?)" in message
    for name in ("liked", "click", "user", "weight"):
        assert repr(name) in message
    assert "lacks 5 column(s)" in message


def test_empty_data_is_refused(features: FeatureSet) -> None:
    for empty in (pa.table(COLUMNS).slice(0, 0), pd.DataFrame(COLUMNS).iloc[:0]):
        with pytest.raises(DataError, match="empty"):
            PackedStore.from_data(empty, features)


def test_one_row_is_a_batch(features: FeatureSet) -> None:
    store = PackedStore.from_data(pa.table(COLUMNS).slice(4, 1), features, TARGETS)
    assert len(store) == 1
    assert store[:].features["liked"].tolist() == [[2, 3, 4, 5]]


def test_rows_in_errors_count_through_pieces_and_chunks() -> None:
    features = FeatureSet(sparse=[SparseFeature("item", vocab_size=10)])
    ids = np.ones(20_000, dtype=np.int64)
    ids[17_345] = 10
    table = pa.concat_tables([pa.table({"item": ids[:9]}), pa.table({"item": ids[9:]})])
    with pytest.raises(DataError) as caught:
        pack(table, Schema(features), first_row=1_000_000)
    assert str(caught.value) == (
        "SparseFeature 'item', row 1017345: `value` must be an integer id in [0, 10), the "
        "vocabulary; got 10."
    )


def test_the_hook_judges_labels_with_their_rows() -> None:
    seen = []

    def check(labels: np.ndarray, first_row: int) -> None:
        seen.append((first_row, labels.shape))

    features = FeatureSet(dense=[DenseFeature("d")])
    data = {"d": np.zeros(9000), "y": np.ones(9000)}
    PackedStore.from_data(data, features, ["y"], check_labels=check)
    assert seen == [(0, (8192, 1)), (8192, (808, 1))]


def test_a_schema_needs_a_feature() -> None:
    with pytest.raises(FeatureError, match="at least one feature"):
        Schema(FeatureSet())


def test_batches_join(features: FeatureSet) -> None:
    store = PackedStore.from_data(COLUMNS, features, TARGETS, ["user", "item"], "weight")
    check_expected(Batch.concat([store[:2], store.select([2, 3]), store[4:]]))


def test_a_batch_can_be_sent_to_another_process(features: FeatureSet) -> None:
    batch = PackedStore.from_data(COLUMNS, features, TARGETS, ["user"], "weight")[:]
    check_expected(pickle.loads(pickle.dumps(batch)))


def test_moving_a_batch_keeps_ids_and_empties_the_cache(features: FeatureSet) -> None:
    batch = PackedStore.from_data(COLUMNS, features, TARGETS, ["user"], "weight")[:]
    batch.features.cache["flat"] = 1
    moved = batch.to("meta")
    assert moved.labels is not None
    assert moved.weights is not None
    assert {moved.labels.device.type, moved.weights.device.type} == {"meta"}
    assert moved.features["item"].device.type == "meta"
    assert moved.features.cache == {}
    assert list(moved.ids["user"]) == USER
    assert batch.to("cpu") is batch


class TestAsBatch:
    features = FeatureSet(
        [DenseFeature("d"), DenseFeature("v", input_dim=2)],
        [SparseFeature("s", vocab_size=5)],
        [SequenceFeature("h", vocab_size=5, max_len=3)],
    )

    def old_batch(self) -> dict[str, Any]:
        return {
            "features": {
                "s": torch.tensor([1, 4]),
                "h": torch.tensor([[1, 2, 3, 4], [2, 0, 0, 0]]),
                "d": torch.tensor([0.5, 1.0]),
                "v": torch.ones(2, 2),
                "more": torch.zeros(2),
            },
            "labels": {"y": torch.tensor([0.0, 1.0])},
            "ids": {"user": ["a", "b"], "row": torch.tensor([7, 8])},
        }

    def test_an_old_batch_is_packed(self) -> None:
        batch = as_batch(self.old_batch(), self.features, ["y"])
        assert batch.features["h"].tolist() == [[2, 3, 4], [2, 0, 0]]
        assert batch.features["d"].shape == (2, 1)
        assert batch.labels is not None
        assert batch.labels.tolist() == [[0], [1]]
        assert isinstance(batch.ids["user"], np.ndarray)
        assert batch.ids["user"].tolist() == ["a", "b"]
        assert batch.ids["row"].tolist() == [7, 8]
        assert list(as_batch(self.old_batch(), self.features, ["y"], ["row"]).ids) == ["row"]

    @pytest.mark.parametrize(
        ("labels", "targets", "expected"),
        [
            (torch.tensor([1.0, 0.0]), ["y"], [[1], [0]]),
            (torch.tensor([[1.0], [0.0]]), ["y"], [[1], [0]]),
            (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), ["y", "z"], [[1, 0], [0, 1]]),
        ],
    )
    def test_labels_may_be_a_tensor(self, labels: Any, targets: Any, expected: Any) -> None:
        batch = as_batch({**self.old_batch(), "labels": labels}, self.features, targets)
        assert batch.labels is not None
        assert batch.labels.tolist() == expected

    def test_labels_of_another_shape_are_refused(self) -> None:
        old = {**self.old_batch(), "labels": torch.zeros(1, 2)}
        with pytest.raises(DataError, match=r"one column a target; got \(1, 2\)"):
            as_batch(old, self.features, ["y"])

    def test_labels_of_another_length_are_refused(self) -> None:
        old = {**self.old_batch(), "labels": {"y": torch.zeros(3)}}
        with pytest.raises(DataError, match="'s' has 2 rows, 'y' has 3"):
            as_batch(old, self.features, ["y"])

    def test_ids_of_another_length_are_refused(self) -> None:
        old = {**self.old_batch(), "ids": {"user": [1, 2, 3]}}
        with pytest.raises(DataError, match="the ids have 3 rows, the features 2"):
            as_batch(old, self.features)

    def test_a_missing_label_is_refused_when_labels_are_required(self) -> None:
        old = {**self.old_batch(), "labels": None}
        assert as_batch(old, self.features, ["y"]).labels is None
        with pytest.raises(DataError, match=r"the batch lacks 1 column.*'y'"):
            as_batch(old, self.features, ["y"], require_labels=True)

    def test_missing_features_and_ids_are_listed(self) -> None:
        old = self.old_batch()
        del old["features"]["s"], old["features"]["d"]
        with pytest.raises(DataError, match=r"the batch lacks 2 column\(s\): 's', 'd'"):
            as_batch(old, self.features)
        with pytest.raises(DataError, match=r"'ids' lacks 1 column.*'usr' .Did you mean 'user'"):
            as_batch(self.old_batch(), self.features, id_columns=["usr"])

    def test_ids_outside_the_vocabulary_are_refused(self) -> None:
        old = self.old_batch()
        old["features"]["s"][1] = 5
        with pytest.raises(DataError, match=r"SparseFeature 's', row 1: .*got 5"):
            as_batch(old, self.features)

    @pytest.mark.parametrize("other", [[1, 2], {"x": 1}, None])
    def test_anything_else_is_refused(self, other: Any) -> None:
        with pytest.raises(DataError, match="must be a Batch or a dict with the keys"):
            as_batch(other, self.features)

    def test_a_batch_of_these_features_is_returned_as_it_is(self) -> None:
        batch = as_batch(self.old_batch(), self.features)
        assert as_batch(batch, self.features) is batch
        with pytest.raises(DataError, match="lacks"):
            as_batch(batch, FeatureSet(sparse=[SparseFeature("other", 5)]))
        with pytest.raises(DataError, match="width 9; got 'a sequence feature of width 3'"):
            as_batch(batch, FeatureSet(sequence=[SequenceFeature("h", 5, max_len=9)]))
        with pytest.raises(DataError, match="'ids' lacks"):
            as_batch(batch, self.features, id_columns=["no"])


def test_ids_may_come_from_another_table_than_features() -> None:
    features = FeatureSet(sparse=[SparseFeature("user", vocab_size=5)])
    encoded, raw = read_table_of({"user": [2, 3]}), read_table_of({"user": ["x", "y"]})
    batch = pack(encoded, Schema(features, id_columns=("user",)), ids_from=raw)
    assert batch.features["user"].tolist() == [2, 3]
    assert batch.slice(0, 2).ids["user"].tolist() == ["x", "y"]
