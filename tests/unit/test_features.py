"""Features, the tables they share, and the set that orders them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nextrec.errors import FeatureError
from nextrec.features import (
    NUMERIC_PARAMS,
    BaseFeature,
    DenseFeature,
    FeatureSet,
    FeatureSpecMixin,
    SequenceFeature,
    SparseFeature,
    get_auto_embedding_dim,
    merge_features,
)


class TestOneFeature:
    @pytest.mark.parametrize("make", [SparseFeature, SequenceFeature])
    def test_defaults_of_a_table(self, make):
        feature = make("item", 1000)
        assert (feature.embedding_name, feature.embedding_dim) == ("item", 4)
        assert feature.padding_idx is None
        assert feature.init_params == {}
        assert feature.trainable
        assert feature.out_of_range == "error"

    @pytest.mark.parametrize("width", [None, 0])
    def test_width_by_vocabulary_size(self, width):
        assert SparseFeature("item", 1000, embedding_dim=width).width == 33
        assert get_auto_embedding_dim(30) == 14

    def test_sparse_is_positional_as_in_0_3_1(self):
        feature = SparseFeature("a", 10, "table", 8, 0, "uniform", {"a": -1.0}, 0.1, 0.2, False)
        assert feature.to_dict() | {"kind": None} == {
            "kind": None,
            "name": "a",
            "vocab_size": 10,
            "embedding_name": "table",
            "embedding_dim": 8,
            "padding_idx": 0,
            "init_type": "uniform",
            "init_params": {"a": -1.0},
            "l1_reg": 0.1,
            "l2_reg": 0.2,
            "trainable": False,
            "freeze_pretrained": False,
            "out_of_range": "error",
        }

    def test_callers_init_params_are_copied(self):
        params = {"std": 0.1}
        feature = SparseFeature("a", 10, init_params=params)
        params["std"] = 9.0
        assert feature.init_params == {"std": 0.1}

    @pytest.mark.parametrize(
        ("combiner", "width"), [("mean", 8), ("sum", 8), ("max", 8), ("concat", 40)]
    )
    def test_width_of_a_sequence(self, combiner, width):
        feature = SequenceFeature("liked", 10, max_len=5, embedding_dim=8, combiner=combiner)
        assert feature.width == width

    @pytest.mark.parametrize(("padding_idx", "padding_id"), [(None, 0), (3, 3)])
    def test_padding_id_of_a_sequence(self, padding_idx, padding_id):
        assert SequenceFeature("liked", 10, padding_idx=padding_idx).padding_id == padding_id

    @pytest.mark.parametrize(
        ("arguments", "use_embedding", "width"),
        [
            ({}, False, 1),
            ({"input_dim": 3}, False, 3),
            ({"input_dim": 0}, False, 1),
            ({"embedding_dim": 8}, True, 8),
            ({"embedding_dim": 8, "input_dim": 3}, True, 8),
            ({"embedding_dim": 1, "use_embedding": True}, True, 1),
            ({"embedding_dim": None, "input_dim": 3}, False, 3),
            ({"embedding_dim": None, "input_dim": 3, "use_embedding": True}, True, 3),
            ({"embedding_type": "autodis"}, True, 1),
            ({"embedding_dim": 8, "embedding_type": "periodic"}, True, 8),
        ],
    )
    def test_width_of_a_dense_feature_is_what_it_feeds(self, arguments, use_embedding, width):
        feature = DenseFeature("price", **arguments)
        assert feature.use_embedding == use_embedding
        assert feature.width == width

    def test_params_of_a_dense_map_are_complete_and_plain(self):
        autodis = DenseFeature("price", 8, embedding_type="autodis")
        assert autodis.embedding_params == NUMERIC_PARAMS["autodis"]
        assert autodis.embedding_params is not NUMERIC_PARAMS["autodis"]
        given = {"num_frequencies": np.int64(5), "scale": 2}
        periodic = DenseFeature("price", 8, embedding_type="periodic", embedding_params=given)
        assert periodic.embedding_params == {"num_frequencies": 5, "scale": 2.0}
        edges = {"edges": np.array([0.0, 1.5, 9.0], dtype=np.float32)}
        piecewise = DenseFeature("price", 8, embedding_type="piecewise", embedding_params=edges)
        assert json.loads(json.dumps(piecewise.to_dict()))["embedding_params"] == {
            "edges": [0.0, 1.5, 9.0]
        }
        again = DenseFeature.from_dict(piecewise.to_dict())
        assert again.to_dict() == piecewise.to_dict()
        assert DenseFeature("price", 8, embedding_params={}).embedding_params is None

    def test_dense_features_of_older_bundles_have_linear_maps(self):
        values = {"kind": "dense", "name": "price", "embedding_dim": 8, "input_dim": 1}
        feature = DenseFeature.from_dict({**values, "use_embedding": True})
        assert (feature.embedding_type, feature.embedding_params) == ("linear", None)

    def test_equality_is_identity(self):
        assert SparseFeature("a", 10) != SparseFeature("a", 10)

    def test_repr_shows_values_but_no_weights(self):
        weight = torch.zeros(10, 4)
        text = repr(SparseFeature("a", 10, pretrained_weight=weight))
        assert "name='a', vocab_size=10" in text
        assert "tensor" not in text


SPARSE, SEQUENCE, DENSE = SparseFeature, SequenceFeature, DenseFeature


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (SPARSE, {"name": ""}, "`name` must be a non-empty string; got ''"),
        (SPARSE, {"name": 3}, "`name` must be a non-empty string; got 3"),
        (SPARSE, {"vocab_size": 0}, "SparseFeature 'a': `vocab_size` must be .* got 0"),
        (SPARSE, {"vocab_size": 2.5}, "`vocab_size` must be an integer of at least 1; got 2.5"),
        (SPARSE, {"vocab_size": True}, "`vocab_size` must be .* got True"),
        (SPARSE, {"vocab_size": "x"}, "`vocab_size` must be .* got 'x'"),
        (SPARSE, {"vocab_size": None}, "`vocab_size` must be .* got None"),
        (SPARSE, {"embedding_name": "a.b"}, "`embedding_name` must be a name without dots"),
        (SPARSE, {"embedding_dim": -2}, "`embedding_dim` must be a positive integer or None"),
        (SPARSE, {"padding_idx": 10}, "`padding_idx` must be None or an id below .* 10; got 10"),
        (SPARSE, {"padding_idx": -1}, "`padding_idx` must be .* got -1"),
        (SPARSE, {"padding_idx": 1.0}, "`padding_idx` must be .* got 1.0"),
        (SPARSE, {"l1_reg": -1.0}, "`l1_reg` must be a number of at least 0; got -1.0"),
        (SPARSE, {"l2_reg": -1.0}, "`l2_reg` must be a number of at least 0; got -1.0"),
        (SPARSE, {"out_of_range": "drop"}, "`out_of_range` must be 'error' or 'unknown'"),
        (
            SPARSE,
            {"pretrained_weight": torch.zeros(9, 4)},
            r"`pretrained_weight` must have shape \(10, 4\); got \(9, 4\)",
        ),
        (SEQUENCE, {"vocab_size": 0}, "SequenceFeature 'a': `vocab_size` must be"),
        (SEQUENCE, {"max_len": 0}, "`max_len` must be an integer of at least 1; got 0"),
        (
            SEQUENCE,
            {"combiner": "men"},
            r"SequenceFeature 'a': `combiner` must be one of .* Did you mean 'mean'\?",
        ),
        (DENSE, {"name": None}, "`name` must be a non-empty string; got None"),
        (DENSE, {"embedding_dim": -1}, "`embedding_dim` must be a positive integer or None"),
        (
            DENSE,
            {"embedding_type": "autodisc"},
            r"DenseFeature 'a': `embedding_type` must be .* Did you mean 'autodis'\?",
        ),
        (DENSE, {"embedding_type": None}, "`embedding_type` must be one of .* got None"),
        (
            DENSE,
            {"embedding_type": "autodis", "embedding_params": {"num_embedding": 3}},
            r"`embedding_params` must be one of .* Did you mean 'num_embeddings'\?",
        ),
        (
            DENSE,
            {"embedding_type": "autodis", "embedding_params": {"num_embeddings": 0}},
            r"`embedding_params\['num_embeddings'\]` must be a positive integer; got 0",
        ),
        (
            DENSE,
            {"embedding_type": "autodis", "embedding_params": {"alpha": "x"}},
            r"`embedding_params\['alpha'\]` must be a number; got 'x'",
        ),
        (
            DENSE,
            {"embedding_type": "autodis", "embedding_params": {"temperature": 0}},
            r"`embedding_params\['temperature'\]` must be a number above 0; got 0",
        ),
        (
            DENSE,
            {"embedding_type": "periodic", "embedding_params": {"scale": float("nan")}},
            r"`embedding_params\['scale'\]` must be a number above 0; got nan",
        ),
        (
            DENSE,
            {"embedding_type": "periodic", "input_dim": 3},
            "DenseFeature 'a': `input_dim` must be 1 with `embedding_type` 'periodic'; got 3",
        ),
        (
            DENSE,
            {"embedding_type": "piecewise"},
            r"`embedding_params\['edges'\]` must be at least 2 numbers, .* got None",
        ),
        (
            DENSE,
            {"embedding_type": "piecewise", "embedding_params": {"edges": [0, 2, 2]}},
            r"each above the one before; got \[0, 2, 2\]",
        ),
        (
            DENSE,
            {"embedding_params": {"scale": 1.0}},
            "`embedding_params` must be empty with `embedding_type` 'linear'",
        ),
        (
            DENSE,
            {"embedding_type": "periodic", "embedding_params": ["scale"]},
            r"`embedding_params` must be a mapping or None; got \['scale'\]",
        ),
    ],
)
def test_a_bad_parameter_names_feature_and_value(make, arguments, message):
    needed = {"name": "a"} if make is DENSE else {"name": "a", "vocab_size": 10}
    with pytest.raises(FeatureError, match=message):
        make(**{**needed, **arguments})


def test_a_kept_sequence_has_no_width():
    feature = SequenceFeature("liked", 10, combiner="none")
    with pytest.raises(FeatureError, match=r"'liked': `combiner` 'none' keeps the sequence"):
        _ = feature.width


class TestFeatureSet:
    @pytest.fixture
    def features(self) -> FeatureSet:
        return FeatureSet(
            dense=[DenseFeature("price"), DenseFeature("text", embedding_dim=8, input_dim=3)],
            sparse=[SparseFeature("user", 50, embedding_dim=8), self.item],
            sequence=[SequenceFeature("liked", 120, 5, "item", 8)],
        )

    item = SparseFeature("item", 100, embedding_dim=8)

    def test_order_is_sparse_sequence_dense(self, features):
        assert features.names == ("user", "item", "liked", "price", "text")
        assert [feature.name for feature in features] == list(features.names)
        assert [feature.name for feature in features.embedded] == ["user", "item", "liked"]
        assert len(features) == 5

    def test_slices_tile_the_flat_vector(self, features):
        slices = features.slices()
        assert slices["price"] == slice(24, 25)
        ends = [0, *(place.stop for place in slices.values())]
        assert [place.start for place in slices.values()] == ends[:-1]
        assert ends[-1] == features.width == 33

    def test_fields_are_vectors_of_one_width(self, features):
        assert [field.name for field in features.fields] == ["user", "item", "liked", "text"]
        assert features.field_width("FM") == 8

    def test_a_shared_table_takes_the_largest_vocabulary(self, features):
        table = features.tables["item"]
        assert (table.rows, table.width, table.padding_idx) == (120, 8, 0)
        assert [feature.name for feature in table.features] == ["item", "liked"]
        assert [feature.name for feature in features.sharing(self.item)] == ["liked"]
        assert features.tables["user"].padding_idx is None

    def test_a_frozen_or_penalised_reader_counts_for_the_table(self):
        weight = torch.ones(10, 4)
        frozen = SparseFeature("a", 10, "t", pretrained_weight=weight, freeze_pretrained=True)
        other = SparseFeature("b", 10, "t", l1_reg=0.1, l2_reg=0.2)
        table = FeatureSet(sparse=[other, frozen]).tables["t"]
        assert not table.trainable
        assert (table.l1_reg, table.l2_reg) == (0.1, 0.2)
        assert table.pretrained_weight is weight

    @pytest.mark.parametrize(("padding_idx", "row"), [(None, 0), (7, 7)])
    def test_a_sequence_and_a_sparse_feature_agree_on_the_padding_row(self, padding_idx, row):
        item = SparseFeature("item", 100, padding_idx=padding_idx)
        liked = SequenceFeature("liked", 100, embedding_name="item", padding_idx=padding_idx)
        assert FeatureSet(sparse=[item], sequence=[liked]).tables["item"].padding_idx == row
        only = SparseFeature("item", 100, padding_idx=padding_idx)
        assert FeatureSet(sparse=[only]).tables["item"].padding_idx == padding_idx

    def test_look_up(self, features):
        assert features["item"] is self.item
        assert "item" in features
        assert "itm" not in features
        with pytest.raises(FeatureError, match=r"got 'itm'. Did you mean 'item'\?"):
            features["itm"]

    def test_of_sorts_a_mixed_list(self, features):
        assert FeatureSet.of(reversed(list(features))).names == (
            "item", "user", "liked", "text", "price",
        )  # fmt: skip
        with pytest.raises(FeatureError, match=r"`features` must be feature objects; got 'item'"):
            FeatureSet.of([self.item, "item"])

    def test_merge_keeps_the_first_of_a_name(self, features):
        other = FeatureSet(sparse=[SparseFeature("user", 7), SparseFeature("city", 9)])
        merged = FeatureSet.merge(features, other)
        assert merged.names == ("user", "item", "city", "liked", "price", "text")
        assert merged["user"] is features["user"]

    def test_json_round_trip(self, features):
        values = json.loads(json.dumps(features.to_dict()))
        again = FeatureSet.from_dict(values)
        assert again.to_dict() == features.to_dict()
        assert again.names == features.names
        with pytest.raises(FeatureError, match=r"`kind` must be one of .* Did you mean 'dense'\?"):
            BaseFeature.from_dict({"kind": "dens", "name": "x"})

    def test_round_trip_leaves_weights_to_the_models_state(self):
        feature = SparseFeature("a", 2, embedding_dim=1, pretrained_weight=torch.ones(2, 1))
        assert BaseFeature.from_dict(feature.to_dict()).pretrained_weight is None

    def test_empty(self):
        empty = FeatureSet()
        assert (len(empty), empty.width, empty.names, empty.tables) == (0, 0, (), {})

    def test_repr(self, features):
        assert repr(features) == "FeatureSet(sparse=2, sequence=1, dense=2, tables=2)"


A, B = SparseFeature("a", 10, "t"), SparseFeature("b", 10, "t")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"sparse": [A, A]}, "two features are named 'a'"),
        ({"sparse": [A], "dense": [DenseFeature("a")]}, "two features are named 'a'"),
        ({"sparse": A}, "`sparse_features` must be a list of features; got SparseFeature"),
        ({"dense": [A]}, "`dense_features` must be a list of DenseFeature; got SparseFeature"),
        ({"sequence": ["x"]}, "`sequence_features` must be a list of SequenceFeature; got 'x'"),
        (
            {"sparse": [A, SparseFeature("c", 10, "t", 8)]},
            "table 't' is shared by 'a' with embedding_dim=4 and 'c' with embedding_dim=8",
        ),
        (
            {"sparse": [A, SparseFeature("c", 10, "t", trainable=False)]},
            "table 't' is shared by 'a' with trainable=True and 'c' with trainable=False",
        ),
        (
            {"sparse": [SparseFeature("a", 10, "t", padding_idx=1),
                        SparseFeature("b", 10, "t", padding_idx=2)]},
            "table 't' has one padding row, but its features say 'a': 1, 'b': 2",
        ),
        (
            {"sparse": [SparseFeature("a", 10, "t", padding_idx=7)],
             "sequence": [SequenceFeature("s", 10, embedding_name="t")]},
            "table 't' has one padding row, but its features say 'a': 7, 's': 0",
        ),
        (
            {"sparse": [SparseFeature("a", 10, "t", pretrained_weight=torch.zeros(10, 4)),
                        SparseFeature("b", 11, "t")]},
            "table 't' has 11 rows .* pretrained weight of 'a' has 10",
        ),
    ],
)  # fmt: skip
def test_contradicting_features_are_feature_errors(lists, message):
    with pytest.raises(FeatureError, match=message):
        FeatureSet(**lists)


def test_field_width_names_the_two_that_differ():
    features = FeatureSet(sparse=[A, B, SparseFeature("c", 10, embedding_dim=8)])
    with pytest.raises(FeatureError, match="FM needs fields of one width: 'a' has 4, 'c' has 8"):
        features.field_width("FM")
    with pytest.raises(FeatureError, match="FM needs at least one sparse or sequence feature"):
        FeatureSet(dense=[DenseFeature("price")]).field_width("FM")


def test_spec_mixin_keeps_the_lists_of_0_3_1():
    spec = FeatureSpecMixin()
    dense, liked = DenseFeature("price"), SequenceFeature("liked", 10)
    spec._set_feature_config([dense], (A,), [liked], target="click", id_columns=None)
    assert spec.all_features == [dense, A, liked]
    assert spec.feature_names == ["price", "a", "liked"]
    assert (spec.target_columns, spec.id_columns) == (["click"], [])
    spec._set_target_id_config(("click", "buy"), "user_id")
    assert (spec.target_columns, spec.id_columns) == (["click", "buy"], ["user_id"])


def test_merge_features_is_an_ordered_union():
    twin = SparseFeature("a", 99)
    assert merge_features([A, B], [twin, DenseFeature("price")])[:2] == [A, B]
    assert [each.name for each in merge_features([A], [twin, B])] == ["a", "b"]
    assert merge_features(None, None) == []
