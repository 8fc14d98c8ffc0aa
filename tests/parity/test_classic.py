"""WideDeep, xDeepFM, FiBiNET, PNN, AutoInt, AFN and DLRM against their papers' formulas."""

from __future__ import annotations

import math
from itertools import combinations

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
    table,
    vectors,
)
from torch import nn

from nextrec.features import SparseFeature
from nextrec.models.ranking.afn import AFN
from nextrec.models.ranking.autoint import AutoInt
from nextrec.models.ranking.dlrm import DLRM
from nextrec.models.ranking.fibinet import FiBiNET
from nextrec.models.ranking.pnn import PNN
from nextrec.models.ranking.widedeep import WideDeep
from nextrec.models.ranking.xdeepfm import xDeepFM

WIDTH = 3


def fields(layer: nn.Module, row: int) -> list[Vector]:
    e = vectors(layer, row)
    return [e["user"], e["item"], e["history"]]


def every_field(layer: nn.Module, row: int) -> list[Vector]:
    """With the number as a field, through its learned map."""
    number = affine(layer.dense_transforms["price"], vectors(layer, row)["price"])
    return [*fields(layer, row), number]


def first_order(linear: nn.Module, row: int) -> float:
    weights = table(linear.weights, "items")
    history = [weights[i][0] for i in X["history"][row].tolist() if i != 0]
    return (
        table(linear.weights, "user")[X["user"][row]][0]
        + weights[X["item"][row]][0]
        + sum(history) / max(len(history), 1)
        + affine(linear.linear, [X["price"][row].item()])[0]
    )


def hadamard(a: Vector, b: Vector) -> Vector:
    return [p * q for p, q in zip(a, b, strict=True)]


def joined(parts: list[Vector]) -> Vector:
    return [number for part in parts for number in part]


def test_wide_and_deep() -> None:
    model = ready(WideDeep(**features(), mlp_params={"dims": [5, 4]}))
    check(
        model,
        [
            [first_order(model.linear, row) + mlp(model.mlp, flat(model.embedding, row))[0]]
            for row in range(ROWS)
        ],
    )


def test_wide_and_deep_with_features_of_their_own() -> None:
    model = ready(
        WideDeep(
            **features(),
            mlp_params={"dims": [4]},
            wide_feature_names=["user", "price"],
            deep_feature_names=["history", "item"],
        )
    )
    items = table(model.embedding, "items")
    expected = []
    for row in range(ROWS):
        wide = table(model.linear.weights, "user")[X["user"][row]][0]
        wide += affine(model.linear.linear, [X["price"][row].item()])[0]
        real = [items[i] for i in X["history"][row].tolist() if i != 0]
        pooled = [sum(v[d] for v in real) / max(len(real), 1) for d in range(WIDTH)]
        expected.append([wide + mlp(model.mlp, items[X["item"][row]] + pooled)[0]])
    check(model, expected)


def cin(network: nn.Module, x0: list[Vector], split_half: bool) -> float:
    """Weighted sums over all pairs (h, f), then sums over the width."""
    x, pooled = x0, []
    for k, weight in enumerate(network.weights):
        w = weight.tolist()
        maps = []
        for n in range(len(w)):
            total = [0.0] * WIDTH
            for h in range(len(x)):
                for f in range(len(x0)):
                    for d in range(WIDTH):
                        total[d] += w[n][h][f] * x[h][d] * x0[f][d]
            maps.append(total)
        kept = x = maps
        if split_half and k < len(network.weights) - 1:
            half = len(maps) // 2
            kept, x = maps[:half], maps[half:]
        pooled += [sum(each) for each in kept]
    return dot(network.output.weight.tolist()[0], pooled)


@pytest.mark.parametrize("split_half", [True, False])
def test_xdeepfm(split_half: bool) -> None:
    sizes = [4, 2, 3] if split_half else [3, 2]
    model = ready(
        xDeepFM(**features(), mlp_params={"dims": [5]}, cin_size=sizes, split_half=split_half)
    )
    expected = []
    for row in range(ROWS):
        explicit = cin(model.cin, fields(model.embedding, row), split_half)
        deep = mlp(model.mlp, flat(model.embedding, row))[0]
        expected.append([first_order(model.linear, row) + explicit + deep])
    check(model, expected)


