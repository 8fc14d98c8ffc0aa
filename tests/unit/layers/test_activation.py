from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.layers.activation import ACTIVATIONS, Dice, activation_layer

NAMES = [
    *("dice", "relu", "relu6", "elu", "selu", "leaky_relu", "prelu", "gelu", "sigmoid", "tanh"),
    *("softplus", "softsign", "hardswish", "mish", "silu", "swish", "hardsigmoid", "tanhshrink"),
    *("softshrink", "none", "linear", "identity"),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_0_3_1_keeps_the_shape(name):
    x = torch.randn(5, 4)
    assert activation_layer(name, emb_size=4)(x).shape == x.shape
    assert type(activation_layer(name.upper(), emb_size=4)) is type(activation_layer(name, 4))


def test_names_mean_the_layers_of_torch():
    assert isinstance(activation_layer("swish"), nn.SiLU)
    assert isinstance(activation_layer("linear"), nn.Identity)
    assert isinstance(activation_layer("relu6"), nn.ReLU6)


def test_an_unknown_name_gets_the_likely_one():
    with pytest.raises(ConfigError, match="Did you mean 'relu'"):
        activation_layer("rellu")


def test_dice_needs_a_width():
    with pytest.raises(ConfigError, match="emb_size"):
        activation_layer("dice")


def test_a_users_activation_can_be_added():
    class Square(nn.Module):
        def forward(self, x):
            return x * x

    ACTIVATIONS.add("square_of_a_test", Square)
    assert activation_layer("square_of_a_test")(torch.tensor(3.0)) == 9


def dice_by_loop(rows, alpha, mean, variance, epsilon):
    out = torch.empty_like(rows)
    for n in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            x = rows[n, c].item()
            normed = (x - mean[c].item()) / math.sqrt(variance[c].item() + epsilon)
            p = 1 / (1 + math.exp(-normed))
            out[n, c] = p * x + (1 - p) * alpha[c].item() * x
    return out


def make_dice(width=3, epsilon=1e-9):
    dice = Dice(width, epsilon).double()
    nn.init.normal_(dice.alpha)
    return dice


@pytest.mark.parametrize("epsilon", [1e-9, 0.5])
def test_dice_is_the_papers_equation(epsilon):
    dice, x = make_dice(epsilon=epsilon), torch.randn(6, 3).double()
    expected = dice_by_loop(x, dice.alpha, x.mean(0), x.var(0, unbiased=False), epsilon)
    torch.testing.assert_close(dice(x), expected)
    dice.eval()
    expected = dice_by_loop(x, dice.alpha, dice.running_mean, dice.running_var, epsilon)
    torch.testing.assert_close(dice(x), expected)


def test_dice_keeps_the_running_statistics_of_batch_norm():
    dice, norm = Dice(3), nn.BatchNorm1d(3)
    for _ in range(3):
        x = torch.randn(7, 3) * 2 + 1
        dice(x)
        norm(x)
    torch.testing.assert_close(dice.running_mean, norm.running_mean)
    torch.testing.assert_close(dice.running_var, norm.running_var)


def test_dice_treats_a_sequence_as_so_many_rows():
    x = torch.randn(2, 5, 3).double()
    one, other = make_dice(), make_dice()
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(x), other(x.reshape(10, 3)).reshape(2, 5, 3))


def test_dice_trains_on_one_row_by_the_running_statistics():
    dice, x = make_dice(), torch.randn(1, 3).double()
    dice(torch.randn(8, 3).double())
    before = {name: value.clone() for name, value in dice.state_dict().items()}
    y = dice(x)
    assert all(torch.equal(before[name], value) for name, value in dice.state_dict().items())
    torch.testing.assert_close(y, dice.eval()(x))


def test_masked_positions_have_no_part_in_dices_statistics():
    x, mask = torch.randn(4, 5, 3).double(), torch.rand(4, 5) < 0.6
    mask[0, 0] = mask[1, 1] = True
    one, other = make_dice(), make_dice()
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(x, mask)[mask], other(x[mask]))
    torch.testing.assert_close(one.running_mean, other.running_mean)
    torch.testing.assert_close(one.running_var, other.running_var)


@pytest.mark.parametrize("real", [0, 1])
def test_dice_with_a_mask_that_leaves_no_variance(real):
    dice, x = make_dice(), torch.randn(2, 4, 3).double().requires_grad_()
    mask = torch.zeros(2, 4, dtype=torch.bool)
    mask.view(-1)[:real] = True
    before = dice.running_var.clone()
    y = dice(x, mask)
    y.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.equal(dice.running_var, before)
    torch.testing.assert_close(y, dice.eval()(x))


def test_gradients_of_dice():
    dice, x = make_dice(), torch.randn(5, 3).double().requires_grad_()
    mask = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(lambda x: dice(x), (x,))
    assert torch.autograd.gradcheck(lambda x: dice(x, mask), (x,))
