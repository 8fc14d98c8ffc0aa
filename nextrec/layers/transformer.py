"""The Transformer over a history: positions, self-attention and the block that holds it.

Letters: B batch, L positions of a history, D width of an item, N heads.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, DataError, invalid, unknown_option
from nextrec.layers.activation import Dice, activation_layer

NormPlace = Literal["post", "pre"]


class PositionalEmbedding(nn.Module):
    """A learned vector for how many items came after: the newest item is position 0.

    Counted from the oldest item, the same distance to the present would have another vector in
    each user's history; counted over the padded length, it would change with the padding.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5 (learned kind).

    Args:
        max_len: the longest history.
        embedding_dim: width D.

    Shape: mask ``(B, L)``, true at real items -> ``(B, L, D)``; zero elsewhere.

    Raises:
        DataError: a history is longer than ``max_len``.

    >>> mask = torch.tensor([[True, True, False]])
    >>> PositionalEmbedding(4, 1).ages(mask)
    tensor([[1, 0, 0]])
    """

    def __init__(self, max_len: int, embedding_dim: int) -> None:
        super().__init__()
        for name, value in (("max_len", max_len), ("embedding_dim", embedding_dim)):
            if value < 1:
                raise ConfigError(invalid("PositionalEmbedding", name, "at least 1", value))
        self.max_len = max_len
        self.out_features = embedding_dim
        self.weight = nn.Parameter(torch.empty(max_len, embedding_dim).normal_(std=0.02))

    def forward(self, mask: Tensor) -> Tensor:  # noqa: D102
        if mask.shape[1] > self.max_len:
            raise DataError(
                f"PositionalEmbedding has {self.max_len} positions; got {mask.shape[1]}."
            )
        vectors = F.embedding(self.ages(mask), self.weight)  # (B, L, D)
        return vectors * mask.unsqueeze(-1).to(vectors.dtype)

    def ages(self, mask: Tensor) -> Tensor:
        """How many real items come after each real one ``(B, L)``; 0 where there is none."""
        seen = mask.long().cumsum(1)
        return (seen[:, -1:] - seen) * mask


class SelfAttention(nn.Module):
    r"""Each item of a history gathers from the others, in N subspaces.

    .. math::
        a_n = \mathrm{softmax}\Big(\frac{x W^Q_n (x W^K_n)^\top}{\sqrt{D / N}}\Big) x W^V_n,
        \qquad y = [a_1; \dots; a_N] W^O

    Without biases: one in front of the softmax would have no effect.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.

    Args:
        embedding_dim: width D.
        num_heads: heads N; they share D between them.
        dropout: probability that an attention weight is zeroed in training.
        causal: an item looks at itself and at older ones only.
        project: apply :math:`W^O`; without it the output is that of the N heads side by side.

    Shape: ``(B, L, D)`` -> ``(B, L, D)``, or ``(B, last, D)`` of the ``last`` positions alone, at
    their share of the cost. ``mask`` ``(B, L)`` is true at real items: nobody looks at the others,
    and what they have as output is to be ignored. :meth:`heads` gives ``(B, N, L, D / N)``.

    Raises:
        ConfigError: N does not divide D, or the dropout is no probability.

    >>> SelfAttention(8, num_heads=2)(torch.ones(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int = 2,
        dropout: float = 0.0,
        causal: bool = False,
        project: bool = True,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embedding_dim % num_heads:
            must_be = f"a divisor of the width {embedding_dim}"
            raise ConfigError(invalid("SelfAttention", "num_heads", must_be, num_heads))
        if not 0 <= dropout < 1:
            raise ConfigError(invalid("SelfAttention", "dropout", "a number in [0, 1)", dropout))
        self.num_heads = num_heads
        self.dropout = dropout
        self.causal = causal
        self.out_features = embedding_dim
        self.inputs = nn.Linear(embedding_dim, 3 * embedding_dim, bias=False)  # Q, K, V in one
        self.output = nn.Linear(embedding_dim, embedding_dim, bias=False) if project else None
        for matrix in self.inputs.weight.chunk(3):
            nn.init.xavier_uniform_(matrix.detach())

    def forward(  # noqa: D102
        self, x: Tensor, mask: Tensor | None = None, last: int | None = None
    ) -> Tensor:
        y = self.heads(x, mask, last).transpose(1, 2).flatten(2)  # (B, L, D)
        return y if self.output is None else self.output(y)

    def heads(self, x: Tensor, mask: Tensor | None = None, last: int | None = None) -> Tensor:
        """What each head gathers ``(B, N, L, D / N)``."""
        if last is None:
            split = self.inputs(x).unflatten(-1, (3, self.num_heads, -1))  # (B, L, 3, N, D / N)
            query, key, value = split.permute(2, 0, 3, 1, 4)  # (B, N, L, D / N) each
        else:
            of_query, of_others = self.inputs.weight.tensor_split((self.out_features,))
            query = F.linear(x[:, -last:], of_query).unflatten(-1, (self.num_heads, -1))
            others = F.linear(x, of_others).unflatten(-1, (2, self.num_heads, -1))
            query = query.transpose(1, 2)  # (B, N, last, D / N)
            key, value = others.permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=self._visible(x, mask, last),
            dropout_p=self.dropout if self.training else 0.0,
        )

    def _visible(self, x: Tensor, mask: Tensor | None, last: int | None) -> Tensor | None:
        """Who sees whom; someone in every row, or its softmax would be 0 / 0."""
        if not self.causal:
            if mask is None:
                return None
            return (mask | ~mask.any(1, keepdim=True))[:, None, None, :]  # (B, 1, 1, L)
        length = x.shape[1]
        oneself = torch.eye(length, dtype=torch.bool, device=x.device)
        older = torch.ones_like(oneself).tril()  # (L, L)
        if last is not None:
            oneself, older = oneself[-last:], older[-last:]
        return older if mask is None else (mask[:, None, None, :] & older) | oneself


class TransformerBlock(nn.Module):
    r"""Self-attention and a feed-forward network, each beside a residual connection.

    .. math::
        s = \mathrm{LN}(x + \mathrm{attention}(x)), \qquad
        y = \mathrm{LN}(s + \phi(s W_1 + b_1) W_2 + b_2)

    With ``norm="pre"`` each part reads normalised values and the sum stays as it is,
    :math:`s = x + \mathrm{attention}(\mathrm{LN}(x))`: deep stacks then train without warm-up
    (Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020).

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    Args:
        embedding_dim: width D.
        num_heads: heads of :class:`SelfAttention`.
        feedforward_dim: hidden width of the feed-forward network; ``None`` means 4 D.
        dropout: of attention weights, hidden numbers and both parts' outputs.
        activation: :math:`\phi` by name.
        norm: ``post`` or ``pre``.
        causal: an item looks at itself and at older ones only.

    Shape: ``(B, L, D)`` -> ``(B, L, D)``, or ``(B, last, D)`` of the ``last`` positions alone, at
    their share of the cost. ``mask`` ``(B, L)`` is true at real items: nobody looks at the others,
    and their output is zero.

    Raises:
        ConfigError: as :class:`SelfAttention`; an unknown activation or norm.

    >>> block = TransformerBlock(8, num_heads=2, activation="gelu", norm="pre")
    >>> block(torch.ones(2, 5, 8), mask=torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int = 2,
        feedforward_dim: int | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
        norm: NormPlace = "post",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if norm not in get_args(NormPlace):
            raise ConfigError(unknown_option("TransformerBlock", "norm", get_args(NormPlace), norm))
        hidden = 4 * embedding_dim if feedforward_dim is None else feedforward_dim
        if hidden < 1:
            must_be = "at least 1, or None"
            raise ConfigError(invalid("TransformerBlock", "feedforward_dim", must_be, hidden))
        self.attention = SelfAttention(embedding_dim, num_heads, dropout, causal)
        self.attention_norm = nn.LayerNorm(embedding_dim)
        self.up = nn.Linear(embedding_dim, hidden)
        self.activation = activation_layer(activation, hidden)
        self.down = nn.Linear(hidden, embedding_dim)
        self.feedforward_norm = nn.LayerNorm(embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = norm
        self.out_features = embedding_dim

    def forward(  # noqa: D102
        self, x: Tensor, mask: Tensor | None = None, last: int | None = None
    ) -> Tensor:
        read = self.attention_norm(x) if self.norm == "pre" else x
        gathered = self.dropout(self.attention(read, mask, last))
        if last is not None:
            x, mask = x[:, -last:], None if mask is None else mask[:, -last:]
        x = x + gathered
        if self.norm == "post":
            x = self.attention_norm(x)
            x = self.feedforward_norm(x + self._feedforward(x, mask))
        else:
            x = x + self._feedforward(self.feedforward_norm(x), mask)
        return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0.0)  # (B, L, D)

    def _feedforward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.up(x)  # (B, L, H)
        if isinstance(self.activation, Dice):  # padding has no part in its statistics
            hidden = self.activation(hidden, mask)
        else:
            hidden = self.activation(hidden)
        return self.dropout(self.down(self.dropout(hidden)))
