"""Options and errors of FinalMLP, FinalNet, MaskNet, GDCN and EDCN."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.models.ranking.edcn import EDCN, Bridge
from nextrec.models.ranking.final_mlp import BilinearFusion, FinalMLP
from nextrec.models.ranking.final_net import FactorizedInteraction, FinalBlock, FinalNet
from nextrec.models.ranking.gdcn import GDCN
from nextrec.models.ranking.masknet import MaskBlockOnEmbedding, MaskBlockOnHidden, MaskNet

USER, ITEM = SparseFeature("user", 9, embedding_dim=4), SparseFeature("item", 9, embedding_dim=4)
WIDE = SparseFeature("city", 9, embedding_dim=6)
X = {
    "user": torch.tensor([1, 2, 3]),
    "item": torch.tensor([4, 5, 6]),
    "city": torch.tensor([1, 1, 2]),
    "price": torch.tensor([0.5, -1.0, 2.0]),
}


def frappe(names: str = "user item daytime weekday isweekend homework cost weather country city"):
    """The fields of Frappe_x1 with the vocabulary sizes of the board's logs."""
    sizes = [956, 4084, 9, 9, 4, 5, 4, 11, 82, 235]
    return [
        SparseFeature(name, size, embedding_dim=10)
        for name, size in zip(names.split(), sizes, strict=True)
    ]


def size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# -- the sizes that the board's logs report for the same settings ----------------------------------


def test_final_mlp_has_the_published_size_on_frappe() -> None:
    model = FinalMLP(
        sparse_features=frappe(),
        mlp1_params={"dims": [400], "dropout": 0.4},
        mlp2_params={"dims": [100], "dropout": 0.4},
        fs_params={"dims": [400]},
        fs1_context=["user"],
        fs2_context=["item"],
        num_heads=5,
    )
    one_bias_less = 1
    assert size(model) == 253392 - one_bias_less


def test_final_net_has_the_published_size_on_frappe() -> None:
    model = FinalNet(
        sparse_features=frappe(),
        block1_params={"dims": [400, 400], "dropout": 0.1},
        block2_params={"dims": [400], "dropout": 0.1},
        use_field_gate=True,
    )
    assert size(model) == 338502


def test_parallel_masknet_has_the_size_of_0_3_1() -> None:
    features = {
        "dense_features": [DenseFeature("d0", embedding_dim=8)],
        "sparse_features": [
            SparseFeature("s0", 20, embedding_dim=8),
            SparseFeature("s1", 30, "item", embedding_dim=8),
            SparseFeature("s2", 30, "item", embedding_dim=8),
        ],
    }
    bias_of_its_prediction_layer = 1
    model = MaskNet(**features, mlp_params={"dims": [16, 8]})
    assert size(model) == 52418 - bias_of_its_prediction_layer


# -- FinalMLP --------------------------------------------------------------------------------------


def test_heads_must_divide_both_streams() -> None:
    towers = {"mlp1_params": {"dims": [12]}, "mlp2_params": {"dims": [8]}}
    message = "`num_heads` must divide the widths of both streams, 12 and 8; got 3"
    with pytest.raises(ConfigError, match=message):
        FinalMLP(sparse_features=[USER, ITEM], num_heads=3, **towers)
    assert FinalMLP(sparse_features=[USER, ITEM], num_heads=4, **towers)(X).shape == (3,)


@pytest.mark.parametrize("heads", [0, -1, 2.0, True])
def test_heads_must_be_a_positive_integer(heads: object) -> None:
    with pytest.raises(ConfigError, match="num_heads"):
        BilinearFusion(4, 4, num_heads=heads)


def test_fusion_has_a_form_for_each_output() -> None:
    torch.manual_seed(0)
    fusion = BilinearFusion(4, 6, output_dim=3, num_heads=2)
    x, y = torch.randn(5, 4), torch.randn(5, 6)
    expected = x @ fusion.left.weight.T + fusion.left.bias + y @ fusion.right.weight.T
    for head in range(2):
        a, b = x[:, 2 * head : 2 * head + 2], y[:, 3 * head : 3 * head + 3]
        expected = expected + torch.stack(
            [((a @ fusion.weight[head, :, t]) * b).sum(1) for t in range(3)], dim=1
        )
    torch.testing.assert_close(fusion(x, y), expected)


