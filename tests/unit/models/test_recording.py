from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import nextrec
from nextrec.errors import CheckpointError, ConfigError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.models.base import BaseModel
from nextrec.models.recording import from_plain, to_plain, unexpected
from nextrec.models.zoo import MODELS


class BaseRecorded(BaseModel):
    """Records a name of its own; a name that starts with Base stays out of the registry."""

    def __init__(
        self, sparse_features: Any = None, depth: int = 2, *, name: str = "x", **options: Any
    ) -> None:
        super().__init__(sparse_features=sparse_features, **options)
        self.depth = depth

    def logits(self, x: Any) -> torch.Tensor:
        return torch.zeros(len(x["user"]), self.num_logits)


def user() -> SparseFeature:
    return SparseFeature("user", 9, embedding_dim=4)


def test_arguments_are_recorded_by_name() -> None:
    feature = user()
    model = BaseRecorded([feature], 3, target="click", optimizer="adam")
    assert model.init_arguments == {
        "sparse_features": [feature],
        "depth": 3,
        "target": "click",
        "optimizer": "adam",
    }
    assert "BaseRecorded" not in MODELS


def test_positional_arguments_of_a_model_are_recorded() -> None:
    dense, sparse = [DenseFeature("price")], [user()]
    model = nextrec.DeepFM(dense, sparse, None, {"dims": [4]})
    assert model.init_arguments == {
        "dense_features": dense,
        "sparse_features": sparse,
        "sequence_features": None,
        "mlp_params": {"dims": [4]},
    }


def test_a_subclass_records_its_own_arguments() -> None:
    class BaseNarrow(BaseRecorded):
        def __init__(self, features: Any, **options: Any) -> None:
            super().__init__(features, 7, name="narrow", **options)

    feature = user()
    model = BaseNarrow([feature], task="regression")
    assert model.init_arguments == {"features": [feature], "task": "regression"}
    assert model.depth == 7


def test_groups_of_features_may_be_positional() -> None:
    main, pc = [user()], [SparseFeature("city", 5)]
    model = nextrec.POSO([], main, [], [], pc, [], tower_params_list=[{"dims": [4]}])
    assert model.init_arguments["main_sparse_features"] == main
    assert model.init_arguments["pc_sparse_features"] == pc
    assert [feature.name for feature in model.features] == ["user", "city"]
    with pytest.raises(ConfigError, match="'main_sparse_features' is given twice"):
        nextrec.POSO([], main, main_sparse_features=main)


def test_what_the_caller_changes_later_is_not_recorded() -> None:
    features, params = [user()], {"dims": [4]}
    model = nextrec.DeepFM(sparse_features=features, mlp_params=params)
    features.append(SparseFeature("item", 9, embedding_dim=4))
    params["dims"].append(8)
    params["dropout"] = 0.5
    assert len(model.init_arguments["sparse_features"]) == 1
    assert model.init_arguments["mlp_params"] == {"dims": [4]}


def test_a_model_leaves_its_arguments_alone() -> None:
    params = {"dims": [4], "dropout": 0.1}
    towers = [{"dims": [4]}, {"dims": [3]}]
    nextrec.DeepFM(sparse_features=[user()], mlp_params=params, optimizer_params={"lr": 0.1})
    nextrec.ShareBottom(
        sparse_features=[user()], target=["a", "b"], bottom_params=params, tower_params_list=towers
    )
    assert params == {"dims": [4], "dropout": 0.1}
    assert towers == [{"dims": [4]}, {"dims": [3]}]


def test_a_seed_decides_the_weights_and_moves_no_stream() -> None:
    before = torch.get_rng_state()
    first, second = (nextrec.DCN(sparse_features=[user()], seed=np.int64(4)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.head.weight, second.head.weight)
    free = nextrec.DCN(sparse_features=[user()])
    assert not torch.equal(free.head.weight, first.head.weight)
    assert not torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seed", ["x", 1.5, -1, True])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"`seed` must be an integer in \[0, 2"):
        nextrec.DCN(sparse_features=[user()], seed=seed)


def test_unexpected_names_the_likely_word() -> None:
    error = unexpected("DCN", {"cros_num": 1, "zzz": 2}, ["cross_num", "mlp_params"])
    assert str(error) == "DCN does not take `cros_num`. Did you mean 'cross_num'? `zzz`."


# -- plain values ------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_plain_values_survive_json(value: Any) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(value, "x")))) == value


def test_features_survive_json() -> None:
    features = FeatureSet(
        [DenseFeature("price", embedding_dim=3)],
        [SparseFeature("user", 9, padding_idx=0, init_params={"std": 0.1}, l2_reg=0.5)],
        [SequenceFeature("liked", 20, 7, combiner="max", out_of_range="unknown")],
    )
    plain = json.loads(json.dumps(to_plain({"features": features, "one": user()}, "x")))
    again = from_plain(plain)
    assert [f.to_dict() for f in again["features"]] == [f.to_dict() for f in features]
    assert again["one"].to_dict() == user().to_dict()


def test_other_types_become_the_nearest_plain_one() -> None:
    value = {
        "tuple": (1, 2),
        "numpy": [np.float32(0.5), np.int64(3), np.bool_(True)],
        "device": torch.device("cpu"),
    }
    plain = to_plain(value, "x")
    assert plain == {"tuple": [1, 2], "numpy": [0.5, 3, True], "device": "cpu"}
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [nn.ReLU()]}, "`x.a` is a ReLU, which can't be written as JSON"),
        ({"a": len}, "`x.a` is a builtin_function_or_method"),
        ({1: "a"}, "`x` has keys that are no strings"),
        (torch.ones(2), "`x` is a Tensor"),
    ],
)
def test_what_has_no_plain_form_is_named(value: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        to_plain(value, "x")


@pytest.mark.parametrize("values", [3, {"kind": "sparse", "nam": "u"}, {"kind": "sparse"}])
def test_a_feature_that_can_not_be_rebuilt(values: Any) -> None:
    with pytest.raises(CheckpointError):
        from_plain({"__feature__": values})
