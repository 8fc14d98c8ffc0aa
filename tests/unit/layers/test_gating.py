from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.layers.gating import ExpertBank, ExpertMixture, mix
from nextrec.layers.mlp import MLP


def test_mix_is_the_weighted_sum():
    experts, gate = torch.randn(2, 3, 4), torch.randn(2, 5, 3)
    for b in range(2):
        for t in range(5):
            expected = sum(gate[b, t, e] * experts[b, e] for e in range(3))
            torch.testing.assert_close(mix(experts, gate)[b, t], expected)
            torch.testing.assert_close(mix(experts, gate[:, t])[b], expected)


@pytest.mark.parametrize("use_softmax", [True, False])
def test_mixture_is_the_equation(use_softmax):
    layer = ExpertMixture(6, num_experts=3, num_gates=2, use_softmax=use_softmax)
    x, experts = torch.randn(4, 6), torch.randn(4, 3, 5)
    for t in range(2):
        rows = slice(3 * t, 3 * t + 3)
        scores = x @ layer.gate.weight[rows].T + layer.gate.bias[rows]
        weights = scores.exp() / scores.exp().sum(1, keepdim=True) if use_softmax else scores
        expected = sum(weights[:, e, None] * experts[:, e] for e in range(3))
        torch.testing.assert_close(layer(x, experts)[:, t], expected)
        torch.testing.assert_close(layer.weights(x)[:, t], weights)


def test_mixture_reads_the_gates_of_0_3_1():
    gates = nn.ModuleList(nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)) for _ in range(2))
    layer = ExpertMixture(6, 3, 2)
    layer.load_state_dict(gates.state_dict())
    x = torch.randn(4, 6)
    torch.testing.assert_close(layer.weights(x), torch.stack([gate(x) for gate in gates], 1))


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("activation", ["relu", "dice", "prelu"])
@pytest.mark.parametrize("training", [True, False])
def test_bank_is_so_many_stacks(norm, activation, training):
    stacks = nn.ModuleList(MLP(6, False, [5, 4], 0.0, activation, norm) for _ in range(3))
    for parameter in stacks.parameters():
        nn.init.normal_(parameter)
    for _ in range(2):
        for stack in stacks:
            stack(torch.randn(8, 6))
    bank = ExpertBank(3, 6, (5, 4), activation=activation, norm=norm)
    bank.load_state_dict(stacks.state_dict())
    bank.double().train(training)
    stacks.double().train(training)
    x, own = torch.randn(7, 6).double(), torch.randn(7, 3, 6).double()
    torch.testing.assert_close(bank(x), torch.stack([stack(x) for stack in stacks], 1))
    torch.testing.assert_close(
        bank(own), torch.stack([stack(own[:, e]) for e, stack in enumerate(stacks)], 1)
    )
    assert bank.out_features == 4


def test_bank_inside_a_model_reads_0_3_1_and_itself():
    class Model(nn.Module):
        def __init__(self, experts):
            super().__init__()
            self.experts = experts

    old = Model(nn.ModuleList(MLP(6, False, [5, 4]) for _ in range(3)))
    assert "experts.2.mlp.5.running_var" in old.state_dict()
    new, again = Model(ExpertBank(3, 6, [5, 4])), Model(ExpertBank(3, 6, [5, 4]))
    state = old.state_dict()
    new.load_state_dict(state)
    assert list(state) == list(old.state_dict())  # the caller's dict is not changed
    again.load_state_dict(new.state_dict())
    x = torch.randn(7, 6)
    assert torch.equal(new.experts(x), again.experts(x))


def test_bank_refuses_the_state_of_fewer_experts():
    two = nn.ModuleList(MLP(6, False, [5]) for _ in range(2))
    with pytest.raises(RuntimeError, match="bank"):
        ExpertBank(3, 6, [5]).load_state_dict(two.state_dict())


def test_bank_starts_like_linear_layers():
    bank = ExpertBank(4, 100, [50], norm="none")
    weight, bias = bank.bank[0].weight, bank.bank[0].bias
    for values in (weight, bias):
        assert values.abs().max() <= 0.1
        assert values.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.15)
    assert not torch.equal(weight[0], weight[1])


def test_bank_drops_in_training_alone():
    bank, x = ExpertBank(2, 6, [50], dropout=0.5, activation="sigmoid"), torch.randn(4, 6)
    assert (bank(x) == 0).any()
    assert (bank.eval()(x) != 0).all()


def test_bank_of_params():
    params = {"dims": [5], "activation": "tanh"}
    bank = ExpertBank.of(3, 6, params, norm="none", activation="relu")
    assert [type(layer).__name__ for layer in bank.bank] == ["ExpertLinear", "Tanh", "Identity"]
    with pytest.raises(ConfigError, match="Did you mean 'dropout'"):
        ExpertBank.of(3, 6, {"dims": [5], "dropuot": 0.1})
    with pytest.raises(ConfigError, match="dims"):
        ExpertBank.of(3, 6, {})


def test_bank_tells_every_wrong_parameter_at_once():
    with pytest.raises(ConfigError) as error:
        ExpertBank(0, 6, [-1], norm="bach")
    for part in ("num_experts", "[-1]", "Did you mean 'batch'"):
        assert part in str(error.value)
