from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.layers.poso import POSOGate, POSOGateBank


@pytest.mark.parametrize("activation", ["relu", "prelu", "dice"])
def test_bank_is_so_many_gates_and_reads_their_state(activation: str) -> None:
    gates = nn.ModuleList(POSOGate(4, 5, 6, 1.5, activation) for _ in range(3))
    for parameter in gates.parameters():
        nn.init.normal_(parameter)
    bank = POSOGateBank(3, 4, 5, 6, 1.5, activation)
    bank.load_state_dict(gates.state_dict())
    pc = torch.randn(7, 4)
    expected = torch.stack([gate.eval()(pc) for gate in gates], 1)
    torch.testing.assert_close(bank.eval()(pc), expected)
    assert ((bank(pc) >= 0) & (bank(pc) <= 1.5)).all()
