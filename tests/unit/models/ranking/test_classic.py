"""Options and errors of WideDeep, xDeepFM, FiBiNET, PNN, AutoInt, AFN and DLRM."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers import cin
from nextrec.models.ranking import xdeepfm
from nextrec.models.ranking.afn import AFN, LogarithmicTransformation
from nextrec.models.ranking.autoint import AutoInt
from nextrec.models.ranking.dlrm import DLRM
from nextrec.models.ranking.fibinet import FiBiNET
from nextrec.models.ranking.pnn import PNN
from nextrec.models.ranking.widedeep import WideDeep
from nextrec.models.ranking.xdeepfm import xDeepFM

ONE_WIDTH = [xDeepFM, FiBiNET, PNN, AFN, DLRM]
EVERY = [WideDeep, AutoInt, *ONE_WIDTH]
STRONG = {"init_params": {"std": 0.5}}


def arguments(**changes):
    return {
        "dense_features": [DenseFeature("price"), DenseFeature("image", input_dim=2)],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=4, **STRONG),
            SparseFeature("item", 8, embedding_dim=4, embedding_name="items", **STRONG),
        ],
        "sequence_features": [SequenceFeature("history", 8, 4, "items", embedding_dim=4, **STRONG)],
        "seed": 3,
        **changes,
    }


def batch(rows=6):
    generator = torch.Generator().manual_seed(0)
    return {
        "price": torch.randn(rows, generator=generator),
        "image": torch.randn(rows, 2, generator=generator),
        "user": torch.randint(0, 6, (rows,), generator=generator),
        "item": torch.randint(1, 8, (rows,), generator=generator),
        "history": torch.randint(1, 8, (rows, 4), generator=generator),
    }


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("name", ["price", "image", "user", "item", "history"])
def test_every_feature_counts(cls, name):
    model, x = cls(**arguments()).eval(), batch()
    other = {**x, name: 3 * x[name] + 1 if x[name].is_floating_point() else x[name].flip(0)}
    assert not torch.allclose(model.logits(x), model.logits(other), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("cls", ONE_WIDTH)
def test_fields_of_different_widths_are_named(cls):
    sparse = [SparseFeature("user", 6, embedding_dim=4), SparseFeature("item", 8, embedding_dim=5)]
    with pytest.raises(FeatureError, match=f"{cls.__name__}.*'user' has 4, 'item' has 5"):
        cls(sparse_features=sparse)


@pytest.mark.parametrize("cls", [AutoInt, *ONE_WIDTH])
def test_one_field_is_too_few(cls):
    with pytest.raises(FeatureError, match=f"{cls.__name__} needs at least 2 fields.*'user'"):
        cls(sparse_features=[SparseFeature("user", 6)])


@pytest.mark.parametrize("cls", [AutoInt, AFN])
def test_a_number_is_a_field(cls):
    model = cls([DenseFeature("price")], [SparseFeature("user", 6)])
    assert [field.name for field in model.embedding.features.fields] == ["user", "price"]


@pytest.mark.parametrize(
    ("cls", "changes", "message"),
    [
        (
            WideDeep,
            {"wide_feature_names": ["user", "itme"]},
            "wide_feature_names.*Did you mean 'item'",
        ),
        (WideDeep, {"deep_feature_names": []}, "deep_feature_names"),
        (WideDeep, {"deep_feature_names": "user"}, "deep_feature_names"),
        (
            WideDeep,
            {"wide_feature_names": ["user"], "deep_feature_names": ["item", "history", "price"]},
            "'image'",
        ),
        (xDeepFM, {"cin_size": [7, 4]}, "cin_size"),
        (xDeepFM, {"cin_activation": "rleu"}, "Did you mean 'relu'"),
        (FiBiNET, {"bilinear_type": "field_al"}, "Did you mean 'field_all'"),
        (PNN, {"product_type": "iner"}, "product_type.*Did you mean 'inner'"),
        (PNN, {"outer_product_dim": 4}, "outer_product_dim"),
        (PNN, {"outer_product_dim": 0, "product_type": "outer"}, "outer_product_dim"),
        (AutoInt, {"att_head_num": 3}, "att_head_num.*divisor.*8"),
        (AutoInt, {"att_layer_num": 0}, "att_layer_num"),
        (AFN, {"num_neurons": 0}, "num_neurons"),
        (DLRM, {"dense_features": [], "bottom_mlp_params": {"dims": [8]}}, "bottom_mlp_params"),
        (
            DLRM,
            {"bottom_mlp_params": {"output_dim": 3}},
            "bottom_mlp_params.*which needs 4; got 3",
        ),
    ],
)
def test_wrong_arguments_are_named(cls, changes, message):
    with pytest.raises(ConfigError, match=message):
        cls(**arguments(**changes))


def test_a_cross_of_the_wide_part_has_no_table_in_the_deep_one():
    cross = SparseFeature("user_x_item", 48, embedding_dim=4)
    every = arguments()
    every["sparse_features"].append(cross)
    names = ["user", "item", "history", "price", "image"]
    model = WideDeep(**every, deep_feature_names=names)
    assert "user_x_item" in model.linear.weights.features
    assert "user_x_item" not in model.embedding.features
    assert model.embedding.out_features == 3 * 4 + 3


def test_the_wide_part_trains_with_an_optimizer_group_of_its_own():
    model = WideDeep(**arguments())
    wide = list(model.linear.parameters())
    rest = [p for p in model.parameters() if all(p is not w for w in wide)]
    groups = [{"params": wide, "lr": 0.0}, {"params": rest, "lr": 0.1}]
    model.compile(torch.optim.SGD(groups))
    before = [p.detach().clone() for p in wide]
    head = model.mlp.mlp[-1].weight.detach().clone()
    data = {name: values.numpy() for name, values in batch(40).items()}
    model.fit({**data, "label": (data["price"] > 0).astype("float32")}, report=False)
    assert all(torch.equal(p, q) for p, q in zip(wide, before, strict=True))
    assert not torch.equal(model.mlp.mlp[-1].weight, head)


def test_the_network_is_importable_from_where_it_was():
    assert xdeepfm.CIN is cin.CIN


def test_pnn_counts_products_by_its_options():
    def inputs(**changes):
        return PNN(**arguments(**changes)).mlp.mlp[0].in_features - (3 * 4 + 3)

    assert inputs() == 6
    assert inputs(product_type="outer") == 10
    assert inputs(product_type="outer", outer_product_dim=2) == 3
    assert inputs(product_type="both", outer_product_dim=5) == 6 + 15


def test_autoint_maps_only_fields_of_different_widths():
    assert AutoInt(**arguments()).projections is None
    every = arguments()
    every["sparse_features"][0] = SparseFeature("user", 6, embedding_dim=9)
    model = AutoInt(**every, att_embedding_dim=6, mlp_params={"dims": [5]}).eval()
    assert [each.in_features for each in model.projections] == [9, 4, 4, 6, 6]
    assert model.logits(batch()).shape == (6, 1)


def test_afn_plus_has_embeddings_of_its_own():
    assert AFN(**arguments()).dnn is None
    model = AFN(**arguments(), dnn_params={})
    own, other = (e.embed_dict["user"].weight for e in (model.embedding, model.dnn_embedding))
    assert not torch.equal(own, other)


def test_zeros_have_a_logarithm():
    layer = LogarithmicTransformation(3, 2)
    out = layer(torch.zeros(4, 3, 2, requires_grad=True))
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert torch.isfinite(layer.powers.grad).all()


def test_signs_do_not_count():
    layer, x = LogarithmicTransformation(3, 2).eval(), torch.randn(4, 3, 2)
    assert torch.equal(layer(x), layer(-x))
