from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.layers.attention import AttentionPoolingLayer, MultiHeadSelfAttention


def attend_by_loop(layer, x, mask, root=None):
    """The interacting layer, one row, one head and one field at a time."""
    B, F, _ = x.shape
    d = layer.embedding_dim // layer.num_heads
    root = math.sqrt(d) if root is None else root
    out = x.new_zeros(B, F, layer.embedding_dim)
    for b in range(B):
        real = [f for f in range(F) if mask[b, f]]
        for f in real:
            parts = []
            for n in range(layer.num_heads):
                rows = slice(n * d, (n + 1) * d)
                query = layer.W_Q.weight[rows] @ x[b, f]
                keys = [layer.W_K.weight[rows] @ x[b, g] for g in real]
                values = [layer.W_V.weight[rows] @ x[b, g] for g in real]
                scores = torch.stack([query @ key for key in keys]) / root
                weights = scores.exp() / scores.exp().sum()
                parts.append(sum(w * v for w, v in zip(weights, values, strict=True)))
            y = torch.cat(parts)
            if layer.W_Res is not None:
                y = y + layer.W_Res.weight @ x[b, f]
            out[b, f] = y.clamp(min=0)
    return out


@pytest.mark.parametrize("use_residual", [True, False])
@pytest.mark.parametrize("num_heads", [1, 2])
def test_self_attention_is_the_equation(num_heads, use_residual):
    layer = MultiHeadSelfAttention(4, num_heads, use_residual=use_residual).double()
    x, everything = torch.randn(2, 3, 4).double(), torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(layer(x), attend_by_loop(layer, x, everything))
    torch.testing.assert_close(layer(x, everything), attend_by_loop(layer, x, everything))


def test_self_attention_of_another_width_and_without_the_root():
    layer = MultiHeadSelfAttention(4, input_dim=3, scaled=False).double()
    x, everything = torch.randn(2, 3, 3).double(), torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(layer(x), attend_by_loop(layer, x, everything, root=1.0))


def test_self_attention_with_padding_is_the_equation_over_real_fields():
    layer, x = MultiHeadSelfAttention(4).double(), torch.randn(3, 5, 4).double()
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    torch.testing.assert_close(layer(x, mask), attend_by_loop(layer, x, mask))


def test_padding_changes_nothing_and_a_real_field_does():
    layer, x = MultiHeadSelfAttention(4), torch.randn(1, 4, 4)
    mask = torch.tensor([[True, True, True, False]])
    y = layer(x, mask)
    padding, real = x.clone(), x.clone()
    padding[0, 3] += 10
    real[0, 2] += 10
    assert torch.equal(layer(padding, mask), y)
    assert not torch.allclose(layer(real, mask)[0, :2], y[0, :2])


def test_padding_gets_no_gradient_even_in_an_empty_row():
    layer, x = MultiHeadSelfAttention(4), torch.randn(2, 4, 4, requires_grad=True)
    mask = torch.tensor([[True, True, True, False], [False] * 4])
    layer(x, mask).sum().backward()
    assert (x.grad[~mask] == 0).all()
    assert all(torch.isfinite(each.grad).all() for each in layer.parameters())


def test_attention_weights_are_dropped_in_training_alone():
    layer, x = MultiHeadSelfAttention(4, dropout=0.5), torch.randn(8, 6, 4)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_self_attention_refuses_what_does_not_fit():
    for wrong in ({"num_heads": 3}, {"num_heads": 0}, {"dropout": 1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            MultiHeadSelfAttention(4, **wrong)


def score_by_hand(layer, q, k):
    """g of the full input, for one candidate and one item."""
    h = layer.first.weight @ torch.cat([q, k, q - k, q * k])
    h = h if layer.first.bias is None else h + layer.first.bias
    for each in layer.later:
        h = each(h.unsqueeze(0)).squeeze(0)
    return h.squeeze()


def pool_by_loop(layer, query, keys, mask):
    out = torch.zeros_like(query)
    for b in range(len(query)):
        real = [t for t in range(keys.shape[1]) if mask[b, t]]
        if not real:
            continue
        scores = torch.stack([score_by_hand(layer, query[b], keys[b, t]) for t in real])
        weights = scores.exp() / scores.exp().sum() if layer.use_softmax else scores.sigmoid()
        out[b] = sum(w * keys[b, t] for w, t in zip(weights, real, strict=True))
    return out


MASK = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 1, 1]])


@pytest.mark.parametrize("use_softmax", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", "prelu", "dice"])
@pytest.mark.parametrize("hidden_units", [[6, 5], [4], []])
def test_attention_pooling_is_the_equation(hidden_units, activation, use_softmax):
    layer = AttentionPoolingLayer(3, hidden_units, activation, use_softmax).double()
    query, keys = torch.randn(3, 3).double(), torch.randn(3, 5, 3).double()
    layer(query, keys, mask=MASK)
    layer.eval()
    torch.testing.assert_close(
        layer(query, keys, mask=MASK), pool_by_loop(layer, query, keys, MASK)
    )
    everything = torch.ones(3, 5)
    torch.testing.assert_close(layer(query, keys), pool_by_loop(layer, query, keys, everything))


def test_the_forms_of_a_mask_and_lengths_agree():
    layer = AttentionPoolingLayer(3)
    query, keys = torch.randn(2, 3), torch.randn(2, 4, 3)
    lengths = torch.tensor([3, 0])
    mask = torch.tensor([[True, True, True, False], [False] * 4])
    expected = layer(query, keys, lengths)
    assert torch.equal(layer(query, keys, mask=mask), expected)
    assert torch.equal(layer(query, keys, mask=mask.unsqueeze(1).float()), expected)
    assert torch.equal(layer(query, keys, mask=mask.unsqueeze(2).int()), expected)
    assert torch.equal(layer(query, keys, torch.tensor([1, 1]), mask), expected)  # the mask counts


@pytest.mark.parametrize("use_softmax", [True, False])
def test_an_empty_history_gives_zeros_and_padding_no_gradient(use_softmax):
    layer = AttentionPoolingLayer(3, [4], "dice", use_softmax)
    query, keys = torch.randn(3, 3), torch.randn(3, 5, 3, requires_grad=True)
    y = layer(query, keys, mask=MASK)
    y.sum().backward()
    assert (y[1] == 0).all()
    assert (keys.grad[MASK == 0] == 0).all()
    assert (keys.grad[MASK == 1] != 0).any()
    assert all(torch.isfinite(each.grad).all() for each in layer.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_more_padding_changes_nothing(training):
    layer = AttentionPoolingLayer(3, [4], "dice").double().train(training)
    query, keys = torch.randn(3, 3).double(), torch.randn(3, 5, 3).double()
    longer, mask = nn.functional.pad(keys, (0, 0, 0, 7)), nn.functional.pad(MASK, (0, 7))
    torch.testing.assert_close(layer(query, longer, mask=mask), layer(query, keys, mask=MASK))


def test_the_default_widths_are_those_of_0_3_1():
    layer = AttentionPoolingLayer(3)
    assert [each.shape for each in layer.parameters() if each.dim() == 2] == [
        (80, 12),
        (40, 80),
        (1, 40),
    ]


def test_a_mask_of_another_length_is_an_error():
    layer = AttentionPoolingLayer(3, [4])
    with pytest.raises(RuntimeError):
        layer(torch.randn(3, 3), torch.randn(3, 5, 3), mask=torch.ones(3, 4))
