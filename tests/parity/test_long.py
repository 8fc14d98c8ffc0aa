"""The models for long histories against their papers' formulas, number by number in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from parity.pieces import ROWS, Vector, X, affine, check, dot, features, mlp, ready, table, vectors
from torch import nn

from nextrec.features import SequenceFeature, SparseFeature
from nextrec.models.ranking.dmr import DMR
from nextrec.models.ranking.eta import ETA
from nextrec.models.ranking.sdim import SDIM
from nextrec.models.ranking.sim import SIM


def history(row: int) -> list[int]:
    return [i for i in X["history"][row].tolist() if i != 0]


def softmax(scores: Vector) -> Vector:
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def pool(weights: Vector, keys: list[Vector], width: int) -> Vector:
    return [sum(w * k[d] for w, k in zip(weights, keys, strict=True)) for d in range(width)]


def attend(layer: nn.Module, query: Vector, keys: list[Vector]) -> Vector:
    """Multi-head target attention, one head and one item at a time."""
    width = layer.W_K.in_features
    size = width // layer.num_heads
    asked = affine(layer.W_Q, query)
    answers = [affine(layer.W_K, key) for key in keys]
    values = keys if layer.W_V is None else [affine(layer.W_V, key) for key in keys]
    out: Vector = []
    for n in range(layer.num_heads):
        head = slice(n * size, (n + 1) * size)
        weights = softmax([dot(asked[head], a[head]) / math.sqrt(size) for a in answers])
        taken = [value if layer.W_V is None else value[head] for value in values]
        out += pool(weights, taken, width if layer.W_V is None else size)
    return out if layer.W_O is None else affine(layer.W_O, out)


def signs(hashes: nn.Module, x: Vector) -> list[int]:
    return [
        1 if dot(x, list(r)) >= 0 else -1 for r in zip(*hashes.directions.tolist(), strict=True)
    ]


def other_features(e: dict[str, Vector]) -> Vector:
    return e["user"] + e["item"] + e["price"]


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("short", [0, 2])
def test_eta(heads: int, short: int) -> None:
    model = ready(
        ETA(
            **features(),
            mlp_params={"dims": [8]},
            top_k=2,
            hash_bits=6,
            num_heads=heads,
            short_len=short,
        )
    )
    expected = []
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        keys = [table(model.embedding, "items")[i] for i in history(row)]
        code = signs(model.hashes, e["item"])
        distance = [
            sum(a != b for a, b in zip(code, signs(model.hashes, key), strict=True)) for key in keys
        ]
        nearest = sorted(range(len(keys)), key=lambda t: (distance[t], -t))[:2]
        joined = other_features(e) + attend(model.long, e["item"], [keys[t] for t in nearest])
        if short:
            joined += attend(model.short, e["item"], keys[-short:])
        expected.append(mlp(model.mlp, joined))
    check(model, expected)


def test_sdim() -> None:
    model = ready(
        SDIM(
            **features(),
            mlp_params={"dims": [8]},
            num_hashes=8,
            signature_width=2,
            num_heads=1,
            short_len=3,
        )
    )
    expected, sizes = [], set()
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        keys = [table(model.embedding, "items")[i] for i in history(row)]
        code = signs(model.long.hashes, e["item"])
        codes = [signs(model.long.hashes, key) for key in keys]
        interest = [0.0, 0.0, 0.0]
        for g in range(4):
            bits = [g, g + 4]
            bucket = [
                key
                for key, own in zip(keys, codes, strict=True)
                if all(own[j] == code[j] for j in bits)
            ]
            total = pool([1.0] * len(bucket), bucket, 3)
            length = math.sqrt(dot(total, total))
            sizes.add(len(bucket))
            if bucket:
                interest = [v + t / length / 4 for v, t in zip(interest, total, strict=True)]
        joined = other_features(e) + interest + attend(model.short, e["item"], keys[-3:])
        expected.append(mlp(model.mlp, joined))
    check(model, expected)
    assert len(sizes) > 2, "the buckets must differ"


def test_sim_with_soft_search() -> None:
    model = ready(
        SIM(
            **features(),
            mlp_params={"dims": [8]},
            search_params={"dims": [4]},
            top_k=2,
            num_heads=3,
            short_len=1,
        )
    )
    expected, searched = [], []
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        keys = [table(model.embedding, "items")[i] for i in history(row)]
        asked = affine(model.soft.W_a, e["item"])
        scores = [dot(affine(model.soft.W_b, key), asked) for key in keys]
        found = sorted(range(len(keys)), key=lambda t: -scores[t])[:2]
        searched.append(mlp(model.soft.mlp, pool(scores, keys, 3) + e["item"]))
        joined = (
            other_features(e)
            + attend(model.long, e["item"], [keys[t] for t in found])
            + attend(model.short, e["item"], keys[-1:])
        )
        expected.append(mlp(model.mlp, joined))
    check(model, expected)
    outputs = model.training_outputs(X)
    targets = torch.tensor([0.0, 1, 1, 0, 1], dtype=torch.float64)
    for name, values in (("logits", expected), ("search", searched)):
        torch.testing.assert_close(outputs[name], torch.tensor(values, dtype=torch.float64))
    both = [cross_entropy(values, targets.tolist()) for values in (expected, searched)]
    assert model.objective(outputs, targets).item() == pytest.approx(sum(both))
    outputs["search_weight"] = 0.25
    assert model.objective(outputs, targets).item() == pytest.approx(both[0] + 0.25 * both[1])


def cross_entropy(logits: list[Vector], targets: Vector) -> float:
    losses = [math.log1p(math.exp(-z if y else z)) for (z,), y in zip(logits, targets, strict=True)]
    return sum(losses) / len(losses)


def test_sim_with_hard_search_and_time() -> None:
    every = features()
    every["sparse_features"].append(SparseFeature("genre", 5, "genres", embedding_dim=2))
    every["sequence_features"] += [
        SequenceFeature("genres", 5, 4, "genres", embedding_dim=2),
        SequenceFeature("gaps", 4, 4, embedding_dim=1, combiner="none"),
    ]
    x = {
        **X,
        "genre": torch.tensor([1, 2, 1, 3, 4]),
        "genres": torch.tensor(
            [[2, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [3, 1, 3, 3], [4, 4, 2, 0]]
        ),
        "gaps": torch.tensor(
            [[3, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [3, 3, 2, 1], [2, 2, 1, 0]]
        ),
    }
    model = ready(
        SIM(
            **every,
            mlp_params={"dims": [8]},
            search="hard",
            top_k=2,
            num_heads=2,
            short_len=0,
            category_feature_name="genre",
            time_feature_name="gaps",
        )
    )
    expected = []
    for row in range(ROWS):
        e: dict[str, Any] = vectors(model.embedding, row)
        items, genres = table(model.embedding, "items"), table(model.embedding, "genres")
        gaps = table(model.embedding, "gaps")
        genre = x["genre"][row].item()
        query = e["item"] + genres[genre]
        columns = zip(
            *(x[name][row].tolist() for name in ("history", "genres", "gaps")), strict=True
        )
        z = [items[i] + genres[c] + gaps[t] for i, c, t in columns if i != 0 and c == genre][-2:]
        found = attend(model.long, query, z)
        rest = e["user"] + e["item"] + genres[genre] + e["price"]
        expected.append(mlp(model.mlp, rest + found))
    torch.testing.assert_close(model.logits(x), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(
        model.training_outputs(x)["logits"], torch.tensor(expected, dtype=torch.float64)
    )


def additive(
    unit: nn.Module, keys: list[Vector], candidate: Vector | None = None
) -> tuple[Vector, Vector]:
    """Raw scores and what they gather; the newest item has place 0."""
    scores = []
    for t, key in enumerate(keys):
        place = unit.positions.weight.tolist()[len(keys) - 1 - t]
        terms = [affine(unit.W_p, place), affine(unit.W_e, key)]
        if candidate is not None:
            terms.append(affine(unit.W_c, candidate))
        scores += affine(unit.z, [math.tanh(sum(parts)) for parts in zip(*terms, strict=True)])
    return scores, pool(softmax(scores), keys, 3)


def user_of(model: nn.Module, keys: list[Vector]) -> Vector:
    linear, prelu = model.user
    slope = prelu.weight.item()
    gathered = additive(model.user_to_item, keys)[1]
    return [v if v > 0 else slope * v for v in affine(linear, gathered)]


def test_dmr() -> None:
    model = ready(DMR(**features(), mlp_params={"dims": [8]}, attention_dim=4, position_dim=2))
    targets = table(model.targets, "items")
    expected = []
    for row in range(ROWS):
        e = vectors(model.embedding, row)
        keys = [table(model.embedding, "items")[i] for i in history(row)]
        scores, interest = additive(model.item_to_item, keys, e["item"])
        relevance = dot(user_of(model, keys), targets[X["item"][row]])
        joined = other_features(e) + interest + [relevance, sum(scores)]
        expected.append(mlp(model.mlp, joined))
    check(model, expected)


@pytest.mark.parametrize("negatives", [1, 4, 256])
def test_dmr_match_loss(negatives: int) -> None:
    model = ready(DMR(**features(), attention_dim=4, auxiliary_weight=0.3, num_negatives=negatives))
    targets = table(model.targets, "items")
    items = table(model.embedding, "items")
    known = [row for row in range(ROWS) if len(history(row)) > 1]
    pool_of_items = {history(row)[-1] for row in known if row < negatives}
    losses = []
    for row in known:
        user = user_of(model, [items[i] for i in history(row)[:-1]])
        newest = history(row)[-1]
        scores = {j: dot(user, targets[j]) for j in pool_of_items | {newest}}
        losses.append(math.log(sum(math.exp(s) for s in scores.values())) - scores[newest])
    found = model.training_outputs(X)["auxiliary"]["match"].item()
    assert found == pytest.approx(0.3 * sum(losses) / len(losses))
