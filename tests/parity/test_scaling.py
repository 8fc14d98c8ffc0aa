"""Models built to scale against their papers' formulas, written out number by number in float64."""

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
    table,
    vectors,
)
from torch import Tensor, nn

from nextrec.features import SequenceFeature
from nextrec.models.ranking.hiformer import HiFormer
from nextrec.models.ranking.one_trans import OneTrans
from nextrec.models.ranking.rank_mixer import RankMixer
from nextrec.models.ranking.wukong import WuKong

Matrix = list[Vector]


def add(a: Vector, b: Vector) -> Vector:
    return [p + q for p, q in zip(a, b, strict=True)]


def times(matrix: Tensor, x: Vector) -> Vector:
    return [dot(row, x) for row in matrix.tolist()]


def mixture(weights: Vector, tokens: Matrix) -> Vector:
    return [dot(weights, [x[d] for x in tokens]) for d in range(len(tokens[0]))]


def layer_norm(norm: nn.LayerNorm, x: Vector) -> Vector:
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    scale, shift = norm.weight.tolist(), norm.bias.tolist()
    return [g * (v - mean) / deviation + b for v, g, b in zip(x, scale, shift, strict=True)]


def rms_norm(norm: nn.Module, x: Vector) -> Vector:
    size = math.sqrt(sum(v * v for v in x) / len(x) + 1e-6)
    return [g * v / size for v, g in zip(x, norm.weight.tolist(), strict=True)]


def gelu(x: Vector) -> Vector:
    return [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]


def softmax(scores: Vector) -> Vector:
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def fields(model: nn.Module, row: int) -> Matrix:
    e = vectors(model.embedding, row)
    price = affine(model.embedding.dense_transforms["price"], e["price"])
    return [e["user"], e["item"], e["history"], price]


def own_network(network: nn.Module, token: int, x: Vector) -> Vector:
    first, _, second = network
    hidden = gelu(add(times(first.weight[token], x), first.bias[token].tolist()))
    return add(times(second.weight[token], hidden), second.bias[token].tolist())


# -- WuKong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"num_fmb": 3, "num_lcb": 2, "rank": 2, "num_layers": 2},
        {"num_fmb": 1, "num_lcb": 3, "rank": 3, "num_layers": 3},  # four vectors throughout
        {"num_fmb": 2, "num_lcb": 1, "rank": None, "num_layers": 2},
        {"num_fmb": 3, "num_lcb": 2, "rank": 2, "attention_params": {"dims": [4]}},
    ],
)
def test_wukong(options: dict) -> None:
    model = ready(
        WuKong(**features(), **options, fmb_params={"dims": [5]}, mlp_params={"dims": [9]})
    )
    expected = []
    for row in range(ROWS):
        x = fields(model, row)
        for layer in model.layers:
            x = wukong_layer(layer, x, **options)
        expected.append(mlp(model.mlp, [v for vector in x for v in vector]))
    check(model, expected)


def wukong_layer(
    layer: nn.Module, x: Matrix, num_fmb: int, num_lcb: int, rank: int | None, **_: object
) -> Matrix:
    n, rows = len(x), layer.combine.weight.tolist()
    compressed = [mixture(w, x) for w in rows[:num_lcb]]
    grams = [[dot(a, b) for b in x] for a in x]  # X X^T
    if rank is not None:
        y = [[rows[num_lcb + j][m] for j in range(rank)] for m in range(n)]
        if layer.attention is not None:
            read = [v for w in rows[num_lcb : num_lcb + rank] for v in mixture(w, x)]
            made = mlp(layer.attention, read)
            y = [made[m * rank : (m + 1) * rank] for m in range(n)]
        grams = [
            [sum(grams[i][m] * y[m][j] for m in range(n)) for j in range(rank)] for i in range(n)
        ]
    pairs = layer_norm(layer.pair_norm, [v for line in grams for v in line])
    made = mlp(layer.fmb, pairs)
    width = len(x[0])
    interacted = [made[i * width : (i + 1) * width] for i in range(num_fmb)]
    residual = x
    if num_fmb + num_lcb != n:
        residual = [mixture(w, x) for w in rows[num_lcb + (rank or 0) :]]
    joined = interacted + compressed
    return [layer_norm(layer.norm, add(a, b)) for a, b in zip(joined, residual, strict=True)]


# -- RankMixer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"num_tokens": 3}, [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]),
        (
            {"token_groups": [["user"], ["price", "item"], ["history"]]},
            [[0, 1, 2], [9, 3, 4, 5], [6, 7, 8]],
        ),
    ],
)
def test_rank_mixer(options: dict, parts: list[list[int]]) -> None:
    model = ready(
        RankMixer(**features(), **options, token_dim=6, num_layers=2, mlp_params={"dims": [9]})
    )
    project = model.tokenizer.linear
    expected = []
    for row in range(ROWS):
        whole = flat(model.embedding, row)
        x = []
        for t, part in enumerate(parts):
            weight = project.weight[t][:, : len(part)]
            x.append(add(times(weight, [whole[i] for i in part]), project.bias[t].tolist()))
        for block in model.blocks:
            mixed = [[v for token in x for v in token[2 * h : 2 * h + 2]] for h in range(3)]
            s = [layer_norm(block.mix_norm, add(a, b)) for a, b in zip(mixed, x, strict=True)]
            x = [
                layer_norm(block.norm, add(own_network(block.feed_forward, t, token), token))
                for t, token in enumerate(s)
            ]
        expected.append(mlp(model.mlp, mixture([1 / 3] * 3, x)))
    check(model, expected)


