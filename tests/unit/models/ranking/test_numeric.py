"""Errors and options of DCNv3 and EulerNet."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.loss import Objective
from nextrec.models.ranking.dcn_v3 import DCNv3
from nextrec.models.ranking.euler_net import EulerNet


def sparse(width: int = 4) -> dict:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=width),
            SparseFeature("item", 8, embedding_dim=width),
        ],
        "seed": 0,
    }


X = {
    "price": torch.tensor([0.5, -1.0, 2.0]),
    "user": torch.tensor([0, 1, 5]),
    "item": torch.tensor([1, 2, 7]),
}


@pytest.mark.parametrize("model", [DCNv3, EulerNet])
def test_fields_of_two_widths_are_named(model: type) -> None:
    features = [
        SparseFeature("user", 6, embedding_dim=4),
        SparseFeature("item", 8, embedding_dim=6),
    ]
    with pytest.raises(FeatureError, match="'user' has 4, 'item' has 6"):
        model(sparse_features=features)


@pytest.mark.parametrize("model", [DCNv3, EulerNet])
def test_one_field_is_too_few(model: type) -> None:
    with pytest.raises(FeatureError, match=r"at least 2 fields.*'user'"):
        model(sparse_features=[SparseFeature("user", 6, embedding_dim=4)])


def test_dcn_v3_names_the_fields_that_do_not_split() -> None:
    with pytest.raises(FeatureError, match=r"multiple of 2; 'user', 'item', 'price' have 5"):
        DCNv3(**sparse(width=5))
    with pytest.raises(FeatureError, match=r"`num_heads` 3.*multiple of 6.* have 4"):
        DCNv3(**sparse(), num_heads=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deep_cross_num": -1}, "`deep_cross_num` must be an integer of at least 0; got -1"),
        ({"shallow_cross_num": 1.5}, "`shallow_cross_num` must be .* got 1.5"),
        ({"deep_cross_num": 0, "shallow_cross_num": 0}, "`deep_cross_num` must be at least 1"),
        ({"num_heads": 0}, "`num_heads` must be a positive integer; got 0"),
    ],
)
def test_dcn_v3_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DCNv3(**sparse(), **arguments)


def test_dcn_v3_without_its_loss_has_the_plain_objective() -> None:
    model = DCNv3(**sparse(), tri_loss=False)
    labels = torch.tensor([[1.0], [0.0], [0.0]])
    plain = Objective(model.tasks)
    assert model.objective(model.training_outputs(X), labels) == plain(model.logits(X), labels)


def test_dcn_v3_keeps_its_loss_when_compiled_again() -> None:
    model = DCNv3(**sparse())
    labels = torch.tensor([[1.0], [0.0], [0.0]])
    # One branch says 3, the other -3: their mean is right in the middle, one of them is worse.
    outputs = {
        "logits": torch.zeros(3, 1),
        "branches": [torch.full((3, 1), 3.0), torch.full((3, 1), -3.0)],
    }
    before = model.objective(outputs, labels)
    assert before > model.objective(outputs["logits"], labels) + 0.1
    model.compile(optimizer="sgd", loss_weights=2.0)
    torch.testing.assert_close(model.objective(outputs, labels), 2 * before)


def test_weights_of_the_branches_have_no_gradient() -> None:
    model = DCNv3(**sparse())
    labels = torch.tensor([[1.0], [1.0], [0.0]])
    z = torch.zeros(3, 1, requires_grad=True)
    branch = torch.full((3, 1), -2.0, requires_grad=True)
    model.objective({"logits": z, "branches": [branch]}, labels).backward()
    plain = torch.zeros(3, 1, requires_grad=True)
    model.objective(plain, labels).backward()
    torch.testing.assert_close(z.grad, plain.grad)
    assert branch.grad.abs().sum() > 0


@pytest.mark.parametrize("units", [[], [0], [4.0], 4, [True]])
def test_euler_net_refuses_order_units(units: object) -> None:
    with pytest.raises(ConfigError, match="`order_units` must be a list of positive integers"):
        EulerNet(**sparse(), order_units=units)


def test_euler_layer_starts_as_its_inputs() -> None:
    """With as many products as fields each starts as one field to the power of one."""
    model = EulerNet(**sparse())
    (layer,) = model.layers
    assert torch.equal(layer.alpha, torch.eye(3))
    assert torch.equal(EulerNet(**sparse(), order_units=[7]).layers[0].alpha.sum(1), torch.ones(7))


def test_a_vanishing_modulus_has_a_finite_gradient() -> None:
    model = EulerNet(**sparse())
    with torch.no_grad():
        model.mu.fill_(1e-12)
    model.logits(X).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
