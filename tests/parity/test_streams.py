"""FinalMLP, FinalNet, MaskNet, GDCN and EDCN against their papers' formulas, number by number."""

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
    table,
    vectors,
)
from torch import nn

from nextrec.models.ranking.edcn import EDCN
from nextrec.models.ranking.final_mlp import FinalMLP
from nextrec.models.ranking.final_net import FinalNet
from nextrec.models.ranking.gdcn import GDCN
from nextrec.models.ranking.masknet import MaskNet


def times(a: Vector, b: Vector) -> Vector:
    return [p * q for p, q in zip(a, b, strict=True)]


def plus(a: Vector, b: Vector) -> Vector:
    return [p + q for p, q in zip(a, b, strict=True)]


def softmax(x: Vector) -> Vector:
    total = sum(math.exp(v) for v in x)
    return [math.exp(v) / total for v in x]


def layer_norm(norm: nn.LayerNorm, x: Vector) -> Vector:
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    scaled = [(v - mean) / math.sqrt(variance + norm.eps) for v in x]
    return plus(times(norm.weight.tolist(), scaled), norm.bias.tolist())


# -- FinalMLP ------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2])
def test_final_mlp(heads: int) -> None:
    model = ready(
        FinalMLP(
            **features(),
            mlp1_params={"dims": [5, 4]},
            mlp2_params={"dims": [6]},
            fs_params={"dims": [3]},
            fs1_context=["user", "price"],
            num_heads=heads,
        )
    )
    expected = []
    for row in range(ROWS):
        e = flat(model.embedding, row)
        user = table(model.gate1.embedding, "user")[X["user"][row]]
        first = gated(model.gate1, [*user, X["price"][row].item()], e)
        second = gated(model.gate2, model.gate2.vector[0].tolist(), e)
        h1, h2 = mlp(model.mlp1, first), mlp(model.mlp2, second)
        expected.append([fused(model.fusion, h1, h2, heads)])
    check(model, expected)
    own = model.gate1.embedding.embed_dict["user"].weight
    assert not torch.equal(own, model.embedding.embed_dict["user"].weight)


def gated(gate: nn.Module, context: Vector, e: Vector) -> Vector:
    return times([2 * sigmoid(v) for v in mlp(gate.mlp, context)], e)


def fused(fusion: nn.Module, h1: Vector, h2: Vector, heads: int) -> float:
    total = affine(fusion.left, h1)[0] + affine(fusion.right, h2)[0]
    weight = fusion.weight.tolist()  # head, number of h1, output, number of h2
    i, j = len(h1) // heads, len(h2) // heads
    for k in range(heads):
        for a in range(i):
            for b in range(j):
                total += h1[k * i + a] * weight[k][a][0][b] * h2[k * j + b]
    return total


def test_final_mlp_without_selection() -> None:
    arguments = {"mlp1_params": {"dims": [4]}, "mlp2_params": {"dims": [3]}, "use_fs": False}
    model = ready(FinalMLP(**features(), **arguments))
    expected = []
    for row in range(ROWS):
        e = flat(model.embedding, row)
        expected.append([fused(model.fusion, mlp(model.mlp1, e), mlp(model.mlp2, e), 1)])
    check(model, expected)


# -- FinalNet ------------------------------------------------------------------------------------


