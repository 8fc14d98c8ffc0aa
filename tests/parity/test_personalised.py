"""Models that adapt to a person or a domain against their formulas, in float64 loops."""

from __future__ import annotations

import math

import pytest
import torch
from parity.pieces import (
    ROWS,
    Vector,
    X,
    affine,
    batch_norm,
    check,
    dot,
    features,
    flat,
    mlp,
    ready,
    relu,
    sigmoid,
    vectors,
)
from torch import Tensor, nn

from nextrec.features import SparseFeature
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.apg import APG
from nextrec.models.multi_task.m2m import M2M
from nextrec.models.multi_task.pepnet import PEPNet
from nextrec.models.multi_task.star import STAR

TARGETS = {"target": ["click", "stay"], "task": ["binary", "regression"]}


def grouped(*others: str) -> dict[str, list]:
    """Item, history and price are main features; the user is of the other groups."""
    everything = features()
    user, item = everything["sparse_features"]
    return {
        "main_dense_features": everything["dense_features"],
        "main_sparse_features": [item],
        "main_sequence_features": everything["sequence_features"],
        **{f"{group}_sparse_features": [user] for group in others},
    }


def main_and_user(model: BaseModel, row: int) -> tuple[Vector, Vector]:
    e = vectors(model.embedding, row)
    return e["item"] + e["history"] + e["price"], e["user"]


def times(matrix: list[Vector], x: Vector) -> Vector:
    return [dot(row, x) for row in matrix]


def add(*terms: Vector) -> Vector:
    return [sum(each) for each in zip(*terms, strict=True)]


def product(a: Vector, b: Vector) -> Vector:
    return [p * q for p, q in zip(a, b, strict=True)]


def leaky(x: Vector) -> Vector:
    return [v if v > 0 else 0.01 * v for v in x]


# -- PEPNet --------------------------------------------------------------------------------------


def gate(module: nn.Module, x: Vector, scale: float) -> Vector:
    first, _, second = module.net
    return [scale * sigmoid(z) for z in affine(second, relu(affine(first, x)))]


def pepnet() -> PEPNet:
    towers = [{"dims": [4, 3]}, {"dims": [5], "norm": "none"}]
    groups = grouped("domain", "prior")
    return ready(PEPNet(**groups, **TARGETS, tower_params_list=towers, gate_scale=1.5))


def test_pepnet() -> None:
    model = pepnet()
    expected, domain_gates, unit_gates = [], [], []
    for row in range(ROWS):
        main, user = main_and_user(model, row)
        domain_gates.append(gate(model.domain_gate, user + main, 1.5))
        gated = product(domain_gates[-1], main)
        units = gate(model.prior_gate, user + gated, 1.5)
        unit_gates.append(units)
        logits = []
        for tower in model.towers:
            h = gated
            for layer in tower.layers:
                h = mlp(layer, h)
                own, units = units[: len(h)], units[len(h) :]
                h = product(own, h)
            logits += affine(tower.head, h)
        assert not units
        expected.append(logits)
    check(model, expected)
    gates = model.gates(X)
    assert list(gates) == ["domain", "layer 1, click", "layer 2, click", "layer 1, stay"]
    expected_domain = torch.tensor(domain_gates, dtype=torch.float64)
    torch.testing.assert_close(gates.pop("domain"), expected_domain)
    units = torch.tensor(unit_gates, dtype=torch.float64)
    torch.testing.assert_close(torch.cat(list(gates.values()), 1), units)


def test_pepnet_gates_do_not_train_the_embeddings_that_they_only_read() -> None:
    """The table of the main features gets the gradient that it has when gates are constants."""
    gradients = []
    for constant in (False, True):
        model = pepnet()
        if constant:
            for each in (model.domain_gate, model.prior_gate):
                each.register_forward_hook(lambda module, inputs, output: output.detach())
        model.logits(X).square().sum().backward()
        tables = model.embedding.embed_dict
        storage = tables.storage_of("items")
        gradient = dict(tables.named_parameters())[storage.key].grad
        rows = {name: storage.offsets[name] for name in ("items", "user")}
        gradients.append(gradient[rows["items"] : rows["items"] + 8])
        assert gradient[rows["user"] : rows["user"] + 6].any().item() is not constant
    torch.testing.assert_close(*gradients)


# -- APG -----------------------------------------------------------------------------------------


def matrix(factors: nn.ParameterList) -> list[Vector]:
    if len(factors) == 1:
        return factors[0].tolist()
    left, right = (each.tolist() for each in factors)
    columns = list(zip(*right, strict=True))
    return [[dot(row, list(column)) for column in columns] for row in left]


