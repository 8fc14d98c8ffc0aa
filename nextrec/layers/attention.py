"""Attention among fields, and attention of a candidate over a history.

Letters: B batch, F fields, L sequence length, D width, N heads, H width of a hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.layers.activation import Dice, activation_layer
from nextrec.layers.softmax import masked_softmax


class MultiHeadSelfAttention(nn.Module):
    r"""Fields look at each other: the interacting layer of AutoInt.

    .. math::
        a_n = \mathrm{softmax}\Big(\frac{Q_n K_n^\top}{\sqrt{D / N}}\Big) V_n, \qquad
        y = \mathrm{ReLU}([a_1; \dots; a_N] + W_{Res}\, x)

    with Q, K, V linear in x. AutoInt does not divide by the square root (``scaled=False``); as in
    the Transformer, it keeps the softmax from saturating as D grows.

    Source: Song et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural
    Networks", CIKM 2019, section 4.4; Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    Args:
        embedding_dim: width D of a field's output.
        num_heads: heads N; they share D between them.
        dropout: probability that an attention weight is zeroed in training.
        use_residual: add the term with W_Res.
        input_dim: width I of a field's input, if it is another.
        scaled: divide the scores by the square root.

    Shape: ``(B, F, I)`` -> ``(B, F, D)``, where I is D by default. ``mask`` ``(B, F)`` is true at
    real fields: nobody looks at the others, and their own output is zero.

    Raises:
        ConfigError: N does not divide D.

    >>> attention = MultiHeadSelfAttention(8, num_heads=2)
    >>> attention(torch.ones(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int = 2,
        dropout: float = 0.0,
        use_residual: bool = True,
        *,
        input_dim: int | None = None,
        scaled: bool = True,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embedding_dim % num_heads:
            must_be = f"a divisor of embedding_dim ({embedding_dim})"
            raise ConfigError(invalid("MultiHeadSelfAttention", "num_heads", must_be, num_heads))
        if not 0 <= dropout < 1:
            must_be = "a number in [0, 1)"
            raise ConfigError(invalid("MultiHeadSelfAttention", "dropout", must_be, dropout))
        self.embedding_dim = self.out_features = embedding_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.scale = None if scaled else 1.0  # None: torch divides by the root of a head's width
        inputs = embedding_dim if input_dim is None else input_dim
        self.W_Q = nn.Linear(inputs, embedding_dim, bias=False)
        self.W_K = nn.Linear(inputs, embedding_dim, bias=False)
        self.W_V = nn.Linear(inputs, embedding_dim, bias=False)
        self.W_Res = nn.Linear(inputs, embedding_dim, bias=False) if use_residual else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: D102
        visible = None
        if mask is not None:
            mask = mask != 0  # (B, F)
            # A row without a real field looks everywhere, which keeps its softmax defined; its
            # output is zeroed below.
            visible = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]  # (B, 1, 1, F)
        attended = F.scaled_dot_product_attention(
            self._heads(self.W_Q(x)),
            self._heads(self.W_K(x)),
            self._heads(self.W_V(x)),
            attn_mask=visible,
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
        )  # (B, N, F, D / N)
        y = attended.transpose(1, 2).flatten(2)  # (B, F, D)
        if self.W_Res is not None:
            y = y + self.W_Res(x)
        y = torch.relu(y)
        return y if mask is None else y.masked_fill(~mask.unsqueeze(-1), 0.0)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, N, F, D / N)