def matrix_of(layer: nn.Module, i: int, pair: int) -> list[Vector]:
    index = {"field_all": 0, "field_each": i, "field_interaction": pair}[layer.bilinear_type]
    return layer.weight[index].tolist()


def bilinear(layer: nn.Module, e: list[Vector]) -> Vector:
    products = []
    for pair, (i, j) in enumerate(combinations(range(len(e)), 2)):
        seen = [dot(line, e[i]) for line in matrix_of(layer, i, pair)]
        products.append(hadamard(seen, e[j]))
    return joined(products)


@pytest.mark.parametrize("kind", ["field_all", "field_each", "field_interaction"])
def test_fibinet(kind: str) -> None:
    model = ready(
        FiBiNET(**features(), mlp_params={"dims": [5]}, bilinear_type=kind, senet_reduction=1)
    )
    first, _, second, _ = model.senet.excite
    with torch.no_grad():
        second.weight.abs_()  # or hardly a row has two fields above zero, and so a product
    expected, weighed_pairs = [], 0
    for row in range(ROWS):
        e = fields(model.embedding, row)
        squeezed = [sum(v) / WIDTH for v in e]
        importance = relu(affine(second, relu(affine(first, squeezed))))
        weighed_pairs += sum(a > 0 for a in importance) > 1
        weighed = [[a * number for number in v] for a, v in zip(importance, e, strict=True)]
        deep = bilinear(model.bilinear_standard, e) + bilinear(model.bilinear_senet, weighed)
        deep = mlp(model.mlp, [*deep, X["price"][row].item()])[0]
        expected.append([first_order(model.linear, row) + deep])
    assert weighed_pairs > 1, "some weighed fields must meet"
    check(model, expected)


def tower_after(model: nn.Module, hidden: Vector) -> Vector:
    """The tower behind its first linear map."""
    rest = nn.Module()
    rest.mlp = model.mlp.mlp[1:]
    return mlp(rest, hidden)


@pytest.mark.parametrize("kind", ["inner", "outer", "both"])
def test_pnn_is_the_sum_of_two_projections(kind: str) -> None:
    """The projections of z and p: sums over all i and j, symmetric weights."""
    model = ready(PNN(**features(), mlp_params={"dims": [5, 4]}, product_type=kind))
    first = model.mlp.mlp[0]
    z_width = 3 * WIDTH + 1
    expected = []
    for row in range(ROWS):
        e, z = fields(model.embedding, row), flat(model.embedding, row)
        l_1 = []
        for line, bias in zip(first.weight.tolist(), first.bias.tolist(), strict=True):
            l_z, w_p = dot(line[:z_width], z), line[z_width:]
            l_p = 0.0
            if kind != "outer":
                inner = symmetric(w_p[:6], 3)
                l_p += sum(inner[i][j] * dot(e[i], e[j]) for i in range(3) for j in range(3))
            if kind != "inner":
                outer = symmetric(w_p[-6:], WIDTH)
                for v in e:
                    for u in e:
                        for a in range(WIDTH):
                            for b in range(WIDTH):
                                l_p += outer[a][b] * v[a] * u[b]
            l_1.append(l_z + l_p + bias)
        expected.append(tower_after(model, l_1))
    check(model, expected)


def symmetric(upper: Vector, size: int) -> list[Vector]:
    """The symmetric matrix whose products of two sides add up to the upper triangle's weights."""
    numbers = iter(upper)
    matrix = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i, size):
            weight = next(numbers)
            matrix[i][j] += weight / 2
            matrix[j][i] += weight / 2
    return matrix


def test_pnn_with_a_map_before_the_outer_product() -> None:
    model = ready(
        PNN(**features(), mlp_params={"dims": [4]}, product_type="outer", outer_product_dim=2)
    )
    expected = []
    for row in range(ROWS):
        mapped = [affine(model.kernel, v) for v in fields(model.embedding, row)]
        outer = [
            sum(v[a] * u[b] for v in mapped for u in mapped) for a, b in ((0, 0), (0, 1), (1, 1))
        ]
        expected.append(mlp(model.mlp, flat(model.embedding, row) + outer))
    check(model, expected)


