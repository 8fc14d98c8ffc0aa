"""DCNv3 and EulerNet against their papers' formulas, written out number by number."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
import torch.nn.functional as F
from parity.pieces import ROWS, Vector, X, affine, check, features, ready, vectors
from torch import nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.ranking.dcn_v3 import DCNv3
from nextrec.models.ranking.euler_net import EulerNet

WIDTH = 4


def even_features() -> dict[str, list]:
    """Those of the other tests with an even width, which splits in halves."""
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=WIDTH),
            SparseFeature("item", 8, embedding_dim=WIDTH, embedding_name="items"),
        ],
        "sequence_features": [SequenceFeature("history", 8, 4, "items", embedding_dim=WIDTH)],
    }


def field_vectors(model: nn.Module, row: int) -> list[Vector]:
    """All features as vectors: the number through its map."""
    e = vectors(model.embedding, row)
    price = affine(model.embedding.dense_transforms["price"], e["price"])
    return [e["user"], e["item"], e["history"], price]


# -- DCNv3 ---------------------------------------------------------------------------------------


def layer_norm(norm: nn.LayerNorm, x: Vector) -> Vector:
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return [
        g * (v - mean) / math.sqrt(variance + norm.eps) + b
        for v, g, b in zip(x, norm.weight.tolist(), norm.bias.tolist(), strict=True)
    ]


def crossed(branch: nn.Module, heads: list[Vector], exponential: bool) -> list[Vector]:
    """Each head's vector behind all layers."""
    outputs = []
    for head, x_1 in enumerate(heads):
        x = x_1
        for w, batch, layer in zip(branch.w, branch.batch_norms, branch.layer_norms, strict=True):
            c = affine(w, x)
            if not isinstance(batch, nn.Identity):
                mean, variance = batch.running_mean[head].item(), batch.running_var[head].item()
                scale, shift = batch.weight[head].item(), batch.bias[head].item()
                c = [scale * (v - mean) / math.sqrt(variance + batch.eps) + shift for v in c]
            mask = [v * max(0.0, n) for v, n in zip(c, layer_norm(layer, c), strict=True)]
            y = x if exponential else x_1
            x = [p * q + r for p, q, r in zip(y, c + mask, x, strict=True)]
        outputs.append(x)
    return outputs


def branch_logit(branch: nn.Module, heads: list[Vector], exponential: bool) -> float:
    logits = [affine(branch.head, x)[0] for x in crossed(branch, heads, exponential)]
    return sum(logits) / len(logits)


def views(fields: list[Vector], heads: int) -> list[Vector]:
    """The first halves of all fields, then their second halves, apart for each head."""
    part, half = WIDTH // heads, WIDTH // heads // 2
    return [
        [
            number
            for second in (0, half)
            for field in fields
            for number in field[head * part + second : head * part + second + half]
        ]
        for head in range(heads)
    ]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_dcn_v3(heads: int, batch_norm: bool) -> None:
    model = ready(
        DCNv3(
            **even_features(),
            deep_cross_num=3,
            shallow_cross_num=2,
            num_heads=heads,
            batch_norm=batch_norm,
        )
    )
    expected = []
    for row in range(ROWS):
        parts = views(field_vectors(model, row), heads)
        deep = branch_logit(model.branches["deep"], parts, exponential=True)
        shallow = branch_logit(model.branches["shallow"], parts, exponential=False)
        expected.append([(deep + shallow) / 2])
    check(model, expected)


@pytest.mark.parametrize("name", ["deep", "shallow"])
def test_dcn_v3_of_one_branch(name: str) -> None:
    counts = {"deep_cross_num": 0, "shallow_cross_num": 0, f"{name}_cross_num": 2}
    model = ready(DCNv3(**even_features(), **counts))
    expected = []
    for row in range(ROWS):
        parts = views(field_vectors(model, row), 1)
        expected.append([branch_logit(model.branches[name], parts, name == "deep")])
    check(model, expected)


def test_dcn_v3_trains_each_branch_by_what_it_is_worse() -> None:
    model = ready(DCNv3(**even_features(), target=["click", "buy"]))
    model.compile(loss_weights=[1.0, 0.5])
    labels = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0], [1, float("nan")]])
    outputs = model.training_outputs(X)
    expected = 0.0
    for task, weight in enumerate((1.0, 0.5)):
        seen = ~labels[:, task].isnan()
        y = labels[seen, task].double()
        main, *apart = (
            F.binary_cross_entropy(torch.sigmoid(z[seen, task]), y).item()
            for z in (outputs["logits"], *outputs["branches"])
        )
        expected += weight * (main + sum(max(0.0, each - main) * each for each in apart))
    assert model.objective(outputs, labels).item() == pytest.approx(expected)
    assert expected > model.objective(outputs["logits"], labels).item() + 1e-3


# -- EulerNet ------------------------------------------------------------------------------------


def euler_layer(layer: nn.Module, inputs: list[list[complex]]) -> list[list[complex]]:
    """Complex powers and products by Python's own complex numbers."""
    width = len(inputs[0])
    real = affine(layer.implicit, [z.real for vector in inputs for z in vector])
    imaginary = affine(layer.implicit, [z.imag for vector in inputs for z in vector])
    delta = layer.bias.squeeze(1).tolist()
    outputs = []
    for n, powers in enumerate(layer.alpha.tolist()):
        vector = []
        for d in range(width):
            product = cmath.exp(complex(delta[0][n][d], delta[1][n][d]))
            for power, z in zip(powers, inputs, strict=True):
                product *= z[d] ** power
            k = n * width + d
            vector.append(product + complex(max(0.0, real[k]), max(0.0, imaginary[k])))
        outputs.append(vector)
    if not len(layer.norms):
        return outputs
    normed = []
    for vector in outputs:
        r = layer_norm(layer.norms[0], [z.real for z in vector])
        p = layer_norm(layer.norms[1], [z.imag for z in vector])
        normed.append([complex(*pair) for pair in zip(r, p, strict=True)])
    return normed


@pytest.mark.parametrize(
    "options", [{}, {"order_units": [3, 5]}, {"order_units": [6], "layer_norm": True}]
)
def test_euler_net(options: dict) -> None:
    model = ready(EulerNet(**features(), **options))
    with torch.no_grad():
        model.mu.abs_()  # an empty history, 0, would lie on the cut of the phase with mu below 0
    expected = []
    for row in range(ROWS):
        o = [
            [mu * cmath.exp(1j * number) for number in vector]
            for mu, vector in zip(
                model.mu.flatten().tolist(), field_vectors(model, row), strict=True
            )
        ]
        for layer in model.layers:
            o = euler_layer(layer, o)
        expected.append(affine(model.head, [z.real + z.imag for vector in o for z in vector]))
    # The model's modulus has 1e-8 under the root.
    logits = model.logits(X)
    torch.testing.assert_close(
        logits, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-5
    )
    assert len({round(each[0], 6) for each in expected}) == ROWS
