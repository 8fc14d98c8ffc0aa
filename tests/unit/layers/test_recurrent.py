"""Recurrent layers: torch's GRU and cells written out, padding, precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.layers.recurrent import AGRU, AUGRU, DynamicGRU

B, L, E, H = 5, 7, 3, 4  # E: width of an item
LAYERS = [DynamicGRU, AGRU, AUGRU]


@pytest.fixture
def batch():
    torch.manual_seed(0)
    mask = torch.arange(L) < torch.tensor([7, 3, 1, 0, 5]).unsqueeze(1)
    return torch.randn(B, L, E), torch.rand(B, L), mask


def test_the_plain_unit_is_torchs(batch):
    x, _, _ = batch
    ours, theirs = DynamicGRU(E, H), nn.GRU(E, H, batch_first=True)
    theirs.load_state_dict({f"{name}_l0": value for name, value in ours.state_dict().items()})
    states, last = ours(x)
    expected, final = theirs(x)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, final[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_cells_follow_their_equations(kind, bias, batch):
    x, attention, _ = batch
    layer = kind(E, H, bias)
    states, _ = layer(x, attention)
    for row in range(B):
        h = torch.zeros(H)
        for t in range(L):
            h = cell(layer, x[row, t], h, attention[row, t])
            torch.testing.assert_close(states[row, t], h)


def cell(layer, x, h, a):
    """One step of one row, gate by gate."""
    if isinstance(layer, DynamicGRU):
        x = a * x
    of_x, of_h = layer.weight_ih @ x, layer.weight_hh @ h
    if layer.bias_ih is not None:
        of_x, of_h = of_x + layer.bias_ih, of_h + layer.bias_hh
    r = torch.sigmoid(of_x[:H] + of_h[:H])
    n = torch.tanh(of_x[-H:] + r * of_h[-H:])
    if isinstance(layer, AGRU):
        return (1 - a) * h + a * n
    gate = torch.sigmoid(of_x[H : 2 * H] + of_h[H : 2 * H])
    if isinstance(layer, AUGRU):
        return (1 - a * gate) * h + a * gate * n
    return (1 - gate) * n + gate * h


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_leaves_the_state_wherever_it_lies(kind, batch):
    x, attention, mask = batch
    layer = kind(E, H)
    states, last = layer(x, attention, mask=mask)
    assert torch.equal(states[:, -1], last)
    assert torch.equal(last[3], torch.zeros(H))
    for row, length in enumerate(mask.sum(1).tolist()):
        if length:
            alone, final = layer(x[row : row + 1, :length], attention[row : row + 1, :length])
            torch.testing.assert_close(states[row, :length], alone[0])
            torch.testing.assert_close(last[row], final[0])
            assert torch.equal(states[row, length - 1], last[row])
    # The same items behind their padding, and with other numbers in the padding.
    _, left = layer(x.flip(1), attention.flip(1), mask=mask.flip(1))
    _, turned = layer(reversed_items(x, mask), reversed_items(attention, mask), mask=mask)
    torch.testing.assert_close(left, turned)
    noise = x + 9 * torch.randn_like(x) * (~mask).unsqueeze(-1)
    torch.testing.assert_close(layer(noise, attention, mask=mask)[0], states)


def reversed_items(values, mask):
    out = values.clone()
    for row, length in enumerate(mask.sum(1).tolist()):
        out[row, :length] = values[row, :length].flip(0)
    return out


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_gets_no_gradient_and_parameters_do(kind, batch):
    x, attention, mask = batch
    x.requires_grad_()
    layer = kind(E, H)
    states, last = layer(x, attention.unsqueeze(-1), mask=mask)  # 0.3.1's shape of the attention
    (states.square().sum() + last.sum()).backward()
    assert torch.equal(x.grad.abs().sum(-1) > 0, mask)
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


@pytest.mark.parametrize("kind", [AGRU, AUGRU])
def test_an_item_without_attention_changes_nothing(kind, batch):
    x, attention, _ = batch
    attention[:, 3:] = 0
    states, last = kind(E, H)(x, attention)
    assert torch.equal(last, states[:, 2])


@pytest.mark.parametrize("kind", LAYERS)
def test_the_state_stays_in_float32_under_autocast(kind, batch):
    x, attention, mask = batch
    layer = kind(E, H)
    expected = layer(x, attention, mask=mask)[1]
    with torch.autocast("cpu", torch.bfloat16):
        last = layer(x, attention, mask=mask)[1]
    assert last.dtype == torch.float32
    torch.testing.assert_close(last, expected, rtol=0, atol=0.03)


def test_has_the_parameters_of_0_3_1():
    shapes = {name: tuple(p.shape) for name, p in AUGRU(E, H).named_parameters()}
    assert shapes == {
        "weight_ih": (3 * H, E),
        "weight_hh": (3 * H, H),
        "bias_ih": (3 * H,),
        "bias_hh": (3 * H,),
    }
    assert not [
        name for name, _ in DynamicGRU(E, H, bias=False).named_parameters() if "b" in name[0]
    ]


def test_starts_within_its_bound():
    layer = AUGRU(E, 64)
    values = torch.cat([p.flatten() for p in layer.parameters()])
    assert values.abs().max() <= 1 / 8
    assert values.std() > 0.05


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_refuses_widths_below_one(sizes):
    with pytest.raises(ConfigError, match=r"AUGRU: `(input|hidden)_size` must be at least 1"):
        AUGRU(*sizes)
