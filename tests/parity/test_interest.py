"""DIEN, BST and DMIN against their papers' formulas, number by number in float64."""

from __future__ import annotations

import math

import pytest
import torch
from parity.pieces import ROWS, Vector, X, affine, check, dot, mlp, ready, relu, sigmoid, table
from torch import nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.ranking.bst import BST
from nextrec.models.ranking.dien import DIEN
from nextrec.models.ranking.dmin import DMIN

D, MAX_LEN = 4, 4
TOWER = {"mlp_params": {"dims": [9], "activation": "relu"}}
Matrix = list[Vector]


def features() -> dict[str, list]:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=3),
            SparseFeature("item", 8, embedding_dim=D, embedding_name="items"),
        ],
        "sequence_features": [SequenceFeature("history", 8, MAX_LEN, "items", embedding_dim=D)],
    }


def parts(model: nn.Module, row: int) -> tuple[Vector, Vector, Matrix]:
    """All other features, the candidate, the real items of the history."""
    items = table(model.embedding, "items")
    candidate = items[X["item"][row]]
    user = table(model.embedding, "user")[X["user"][row]]
    others = user + candidate + [X["price"][row].item()]
    return others, candidate, [items[i] for i in X["history"][row].tolist() if i != 0]


def add(*vectors: Vector) -> Vector:
    return [sum(each) for each in zip(*vectors, strict=True)]


def times(a: Vector, b: Vector) -> Vector:
    return [p * q for p, q in zip(a, b, strict=True)]


def apply(weight: torch.Tensor, x: Vector) -> Vector:
    return [dot(row, x) for row in weight.tolist()]


def softmax(scores: Vector) -> Vector:
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def weighted(weights: Vector, vectors: Matrix, width: int) -> Vector:
    return [sum(w * v[d] for w, v in zip(weights, vectors, strict=True)) for d in range(width)]


def normed(x: Vector, scale: Vector, shift: Vector, eps: float = 1e-5) -> Vector:
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return [
        s * (v - mean) / math.sqrt(variance + eps) + b
        for v, s, b in zip(x, scale, shift, strict=True)
    ]


# -- DIEN ----------------------------------------------------------------------------------------

HIDDEN = 3


def gate(layer: nn.Module, x: Vector, h: Vector, number: int) -> tuple[Vector, Vector]:
    """Both products of one gate, with their biases."""
    rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
    of_x = add(apply(layer.weight_ih[rows], x), layer.bias_ih[rows].tolist())
    return of_x, add(apply(layer.weight_hh[rows], h), layer.bias_hh[rows].tolist())


def opened(layer: nn.Module, x: Vector, h: Vector, number: int) -> Vector:
    return [sigmoid(z) for z in add(*gate(layer, x, h, number))]


def proposal(layer: nn.Module, x: Vector, h: Vector, number: int) -> Vector:
    of_x, of_h = gate(layer, x, h, number)
    return [math.tanh(z) for z in add(of_x, times(opened(layer, x, h, 0), of_h))]


def moved(h: Vector, n: Vector, u: Vector) -> Vector:
    return [(1 - w) * p + w * q for p, q, w in zip(h, n, u, strict=True)]


def gru(layer: nn.Module, items: Matrix) -> Matrix:
    h, states = [0.0] * HIDDEN, []
    for x in items:
        keep = opened(layer, x, h, 1)  # torch's z is the share of the old state
        h = moved(h, proposal(layer, x, h, 2), [1 - z for z in keep])
        states.append(h)
    return states


def augru(layer: nn.Module, states: Matrix, attention: Vector) -> Vector:
    h = [0.0] * HIDDEN
    for x, a in zip(states, attention, strict=True):
        update = [a * u for u in opened(layer, x, h, 1)]
        h = moved(h, proposal(layer, x, h, 2), update)
    return h


def agru(layer: nn.Module, states: Matrix, attention: Vector) -> Vector:
    h = [0.0] * HIDDEN
    for x, a in zip(states, attention, strict=True):
        h = moved(h, proposal(layer, x, h, 1), [a] * HIDDEN)
    return h


def aigru(layer: nn.Module, states: Matrix, attention: Vector) -> Vector:
    inputs = [[a * v for v in x] for x, a in zip(states, attention, strict=True)]
    return (gru(layer, inputs) or [[0.0] * HIDDEN])[-1]


@pytest.mark.parametrize("evolve", [augru, agru, aigru])
def test_dien(evolve) -> None:
    model = ready(DIEN(**features(), **TOWER, gru_hidden_size=HIDDEN, gru_type=evolve.__name__))
    expected = []
    for row in range(ROWS):
        others, candidate, items = parts(model, row)
        states = gru(model.interest_extractor, items)
        query = apply(model.attention_layer.map.weight, candidate)
        attention = softmax([dot(h, query) for h in states])
        interest = evolve(model.interest_evolution, states, attention)
        expected.append(mlp(model.mlp, others + interest))
    check(model, expected)


def test_dien_with_the_activation_unit() -> None:
    model = ready(
        DIEN(
            **features(),
            **TOWER,
            gru_hidden_size=HIDDEN,
            attention_hidden_units=[4],
            attention_activation="relu",
        )
    )
    unit = model.attention_layer
    expected = []
    for row in range(ROWS):
        others, candidate, items = parts(model, row)
        states = gru(model.interest_extractor, items)
        query = affine(unit.map, candidate)
        scores = []
        for h in states:
            difference = add(query, [-v for v in h])
            hidden = relu(affine(unit.first, query + h + difference + times(query, h)))
            scores += affine(unit.later[1], hidden)
        interest = augru(model.interest_evolution, states, softmax(scores))
        expected.append(mlp(model.mlp, others + interest))
    check(model, expected)