# -- HiFormer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"rank": 3}, {"composite": False}, {"rank": 2, "num_layers": 1}]
)
def test_hiformer(options: dict) -> None:
    model = ready(
        HiFormer(**features(), num_heads=2, head_dim=2, **options, mlp_params={"dims": [9]})
    )
    expected = []
    for row in range(ROWS):
        x = [model.task_tokens[0].tolist(), *fields(model, row)]
        for layer in model.layers:
            x = hiformer_layer(layer, x)
        assert len(x) == 1
        expected.append(mlp(model.mlp, x[0]))
    check(model, expected)


def hiformer_layer(layer: nn.Module, x: Matrix, heads: int = 2, width: int = 2) -> Matrix:
    keys, values = projections(layer.key_value, x, heads, width)
    done = []
    for i in range(layer.queries):
        query = times(layer.query.weight[i], x[i])
        joined: Vector = []
        for head in range(heads):
            own = query[head * width : (head + 1) * width]
            weights = softmax([dot(own, key) / math.sqrt(width) for key in keys[head]])
            joined += mixture(weights, values[head])
        s = layer_norm(layer.attention_norm, add(times(layer.out.weight[i], joined), x[i]))
        done.append(layer_norm(layer.norm, add(own_network(layer.feed_forward, i, s), s)))
    return done


def projections(
    module: nn.Module, x: Matrix, heads: int, width: int
) -> tuple[list[Matrix], list[Matrix]]:
    """Keys and values, ``[head][token]``."""
    tokens, found = len(x), []
    whole = [v for vector in x for v in vector]
    for kind in range(2):
        for head in range(heads):
            place = kind * heads + head
            if type(module).__name__ == "FieldProjection":
                rows = slice(place * width, (place + 1) * width)
                found.append([times(module.linear.weight[t][rows], x[t]) for t in range(tokens)])
                continue
            if module.expand is None:
                size = tokens * width
                stacked = times(module.linear.weight[place * size : (place + 1) * size], whole)
            else:
                rank = module.rank
                inner = times(module.linear.weight[place * rank : (place + 1) * rank], whole)
                stacked = times(module.expand.weight[place], inner)
            found.append([stacked[t * width : (t + 1) * width] for t in range(tokens)])
    return found[:heads], found[heads:]


# -- OneTrans ------------------------------------------------------------------------------------

SEEN = torch.tensor([[3, 1, 0], [0, 0, 0], [4, 0, 0], [2, 5, 1], [1, 2, 3]])


@pytest.mark.parametrize("pyramid", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_one_trans(num_layers: int, pyramid: bool) -> None:
    columns = features()
    columns["sequence_features"].append(SequenceFeature("seen", 6, 3, embedding_dim=2))
    model = ready(
        OneTrans(
            **columns,
            num_tokens=2,
            token_dim=4,
            num_layers=num_layers,
            num_heads=2,
            pyramid=pyramid,
            mlp_params={"dims": [9]},
        )
    )
    # Eight events at most: four, the separator, three. The last block computes none.
    kept = (
        {1: [0], 2: [8, 0], 3: [8, 5, 0]}[num_layers] if pyramid else [8] * (num_layers - 1) + [0]
    )
    expected = []
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        events = [
            affine(model.events.maps[0], table(model.embedding, "items")[i])
            for i in X["history"][row].tolist()
            if i != 0
        ]
        events.append(model.events.separators[0].tolist())
        events += [
            affine(model.events.maps[1], table(model.embedding, "seen")[i])
            for i in SEEN[row].tolist()
            if i != 0
        ]
        cut = affine(model.tokenizer, e["user"] + e["item"] + e["price"])
        others = [cut[:4], cut[4:]]
        for block, count in zip(model.blocks, kept, strict=True):
            events, others = one_trans_block(block, events, others, count)
        assert not events
        read = [v for token in others for v in rms_norm(model.norm, token)]
        expected.append(mlp(model.mlp, read))
    logits = model.logits({**X, "seen": SEEN})
    torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))
    assert len({round(each[0], 9) for each in expected}) == ROWS


def one_trans_block(
    block: nn.Module, events: Matrix, others: Matrix, kept: int
) -> tuple[Matrix, Matrix]:
    tokens = events + others

    def weight(linear: nn.Module, i: int) -> Tensor:
        if i < len(events):
            return linear.shared.weight
        return linear.own.weight[i - len(events)]

    def network(i: int, layer: int) -> Tensor:
        if i < len(events):
            return block.feed_forward.shared[layer].weight
        return block.feed_forward.own[layer].weight[i - len(events)]

    normed = [rms_norm(block.attention_norm, x) for x in tokens]
    both = [times(weight(block.key_value, i), x) for i, x in enumerate(normed)]
    keys, values = [b[:4] for b in both], [b[4:] for b in both]
    first = max(len(events) - kept, 0)
    done = []
    for i in range(first, len(tokens)):
        query = times(weight(block.query, i), normed[i])
        joined: Vector = []
        for h in (slice(0, 2), slice(2, 4)):
            seen = range(i + 1)
            weights = softmax([dot(query[h], keys[j][h]) / math.sqrt(2) for j in seen])
            joined += mixture(weights, [values[j][h] for j in seen])
        z = add(times(weight(block.out, i), joined), tokens[i])
        hidden = gelu(times(network(i, 0), rms_norm(block.norm, z)))
        done.append(add(times(network(i, 2), hidden), z))
    return done[: len(events) - first], done[len(events) - first :]
