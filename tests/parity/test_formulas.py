"""Each model's logits against its paper's formula, written out number by number in float64."""

from __future__ import annotations

import math

import pytest
import torch
from parity.pieces import (
    ROWS,
    Vector,
    X,
    affine,
    check,
    dot,
    features,
    flat,
    mlp,
    ready,
    relu,
    sigmoid,
    table,
    vectors,
)
from torch import Tensor, nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.multi_task.poso import POSO
from nextrec.models.multi_task.share_bottom import ShareBottom
from nextrec.models.ranking.dcn import DCN
from nextrec.models.ranking.dcn_v2 import DCNv2
from nextrec.models.ranking.deepfm import DeepFM
from nextrec.models.ranking.din import DIN
from nextrec.models.ranking.dnn import DNN


def test_dnn() -> None:
    model = ready(DNN(**features(), mlp_params={"dims": [5, 4]}))
    check(model, [mlp(model.mlp, flat(model.embedding, row)) for row in range(ROWS)])


def test_deepfm() -> None:
    model = ready(DeepFM(**features(), mlp_params={"dims": [5, 4]}))
    expected = []
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        fields = [e["user"], e["item"], e["history"]]
        weights = table(model.linear.weights, "items")
        history = [weights[i][0] for i in X["history"][row].tolist() if i != 0]
        first = (
            table(model.linear.weights, "user")[X["user"][row]][0]
            + weights[X["item"][row]][0]
            + sum(history) / max(len(history), 1)
            + affine(model.linear.linear, e["price"])[0]
        )
        second = sum(dot(fields[i], fields[j]) for i in range(3) for j in range(i + 1, 3))
        expected.append([first + second + mlp(model.mlp, flat(model.embedding, row))[0]])
    check(model, expected)


def test_deepfm_without_numbers_has_one_bias() -> None:
    arguments = {**features(), "dense_features": []}
    model = DeepFM(**arguments)
    assert model.linear.bias.shape == (1,)


@pytest.mark.parametrize("deep", [None, {"dims": [5]}])
def test_dcn(deep: dict | None) -> None:
    model = ready(DCN(**features(), cross_num=2, mlp_params=deep))
    expected = []
    for row in range(ROWS):
        x0 = flat(model.embedding, row)
        x = x0
        for w, b in zip(model.cross_network.w, model.cross_network.b, strict=True):
            weight = w.weight.flatten().tolist()
            scale = dot(weight, x)
            x = [p * scale + q + r for p, q, r in zip(x0, b.tolist(), x, strict=True)]
        joined = x + (mlp(model.mlp, x0) if deep else [])
        expected.append(affine(model.head, joined))
    check(model, expected)


@pytest.mark.parametrize("architecture", ["parallel", "stacked", "crossnet_only"])
def test_dcn_v2(architecture: str) -> None:
    params = None if architecture == "crossnet_only" else {"dims": [5]}
    model = ready(DCNv2(**features(), cross_num=2, architecture=architecture, mlp_params=params))
    expected = []
    for row in range(ROWS):
        x0 = flat(model.embedding, row)
        x = x0
        for weight, bias in cross_layers(model.cross_network):
            inner = [dot(w, x) + b for w, b in zip(weight, bias, strict=True)]
            x = [p * q + r for p, q, r in zip(x0, inner, x, strict=True)]
        if architecture == "parallel":
            x = x + mlp(model.mlp, x0)
        elif architecture == "stacked":
            x = mlp(model.mlp, x)
        expected.append(affine(model.head, x))
    check(model, expected)


def cross_layers(network: nn.Module) -> list[tuple[list[Vector], Vector]]:
    state = {name: value.tolist() for name, value in network.state_dict().items()}
    layers = []
    for i in range(len(network.w)):
        bias = state.get(f"w.{i}.bias", state.get(f"b.{i}"))
        layers.append((state[f"w.{i}.weight"], bias))
    return layers


def test_dcn_v2_low_rank_is_the_mixture_of_its_experts() -> None:
    model = ready(
        DCNv2(**features(), cross_num=2, low_rank=2, num_experts=3, architecture="crossnet_only")
    )
    expected = []
    for row in range(ROWS):
        x0 = flat(model.embedding, row)
        alone = model.cross_network(torch.tensor([x0], dtype=torch.float64))
        expected.append(affine(model.head, alone[0].tolist()))
    check(model, expected)


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", "dice"])
def test_din(softmax: bool, activation: str) -> None:
    model = ready(
        DIN(
            **features(),
            mlp_params={"dims": [5]},
            attention_hidden_units=[4],
            attention_activation=activation,
            attention_use_softmax=softmax,
        )
    )
    unit = model.attention[0]
    items = table(model.embedding, "items")
    expected = []
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        query = e["item"]
        keys = [items[i] for i in X["history"][row].tolist() if i != 0]
        scores = [
            attention_score(
                unit,
                query
                + key
                + [q - k for q, k in zip(query, key, strict=True)]
                + [q * k for q, k in zip(query, key, strict=True)],
            )
            for key in keys
        ]
        if softmax and scores:
            total = sum(math.exp(s) for s in scores)
            scores = [math.exp(s) / total for s in scores]
        elif not softmax:
            scores = [model_weight(s) for s in scores]
        pooled = [sum(s * key[d] for s, key in zip(scores, keys, strict=True)) for d in range(3)]
        expected.append(mlp(model.mlp, e["user"] + e["item"] + e["price"] + pooled))
    check(model, expected)


def model_weight(score: float) -> float:
    """What the unit makes of a score without softmax; see AttentionPoolingLayer."""
    return sigmoid(score)