@pytest.mark.parametrize("inner_dim", [None, 5])
@pytest.mark.parametrize("names", [None, "item", ["user", "price"]])
def test_apg(names: str | list[str] | None, inner_dim: int | None) -> None:
    model = ready(
        APG(
            **features(),
            **TARGETS,
            mlp_params={"dims": [4, 3], "activation": "sigmoid"},
            condition_feature_names=names,
            rank=3,
            inner_dim=inner_dim,
        )
    )
    expected = []
    for row in range(ROWS):
        h = flat(model.embedding, row)
        e = vectors(model.embedding, row)
        wanted = [names] if isinstance(names, str) else names or []
        told = [number for name in wanted for number in e[name]]
        for layer, after in zip(model.layers, model.after, strict=True):
            numbers = affine(layer.core.generator, told or h)
            core = [numbers[3 * k : 3 * k + 3] for k in range(3)]
            low = times(core, times(matrix(layer.v), h))
            h = add(times(matrix(layer.u), low), layer.bias.tolist())
            h = [sigmoid(z) for z in batch_norm(after[0], h)]
        expected.append(affine(model.head, h))
    check(model, expected)


# -- STAR ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("domains", [6, 40])
def test_star(domains: int) -> None:
    """With 6 domains rows are computed in all of them, with 40 in their own."""
    groups = grouped()
    domain = SparseFeature("user", domains, embedding_dim=3)
    model = ready(
        STAR(**groups, domain_sparse_features=[domain], **TARGETS, mlp_params={"dims": [4, 3]})
    )
    expected = []
    for row in range(ROWS):
        main, own = main_and_user(model, row)
        p = X["user"][row].item()
        h = partitioned_norm(model.norm, p, main)
        for number, layer in enumerate(model.star):
            weight = [
                product(shared, alone)
                for shared, alone in zip(
                    layer.weight.tolist(), layer.domain_weight[p].tolist(), strict=True
                )
            ]
            h = add(times(weight, h), layer.bias.tolist(), layer.domain_bias[p].tolist())
            h = relu(h) if number < 2 else h
        expected.append(add(h, mlp(model.auxiliary, own + main)))
    check(model, expected)


def partitioned_norm(norm: nn.Module, p: int, x: Vector) -> Vector:
    mean, variance = norm.running_mean[p].tolist(), norm.running_var[p].tolist()
    scale = product(norm.weight.tolist(), norm.domain_weight[p].tolist())
    shift = add(norm.bias.tolist(), norm.domain_bias[p].tolist())
    return [
        g * (v - m) / math.sqrt(q + 1e-5) + b
        for g, v, m, q, b in zip(scale, x, mean, variance, shift, strict=True)
    ]


# -- M2M -----------------------------------------------------------------------------------------


def meta(layer: nn.Module, scenario: Vector, x: Vector) -> Vector:
    numbers = affine(layer.generator, scenario)
    width = len(x)
    weight = [numbers[o * width : (o + 1) * width] for o in range(width)]
    return add(times(weight, x), numbers[width * width :])


def experts(bank: nn.Module, x: Vector) -> list[Vector]:
    linear, norm, _, _ = bank.bank
    outputs = []
    for e in range(bank.num_experts):
        h = add(times(linear.weight[e].tolist(), x), linear.bias[e].tolist())
        own = slice(e * len(h), (e + 1) * len(h))
        single = nn.BatchNorm1d(len(h)).double()
        for name in ("running_mean", "running_var", "weight", "bias"):
            getattr(single, name).data.copy_(getattr(norm, name)[own])
        outputs.append(relu(batch_norm(single, h)))
    return outputs


def test_m2m() -> None:
    model = ready(
        M2M(
            **grouped("scenario"),
            **TARGETS,
            expert_params={"dims": [3]},
            num_experts=2,
            tower_params_list=[{"dims": [4]}, {"dims": []}],
            scenario_params={"dims": [4]},
            meta_layers=2,
            residual_layers=2,
        )
    )
    expected: list[Vector] = []
    gates: list[list[Vector]] = []
    for row in range(ROWS):
        main, user = main_and_user(model, row)
        scenario = mlp(model.knowledge, user)
        views = experts(model.experts, main)
        logits: Vector = []
        gates.append([])
        for vector, tower in zip(model.task_vectors.tolist(), model.towers, strict=True):
            task = leaky(affine(model.task_view, vector))
            scores = []
            for view in views:
                h = view + task
                for layer in model.attention.layers:
                    h = leaky(meta(layer, scenario, h))
                scores.append(affine(model.score, h)[0])
            total = sum(math.exp(score) for score in scores)
            weights = [math.exp(score) / total for score in scores]
            gates[-1].append(weights)
            h = [dot(weights, list(each)) for each in zip(*views, strict=True)]
            for layer in model.residual:
                h = leaky(add(meta(layer, scenario, h), h))
            logits += mlp(tower, h)
        expected.append(logits)
    check(model, expected)
    for n, (name, weights) in enumerate(model.gates(X).items()):
        assert name == TARGETS["target"][n]
        torch.testing.assert_close(weights, as_tensor([each[n] for each in gates]))


def as_tensor(values: list[Vector]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
