from __future__ import annotations

import math

import pytest
import torch

from nextrec.layers.hard_concrete import HardConcrete


def test_draws_have_the_probability_to_be_open() -> None:
    gates = HardConcrete(3, 20_000)
    with torch.no_grad():
        gates.log_alpha.copy_(torch.tensor([[-2.0], [0.0], [1.5]]).expand(3, 20_000))
    torch.manual_seed(0)
    drawn = gates()
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert (drawn == 1).any()
    expected = gates.open_probability()[:, 0]
    torch.testing.assert_close((drawn > 0).float().mean(1), expected, rtol=0, atol=0.02)
    assert expected[1].item() == pytest.approx(1 / (1 + math.exp(2 / 3 * math.log(0.1 / 1.1))))


def test_evaluation_has_no_noise_and_shuts_for_good() -> None:
    gates = HardConcrete(3).eval()
    with torch.no_grad():
        gates.log_alpha.copy_(torch.tensor([-9.0, 0.4, 9.0]))
    middle = 1.2 / (1 + math.exp(-0.4)) - 0.1
    torch.testing.assert_close(gates(), torch.tensor([0.0, middle, 1.0]))
    assert torch.equal(gates(), gates.expected())


def test_both_the_gate_and_its_price_have_gradients() -> None:
    torch.manual_seed(0)
    gates = HardConcrete(50)
    (through,) = torch.autograd.grad(gates().sum(), gates.log_alpha)
    (price,) = torch.autograd.grad(gates.open_probability().sum(), gates.log_alpha)
    assert (through > 0).any()
    assert (price > 0).all()