def attention_score(unit: nn.Module, x: Vector) -> float:
    """The unit's network on [q; k; q - k; q * k]."""
    tensor = torch.tensor([x], dtype=torch.float64)
    linears = [m for m in unit.modules() if isinstance(m, nn.Linear)]
    others = [m for m in unit.modules() if type(m).__name__ in ("Sigmoid", "Dice")]
    hidden: Tensor = tensor
    for i, linear in enumerate(linears):
        hidden = torch.tensor([affine(linear, hidden[0].tolist())], dtype=torch.float64)
        if i < len(others):
            hidden = others[i](hidden)
    return hidden.item()


def test_share_bottom() -> None:
    model = ready(
        ShareBottom(
            **features(),
            bottom_params={"dims": [5]},
            tower_params_list=[{"dims": [4]}, {"dims": [3]}],
            target=["click", "buy"],
        )
    )
    expected = []
    for row in range(ROWS):
        shared = mlp(model.bottom, flat(model.embedding, row))
        expected.append([mlp(tower, shared)[0] for tower in model.towers])
    check(model, expected)


def poso(**options) -> POSO:
    every = features()
    return POSO(
        main_dense_features=every["dense_features"],
        main_sparse_features=every["sparse_features"],
        main_sequence_features=every["sequence_features"],
        pc_sparse_features=every["sparse_features"][:1],
        target=["click", "buy"],
        **options,
    )


def gate(module: nn.Module, pc: Vector, scale: float) -> Vector:
    first, _, second = module.net
    return [scale * sigmoid(z) for z in affine(second, relu(affine(first, pc)))]


def bank_gate(bank: nn.Module, e: int, pc: Vector, scale: float) -> Vector:
    """The gate of one expert, whose layers are packed with those of the others."""

    def layer(packed: nn.Module, x: Vector) -> Vector:
        rows, bias = packed.weight[e].tolist(), packed.bias[e].tolist()
        return [dot(row, x) + b for row, b in zip(rows, bias, strict=True)]

    return [scale * sigmoid(z) for z in layer(bank.out, relu(layer(bank.hidden.bank[0], pc)))]


def test_poso_over_a_perceptron() -> None:
    towers = [{"dims": [4, 3]}, {"dims": [2]}]
    model = ready(poso(tower_params_list=towers, gate_scale_factor=1.5, gate_hidden_dim=6))
    expected = []
    for row in range(ROWS):
        main, pc = flat(model.embedding, row), vectors(model.embedding, row)["user"]
        logits = []
        for tower, head in zip(model.towers, model.heads, strict=True):
            h = main
            for layer in tower.layers:
                hidden, g = relu(affine(layer.linear, h)), gate(layer.gate, pc, 1.5)
                h = [p * q for p, q in zip(g, hidden, strict=True)]
            logits += affine(head, h)
        expected.append(logits)
    check(model, expected)


@pytest.mark.parametrize("softmax", [True, False])
def test_poso_over_a_mixture_of_experts(softmax: bool) -> None:
    model = ready(
        poso(
            tower_params_list=[{"dims": [4]}, {"dims": [2]}],
            architecture="mmoe",
            num_experts=3,
            expert_hidden_dims=[5, 4],
            expert_gate_scale_factor=2.0,
            gate_use_softmax=softmax,
        )
    )
    mmoe = model.mmoe
    expected = []
    for row in range(ROWS):
        main, pc = flat(model.embedding, row), vectors(model.embedding, row)["user"]
        outputs = mmoe.experts(torch.tensor([main], dtype=torch.float64))[0].tolist()
        gates = [bank_gate(mmoe.pc_gates, e, pc, 2.0) for e in range(3)]
        gated = [
            [p * q for p, q in zip(g, h, strict=True)] for g, h in zip(gates, outputs, strict=True)
        ]
        logits = []
        scores = affine(mmoe.mixture.gate, main)
        for t, tower in enumerate(model.towers):
            weights = scores[3 * t : 3 * t + 3]
            if softmax:
                total = sum(math.exp(w) for w in weights)
                weights = [math.exp(w) / total for w in weights]
            mixed = [sum(w * h[d] for w, h in zip(weights, gated, strict=True)) for d in range(4)]
            logits += mlp(tower, mixed)
        expected.append(logits)
    check(model, expected)


def test_poso_has_the_parameters_of_0_3_1() -> None:
    """0.3.1's counts, less its two extra biases, which are part of the last linear layers."""
    width = {"embedding_dim": 8}
    s0 = SparseFeature("s0", 20, **width)
    s1 = SparseFeature("s1", 30, embedding_name="item", **width)
    sequence = SequenceFeature("seq", 30, 6, "item", padding_idx=0, **width)
    arguments = {
        "main_dense_features": [DenseFeature("d0")],
        "main_sparse_features": [s0],
        "main_sequence_features": [sequence],
        "pc_sparse_features": [s1],
        "tower_params_list": [{"dims": [16, 8]}] * 2,
        "target": ["a", "b"],
    }
    count = sum(p.numel() for p in POSO(**arguments).parameters())
    assert count == 4004 - 2
    mixture = POSO(**arguments, architecture="mmoe", expert_hidden_dims=[16, 8])
    assert sum(p.numel() for p in mixture.parameters()) == 5316 - 2
    shared = ShareBottom(
        [DenseFeature("d0")],
        [s0, s1],
        [sequence],
        {"dims": [16, 8]},
        [{"dims": [16, 8]}] * 2,
        target=["a", "b"],
    )
    assert sum(p.numel() for p in shared.parameters()) == 1676 - 2
