"""Factorization machines and their kin against their papers' formulas, number by number."""

from __future__ import annotations

import itertools
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
    table,
    vectors,
)
from torch import Tensor, nn

from nextrec.models.ranking.afm import AFM
from nextrec.models.ranking.ffm import FFM
from nextrec.models.ranking.fm import FM
from nextrec.models.ranking.fmfm import FmFM
from nextrec.models.ranking.fwfm import FwFM
from nextrec.models.ranking.lr import LR
from nextrec.models.ranking.nfm import NFM
from nextrec.models.ranking.onn import ONN

PAIRS = list(itertools.combinations(range(4), 2))
NAMES = ["user", "item", "history", "price"]
D = 3


def times(a: Vector, b: Vector) -> Vector:
    return [p * q for p, q in zip(a, b, strict=True)]


def fields(layer: nn.Module, row: int) -> list[Vector]:
    """Of user, item, history and price."""
    vector = vectors(layer, row)
    price = affine(layer.dense_transforms["price"], vector["price"])
    return [vector["user"], vector["item"], vector["history"], price]


def first_order(linear: nn.Module, row: int) -> Vector:
    """Of each output."""
    items, user = table(linear.weights, "items"), table(linear.weights, "user")
    history = [items[i] for i in X["history"][row].tolist() if i != 0]
    sums = affine(linear.linear, [X["price"][row].item()])
    return [
        sums[t]
        + user[X["user"][row]][t]
        + items[X["item"][row]][t]
        + sum(weights[t] for weights in history) / max(len(history), 1)
        for t in range(len(sums))
    ]


def towards(layer: nn.Module, row: int, i: int, j: int) -> Vector:
    """The vector of field i towards field j, from the wide tables.

    Only the tables' owners have no vector towards themselves: ``items`` has two, so it has all.
    """
    count = layer.num_fields
    after_own = j if j < i else j - 1
    wide = layer.embedding
    if NAMES[i] == "user":
        vector, place = table(wide, "user")[X["user"][row]], after_own
    elif NAMES[i] == "item":
        vector, place = table(wide, "items")[X["item"][row]], j
    elif NAMES[i] == "history":
        items = table(wide, "items")
        real = [items[k] for k in X["history"][row].tolist() if k != 0]
        vector = [sum(v[d] for v in real) / max(len(real), 1) for d in range(count * D)]
        place = j
    else:
        vector = affine(wide.dense_transforms["price"], [X["price"][row].item()])
        place = after_own
    return vector[D * place : D * place + D]


def test_lr() -> None:
    model = ready(LR(**features()))
    check(model, [first_order(model.linear, row) for row in range(ROWS)])


def test_fm() -> None:
    model = ready(FM(**features()))
    expected = []
    for row in range(ROWS):
        e = fields(model.embedding, row)
        second = sum(dot(e[i], e[j]) for i, j in PAIRS)
        expected.append([first_order(model.linear, row)[0] + second])
    check(model, expected)


def test_fm_of_two_targets_has_one_interaction() -> None:
    model = ready(FM(**features(), target=["click", "buy"]))
    expected = []
    for row in range(ROWS):
        e = fields(model.embedding, row)
        second = sum(dot(e[i], e[j]) for i, j in PAIRS)
        expected.append([first + second for first in first_order(model.linear, row)])
    check(model, expected)


def test_ffm() -> None:
    model = ready(FFM(**features()))
    expected = []
    for row in range(ROWS):
        second = sum(
            dot(towards(model.field_aware, row, i, j), towards(model.field_aware, row, j, i))
            for i, j in PAIRS
        )
        expected.append([first_order(model.linear, row)[0] + second])
    check(model, expected)


