from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.layers.gates import GateBank, named_gates
from nextrec.layers.gating import ExpertBank, ExpertLinear, mix


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_bank_is_so_many_gates(activation: str) -> None:
    bank, own = GateBank(3, 6, 4, activation), torch.randn(5, 3, 6)
    squash = torch.sigmoid if activation == "sigmoid" else nn.Softmax(-1)
    for t in range(3):
        scores = own[:, t] @ bank.linear.weight[t].T + bank.linear.bias[t]
        torch.testing.assert_close(bank(own)[:, t], squash(scores))
    torch.testing.assert_close(bank(own[:, 0]), bank(own[:, :1].expand(-1, 3, -1)))


def test_bank_reads_the_gates_of_0_3_1() -> None:
    gates = nn.ModuleList(nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)) for _ in range(2))
    bank = GateBank(2, 6, 3)
    bank.load_state_dict(gates.state_dict())
    x = torch.randn(4, 2, 6)
    expected = torch.stack([gate(x[:, t]) for t, gate in enumerate(gates)], 1)
    torch.testing.assert_close(bank(x), expected)


def test_names_are_as_many_as_gates() -> None:
    weights = torch.randn(4, 2, 3)
    assert torch.equal(named_gates(["a", "b"], weights)["b"], weights[:, 1])
    with pytest.raises(ValueError, match="longer"):
        named_gates(["a"], weights)


@pytest.mark.parametrize("bias", [True, False])
def test_neighbouring_layers_share_an_input(bias: bool) -> None:
    layer, x = ExpertLinear(6, 5, 4, bias), torch.randn(7, 2, 5)
    each = x.repeat_interleave(3, dim=1)  # one input a layer
    torch.testing.assert_close(layer(x), layer(each))
    torch.testing.assert_close(layer(x)[:, 3:], layer(x[:, 1])[:, 3:])


def test_bank_of_experts_shares_inputs_in_groups() -> None:
    bank, x = ExpertBank(4, 5, [6, 3], norm="none"), torch.randn(7, 2, 5)
    torch.testing.assert_close(bank(x), bank(x.repeat_interleave(2, dim=1)))
    h = bank.hidden_layer(bank.hidden_layer(x, 0), 1)
    assert torch.equal(bank(x), h)


def test_mix_takes_experts_of_each_mixture() -> None:
    experts, gate = torch.randn(4, 2, 3, 5), torch.randn(4, 2, 3)
    for t in range(2):
        torch.testing.assert_close(mix(experts, gate)[:, t], mix(experts[:, t], gate[:, t]))
