"""Tokens with parameters of their own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, FeatureSet, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.tokens import (
    GroupTokenizer,
    SplitTokenizer,
    TokenFeedForward,
    TokenLinear,
    even_places,
    grouped_places,
)


@pytest.mark.parametrize("bias", [True, False])
def test_each_token_has_its_own_linear_map(bias):
    layer = TokenLinear(3, 5, 4, bias)
    assert (layer.bias is not None) == bias
    x = torch.randn(6, 3, 5)
    for t in range(3):
        expected = F.linear(x[:, t], layer.weight[t], layer.bias[t] if bias else None)
        torch.testing.assert_close(layer(x)[:, t], expected)


def test_each_token_has_its_own_network():
    layer = TokenFeedForward(3, 4, ratio=2)
    assert layer[0].out_features == 8
    x = torch.randn(6, 3, 4)
    for t in range(3):
        hidden = F.gelu(F.linear(x[:, t], layer[0].weight[t], layer[0].bias[t]))
        expected = F.linear(hidden, layer[2].weight[t], layer[2].bias[t])
        torch.testing.assert_close(layer(x)[:, t], expected)


def test_a_token_reads_its_part_only():
    layer = GroupTokenizer([[slice(4, 6)], [slice(0, 1), slice(2, 4)], [slice(1, 2)]], 5)
    flat = torch.randn(3, 6, requires_grad=True)
    tokens = layer(flat)
    parts = [[4, 5], [0, 2, 3], [1]]
    for t, part in enumerate(parts):
        weight = layer.linear.weight[t]
        expected = F.linear(flat[:, part], weight[:, : len(part)], layer.linear.bias[t])
        torch.testing.assert_close(tokens[:, t], expected)
        (gradient,) = torch.autograd.grad(tokens[:, t].sum(), flat, retain_graph=True)
        assert gradient.ne(0).any(0).nonzero().flatten().tolist() == sorted(part)
        assert (weight[:, len(part) :] == 0).all()


def test_initial_weights_have_the_spread_of_the_true_length():
    torch.manual_seed(0)
    layer = GroupTokenizer([[slice(0, 4)], [slice(4, 104)]], 500)
    assert layer.linear.weight[0].abs().max().item() == pytest.approx(4**-0.5, rel=0.02)
    assert layer.linear.weight[1].abs().max().item() == pytest.approx(100**-0.5, rel=0.02)


def test_one_map_is_cut_into_tokens():
    layer = SplitTokenizer(7, num_tokens=2, token_dim=3)
    flat = torch.randn(4, 7)
    whole = F.linear(flat, layer.weight, layer.bias)
    assert torch.equal(layer(flat), torch.stack([whole[:, :3], whole[:, 3:]], 1))


@given(st.integers(1, 60), st.data())
def test_even_parts_cover_every_number_once(width, data):
    count = data.draw(st.integers(1, width))
    parts = [list(range(width))[place] for (place,) in even_places(width, count)]
    assert [i for part in parts for i in part] == list(range(width))
    lengths = {len(part) for part in parts}
    assert len(parts) == count
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


FEATURES = FeatureSet(
    [DenseFeature("price")],
    [SparseFeature("user", 5, embedding_dim=2), SparseFeature("item", 5, embedding_dim=3)],
)


def test_groups_are_found_in_the_flat_vector():
    places = grouped_places(FEATURES, [["price", "user"], ["item"]], "Model")
    assert places == [[slice(5, 6), slice(0, 2)], [slice(2, 5)]]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "must be a list of lists"),
        ([["user", "item", "price"], []], "none of them empty"),
        ([["user"], ["item"]], r"hold every feature once.*\['price'\]"),
        ([["user", "price"], ["item", "user"]], r"hold every feature once.*\['user'\]"),
    ],
)
def test_groups_must_hold_every_feature_once(groups, message):
    with pytest.raises(ConfigError, match=message):
        grouped_places(FEATURES, groups, "Model")


def test_an_unknown_name_in_a_group_is_answered_with_the_likely_one():
    with pytest.raises(FeatureError, match="Did you mean 'user'"):
        grouped_places(FEATURES, [["usr", "item", "price"]], "Model")


@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "2"])
def test_counts_are_positive_integers(value):
    with pytest.raises(ConfigError, match="Model: `layers` must be a positive integer"):
        check_counts("Model", heads=1, layers=value)