@pytest.mark.parametrize("cls", [DIEN, DMIN])
def test_auxiliary_loss(cls, monkeypatch) -> None:
    """Section 4.2 of DIEN with known negatives, averaged over all pairs of neighbours."""
    own = {"gru_hidden_size": HIDDEN} if cls is DIEN else {}
    model = ready(cls(**features(), **TOWER, **own, use_negsampling=True, auxiliary_weight=0.7))
    drawn = torch.tensor([[7, 5, 4, 3]]).expand(ROWS, -1)
    monkeypatch.setattr("nextrec.layers.next_item.other_ids", lambda *_: drawn)
    vectors = table(model.embedding, "items")
    terms = []
    for row in range(ROWS):
        _, _, items = parts(model, row)
        if cls is DIEN:
            project = model.auxiliary.project.weight
            states = [apply(project, h) for h in gru(model.interest_extractor, items)]
        else:
            states = transformer(model.refiner, items, slope=0.0, causal=True)
        for t in range(len(items) - 1):
            positive = dot(states[t], items[t + 1])
            negative = dot(states[t], vectors[drawn[row, t + 1]])
            terms.append(-math.log(sigmoid(positive)) - math.log(1 - sigmoid(negative)))
    assert len(terms) == 1 + 3 + 2
    value = model.training_outputs(X)["auxiliary"]["next_item"]
    assert value.item() == pytest.approx(0.7 * sum(terms) / len(terms), rel=1e-6)


# -- BST -----------------------------------------------------------------------------------------


def heads(attention: nn.Module, x: Matrix, causal: bool) -> list[Matrix]:
    """What each head gathers for each item."""
    width = len(x[0]) if x else attention.out_features
    size = width // attention.num_heads
    query, key, value = attention.inputs.weight.chunk(3)
    gathered = []
    for n in range(attention.num_heads):
        own = slice(n * size, (n + 1) * size)
        q, k, v = ([apply(w[own], item) for item in x] for w in (query, key, value))
        rows = []
        for t in range(len(x)):
            seen = range(t + 1 if causal else len(x))
            weights = softmax([dot(q[t], k[s]) / math.sqrt(size) for s in seen])
            rows.append(weighted(weights, [v[s] for s in seen], size))
        gathered.append(rows)
    return gathered


def transformer(block: nn.Module, x: Matrix, slope: float, causal: bool) -> Matrix:
    """One block; the feed-forward network's activation is a rectifier with this slope."""
    gathered = heads(block.attention, x, causal)
    out = []
    for t, item in enumerate(x):
        joined = [number for head in gathered for number in head[t]]
        norm = block.attention_norm
        attended = affine(block.attention.output, joined)
        s = normed(add(item, attended), norm.weight.tolist(), norm.bias.tolist())
        hidden = [v if v > 0 else slope * v for v in affine(block.up, s)]
        norm = block.feedforward_norm
        total = add(s, affine(block.down, hidden))
        out.append(normed(total, norm.weight.tolist(), norm.bias.tolist()))
    return out


@pytest.mark.parametrize("output", ["concat", "mean", "candidate"])
def test_bst(output: str) -> None:
    model = ready(BST(**features(), **TOWER, num_blocks=2, position_dim=2, output=output))
    places = model.position.weight.tolist()
    expected = []
    for row in range(ROWS):
        others, candidate, items = parts(model, row)
        sequence = [*items, candidate]
        y = [item + places[len(sequence) - 1 - t] for t, item in enumerate(sequence)]
        for block in model.blocks:
            y = transformer(block, y, slope=0.01, causal=False)
        if output == "concat":
            nothing = [[0.0] * (D + 2)] * (MAX_LEN - len(items))
            read = [number for vector in [*y[:-1], *nothing, y[-1]] for number in vector]
        elif output == "mean":
            read = weighted([1 / len(y)] * len(y), y, D + 2)
        else:
            read = y[-1]
        expected.append(mlp(model.mlp, others + read))
    check(model, expected)


# -- DMIN ----------------------------------------------------------------------------------------


def of_head(layer: nn.Module, n: int, x: Vector) -> Vector:
    return add(apply(layer.weight[n], x), layer.bias[n].tolist())


def test_dmin() -> None:
    model = ready(DMIN(**features(), **TOWER, attention_hidden_units=[5, 3]))
    heads_of, unit = model.extractor, model.activation_unit
    expected = []
    for row in range(ROWS):
        others, candidate, items = parts(model, row)
        refined = transformer(model.refiner, items, slope=0.0, causal=True)
        query = apply(model.query.weight, candidate)
        pooled = []
        for n, gathered in enumerate(heads(heads_of.attention, refined, causal=True)):
            interests, scores = [], []
            for t, r in enumerate(refined):
                norm = heads_of.norm
                total = add(r, of_head(heads_of.expand, n, gathered[t]))
                s = normed(total, norm.weight[n].tolist(), norm.bias[n].tolist())
                hidden = relu(of_head(heads_of.up, n, s))
                interest = add(s, of_head(heads_of.down, n, hidden))
                age = len(refined) - 1 - t
                q = add(query, apply(model.place.weight, model.position.weight[age].tolist()))
                of_query = apply(unit.on_query.weight[5 * n : 5 * n + 5], q)
                pair = interest + times(interest, q)
                first = relu(add(of_head(unit.on_interest, n, pair), of_query))
                second = relu(of_head(unit.later[1], n, first))
                scores.append(dot(unit.score[n].tolist(), second))
                interests.append(interest)
            pooled += weighted(softmax(scores), interests, D)
        expected.append(mlp(model.mlp, others + pooled))
    check(model, expected)
