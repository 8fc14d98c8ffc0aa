"""Attention of one query over a history, with several heads.

Letters: B batch, L positions of a history, D width of an item, Q width of the query, N heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.layers.softmax import masked_softmax


class MultiHeadTargetAttention(nn.Module):
    r"""Pool a history by how much each of its items has to do with the candidate.

    .. math::
        \alpha_n = \mathrm{softmax}_t\Big(
            \frac{(W^Q_n q) \cdot (W^K_n k_t)}{\sqrt{D / N}}\Big), \qquad
        y = W^O [\textstyle\sum_t \alpha_{1t} W^V_1 k_t;\ \dots;\ \sum_t \alpha_{Nt} W^V_N k_t]

    With one query the maps of the keys need not be made at every position:
    :math:`(W^Q q) \cdot (W^K k) = ({W^K}^\top W^Q q) \cdot k` and
    :math:`\sum_t \alpha_t W^V k_t = W^V \sum_t \alpha_t k_t`, so a row costs two products
    ``(N, D) x (D, L)`` and nothing else grows with L. There are no biases: one of the keys would
    have no effect.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.2; with the
    candidate as query, Chen et al., arXiv:2108.04468, section 3.2.

    Args:
        embedding_dim: width D of an item.
        num_heads: heads N; they share D between them.
        dropout: probability that an attention weight is zeroed in training.
        query_dim: width Q of the query; ``None``: that of an item.
        project_values: False pools the items themselves, without :math:`W^V` and :math:`W^O`, as
            the exact search unit of SIM does; the output is then N * D wide.

    Shape: query ``(B, Q)``, keys ``(B, L, D)``, mask ``(B, L)``, true at real items ->
    ``(B, out_features)``. An empty history gives zeros.

    Raises:
        ConfigError: N does not divide D, or the dropout is no probability.

    >>> attention = MultiHeadTargetAttention(8, num_heads=2)
    >>> attention(torch.ones(3, 8), torch.ones(3, 5, 8), torch.ones(3, 5) > 0).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int = 2,
        dropout: float = 0.0,
        query_dim: int | None = None,
        project_values: bool = True,
    ) -> None:
        super().__init__()
        owner = "MultiHeadTargetAttention"
        if num_heads < 1 or embedding_dim % num_heads:
            must_be = f"a divisor of the width {embedding_dim}"
            raise ConfigError(invalid(owner, "num_heads", must_be, num_heads))
        if not 0 <= dropout < 1:
            raise ConfigError(invalid(owner, "dropout", "a number in [0, 1)", dropout))
        self.num_heads = num_heads
        self.dropout = dropout
        self.out_features = embedding_dim if project_values else num_heads * embedding_dim
        self.W_Q = nn.Linear(query_dim or embedding_dim, embedding_dim, bias=False)
        self.W_K = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.W_V = self.W_O = None
        if project_values:
            self.W_V = nn.Linear(embedding_dim, embedding_dim, bias=False)
            self.W_O = nn.Linear(embedding_dim, embedding_dim, bias=False)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: D102
        weights = self._weights(query, keys, mask)  # (B, N, L)
        pooled = torch.bmm(weights.to(keys.dtype), keys)  # (B, N, D)
        if self.W_V is None or self.W_O is None:
            return pooled.flatten(1)  # (B, N * D)
        values = torch.einsum("bnk,ndk->bnd", pooled, self._by_head(self.W_V))
        return self.W_O(values.flatten(1))

    def _weights(self, query: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        asked = self.W_Q(query).unflatten(1, (self.num_heads, -1))  # (B, N, D / N)
        asked = torch.einsum("bnd,ndk->bnk", asked, self._by_head(self.W_K))  # (B, N, D)
        asked = asked / math.sqrt(keys.shape[2] // self.num_heads)
        scores = torch.bmm(asked, keys.transpose(1, 2).to(asked.dtype))  # (B, N, L)
        if mask is None:
            weights = torch.softmax(scores, -1)
        else:
            weights = masked_softmax(scores, mask.unsqueeze(1))
        return F.dropout(weights, self.dropout, self.training)

    def _by_head(self, linear: nn.Linear) -> Tensor:
        return linear.weight.unflatten(0, (self.num_heads, -1))  # (N, D / N, D)
