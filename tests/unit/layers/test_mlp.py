from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.layers.activation import Dice
from nextrec.layers.mlp import MLP, BatchNorm1d, get_mlp_output_dim, mlp_from


def forward_by_hand(mlp, x, norm):
    """ReLU layers written out from the weights, in evaluation."""
    state = mlp.state_dict()
    step = 3 if norm == "none" else 4
    hidden = (len(mlp.mlp) - 1) // step
    for layer in range(hidden):
        i = layer * step
        x = x @ state[f"mlp.{i}.weight"].T + state[f"mlp.{i}.bias"]
        if norm == "batch":
            mean, var = state[f"mlp.{i + 1}.running_mean"], state[f"mlp.{i + 1}.running_var"]
            x = (x - mean) / (var + 1e-5).sqrt()
        if norm == "layer":
            mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
            x = (x - mean) / (var + 1e-5).sqrt()
        if norm != "none":
            x = x * state[f"mlp.{i + 1}.weight"] + state[f"mlp.{i + 1}.bias"]
        x = x.clamp(min=0)
    return x @ state[f"mlp.{hidden * step}.weight"].T + state[f"mlp.{hidden * step}.bias"]


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_is_the_equation(norm):
    mlp = MLP(5, dims=[4, 3], dropout=0.3, norm=norm, output_dim=2)
    for _ in range(3):
        mlp(torch.randn(16, 5) + 1)  # running statistics that are not 0 and 1
    x = torch.randn(6, 5)
    torch.testing.assert_close(mlp.eval()(x), forward_by_hand(mlp, x, norm))


def test_default_is_the_stack_of_0_3_1():
    mlp = MLP(5, True, [4, 3], 0.2, "tanh")
    kinds = [type(layer) for layer in mlp.mlp]
    block = [nn.Linear, BatchNorm1d, nn.Tanh, nn.Dropout]
    assert kinds == [*block, *block, nn.Linear]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    expected = [
        *("mlp.0.weight", "mlp.0.bias", *(f"mlp.1.{name}" for name in norm)),
        *("mlp.4.weight", "mlp.4.bias", *(f"mlp.5.{name}" for name in norm)),
        *("mlp.8.weight", "mlp.8.bias"),
    ]
    assert list(mlp.state_dict()) == expected
    assert list(MLP(5, True, [4, 3]).state_dict()) == expected  # the same without dropout


def test_widths_of_the_output():
    assert MLP(5).out_features == 1
    assert MLP(5, dims=[4]).out_features == 1
    assert MLP(5, dims=[4], output_dim=7).out_features == 7
    assert MLP(5, False, [4, 3]).out_features == 3
    assert MLP(5, False).out_features == 5
    x = torch.randn(2, 5)
    assert MLP(5, False, [])(x) is x
    assert MLP(5, dims=[])(x).shape == (2, 1)
    assert MLP(5, False, (4, 3))(x).shape == (2, 3)


def test_one_dropout_a_layer():
    mlp = MLP(5, dims=[4, 3, 2], dropout=[0.1, 0, 0.5])
    assert [layer.p for layer in mlp.mlp if isinstance(layer, nn.Dropout)] == [0.1, 0.5]


def test_dropout_zeroes_in_training_alone():
    mlp = MLP(5, False, [1000], dropout=0.5, activation="sigmoid", norm="none")
    x = torch.randn(1, 5)
    assert 350 < (mlp(x) == 0).sum() < 650
    assert (mlp.eval()(x) != 0).all()


def test_dice_gets_its_width():
    mlp = MLP(5, dims=[4, 3], activation="dice")
    assert [layer.emb_size for layer in mlp.mlp if isinstance(layer, Dice)] == [4, 3]
    assert torch.isfinite(mlp(torch.randn(6, 5))).all()


@pytest.mark.parametrize("activation", ["relu", "dice"])
def test_one_row_trains_by_the_running_statistics(activation):
    mlp = MLP(5, dims=[4, 3], activation=activation)
    mlp(torch.randn(32, 5))
    before = {name: value.clone() for name, value in mlp.state_dict().items()}
    x = torch.randn(1, 5)
    y = mlp(x)
    y.sum().backward()
    assert all(torch.equal(before[name], value) for name, value in mlp.state_dict().items())
    assert all(torch.isfinite(each.grad).all() for each in mlp.parameters())
    torch.testing.assert_close(y, mlp.eval()(x))


