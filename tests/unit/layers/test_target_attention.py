"""Target attention: the written-out formula, padding, empty histories, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.layers.target_attention import MultiHeadTargetAttention


def with_projected_keys(layer, query, keys, mask):
    """The equation as it is written: keys and values projected at every position."""
    heads = layer.num_heads
    asked = layer.W_Q(query).view(len(query), heads, 1, -1)
    answers = layer.W_K(keys).view(*keys.shape[:2], heads, -1).transpose(1, 2)
    scores = (asked @ answers.transpose(2, 3)).squeeze(2) / math.sqrt(answers.shape[-1])
    scores = scores.masked_fill(~mask.unsqueeze(1), -math.inf)
    weights = torch.nan_to_num(torch.softmax(scores, -1))  # (B, N, L)
    if layer.W_V is None:
        return (weights @ keys).flatten(1)
    values = layer.W_V(keys).view(*keys.shape[:2], heads, -1).transpose(1, 2)
    return layer.W_O((weights.unsqueeze(2) @ values).flatten(1))


MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]) > 0


@pytest.mark.parametrize("project_values", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("query_dim", [None, 4])
def test_it_is_the_equation_and_so_are_its_gradients(project_values, heads, query_dim):
    layer = MultiHeadTargetAttention(
        6, heads, query_dim=query_dim, project_values=project_values
    ).double()
    query = torch.randn(3, query_dim or 6, dtype=torch.double, requires_grad=True)
    keys = torch.randn(3, 5, 6, dtype=torch.double, requires_grad=True)
    inputs = [query, keys, *layer.parameters()]
    ours, written = layer(query, keys, MASK), with_projected_keys(layer, query, keys, MASK)
    torch.testing.assert_close(ours, written)
    assert ours.shape == (3, layer.out_features)
    for a, b in zip(
        torch.autograd.grad(ours.sin().sum(), inputs),
        torch.autograd.grad(written.sin().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_an_empty_history_gives_zeros_and_finite_gradients():
    layer = MultiHeadTargetAttention(4)
    keys = torch.randn(3, 5, 4, requires_grad=True)
    y = layer(torch.randn(3, 4), keys, MASK)
    assert torch.equal(y[2], torch.zeros(4))
    y.sum().backward()
    assert not keys.grad[~MASK].any()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_padding_and_what_lies_there_change_nothing():
    layer, query, keys = MultiHeadTargetAttention(4), torch.randn(3, 4), torch.randn(3, 5, 4)
    longer = torch.cat([keys, torch.randn(3, 4, 4)], 1)
    mask = torch.cat([MASK, torch.zeros(3, 4, dtype=torch.bool)], 1)
    torch.testing.assert_close(layer(query, longer, mask), layer(query, keys, MASK))


def test_without_a_mask_every_item_is_real():
    layer, query, keys = MultiHeadTargetAttention(4), torch.randn(3, 4), torch.randn(3, 5, 4)
    torch.testing.assert_close(layer(query, keys), layer(query, keys, torch.ones(3, 5) > 0))


def test_dropout_acts_in_training_only():
    layer = MultiHeadTargetAttention(4, dropout=0.5)
    query, keys = torch.randn(3, 4), torch.randn(3, 5, 4)
    assert not torch.equal(layer(query, keys), layer(query, keys))
    layer.eval()
    assert torch.equal(layer(query, keys), layer(query, keys))


def test_bf16_autocast_is_near_fp32():
    layer, query, keys = MultiHeadTargetAttention(4), torch.randn(3, 4), torch.randn(3, 5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(query, keys, MASK)
    torch.testing.assert_close(y.float(), layer(query, keys, MASK), rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 4}, r"`num_heads` must be a divisor of the width 6; got 4"),
        ({"num_heads": 0}, r"`num_heads`"),
        ({"dropout": 1.0}, r"`dropout` must be a number in \[0, 1\)"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        MultiHeadTargetAttention(6, **arguments)