@pytest.mark.parametrize("linear_type", ["LW", "FeLV", "FiLV"])
def test_fwfm(linear_type: str) -> None:
    model = ready(FwFM(**features(), linear_type=linear_type))
    expected = []
    for row in range(ROWS):
        e = fields(model.embedding, row)
        strengths = model.strengths.tolist()
        second = sum(r * dot(e[i], e[j]) for r, (i, j) in zip(strengths, PAIRS, strict=True))
        if linear_type == "LW":
            first = first_order(model.linear, row)[0]
        elif linear_type == "FiLV":
            weights, bias = model.linear.weight[0].tolist(), model.linear.bias.item()
            first = bias + sum(dot(weights[D * i : D * i + D], e[i]) for i in range(4))
        else:
            own = vectors(model.linear.vectors, row)
            first = model.linear.bias.item() + affine(model.linear.dense, e[3])[0]
            first += sum(dot(own[NAMES[i]], e[i]) for i in range(3))
        expected.append([first + second])
    check(model, expected)


@pytest.mark.parametrize("interaction", ["matrix", "vector", "scalar"])
def test_fmfm(interaction: str) -> None:
    model = ready(FmFM(**features(), interaction=interaction))
    expected = []
    for row in range(ROWS):
        e = fields(model.embedding, row)
        total = first_order(model.linear, row)[0]
        for weight, (i, j) in zip(model.pair_weights.tolist(), PAIRS, strict=True):
            for d, f in itertools.product(range(D), range(D)):
                if interaction == "matrix":
                    entry = weight[d][f]
                elif d != f:
                    entry = 0.0
                else:
                    entry = weight[d] if interaction == "vector" else weight
                total += e[i][d] * entry * e[j][f]
        expected.append([total])
    check(model, expected)


@pytest.mark.parametrize("pooling_norm", [True, False])
def test_nfm(pooling_norm: bool) -> None:
    model = ready(NFM(**features(), mlp_params={"dims": [5]}, pooling_norm=pooling_norm))
    expected = []
    for row in range(ROWS):
        e = fields(model.embedding, row)
        pooled = [sum(e[i][d] * e[j][d] for i, j in PAIRS) for d in range(D)]
        if pooling_norm:
            pooled = batch_norm(model.pooling[1], pooled)
        expected.append([first_order(model.linear, row)[0] + mlp(model.mlp, pooled)[0]])
    check(model, expected)


def test_onn() -> None:
    model = ready(ONN(**features(), mlp_params={"dims": [9]}))
    assert model.field_aware.num_fields == 3  # the raw price is copied only
    expected = []
    for row in range(ROWS):
        products = [
            dot(towards(model.field_aware, row, i, j), towards(model.field_aware, row, j, i))
            for i, j in itertools.combinations(range(3), 2)
        ]
        expected.append(mlp(model.mlp, flat(model.embedding, row) + products))
    check(model, expected)


class Mask(nn.Module):
    """Dropout of chosen numbers."""

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, x: Tensor) -> Tensor:
        return self.kept * x


@pytest.mark.parametrize("dropout", [False, True])
def test_afm(dropout: bool) -> None:
    model = ready(AFM(**features(), attention_dim=4, target=["click", "buy"]))
    hidden, output = model.attention_hidden, model.attention_output
    kept = torch.ones(ROWS, len(PAIRS), D, dtype=torch.float64)
    if dropout:
        kept = 2 * torch.bernoulli(0.5 * kept, generator=torch.Generator().manual_seed(0))
    model.dropout = Mask(kept)
    expected = []
    for row in range(ROWS):
        e = fields(model.embedding, row)
        products = [
            times(numbers, times(e[i], e[j]))
            for numbers, (i, j) in zip(kept[row].tolist(), PAIRS, strict=True)
        ]
        scores = [affine(output, relu(affine(hidden, u)))[0] for u in products]
        total = sum(math.exp(s) for s in scores)
        pooled = [
            sum(math.exp(s) / total * u[d] for s, u in zip(scores, products, strict=True))
            for d in range(D)
        ]
        projected = affine(model.projection, pooled)
        first = first_order(model.linear, row)
        expected.append([p + q for p, q in zip(first, projected, strict=True)])
    check(model, expected)
