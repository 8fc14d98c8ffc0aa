"""A linear layer with weights of each row's own, against one layer a row."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nextrec.layers.generated import GeneratedLinear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (5, 4, 3)])
def test_is_a_layer_of_its_own_for_each_row(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = GeneratedLinear(2, in_features=3, out_features=6, bias=bias)
    x, condition = torch.randn(shape), torch.randn(5, 2)
    y = layer(x, condition)
    assert y.shape == (*shape[:-1], 6)
    for row in range(5):
        numbers = layer.generator(condition[row])
        weight = numbers[:18].view(6, 3)
        own = F.linear(x[row], weight, numbers[18:] if bias else None)
        torch.testing.assert_close(y[row], own)


def test_starts_as_an_ordinary_layer_to_which_conditions_add_as_much() -> None:
    torch.manual_seed(0)
    layer = GeneratedLinear(64, in_features=100, out_features=100)
    ordinary = torch.nn.Linear(100, 100).weight.std()
    without = layer.generator(torch.zeros(1, 64)).std()
    added = (layer.generator(torch.randn(1, 64)) - layer.generator.bias).std()
    torch.testing.assert_close(without, ordinary, rtol=0.05, atol=0)
    torch.testing.assert_close(added, ordinary, rtol=0.2, atol=0)


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows: int) -> None:
    layer = GeneratedLinear(2, 3, 6)
    assert layer(torch.ones(rows, 3), torch.ones(rows, 2)).shape == (rows, 6)
