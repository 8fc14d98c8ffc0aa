from __future__ import annotations

import math

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.layers.init import INITIALIZERS, get_initializer

ROWS, COLUMNS = 400, 300
BIG = (ROWS, COLUMNS)


def fill(*args, shape=BIG, **kwargs):
    torch.manual_seed(0)
    return get_initializer(*args, **kwargs)(torch.empty(shape))


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_fills_in_place_and_returns_the_tensor(name):
    tensor = torch.full(BIG, torch.nan)
    assert get_initializer(name)(tensor) is tensor
    assert torch.isfinite(tensor).all()


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("normal", 1e-4),
        ("uniform", 0.1 / math.sqrt(12)),
        ("xavier_normal", math.sqrt(2 / (ROWS + COLUMNS))),
        ("xavier_uniform", math.sqrt(2 / (ROWS + COLUMNS))),
        ("kaiming_normal", math.sqrt(1 / COLUMNS)),
        ("kaiming_uniform", math.sqrt(1 / COLUMNS)),
        ("orthogonal", math.sqrt(1 / ROWS)),
    ],
)
def test_the_defaults_have_the_right_spread(name, std):
    assert fill(name).std().item() == pytest.approx(std, rel=0.02)


def test_the_activation_sets_the_gain():
    ratio = fill("xavier_normal", "relu") / fill("xavier_normal")
    torch.testing.assert_close(ratio, torch.full(BIG, math.sqrt(2)))
    ratio = fill("xavier_uniform", "leaky_relu", {"param": 1.0}) / fill("xavier_uniform")
    torch.testing.assert_close(ratio, torch.ones(BIG))
    ratio = fill("kaiming_normal", "relu") / fill("kaiming_normal")
    torch.testing.assert_close(ratio, torch.full(BIG, math.sqrt(2)))
    ratio = fill("kaiming_normal", "leaky_relu", {"a": 2.0}) / fill("kaiming_normal")
    torch.testing.assert_close(ratio, torch.full(BIG, math.sqrt(2 / 5)))


def test_an_activation_without_a_gain_has_gain_one_and_a_given_gain_wins():
    torch.testing.assert_close(fill("xavier_normal", "dice"), fill("xavier_normal"))
    tripled = fill("orthogonal", "relu", {"gain": 3.0})
    torch.testing.assert_close(tripled, 3 * fill("orthogonal"))


def test_normal_and_uniform_take_their_numbers():
    values = fill("normal", param={"mean": 5.0, "std": 0.5})
    assert values.mean().item() == pytest.approx(5, abs=0.01)
    assert values.std().item() == pytest.approx(0.5, rel=0.02)
    values = fill("uniform", param={"a": 1.0, "b": 3.0})
    assert 1 <= values.min() < 1.01 < 2.99 < values.max() <= 3


def test_an_unknown_type_is_an_error_before_there_is_a_tensor():
    with pytest.raises(ConfigError, match="Did you mean 'xavier_normal'"):
        get_initializer("xavier_norml")


def test_an_unknown_parameter_is_an_error():
    with pytest.raises(ConfigError, match="Did you mean 'std'"):
        get_initializer("normal", param={"sdt": 0.1})


def test_kaiming_refuses_an_activation_it_has_no_formula_for():
    with pytest.raises(ConfigError, match="activation"):
        get_initializer("kaiming_uniform", "gelu")


def test_a_bad_gain_parameter_is_not_taken_for_an_unknown_activation():
    with pytest.raises(ValueError, match="negative_slope"):
        get_initializer("xavier_uniform", "leaky_relu", {"param": "steep"})