def interact(layer: nn.Module, x: list[Vector], scaled: bool) -> list[Vector]:
    """AutoInt's interacting layer, one head and one field at a time."""
    heads, width = layer.num_heads, layer.embedding_dim // layer.num_heads
    query, key, value = ([affine(w, v) for v in x] for w in (layer.W_Q, layer.W_K, layer.W_V))
    out = []
    for m in range(len(x)):
        attended = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = [dot(query[m][part], k[part]) for k in key]
            if scaled:
                scores = [s / math.sqrt(width) for s in scores]
            total = sum(math.exp(s) for s in scores)
            for d in range(width):
                attended.append(
                    sum(
                        math.exp(s) / total * v[part][d] for s, v in zip(scores, value, strict=True)
                    )
                )
        if layer.W_Res is not None:
            attended = [a + r for a, r in zip(attended, affine(layer.W_Res, x[m]), strict=True)]
        out.append(relu(attended))
    return out


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("deep", [None, {"dims": [5]}])
def test_autoint(deep: dict | None, scaled: bool) -> None:
    model = ready(
        AutoInt(
            **features(),
            att_layer_num=2,
            att_embedding_dim=4,
            att_use_residual=not scaled,
            mlp_params=deep,
            att_scaled=scaled,
        )
    )
    expected = []
    for row in range(ROWS):
        x = e = every_field(model.embedding, row)
        for layer in model.layers:
            x = interact(layer, x, scaled)
        logit = affine(model.head, joined(x))[0]
        expected.append([logit if deep is None else logit + mlp(model.mlp, joined(e))[0]])
    check(model, expected)


def test_autoint_of_different_widths() -> None:
    every = features()
    every["sparse_features"][0] = SparseFeature("user", 6, embedding_dim=5)
    model = ready(AutoInt(**every, att_layer_num=1, att_embedding_dim=2))
    expected = []
    for row in range(ROWS):
        e = every_field(model.embedding, row)
        x = [affine(project, v) for project, v in zip(model.projections, e, strict=True)]
        expected.append(affine(model.head, joined(interact(model.layers[0], x, False))))
    check(model, expected)


def logarithmic_neurons(layer: nn.Module, e: list[Vector]) -> list[Vector]:
    """The neurons with both norms, as products of powers."""
    columns = []
    for d in range(WIDTH):
        logarithms = [math.log(max(abs(v[d]), 1e-5)) for v in e]
        bases = [math.exp(v) for v in batch_norm(layer.log_norm, logarithms)]
        neurons = [
            math.prod(base**power for base, power in zip(bases, powers, strict=True))
            for powers in layer.powers.tolist()
        ]
        columns.append(batch_norm(layer.exp_norm, neurons))
    return [list(neuron) for neuron in zip(*columns, strict=True)]


@pytest.mark.parametrize("deep", [None, {"dims": [5]}])
def test_afn(deep: dict | None) -> None:
    model = ready(AFN(**features(), mlp_params={"dims": [5]}, num_neurons=4, dnn_params=deep))
    expected = []
    for row in range(ROWS):
        neurons = logarithmic_neurons(model.products, every_field(model.embedding, row))
        logit = mlp(model.mlp, joined(neurons))[0]
        if deep is not None:
            logit += mlp(model.dnn, flat(model.dnn_embedding, row))[0]
        expected.append([logit])
    check(model, expected)


@pytest.mark.parametrize("dense", [True, False])
def test_dlrm(dense: bool) -> None:
    arguments = features() if dense else {**features(), "dense_features": []}
    model = ready(DLRM(**arguments, mlp_params={"dims": [5]}))
    expected = []
    for row in range(ROWS):
        first = [mlp(model.bottom, [X["price"][row].item()])] if dense else []
        every = [*first, *fields(model.embedding, row)]
        products = [dot(every[i], every[j]) for i, j in combinations(range(len(every)), 2)]
        expected.append(mlp(model.mlp, joined(first) + products))
    check(model, expected)
