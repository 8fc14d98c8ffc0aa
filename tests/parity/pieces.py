"""What the parity tests share: small features, one batch, and the formulas' pieces as loops."""

from __future__ import annotations

import math

import torch
from torch import nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature

Vector = list[float]
ROWS = 5


def features() -> dict[str, list]:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=3),
            SparseFeature("item", 8, embedding_dim=3, embedding_name="items"),
        ],
        "sequence_features": [
            SequenceFeature("history", 8, 4, "items", embedding_dim=3),
        ],
    }


X = {
    "price": torch.tensor([0.5, -1.0, 2.0, 0.1, -0.3], dtype=torch.float64),
    "user": torch.tensor([0, 1, 2, 3, 5]),
    "item": torch.tensor([1, 2, 7, 4, 5]),
    "history": torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], [4, 5, 6, 7], [2, 2, 1, 0]]),
}


def ready(model: nn.Module) -> nn.Module:
    """Random weights and running statistics in float64, evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    model.double().eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(0.5 * torch.randn(tensor.shape, generator=generator).double())
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.abs_().add_(0.5)
    for module in model.modules():
        if hasattr(module, "zero_padding"):
            module.zero_padding()
    return model


# -- the formulas' pieces, in plain Python -------------------------------------------------------


def dot(a: Vector, b: Vector) -> float:
    return sum(p * q for p, q in zip(a, b, strict=True))


def affine(layer: nn.Linear, x: Vector) -> Vector:
    bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
    return [dot(row, x) + b for row, b in zip(layer.weight.tolist(), bias, strict=True)]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def relu(x: Vector) -> Vector:
    return [max(0.0, v) for v in x]


def batch_norm(norm: nn.BatchNorm1d, x: Vector) -> Vector:
    mean, variance = norm.running_mean.tolist(), norm.running_var.tolist()
    if norm.affine:
        scale, shift = norm.weight.tolist(), norm.bias.tolist()
    else:
        scale, shift = [1.0] * len(x), [0.0] * len(x)
    return [
        s * (v - m) / math.sqrt(q + norm.eps) + b
        for v, m, q, s, b in zip(x, mean, variance, scale, shift, strict=True)
    ]


def mlp(module: nn.Module, x: Vector) -> Vector:
    """A stack of linear, batch norm and ReLU, layer by layer."""
    for layer in module.mlp:
        if isinstance(layer, nn.Linear):
            x = affine(layer, x)
        elif isinstance(layer, nn.BatchNorm1d):
            x = batch_norm(layer, x)
        elif isinstance(layer, nn.ReLU):
            x = relu(x)
        else:
            assert isinstance(layer, nn.Identity), layer
    return x


def table(layer: nn.Module, name: str) -> list[Vector]:
    return layer.embed_dict[name].weight.tolist()


def vectors(layer: nn.Module, row: int) -> dict[str, Vector]:
    items = table(layer, "items")
    real = [items[i] for i in X["history"][row].tolist() if i != 0]
    width = len(items[0])
    pooled = [sum(v[d] for v in real) / max(len(real), 1) for d in range(width)]
    return {
        "user": table(layer, "user")[X["user"][row]],
        "item": items[X["item"][row]],
        "history": pooled,
        "price": [X["price"][row].item()],
    }


def flat(layer: nn.Module, row: int) -> Vector:
    return [number for vector in vectors(layer, row).values() for number in vector]


def check(model: nn.Module, expected: list[Vector]) -> None:
    logits = model.logits(X)
    torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))
    assert len({round(each[0], 9) for each in expected}) == ROWS, "the rows must differ"