def test_a_context_names_features_of_the_model() -> None:
    with pytest.raises(ConfigError, match=r"`fs2_context` must be one of user, item.*'itme'.*item"):
        FinalMLP(sparse_features=[USER, ITEM], fs2_context=["itme"])


def test_one_name_is_a_context() -> None:
    model = FinalMLP(sparse_features=[USER, ITEM], fs1_context="item")
    assert model.gate1.embedding.features.names == ("item",)
    assert model.gate2.embedding is None


@pytest.mark.parametrize(
    "unused", [{"fs_params": {"dims": [4]}}, {"fs1_context": ["user"]}, {"fs2_context": ["user"]}]
)
def test_selection_has_no_settings_when_it_is_off(unused: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"`{next(iter(unused))}` has no use"):
        FinalMLP(sparse_features=[USER, ITEM], use_fs=False, **unused)


def test_final_mlp_takes_fields_of_any_width_and_numbers_alone() -> None:
    assert FinalMLP([DenseFeature("price")], [USER, WIDE])(X).shape == (3,)
    assert FinalMLP([DenseFeature("price")])(X).shape == (3,)


# -- FinalNet --------------------------------------------------------------------------------------


def test_odd_widths_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match=r"`dims` must be even.*got 7"):
        FinalNet(sparse_features=[USER, ITEM], block1_params={"dims": [8, 7]})
    assert FactorizedInteraction(4, 7, "sum").out_features == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block_type": "3B"}, "`block_type` must be one of 1B, 2B; got '3B'"),
        ({"residual_type": "add"}, "`residual_type` must be one of concat, sum; got 'add'"),
        ({"block_type": "1B", "block2_params": {"dims": [4]}}, "`block2_params` has no use"),
        ({"block1_params": {"dim": [4]}}, "got 'dim'. Did you mean 'dims'"),
        ({"block2_params": {"dims": []}}, "`dims` must be at least one width"),
        ({"block2_params": {"dims": [4], "dropout": 1.5}}, "`dropout` must be a number in"),
        ({"distillation": -1}, "`distillation` must be a number of at least 0; got -1"),
        ({"interaction_activation": "rely"}, "Did you mean 'relu'"),
    ],
)
def test_final_net_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinalNet(sparse_features=[USER, ITEM], **arguments)


def test_the_field_gate_needs_fields_of_one_width() -> None:
    with pytest.raises(FeatureError, match="'user' has 4, 'city' has 6"):
        FinalNet(sparse_features=[USER, WIDE], use_field_gate=True)
    with pytest.raises(FeatureError, match="at least 2 fields"):
        FinalNet(sparse_features=[USER], use_field_gate=True)
    assert FinalNet(sparse_features=[USER, WIDE])(X).shape == (3,)


def test_final_block_puts_dropout_and_norm_where_they_are_asked_for() -> None:
    block = FinalBlock(4, [6, 8], dropout=[0.0, 0.5], norm="layer", activation="gelu")
    kinds = [type(layer).__name__ for layer in block.layers]
    layer = ["FactorizedInteraction", "LayerNorm", "GELU"]
    assert kinds == [*layer, *layer, "Dropout"]


