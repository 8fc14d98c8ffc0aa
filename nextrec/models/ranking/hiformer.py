"""HiFormer (Gui, R. Wang, Yin, Jin, Kula, Xu, Hong, Chi; 2023, arXiv:2311.05884)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts, check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.layers.tokens import TokenFeedForward, TokenLinear
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class HiFormer(BaseModel):
    r"""A Transformer over fields in which every field has projections of its own.

    .. math::
        q_i = Q_i e_i, \qquad
        [k_1; \dots; k_L] = \hat K [e_1; \dots; e_L], \qquad
        [v_1; \dots; v_L] = \hat V [e_1; \dots; e_L] \\
        s_i = \mathrm{LN}\Big(e_i + O_i \sum_j \mathrm{softmax}_j\Big(
        \frac{\langle q_i, k_j \rangle}{\sqrt{h}}\Big) v_j\Big), \qquad
        e'_i = \mathrm{LN}(s_i + \mathrm{FFN}_i(s_i))

    for each head of width h, whose outputs stand side by side in front of O. These are composite
    projections: a key may speak for any mixture of the fields. With ``rank`` each head's
    :math:`\hat K` and :math:`\hat V` are products of two matrices of that rank.
    ``composite=False`` is the paper's simpler heterogeneous attention, :math:`k_j = K_j e_j,
    v_j = V_j e_j`. Beside the fields stands one learned token a task; only these are computed in
    the last layer, and an MLP reads them. As in the Transformer, normalisation follows the
    residual.

    Written from descriptions of the paper, whose text could not be compared line by line.
    Departures: each raw dense value has a learned map to the common width, where the paper has an
    MLP over all of them; several tasks share the MLP, which reads all their tokens.

    Args:
        num_layers: layers.
        num_heads: heads.
        head_dim: width h; by default that of a field over ``num_heads``.
        composite: composite projections of keys and values.
        rank: their rank; ``None`` for full matrices.
        ffn_ratio: hidden width of a field's FFN over the field's.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        dropout: of what attention and FFN add, in training.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: fields of different widths, or fewer than two.
        ConfigError: heads that do not divide the width, a rank without composite projections.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        num_layers: int = 2,
        num_heads: int = 2,
        head_dim: int | None = None,
        composite: bool = True,
        rank: int | None = None,
        ffn_ratio: int = 2,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        owner = self.model_name
        fields = self.features.as_fields(owner, at_least=2)
        width = fields.field_width(owner)
        check_counts(
            owner,
            num_layers=num_layers,
            num_heads=num_heads,
            head_dim=1 if head_dim is None else head_dim,
            rank=1 if rank is None else rank,
            ffn_ratio=ffn_ratio,
        )
        check_rates(owner, dropout=dropout)
        if head_dim is None and width % num_heads:
            must_be = f"a divisor of the fields' width {width} without `head_dim`"
            raise ConfigError(invalid(owner, "num_heads", must_be, num_heads))
        if rank is not None and not composite:
            raise ConfigError("HiFormer: `rank` has no use with `composite` False.")
        self.embedding = EmbeddingLayer(fields)
        tasks = len(self.tasks)
        self.task_tokens = nn.Parameter(0.02 * torch.randn(tasks, width))
        tokens, head = tasks + len(fields), (num_heads, head_dim or width // num_heads)
        self.layers = nn.ModuleList(
            HiFormerLayer(tokens, queries, width, head, composite, rank, ffn_ratio, dropout)
            for queries in [tokens] * (num_layers - 1) + [tasks]
        )
        self.mlp = mlp_from(
            tasks * width, mlp_params, dims=(256, 128), norm="none", output_dim=self.num_logits
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        tasks = self.task_tokens.to(fields.dtype).expand(fields.shape[0], -1, -1)
        tokens = torch.cat([tasks, fields], 1)  # (B, L, D)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.mlp(tokens.flatten(1))


class HiFormerLayer(nn.Module):
    """Heterogeneous attention and FFN of the first ``queries`` of L tokens over all of them.

    Letters: N heads of width h, Q queries.
    """

    def __init__(
        self,
        tokens: int,
        queries: int,
        width: int,
        head: tuple[int, int],
        composite: bool,
        rank: int | None,
        ffn_ratio: int,
        dropout: float,
    ) -> None:
        super().__init__()
        num_heads, head_dim = head
        inner = num_heads * head_dim
        self.queries, self.head = queries, head
        self.query = TokenLinear(queries, width, inner, bias=False)
        self.key_value: nn.Module
        if composite:
            self.key_value = CompositeProjection(tokens, width, head, rank)
        else:
            self.key_value = FieldProjection(tokens, width, head)
        self.out = TokenLinear(queries, inner, width, bias=False)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = TokenFeedForward(queries, width, ffn_ratio)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, L, D)`` -> ``(B, Q, D)``."""
        own = x[:, : self.queries]
        query = self.query(own).unflatten(2, self.head).transpose(1, 2)  # (B, N, Q, h)
        key, value = self.key_value(x).unbind(1)  # (B, N, L, h) each
        attended = F.scaled_dot_product_attention(query, key, value)  # (B, N, Q, h)
        added = self.out(attended.transpose(1, 2).flatten(2))
        middle = self.attention_norm(self.dropout(added) + own)
        return self.norm(self.dropout(self.feed_forward(middle)) + middle)


class FieldProjection(nn.Module):
    """Keys and values of each token from that token: ``(B, L, D)`` -> ``(B, 2, N, L, h)``."""

    def __init__(self, tokens: int, width: int, head: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (2, *head)
        self.linear = TokenLinear(tokens, width, 2 * head[0] * head[1], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Project."""
        return self.linear(x).unflatten(2, self.shape).permute(0, 2, 3, 1, 4)


class CompositeProjection(nn.Module):
    """Keys and values of each token from all tokens: ``(B, L, D)`` -> ``(B, 2, N, L, h)``."""

    def __init__(self, tokens: int, width: int, head: tuple[int, int], rank: int | None) -> None:
        super().__init__()
        num_heads, head_dim = head
        self.shape = (2, num_heads, tokens, head_dim)
        self.rank = rank
        maps, outputs = 2 * num_heads, tokens * head_dim
        first = maps * (outputs if rank is None else rank)
        self.linear = nn.Linear(tokens * width, first, bias=False)
        self.expand = None if rank is None else TokenLinear(maps, rank, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Project."""
        y = self.linear(x.flatten(1))
        if self.expand is not None:
            y = self.expand(y.unflatten(1, (-1, self.rank))).flatten(1)
        return y.unflatten(1, self.shape)
