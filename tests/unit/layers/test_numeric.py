from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nextrec.layers.numeric import (
    NUMERIC_LAYERS,
    AutoDis,
    NLinear,
    PeriodicEmbedding,
    PiecewiseLinear,
)

B, N, D = 5, 3, 4
EDGES = [[-1.0, 0.0, 0.5, 2.0], [0.0, 10.0], [-3.0, -2.0, 1.0]]

LAYERS = {
    "NLinear": lambda: NLinear(N, 1, D),
    "AutoDis": lambda: AutoDis(N, D, num_embeddings=6),
    "PeriodicEmbedding": lambda: PeriodicEmbedding(N, D, num_frequencies=7, scale=1.0),
    "PiecewiseLinear": lambda: PiecewiseLinear(EDGES, D),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return LAYERS[request.param]()


@pytest.fixture
def x() -> Tensor:
    return 2 * torch.randn(B, N, generator=torch.Generator().manual_seed(1))


def test_every_numeric_embedding_is_tested_here() -> None:
    assert {cls.__name__ for cls in NUMERIC_LAYERS.values()} <= set(LAYERS)


# -- equations, number by number -----------------------------------------------------------------


def linear(layer: NLinear, feature: int, inputs: list[float]) -> list[float]:
    weight, bias = layer.weight[feature].tolist(), layer.bias[feature].tolist()
    return [bias[d] + sum(v * w[d] for v, w in zip(inputs, weight, strict=True)) for d in range(D)]


def by_hand(layer: nn.Module, feature: int, x: float) -> list[float]:
    if isinstance(layer, NLinear):
        return linear(layer, feature, [x])
    if isinstance(layer, AutoDis):
        w, matrix = layer.first[feature, 0].tolist(), layer.second[feature].tolist()
        h = [v if v > 0 else 0.01 * v for v in (x * each for each in w)]
        scores = [
            sum(v * row[k] for v, row in zip(h, matrix, strict=True)) + layer.alpha * h[k]
            for k in range(len(h))
        ]
        chances = [math.exp(s / layer.temperature) for s in scores]
        meta = layer.vectors[feature].tolist()
        return [
            sum(p * m[d] for p, m in zip(chances, meta, strict=True)) / sum(chances)
            for d in range(D)
        ]
    if isinstance(layer, PeriodicEmbedding):
        angles = [2 * math.pi * c * x for c in layer.frequencies[feature].tolist()]
        waves = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
        return [max(0.0, v) for v in linear(layer.linear, feature, waves)]
    assert isinstance(layer, PiecewiseLinear)
    edges, bins = EDGES[feature], len(EDGES[feature]) - 1
    filled = [0.0] * 3
    for t in range(bins):
        part = (x - edges[t]) / (edges[t + 1] - edges[t])
        if t > 0:
            part = max(part, 0.0)
        if t < bins - 1:
            part = min(part, 1.0)
        filled[t] = part
    return linear(layer.linear, feature, filled)


def test_equation(layer: nn.Module, x: Tensor) -> None:
    layer.double()
    expected = [[by_hand(layer, j, x[i, j].item()) for j in range(N)] for i in range(B)]
    result = layer(x.double())
    assert result.shape == (B, N, layer.out_features)
    torch.testing.assert_close(
        result, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-7
    )


def test_piecewise_vectors_are_linear_between_the_edges_and_beyond() -> None:
    layer = PiecewiseLinear([[0.0, 1.0, 4.0]], D).double()

    def at(*numbers: float) -> Tensor:
        return layer(torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)).squeeze(1)

    for low, high in ((-5.0, 1.0), (1.0, 9.0)):
        ends = at(low, high)
        torch.testing.assert_close(at((low + high) / 2)[0], ends.mean(0))
    assert not torch.allclose(at(1.0)[0], at(-5.0, 9.0).mean(0), atol=1e-3)


def test_n_linear_of_vectors_is_a_linear_layer_each() -> None:
    layer = NLinear(N, 6, D)
    x = torch.randn(B, N, 6)
    for feature in range(N):
        one = nn.functional.linear(x[:, feature], layer.weight[feature].t(), layer.bias[feature])
        torch.testing.assert_close(layer(x)[:, feature], one)


@pytest.mark.parametrize("temperature", [1e-3, 1e4])
def test_temperature_makes_the_choice_hard_or_a_mean(temperature: float) -> None:
    layer = AutoDis(1, D, temperature=temperature)
    e = layer(torch.tensor([[1.0]]))[0, 0]
    nearest = (layer.vectors[0] - e).norm(dim=1).min()
    to_mean = (layer.vectors[0].mean(0) - e).norm()
    assert (nearest if temperature < 1 else to_mean) < 1e-3
    assert (to_mean if temperature < 1 else nearest) > 1e-2


# -- what holds for all --------------------------------------------------------------------------


@pytest.mark.parametrize("only", [[0], [2, 1], [0, 2]])
def test_some_features_alone_are_as_among_all(layer: nn.Module, x: Tensor, only: list[int]) -> None:
    torch.testing.assert_close(layer(x[:, only], only), layer(x)[:, only])


def test_every_parameter_gets_a_finite_gradient(layer: nn.Module, x: Tensor) -> None:
    x.requires_grad_()
    y = layer(x)
    (y * torch.arange(1.0, y.numel() + 1).view(y.shape).sin()).sum().backward()
    for tensor in (x, *layer.parameters()):
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0


def test_runs_in_bf16_and_on_an_empty_batch(layer: nn.Module, x: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    # A choice at temperature 0.1 multiplies the rounding of its scores by 10.
    torch.testing.assert_close(y.float(), layer(x), rtol=0.1, atol=0.15)
    assert layer(x[:0]).shape == (0, N, D)


def test_has_shapes_on_the_meta_device(layer: nn.Module) -> None:
    with torch.device("meta"):
        built = LAYERS[type(layer).__name__]()
    assert all(tensor.is_meta for tensor in (*built.parameters(), *built.buffers()))
    assert built(torch.zeros(B, N, device="meta")).shape == (B, N, D)