def test_distillation_follows_the_tasks_and_leaves_the_teacher_alone() -> None:
    model = FinalNet(
        sparse_features=[USER, ITEM],
        target=["a", "b", "c"],
        task=["binary", "regression", "multiclass"],
        num_classes=3,
    ).eval()
    outputs = model.training_outputs(X)
    mean = outputs["logits"].detach()
    one, two = model._block_logits(X)
    for own, name in ((one, "block1"), (two, "block2")):
        p, q = torch.sigmoid(mean[:, 0]), torch.sigmoid(own[:, 0])
        expected = -(p * q.log() + (1 - p) * (1 - q).log()).mean()
        expected = expected + (own[:, 1] - mean[:, 1]).square().mean()
        classes = -(mean[:, 2:].softmax(1) * own[:, 2:].log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(outputs["auxiliary"][name], expected + classes)
    outputs["auxiliary"]["block1"].backward()
    assert model.head1.weight.grad is not None
    assert model.head2.weight.grad is None


def test_distillation_can_be_left_out() -> None:
    model = FinalNet(sparse_features=[USER, ITEM], distillation=0)
    assert set(model.training_outputs(X)) == {"logits"}


# -- MaskNet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_type": "seriel"}, "`model_type` must be one of parallel, serial.*mean 'serial'"),
        ({"model_type": "serial", "mlp_params": {"dims": [4]}}, "`mlp_params` has no use"),
        ({"num_blocks": 0}, "`num_blocks` must be an integer of at least 1; got 0"),
        ({"mask_hidden_dim": 1.5}, "`mask_hidden_dim` must be"),
        ({"block_hidden_dim": True}, "`block_hidden_dim` must be"),
        ({"block_dropout": 1.0}, r"`block_dropout` must be a number in \[0, 1\); got 1.0"),
    ],
)
def test_masknet_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskNet(sparse_features=[USER, ITEM], **arguments)


def test_masknet_needs_fields_of_one_width() -> None:
    with pytest.raises(FeatureError, match="'user' has 4, 'city' has 6"):
        MaskNet(sparse_features=[USER, WIDE])


def test_masknet_gives_raw_numbers_a_field() -> None:
    model = MaskNet([DenseFeature("price")], [USER])
    assert model.embedding.fields(X).shape == (3, 2, 4)


def test_mask_blocks_by_themselves() -> None:
    fields = torch.randn(5, 3, 4)
    on_fields = MaskBlockOnEmbedding(3, 4, mask_hidden_dim=7, hidden_dim=6)
    hidden = on_fields(fields, fields.flatten(1))
    assert hidden.shape == (5, 6)
    assert (hidden >= 0).all()
    on_hidden = MaskBlockOnHidden(3, 4, mask_hidden_dim=7, hidden_dim=6)
    assert on_hidden(hidden, fields.flatten(1)).shape == (5, 6)


# -- GDCN and EDCN ---------------------------------------------------------------------------------


def test_gdcn_refuses() -> None:
    with pytest.raises(ConfigError, match=r"one of parallel, stacked, crossnet_only.*'stack'"):
        GDCN(sparse_features=[USER], architecture="stack")
    with pytest.raises(ConfigError, match="`mlp_params` has no use"):
        GDCN(sparse_features=[USER], architecture="crossnet_only", mlp_params={})
    with pytest.raises(ConfigError, match="`cross_num` must be an integer of at least 1; got 0"):
        GDCN(sparse_features=[USER], cross_num=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bridge_type": "hadamard"}, "`bridge_type` must be one of.*mean 'hadamard_product'"),
        ({"cross_num": 0}, "`cross_num` must be an integer of at least 1; got 0"),
        ({"norm": "bach"}, "`norm` must be one of none, batch, layer.*mean 'batch'"),
        ({"temperature": 0}, "`temperature` must be a number above 0; got 0"),
        ({"dropout": 1}, "`dropout` must be a number in"),
    ],
)
def test_edcn_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EDCN(sparse_features=[USER, ITEM], **arguments)


def test_edcn_needs_two_features_and_no_common_width() -> None:
    with pytest.raises(FeatureError, match="EDCN needs at least 2 features; got 'user'"):
        EDCN(sparse_features=[USER])
    assert EDCN([DenseFeature("price")], [USER, WIDE])(X).shape == (3,)


def test_bridges_of_one_vector() -> None:
    x, h = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 0.5]])
    assert Bridge(2, "hadamard_product")(x, h).tolist() == [[3.0, -1.0]]
    assert Bridge(2, "pointwise_addition")(x, h).tolist() == [[4.0, -1.5]]
    assert (Bridge(2, "concatenation")(x, h) >= 0).all()
    pooled = Bridge(2, "attention_pooling")
    weights = [pooled.cross_weights(x).sum().item(), pooled.deep_weights(h).sum().item()]
    assert weights == pytest.approx([1.0, 1.0])