def test_batch_norm_is_torchs_otherwise():
    ours, torchs = BatchNorm1d(3), nn.BatchNorm1d(3)
    for rows in (2, 7):
        x = torch.randn(rows, 3)
        assert torch.equal(ours(x), torchs(x))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), torchs.buffers(), strict=True))
    x = torch.randn(1, 3, 5)  # one row, but five values a channel
    assert torch.equal(ours(x), torchs(x))
    assert torch.equal(ours.eval()(x), torchs.eval()(x))


def test_overwriting_relu_leaves_input_and_gradients_alone():
    mlp, x = MLP(5, dims=[4, 3], norm="none").double(), torch.randn(6, 5).double()
    kept = x.clone()
    reference = nn.Sequential(
        *(nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in mlp.mlp)
    )
    x.requires_grad_()
    (ours,) = torch.autograd.grad(mlp(x).square().sum(), x)
    (theirs,) = torch.autograd.grad(reference(x).square().sum(), x)
    assert torch.equal(ours, theirs)
    assert torch.equal(x, kept)


def test_leading_axes_without_batch_norm():
    x = torch.randn(2, 3, 5)
    mlp = MLP(5, dims=[4], norm="layer")
    torch.testing.assert_close(mlp(x), mlp(x.view(6, 5)).view(2, 3, 1))


def test_numbers_of_numpy_are_numbers():
    assert MLP(np.int64(5), dims=[np.int64(4)], dropout=np.float32(0.5))(torch.ones(2, 5)).ndim == 2


def test_every_wrong_parameter_is_told_at_once():
    with pytest.raises(ConfigError) as error:
        MLP(0, dims=[4, -1], dropout=1.0, norm="bach", output_dim=0)
    message = str(error.value)
    for part in ("input_dim", "[4, -1]", "[0, 1)", "Did you mean 'batch'", "output_dim"):
        assert part in message


@pytest.mark.parametrize(
    "wrong",
    [
        {"dims": 4},
        {"dims": "44"},
        {"dims": [True]},
        {"dims": [4.0]},
        {"dims": [4], "dropout": -0.1},
        {"dims": [4], "dropout": [0.1, 0.1]},
        {"dims": [4], "dropout": "0.1"},
        {"dims": [], "dropout": 2},
        {"dims": [4], "output_layer": False, "output_dim": 3},
        {"dims": [4], "norm": None},
        {"dims": [4], "activation": "rellu"},
    ],
)
def test_a_wrong_parameter_is_an_error(wrong):
    with pytest.raises(ConfigError):
        MLP(5, **wrong)


def test_mlp_from_takes_every_key_and_params_win():
    params = {
        "dims": [4],
        "dropout": [0.1],
        "activation": "gelu",
        "norm": "layer",
        "output_dim": 2,
        "output_layer": True,
    }
    mlp = mlp_from(5, params, dims=[9], norm="batch")
    assert [type(layer) for layer in mlp.mlp] == [
        nn.Linear,
        nn.LayerNorm,
        nn.GELU,
        nn.Dropout,
        nn.Linear,
    ]
    assert mlp.out_features == 2
    assert mlp_from(5, None, dims=[9], output_layer=False).out_features == 9


def test_mlp_from_names_every_unknown_key():
    with pytest.raises(ConfigError, match="Did you mean 'dims'") as error:
        mlp_from(5, {"dim": [4], "activations": "relu"})
    assert "Did you mean 'activation'" in str(error.value)


def test_output_width_from_params():
    assert get_mlp_output_dim({"dims": [8, 3]}, 5) == 3
    assert get_mlp_output_dim({"dims": []}, 5) == 5
    assert get_mlp_output_dim(None, 5) == 5


def test_mlp_from_names_the_argument_of_a_model_with_several():
    with pytest.raises(ConfigError, match=r"`mlp2_params`: MLP: `dims` must be"):
        mlp_from(5, {"dims": [0]}, "mlp2_params")
