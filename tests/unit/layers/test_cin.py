"""The compressed interaction network and its product by pieces."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.layers import cin
from nextrec.layers.cin import CIN, sum_products


def sum_by_loop(left, right, weight):
    out = torch.zeros(weight.shape[0], left.shape[1], dtype=left.dtype)
    for n in range(weight.shape[0]):
        for h in range(weight.shape[1]):
            for f in range(weight.shape[2]):
                out[n] += weight[n, h, f] * left[h] * right[f]
    return out


def arguments(columns=7, grad=True):
    shapes = ((3, columns), (4, columns), (5, 3, 4))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=grad) for shape in shapes]


def small_pieces(monkeypatch):
    """Three columns at a time, so that several pieces and a shorter last one are met."""
    monkeypatch.setattr(
        cin, "_pieces", lambda flat, left: (slice(i, i + 3) for i in range(0, left.shape[1], 3))
    )


def test_pieces_give_the_sum(monkeypatch):
    small_pieces(monkeypatch)
    left, right, weight = arguments(grad=False)
    torch.testing.assert_close(sum_products(left, right, weight), sum_by_loop(left, right, weight))


def test_gradients_of_pieces_are_those_of_the_sum(monkeypatch):
    small_pieces(monkeypatch)
    assert torch.autograd.gradcheck(sum_products, arguments())


def test_pieces_cover_every_column_once():
    flat = torch.zeros(2, 2**15)
    for columns in (1, 63, 64, 65, 1000):
        left = torch.zeros(3, columns)
        covered = [i for piece in cin._pieces(flat, left) for i in range(columns)[piece]]
        assert covered == list(range(columns))


def test_one_tensor_may_be_both_sides():
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: sum_products(v, v, weight), [x])


def test_autocast_stays_near_and_gives_full_precision_gradients():
    network, x = CIN(5, [8, 6]), torch.randn(64, 5, 4)
    exact = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        near = network(x)
    assert near.dtype == torch.bfloat16
    torch.testing.assert_close(near.float(), exact, rtol=0.05, atol=0.05)
    near.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())


def test_empty_batch_and_gradients_of_it():
    network = CIN(5, [4, 2])
    out = network(torch.zeros(0, 5, 3))
    assert out.shape == (0, 1)
    out.sum().backward()
    assert all((p.grad == 0).all() for p in network.parameters())


@pytest.mark.parametrize("split_half", [True, False])
def test_output_counts_the_kept_maps(split_half):
    network = CIN(5, [8, 4, 3], split_half, output_dim=2)
    assert network.output.in_features == (4 + 2 + 3 if split_half else 15)
    assert network.weights[1].shape == (4, 4 if split_half else 8, 5)
    assert network(torch.ones(6, 5, 4)).shape == (6, 2)


def test_activation_acts_on_the_maps():
    linear, rectified = CIN(3, [4]), CIN(3, [4], activation="relu")
    rectified.load_state_dict(linear.state_dict())
    x = torch.randn(5, 3, 2)
    flat = x.transpose(0, 1).flatten(1)
    maps = sum_products(flat, flat, linear.weights[0]).relu().unflatten(1, (5, 2)).sum(2)
    torch.testing.assert_close(rectified(x), rectified.output(maps.t()))
    assert not torch.allclose(rectified(x), linear(x))


@pytest.mark.parametrize("sizes", [[], [4, 0], [4, 2.5], 8, [True]])
def test_refuses_what_is_no_list_of_sizes(sizes):
    with pytest.raises(ConfigError, match="cin_size"):
        CIN(3, sizes)


def test_odd_sizes_can_not_be_split_but_may_be_last():
    with pytest.raises(ConfigError, match=r"cin_size.*even.*\[5, 4\]"):
        CIN(3, [5, 4])
    assert CIN(3, [4, 5]).output.in_features == 7
    assert CIN(3, [5, 4], split_half=False).output.in_features == 9
