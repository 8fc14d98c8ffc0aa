"""Gated recurrent units over a history, two of them steered by attention.

In all of them a position that ``mask`` calls padding leaves the state as it was, so that the last
state is that of the last real item wherever the padding lies. The products with the inputs are made
for all positions at once; a step is left with the product that needs the state before it.

Letters: B batch, L positions of a history, I width of an item, H width of the state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid


class _Recurrent(nn.Module):
    """Weights of G gates, stacked as torch stacks them, and the products with the inputs."""

    gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
            if value < 1:
                raise ConfigError(invalid(type(self).__name__, name, "at least 1", value))
        self.input_size = input_size
        self.hidden_size = self.out_features = hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(rows)) if bias else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        r"""Draw every parameter uniformly from :math:`\pm 1 / \sqrt H`."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            parameter.uniform_(-bound, bound)

    # Under autocast the products are made in its type and the state is kept in the weights': a step
    # of attention 1 / L would be lost in bfloat16's eight bits.

    def _of_inputs(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih).to(self.weight_ih.dtype)  # (B, L, G H)

    def _of_state(self, h: Tensor) -> Tensor:
        return F.linear(h, self.weight_hh, self.bias_hh).to(h.dtype)  # (B, G H)

    def _start(self, inputs: Tensor) -> Tensor:
        return inputs.new_zeros(inputs.shape[0], self.hidden_size)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias_ih is not None}"


class DynamicGRU(_Recurrent):
    r"""The gated recurrent unit, with the equations and the weights of ``torch.nn.GRU``.

    .. math::
        r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1} + c_r), \qquad
        z_t = \sigma(W_z x_t + b_z + U_z h_{t-1} + c_z) \\
        n_t &= \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + c_n)), \qquad
        h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.

    Args:
        input_size: width I.
        hidden_size: width H.
        bias: learn b and c.

    Shape: ``(B, L, I)`` -> all states ``(B, L, H)`` and the last ``(B, H)``. ``mask`` ``(B, L)`` is
    true at real items. ``att_scores`` ``(B, L)`` or ``(B, L, 1)`` scale the inputs: the GRU with
    attentional input (AIGRU) of Zhou et al., AAAI 2019, section 4.3.

    >>> states, last = DynamicGRU(4, 8)(torch.ones(2, 5, 4))
    >>> states.shape, torch.equal(states[:, -1], last)
    (torch.Size([2, 5, 8]), True)
    """

    gates = 3  # r, z, n

    def forward(
        self, x: Tensor, att_scores: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All states and the last."""
        if att_scores is not None:
            x = x * _column(att_scores).to(x.dtype)
        reset, keep, new = self._of_inputs(x).chunk(3, -1)  # (B, L, H) each
        if mask is not None:  # so large that the gate is exactly 1
            keep = keep.masked_fill(~mask.unsqueeze(-1), 1e4)
        h = self._start(new)
        states = []
        for r_x, z_x, n_x in zip(reset.unbind(1), keep.unbind(1), new.unbind(1), strict=True):
            r_h, z_h, n_h = self._of_state(h).chunk(3, 1)
            r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
            n = torch.tanh(torch.addcmul(n_x, r, n_h))
            h = torch.lerp(n, h, z)
            states.append(h)
        return torch.stack(states, 1), h


class AGRU(_Recurrent):
    r"""A GRU whose update gate is the attention, one number for all channels.

    .. math::
        r_t = \sigma(W_r x_t + U_r h_{t-1}), \qquad
        n_t = \tanh(W_n x_t + r_t \odot U_n h_{t-1}), \qquad
        h_t = (1 - a_t)\, h_{t-1} + a_t\, n_t

    each product with a bias of its own.

    Source: Zhou et al., "Deep Interest Evolution Network for Click-Through Rate Prediction", AAAI
    2019, section 4.3.

    Args:
        input_size: width I.
        hidden_size: width H.
        bias: learn the biases.

    Shape: ``(B, L, I)``, attention ``(B, L)`` or ``(B, L, 1)`` -> all states ``(B, L, H)`` and the
    last ``(B, H)``. ``mask`` ``(B, L)`` is true at real items.

    >>> AGRU(4, 8)(torch.ones(2, 5, 4), torch.ones(2, 5))[1].shape
    torch.Size([2, 8])
    """

    gates = 2  # r, n

    def forward(
        self, x: Tensor, att_scores: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All states and the last."""
        reset, new = self._of_inputs(x).chunk(2, -1)  # (B, L, H) each
        attention = _real(att_scores, mask).to(new.dtype)  # (B, L, 1)
        h = self._start(new)
        states = []
        for r_x, n_x, a in zip(reset.unbind(1), new.unbind(1), attention.unbind(1), strict=True):
            r_h, n_h = self._of_state(h).chunk(2, 1)
            n = torch.tanh(torch.addcmul(n_x, torch.sigmoid(r_x + r_h), n_h))
            h = torch.lerp(h, n, a.expand_as(n))
            states.append(h)
        return torch.stack(states, 1), h


class AUGRU(_Recurrent):
    r"""A GRU whose update gate is scaled by the attention.

    .. math::
        r_t &= \sigma(W_r x_t + U_r h_{t-1}), \qquad u_t = \sigma(W_u x_t + U_u h_{t-1}), \qquad
        n_t = \tanh(W_n x_t + r_t \odot U_n h_{t-1}) \\
        u'_t &= a_t\, u_t, \qquad h_t = (1 - u'_t) \odot h_{t-1} + u'_t \odot n_t

    each product with a bias of its own. An item that has nothing to do with the candidate leaves
    the state as it was, and what is kept still depends on the channel.

    Source: Zhou et al., "Deep Interest Evolution Network for Click-Through Rate Prediction", AAAI
    2019, section 4.3.

    Args:
        input_size: width I.
        hidden_size: width H.
        bias: learn the biases.

    Shape: ``(B, L, I)``, attention ``(B, L)`` or ``(B, L, 1)`` -> all states ``(B, L, H)`` and the
    last ``(B, H)``. ``mask`` ``(B, L)`` is true at real items.

    >>> AUGRU(4, 8)(torch.ones(2, 5, 4), torch.ones(2, 5))[1].shape
    torch.Size([2, 8])
    """

    gates = 3  # r, u, n

    def forward(
        self, x: Tensor, att_scores: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All states and the last."""
        reset, update, new = self._of_inputs(x).chunk(3, -1)  # (B, L, H) each
        attention = _real(att_scores, mask).to(new.dtype)  # (B, L, 1)
        h = self._start(new)
        states = []
        for r_x, u_x, n_x, a in zip(
            reset.unbind(1), update.unbind(1), new.unbind(1), attention.unbind(1), strict=True
        ):
            r_h, u_h, n_h = self._of_state(h).chunk(3, 1)
            n = torch.tanh(torch.addcmul(n_x, torch.sigmoid(r_x + r_h), n_h))
            h = torch.lerp(h, n, a * torch.sigmoid(u_x + u_h))
            states.append(h)
        return torch.stack(states, 1), h


def _column(scores: Tensor) -> Tensor:
    """``(B, L)`` or ``(B, L, 1)`` as ``(B, L, 1)``."""
    return scores.unsqueeze(-1) if scores.dim() == 2 else scores


def _real(scores: Tensor, mask: Tensor | None) -> Tensor:
    """The scores ``(B, L, 1)``, 0 where there is no item."""
    column = _column(scores)
    return column if mask is None else column.masked_fill(~mask.unsqueeze(-1), 0.0)
