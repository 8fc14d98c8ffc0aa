"""Layers with parameters of each domain, against an ordinary layer for each domain's rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nextrec.layers import domain as module
from nextrec.layers.domain import PartitionedNorm, StarLinear

DOMAINS = torch.tensor([2, 0, 2, 0, 1, 0])


def randomised(layer: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer


def test_normalises_as_a_batch_norm_a_domain() -> None:
    torch.manual_seed(0)
    layer = randomised(PartitionedNorm(4, 3))
    alone = [nn.BatchNorm1d(3) for _ in range(4)]
    for p, norm in enumerate(alone):
        norm.weight.data = layer.weight * layer.domain_weight[p]
        norm.bias.data = layer.bias + layer.domain_bias[p]
    for _ in range(3):
        x = 2 * torch.randn(6, 3) + 1
        y = layer(x, DOMAINS)
        for p in (0, 2):
            torch.testing.assert_close(y[p == DOMAINS], alone[p](x[p == DOMAINS]))
    layer.eval()
    x = torch.randn(6, 3)
    y = layer(x, DOMAINS)
    for p, norm in enumerate(alone):
        torch.testing.assert_close(layer.running_mean[p], norm.running_mean)
        torch.testing.assert_close(layer.running_var[p], norm.running_var)
        torch.testing.assert_close(y[p == DOMAINS], norm.eval()(x[p == DOMAINS]))


def test_one_row_of_a_domain_is_normalised_by_what_was_seen_before() -> None:
    layer = PartitionedNorm(2, 3)
    x = torch.randn(4, 3, requires_grad=True)
    layer(x, torch.tensor([0, 0, 0, 0]))
    before = layer.running_mean.clone(), layer.running_var.clone()
    single = torch.tensor([[5.0, -1.0, 2.0]], requires_grad=True)
    y = layer(single, torch.tensor([0]))
    expected = (single - before[0][0]) / (before[1][0] + layer.eps).sqrt()
    torch.testing.assert_close(y, expected)
    assert torch.equal(layer.running_mean, before[0])
    assert torch.equal(layer.running_var, before[1])
    y.sum().backward()
    assert single.grad.abs().min() > 0


def test_a_domain_never_seen_is_finite() -> None:
    layer = PartitionedNorm(3, 2)
    layer(torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
    x = torch.randn(2, 2)
    torch.testing.assert_close(layer.eval()(x, torch.tensor([1, 2])), x, rtol=1e-4, atol=1e-5)


def test_gradients_pass_through_the_batch_statistics() -> None:
    layer = randomised(PartitionedNorm(3, 2)).double()
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: layer(values, DOMAINS), (x,))


@pytest.mark.parametrize("bank", [0, 32])
def test_is_a_linear_layer_a_domain(bank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BANK", bank)
    torch.manual_seed(0)
    layer = randomised(StarLinear(3, 4, 5))
    x = torch.randn(6, 4)
    y = layer(x, DOMAINS)
    for row, p in enumerate(DOMAINS.tolist()):
        weight = layer.weight * layer.domain_weight[p]
        own = F.linear(x[row], weight, layer.bias + layer.domain_bias[p])
        torch.testing.assert_close(y[row], own)
    y.square().sum().backward()
    assert layer.domain_weight.grad.abs().sum((1, 2)).min() > 0


@pytest.mark.parametrize("bank", [0, 32])
def test_bf16_autocast(bank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BANK", bank)
    norm, linear = PartitionedNorm(3, 4), StarLinear(3, 4, 5)
    x = torch.randn(6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = linear(norm(x.bfloat16(), DOMAINS).bfloat16(), DOMAINS)
    y.float().sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(linear.weight.grad).all()


def test_all_domains_start_as_one_layer() -> None:
    layer = StarLinear(3, 4, 5)
    x = torch.randn(1, 4).expand(3, 4)
    y = layer(x, torch.arange(3))
    torch.testing.assert_close(y[0].expand(3, 5), y)