class AttentionPoolingLayer(nn.Module):
    r"""Pool a history by how much each of its items says about the candidate.

    .. math::
        s_t = g([q;\ k_t;\ q - k_t;\ q \odot k_t]), \qquad
        y = \sum_t w_t k_t, \qquad
        w = \mathrm{softmax}(s) \ \text{or}\ \sigma(s)

    where g is an MLP with one output: the local activation unit, with the input of the authors'
    code. The paper sums without a softmax so that y keeps the strength of the interest;
    ``use_softmax=False`` does so, with a sigmoid that keeps a weight within (0, 1).

    Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
    section 4.3.

    Args:
        embedding_dim: width D of the candidate and of the items.
        hidden_units: hidden widths H of g; ``None`` means 80, 40.
        activation: activation of g, by name; ``dice`` and ``prelu`` are the paper's.
        use_softmax: make the weights sum to 1.

    Shape: query ``(B, D)``, keys ``(B, L, D)`` -> ``(B, D)``. Which items are real is told by
    ``mask`` ``(B, L)``, ``(B, 1, L)`` or ``(B, L, 1)``, or by ``keys_length`` ``(B,)``, the first
    ones; without either all are. The others have weight 0, no gradient and no part in Dice's
    statistics, and an empty history gives zeros.

    >>> pool = AttentionPoolingLayer(8, hidden_units=[16], activation="dice")
    >>> pool(torch.ones(2, 8), torch.ones(2, 5, 8), keys_length=torch.tensor([3, 0])).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        embedding_dim: int,
        hidden_units: Sequence[int] | None = None,
        activation: str = "sigmoid",
        use_softmax: bool = True,
    ) -> None:
        super().__init__()
        widths = [*((80, 40) if hidden_units is None else hidden_units), 1]
        if min(widths) < 1:
            must_be = "positive integers"
            raise ConfigError(
                invalid("AttentionPoolingLayer", "hidden_units", must_be, widths[:-1])
            )
        # A softmax cancels what is added to every score: there the last bias would learn noise.
        biases = [True] * (len(widths) - 1) + [not use_softmax]
        self.first = nn.Linear(4 * embedding_dim, widths[0], bias=biases[0])
        self.later = nn.ModuleList()
        for (width, following), bias in zip(pairwise(widths), biases[1:], strict=True):
            self.later.append(activation_layer(activation, width))
            self.later.append(nn.Linear(width, following, bias=bias))
        self.use_softmax = use_softmax
        self.embedding_dim = self.out_features = embedding_dim

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        keys_length: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Pool ``keys`` by ``query``."""
        real = _real_items(keys, keys_length, mask)  # (B, L)
        scores = self.scores(query, keys, real)  # (B, L)
        if self.use_softmax:
            weights = masked_softmax(scores, real)
        else:
            weights = torch.sigmoid(scores).masked_fill(~real, 0.0)
        return torch.bmm(weights.unsqueeze(1).to(keys.dtype), keys).squeeze(1)  # (B, D)

    def scores(self, query: Tensor, keys: Tensor, real: Tensor) -> Tensor:
        r"""Scores ``(B, L)``: g, without building its input ``(B, L, 4 D)``.

        With W = [A, B, C, E] the first layer is
        :math:`(A + C) q + (B - C) k + E (q \odot k)`: the first term is made once a row, and half
        of the products are left.
        """
        on_query, on_key, on_difference, on_product = self.first.weight.chunk(4, 1)  # (H, D) each
        pairs = torch.cat([keys, query.unsqueeze(1) * keys], -1)  # (B, L, 2 D)
        by_item = F.linear(pairs, torch.cat([on_key - on_difference, on_product], 1))
        by_row = F.linear(query, on_query + on_difference, self.first.bias)  # (B, H)
        hidden = by_item + by_row.unsqueeze(1)  # (B, L, H)
        for layer in self.later:
            hidden = layer(hidden, real) if isinstance(layer, Dice) else layer(hidden)
        return hidden.squeeze(-1)


def _real_items(keys: Tensor, keys_length: Tensor | None, mask: Tensor | None) -> Tensor:
    """True where an item is real, ``(B, L)``."""
    if mask is not None:
        return mask.flatten(1) != 0
    positions = torch.arange(keys.shape[1], device=keys.device)
    if keys_length is not None:
        return positions < keys_length.unsqueeze(1)
    return (positions >= 0).expand(keys.shape[0], -1)
