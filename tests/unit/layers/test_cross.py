from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.layers.cross import (
    CrossLayer,
    CrossNetMix,
    CrossNetV2,
    CrossNetwork,
    GatedCrossNetwork,
)


def randomized(layer):
    """Every parameter random: zero biases would hide where they are added."""
    for each in layer.parameters():
        nn.init.normal_(each)
    return layer.double()


def test_cross_layer_is_the_equation():
    layer = randomized(CrossLayer(4))
    x_0, x_i = torch.randn(2, 3, 4).double()
    for b in range(3):
        dot = sum(layer.w.weight[0, d] * x_i[b, d] for d in range(4))
        torch.testing.assert_close(layer(x_0, x_i)[b], dot * x_0[b] + layer.b)


def test_cross_network_is_the_equation():
    net, x_0 = randomized(CrossNetwork(4, 3)), torch.randn(5, 4).double()
    for b in range(5):
        x = x_0[b]
        for layer in range(3):
            x = x_0[b] * (net.w[layer].weight[0] @ x) + net.b[layer] + x
        torch.testing.assert_close(net(x_0)[b], x)


def test_cross_network_has_the_names_of_0_3_1():
    assert sorted(CrossNetwork(4, 2).state_dict()) == ["b.0", "b.1", "w.0.weight", "w.1.weight"]


def test_cross_net_v2_has_its_bias_inside_the_product():
    net, x_0 = randomized(CrossNetV2(4, 3)), torch.randn(5, 4).double()
    for b in range(5):
        x = x_0[b]
        for w in net.w:
            x = x_0[b] * (w.weight @ x + w.bias) + x
        torch.testing.assert_close(net(x_0)[b], x)
    assert torch.equal(net(torch.zeros(2, 4).double()), torch.zeros(2, 4).double())


def mix_by_loop(net, x_0):
    """Equations 3 and 4 of the paper, one expert at a time at full width."""
    x = x_0
    for u, v, c, bias in zip(net.u, net.v, net.c, net.b, strict=True):
        experts = []
        for k in range(net.num_experts):
            h = torch.tanh(c[k] @ torch.tanh(v[k] @ x))
            experts.append(x_0 * (u[:, k] @ h + bias))
        if net.gate is None:
            gates = [1.0]
        else:
            scores = torch.stack([gamma @ x for gamma in net.gate.weight])
            gates = scores.exp() / scores.exp().sum()
        x = sum(g * e for g, e in zip(gates, experts, strict=True)) + x
    return x


@pytest.mark.parametrize("num_experts", [1, 3])
@pytest.mark.parametrize("rows", [1, 5])
def test_cross_net_mix_is_the_equation(num_experts, rows):
    net = randomized(CrossNetMix(6, 2, low_rank=2, num_experts=num_experts))
    x = torch.randn(rows, 6).double() / 4
    expected = torch.stack([mix_by_loop(net, row) for row in x])
    torch.testing.assert_close(net(x), expected)


def test_cross_net_mix_starts_with_xavier_spread():
    net = CrossNetMix(300, 1, low_rank=100, num_experts=2)
    assert net.u[0].std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert net.v[0].std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert net.c[0].std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
    assert not net.b[0].any()


@pytest.mark.parametrize("kind", [CrossNetwork, CrossNetV2, CrossNetMix])
def test_no_layers_leave_the_input(kind):
    x = torch.randn(2, 4)
    assert torch.equal(kind(4, 0)(x), x)


def test_gated_cross_network_is_the_equation():
    net, x_0 = randomized(GatedCrossNetwork(4, 3)), torch.randn(5, 4).double()
    for b in range(5):
        x = x_0[b]
        for layer in range(3):
            crossed = x_0[b] * (net.w[layer].weight @ x + net.w[layer].bias)
            x = crossed / (1 + torch.exp(-net.gate[layer].weight @ x)) + x
        torch.testing.assert_close(net(x_0)[b], x)
