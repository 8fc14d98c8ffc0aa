from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.optim import group_parameters


class MyNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.convolution = nn.Conv1d(2, 2, 1)
        self.recurrent = nn.GRU(2, 2)
        self.attention = nn.MultiheadAttention(2, 1)
        self.norms = nn.ModuleList([nn.BatchNorm1d(2), nn.LayerNorm(2), nn.GroupNorm(1, 2)])
        self.mine = MyNorm()
        self.slope = nn.PReLU()
        self.table = nn.Embedding(3, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.tied = nn.Linear(2, 3, bias=False)
        self.tied.weight = self.table.weight
        self.cross = nn.Parameter(torch.ones(2))
        self.bias = nn.Parameter(torch.ones(2))
        self.biased_gate = nn.Parameter(torch.ones(2))


def test_every_trainable_parameter_is_in_exactly_one_group():
    model = Everything()
    groups = group_parameters(model)
    assert list(groups) == ["dense", "bias_norm"]
    ids = [id(parameter) for group in groups.values() for parameter in group]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters() if p.requires_grad}


def test_which_parameters_are_decayed():
    model = Everything()
    dense = {id(parameter) for parameter in group_parameters(model)["dense"]}
    assert {name for name, parameter in model.named_parameters() if id(parameter) in dense} == {
        "linear.weight",
        "convolution.weight",
        "recurrent.weight_ih_l0",
        "recurrent.weight_hh_l0",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "table.weight",
    }


def test_biases_in_a_parameter_list_are_biases():
    from nextrec.layers import CrossNetMix, CrossNetwork, Dice

    for layer in (CrossNetwork(4, 2), CrossNetMix(4, 2, 2, 2), Dice(4)):
        groups = group_parameters(layer)
        assert all(parameter.dim() > 1 for parameter in groups["dense"])
        assert groups["bias_norm"]


@pytest.mark.parametrize("name", ["table.weight", "linear.bias"])
def test_excluded_parameters_are_in_no_group(name):
    model = Everything()
    excluded = model.get_parameter(name)
    groups = group_parameters(model, exclude=[excluded])
    assert all(parameter is not excluded for group in groups.values() for parameter in group)