def final_block(block: nn.Module, x: Vector) -> Vector:
    for layer in block.layers:
        if isinstance(layer, nn.ReLU):
            x = relu(x)
        elif isinstance(layer, nn.BatchNorm1d):
            x = batch_norm(layer, x)
        else:
            both = affine(layer.linear, x)
            first, second = both[: len(both) // 2], both[len(both) // 2 :]
            if isinstance(layer.activation, nn.ReLU):
                second = relu(second)
            product = times(first, second)
            x = plus(first, product) if layer.residual_type == "sum" else first + product
    return x


def block_logits(model: FinalNet, row: int) -> tuple[float, float | None]:
    e = flat(model.embedding, row)
    first = e
    if model.gate is not None:
        fields = list(vectors(model.embedding, row).values())[:3]
        weight, bias = model.gate.weight.tolist(), model.gate.bias.flatten().tolist()
        gates = [
            [sum(weight[f][g] * fields[g][d] for g in range(3)) + bias[f] for d in range(3)]
            for f in range(3)
        ]
        first = e + [v for f in range(3) for v in times(fields[f], gates[f])]
    one = affine(model.head1, final_block(model.block1, first))[0]
    if model.block2 is None:
        return one, None
    return one, affine(model.head2, final_block(model.block2, e))[0]


@pytest.mark.parametrize("residual", ["concat", "sum"])
@pytest.mark.parametrize("gate", [True, False])
def test_final_net(residual: str, gate: bool) -> None:
    model = ready(
        FinalNet(
            **features(),
            block1_params={"dims": [6, 4]},
            block2_params={"dims": [4]},
            use_field_gate=gate,
            residual_type=residual,
            interaction_activation="relu" if residual == "sum" else "none",
        )
    )
    each = [block_logits(model, row) for row in range(ROWS)]
    check(model, [[(one + two) / 2] for one, two in each])


def test_final_net_of_one_block() -> None:
    model = ready(FinalNet(**features(), block1_params={"dims": [6, 4]}, block_type="1B"))
    check(model, [[block_logits(model, row)[0]] for row in range(ROWS)])
    assert set(model.training_outputs(X)) == {"logits"}


def test_final_net_learns_from_the_mean_of_its_blocks() -> None:
    params = {"block1_params": {"dims": [6]}, "block2_params": {"dims": [4]}}
    model = ready(FinalNet(**features(), **params, distillation=0.5))
    each = [block_logits(model, row) for row in range(ROWS)]
    outputs = model.training_outputs(X)
    torch.testing.assert_close(outputs["logits"], model.logits(X))
    for number in (0, 1):
        loss = 0.0
        for both in each:
            teacher, own = sigmoid(sum(both) / 2), sigmoid(both[number])
            loss -= teacher * math.log(own) + (1 - teacher) * math.log(1 - own)
        found = outputs["auxiliary"][f"block{number + 1}"].item()
        assert found == pytest.approx(0.5 * loss / ROWS)


# -- MaskNet -------------------------------------------------------------------------------------


def mask_fields(model: MaskNet, row: int) -> list[Vector]:
    e = vectors(model.embedding, row)
    price = affine(model.embedding.dense_transforms["price"], e["price"])
    return [e["user"], e["item"], e["history"], price]


def mask_of(block: nn.Module, v: Vector) -> Vector:
    return affine(block.mask_gen.fc2, relu(affine(block.mask_gen.fc1, v)))


def on_embedding(block: nn.Module, fields: list[Vector]) -> Vector:
    v = [number for field in fields for number in field]
    normed = [number for field in fields for number in layer_norm(block.ln_emb, field)]
    return relu(layer_norm(block.ln_hid, affine(block.ffn, times(mask_of(block, v), normed))))


def test_masknet_parallel() -> None:
    sizes = {"num_blocks": 2, "mask_hidden_dim": 5, "block_hidden_dim": 4}
    model = ready(MaskNet(**features(), **sizes, mlp_params={"dims": [3]}))
    expected = []
    for row in range(ROWS):
        fields = mask_fields(model, row)
        hidden = [v for block in model.blocks for v in on_embedding(block, fields)]
        expected.append(mlp(model.head, hidden))
    check(model, expected)


def test_masknet_serial() -> None:
    sizes = {"num_blocks": 3, "mask_hidden_dim": 5, "block_hidden_dim": 4}
    model = ready(MaskNet(**features(), model_type="serial", **sizes))
    expected = []
    for row in range(ROWS):
        fields = mask_fields(model, row)
        v = [number for field in fields for number in field]
        h = on_embedding(model.blocks[0], fields)
        for block in model.blocks[1:]:
            h = relu(layer_norm(block.ln_output, affine(block.ffn, times(mask_of(block, v), h))))
        expected.append(affine(model.head, h))
    check(model, expected)


# -- GDCN ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["parallel", "stacked", "crossnet_only"])
def test_gdcn(architecture: str) -> None:
    params = None if architecture == "crossnet_only" else {"dims": [5]}
    model = ready(GDCN(**features(), cross_num=2, architecture=architecture, mlp_params=params))
    expected = []
    for row in range(ROWS):
        x0 = flat(model.embedding, row)
        x = x0
        for w, gate in zip(model.cross_network.w, model.cross_network.gate, strict=True):
            opened = [sigmoid(v) for v in affine(gate, x)]
            x = plus(times(times(x0, affine(w, x)), opened), x)
        if architecture == "parallel":
            x = x + mlp(model.mlp, x0)
        elif architecture == "stacked":
            x = mlp(model.mlp, x)
        expected.append(affine(model.head, x))
    check(model, expected)


# -- EDCN ----------------------------------------------------------------------------------------

WIDTHS = [3, 3, 3, 1]
BRIDGES = ["hadamard_product", "pointwise_addition", "concatenation", "attention_pooling"]


def regulated(module: nn.Module, x: Vector, network: int) -> Vector:
    weights = softmax([g / module.temperature for g in module.logits[network].tolist()])
    spread = [weight for weight, width in zip(weights, WIDTHS, strict=True) for _ in range(width)]
    return times(spread, x)


def attention(layers: nn.Sequential, x: Vector) -> Vector:
    return softmax(affine(layers[2], relu(affine(layers[0], x))))


def bridged(bridge: nn.Module, kind: str, x: Vector, h: Vector) -> Vector:
    if kind == "hadamard_product":
        return times(x, h)
    if kind == "pointwise_addition":
        return plus(x, h)
    if kind == "concatenation":
        return relu(affine(bridge.join, x + h))
    weighed = times(attention(bridge.cross_weights, x), x)
    return plus(weighed, times(attention(bridge.deep_weights, h), h))


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("kind", BRIDGES)
def test_edcn(kind: str, norm: str) -> None:
    model = ready(EDCN(**features(), cross_num=2, bridge_type=kind, temperature=0.7, norm=norm))
    expected = []
    for row in range(ROWS):
        shared = flat(model.embedding, row)
        x0: Vector | None = None
        for layer in range(2):
            x = regulated(model.regulations[layer], shared, 0)
            h = regulated(model.regulations[layer], shared, 1)
            if norm == "batch":
                x = batch_norm(model.cross_norms[layer], x)
                h = batch_norm(model.deep_norms[layer], h)
            x0 = x if x0 is None else x0
            cross = model.crosses[layer]
            scale = dot(cross.w.weight.flatten().tolist(), x)
            x = plus(plus([scale * v for v in x0], cross.b.tolist()), x)
            h = mlp(model.deeps[layer], h)
            shared = bridged(model.bridges[layer], kind, x, h)
        expected.append(affine(model.head, x + h + shared))
    check(model, expected)
