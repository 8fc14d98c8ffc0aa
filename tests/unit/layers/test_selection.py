"""Gates that weigh features: by a context, by the fields, by their place."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.features import DenseFeature, FeatureSet, SparseFeature
from nextrec.layers.selection import ContextGate, FieldGate, Regulation

CONTEXT = FeatureSet.of([SparseFeature("user", 10, embedding_dim=3), DenseFeature("age")])
X = {"user": torch.tensor([1, 2, 1]), "age": torch.tensor([0.5, -1.0, 0.5])}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_context_gate_is_twice_the_sigmoid_of_its_mlp() -> None:
    gate = ContextGate(CONTEXT, 6, {"dims": [5]})
    flat = torch.randn(3, 6)
    context = torch.cat([gate.embedding.embed_dict["user"].weight[X["user"]], X["age"][:, None]], 1)
    torch.testing.assert_close(gate(X, flat), 2 * torch.sigmoid(gate.mlp(context)) * flat)


def test_context_gate_depends_on_its_context_alone() -> None:
    gate = ContextGate(CONTEXT, 6)
    weights = gate(X, torch.ones(3, 6))
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert ((weights > 0) & (weights < 2)).all()


def test_a_gate_without_features_is_the_same_for_all_rows() -> None:
    gate = ContextGate(4, 6)
    weights = gate({}, torch.ones(3, 6))
    assert torch.equal(weights[0], weights[1])
    weights.sum().backward()
    assert gate.vector.grad.any()


def test_context_gate_refuses_unknown_parameters() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dims'"):
        ContextGate(4, 6, {"dim": [5]})


def test_field_gate_starts_as_the_identity() -> None:
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(FieldGate(3)(x), x)


def test_field_gate_mixes_the_fields_number_by_number() -> None:
    gate = FieldGate(3)
    with torch.no_grad():
        gate.weight.copy_(torch.randn(3, 3))
        gate.bias.copy_(torch.randn(3, 1))
    x = torch.randn(2, 3, 4)
    expected = torch.empty_like(x)
    for row in range(2):
        for f in range(3):
            for d in range(4):
                mixed = sum(gate.weight[f, g] * x[row, g, d] for g in range(3)) + gate.bias[f, 0]
                expected[row, f, d] = x[row, f, d] * mixed
    torch.testing.assert_close(gate(x), expected)


def test_regulation_starts_even_and_keeps_the_sum_of_one() -> None:
    first, second = Regulation([2, 1, 1])(torch.ones(5, 4))
    torch.testing.assert_close(first, torch.full((5, 4), 1 / 3))
    assert torch.equal(first, second)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_regulation_weighs_each_field_by_a_softmax_with_temperature(temperature: float) -> None:
    layer = Regulation([2, 1, 1], num_gates=3, temperature=temperature)
    with torch.no_grad():
        layer.logits.copy_(torch.randn(3, 3))
    outputs = layer(torch.ones(1, 4))
    assert len(outputs) == 3
    for logits, found in zip(layer.logits, outputs, strict=True):
        a, b, c = (torch.exp(logits / temperature) / torch.exp(logits / temperature).sum()).tolist()
        torch.testing.assert_close(found, torch.tensor([[a, a, b, c]]))


@pytest.mark.parametrize("temperature", [0, -1.0, "warm", True])
def test_regulation_refuses_a_temperature_that_is_not_above_zero(temperature: object) -> None:
    with pytest.raises(ConfigError, match="`temperature` must be a number above 0"):
        Regulation([1, 1], temperature=temperature)
