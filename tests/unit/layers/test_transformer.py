"""Positions, self-attention and the block: torch's own layers, masks, bad arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError, DataError
from nextrec.layers.activation import Dice
from nextrec.layers.transformer import PositionalEmbedding, SelfAttention, TransformerBlock

B, L, D, N = 4, 5, 6, 2
MASK = torch.arange(L) < torch.tensor([5, 3, 1, 0]).unsqueeze(1)


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(B, L, D)


def test_positions_count_from_the_newest():
    layer = PositionalEmbedding(L, 2)
    assert layer.ages(MASK).tolist() == [[4, 3, 2, 1, 0], [2, 1, 0, 0, 0], [0] * 5, [0] * 5]
    vectors = layer(MASK)
    assert torch.equal(vectors[0], layer.weight.flip(0))
    assert torch.equal(vectors[1, :3], layer.weight[[2, 1, 0]])
    assert not vectors[~MASK].any()


def test_padding_changes_no_position():
    layer = PositionalEmbedding(L, 2)
    right = torch.tensor([[1, 1, 0, 0, 0]], dtype=torch.bool)
    left = right.flip(1)
    short = right[:, :2]
    assert torch.equal(layer(right)[:, :2], layer(short))
    assert torch.equal(layer(left)[:, -2:], layer(short))


def test_positions_refuse_what_is_too_long():
    with pytest.raises(DataError, match="has 4 positions; got 5"):
        PositionalEmbedding(4, 2)(MASK)
    with pytest.raises(ConfigError, match="max_len"):
        PositionalEmbedding(0, 2)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs(x, causal):
    ours = SelfAttention(D, N, causal=causal)
    theirs = nn.MultiheadAttention(D, N, bias=False, batch_first=True)
    theirs.in_proj_weight = ours.inputs.weight
    theirs.out_proj.weight = ours.output.weight
    hidden = torch.ones(L, L, dtype=torch.bool).triu(1) if causal else None
    expected, _ = theirs(x, x, x, key_padding_mask=~MASK, attn_mask=hidden)
    torch.testing.assert_close(ours(x, MASK)[MASK], expected[MASK])
    expected, _ = theirs(x, x, x, attn_mask=hidden)
    torch.testing.assert_close(ours(x), expected)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_stays_finite_without_an_item(x, causal):
    x.requires_grad_()
    y = SelfAttention(D, N, causal=causal)(x, MASK)
    y[MASK].sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[~MASK].any()


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_block_is_torchs(x, norm):
    ours = TransformerBlock(D, N, 7, norm=norm)
    theirs = nn.TransformerEncoderLayer(D, N, 7, 0.0, batch_first=True, norm_first=norm == "pre")
    pairs = {
        "self_attn.in_proj_weight": ours.attention.inputs.weight,
        "self_attn.out_proj.weight": ours.attention.output.weight,
        "linear1.weight": ours.up.weight,
        "linear1.bias": ours.up.bias,
        "linear2.weight": ours.down.weight,
        "linear2.bias": ours.down.bias,
    }
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "norm" not in name:
                parameter.copy_(pairs.get(name, torch.zeros_like(parameter)))
    expected = theirs.train()(x[:3], src_key_padding_mask=~MASK[:3])
    y = ours(x, MASK)
    torch.testing.assert_close(y[:3][MASK[:3]], expected[MASK[:3]])
    assert not y[~MASK].any()


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing(x, norm, causal):
    torch.manual_seed(1)
    block = TransformerBlock(D, N, norm=norm, causal=causal, activation="dice").eval()
    y = block(x, MASK)
    torch.testing.assert_close(block(x[1:2, :3])[0], y[1, :3])
    noise = x + 9 * torch.randn_like(x) * (~MASK).unsqueeze(-1)
    torch.testing.assert_close(block(noise, MASK), y)


def test_causal_means_that_newer_items_are_not_seen(x):
    block = TransformerBlock(D, N, causal=True)
    changed = x.clone()
    changed[:, 3:] += 1
    torch.testing.assert_close(block(changed)[:, :3], block(x)[:, :3])
    assert not torch.allclose(block(changed)[:, 3:], block(x)[:, 3:])
    plain = TransformerBlock(D, N)
    assert not torch.allclose(plain(changed)[:, :3], plain(x)[:, :3])


def test_dice_learns_from_real_items_alone(x):
    block = TransformerBlock(D, N, activation="dice")
    assert isinstance(block.activation, Dice)
    other = x + 9 * (~MASK).unsqueeze(-1)
    block(x, MASK)
    first = block.activation.running_mean.clone()
    block.activation.running_mean.zero_()
    block.activation.running_var.fill_(1.0)
    block(other, MASK)
    torch.testing.assert_close(block.activation.running_mean, first)


def test_dropout_acts_in_training_alone(x):
    block = TransformerBlock(D, N, dropout=0.5)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_every_parameter_learns(x):
    block = TransformerBlock(D, N, norm="pre", activation="leaky_relu")
    block(x, MASK).square().sum().backward()
    lacking = [name for name, p in block.named_parameters() if not p.grad.abs().sum() > 0]
    assert lacking == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 4}, "`num_heads` must be a divisor of the width 6; got 4"),
        ({"num_heads": 0}, "num_heads"),
        ({"dropout": 1.0}, r"dropout` must be a number in \[0, 1\)"),
        ({"norm": "posst"}, "Did you mean 'post'"),
        ({"activation": "gellu"}, "Did you mean 'gelu'"),
        ({"feedforward_dim": 0}, "feedforward_dim"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TransformerBlock(D, **arguments)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_last_positions_alone_are_those_of_the_whole(norm, causal, masked):
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 12, activation="leaky_relu", norm=norm, causal=causal).double()
    x = torch.randn(4, 6, 8, dtype=torch.float64)
    mask = torch.rand(4, 6) > 0.4 if masked else None
    if masked:
        mask[0] = False  # nobody there
    whole = block(x, mask)
    for last in (1, 2, 6):
        torch.testing.assert_close(block(x, mask, last=last), whole[:, -last:])
