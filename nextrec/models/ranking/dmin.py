"""Deep Multi-Interest Network (Xiao, Yang, Jiang, Wei, Hu, Wang; CIKM 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.activation import Dice, activation_layer
from nextrec.layers.checks import check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gating import ExpertLayerNorm, ExpertLinear
from nextrec.layers.history import Histories
from nextrec.layers.mlp import mlp_from
from nextrec.layers.next_item import NextItemLoss
from nextrec.layers.softmax import masked_softmax
from nextrec.layers.transformer import PositionalEmbedding, SelfAttention, TransformerBlock
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class DMIN(BaseModel):
    r"""Reads several interests from a history at once, each by a head of its own.

    .. math::
        r = \mathrm{block}(e), \qquad
        s_n = \mathrm{LN}(r + \mathrm{head}_n(r)\, W_n), \qquad
        I_n = s_n + \mathrm{FFN}_n(s_n) \\
        v_n = \sum_t \mathrm{softmax}_t\big(g_n([I_{nt}; q_t; I_{nt} \odot q_t])\big)\, I_{nt},
        \qquad q_t = W c + V p_t, \qquad
        z = \mathrm{MLP}([\text{all other features}; c; v_1; \dots; v_N])

    where e are the history's items, the block (the behaviour refiner) is a Transformer's, the heads
    are those of a second self-attention (the multi-interest extractor), c is the candidate and p
    the position, counted from the newest item. As in the authors' code an item looks at itself and
    at older ones only; else the auxiliary loss would show a state the item that it has to tell.
    The product in the input of g and the residual connections are from their code too; their
    combination W, V is a head's own, ours common. An empty history gives zeros.

    With ``use_negsampling``, as in the paper, training adds ``auxiliary_weight`` times the loss of
    :class:`~nextrec.layers.next_item.NextItemLoss` of the refined items r.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`; its activation is Dice by
            default, as in the authors' code.
        num_heads: heads of both attentions, N interests; they divide the items' width.
        feedforward_dim: hidden width of the feed-forward networks; ``None``: twice the items'.
        attention_hidden_units: hidden widths of g.
        attention_activation: activation of g.
        use_negsampling: train with the auxiliary loss.
        auxiliary_weight: its weight.
        attention_dropout: dropout in the refiner and of the attention weights.
        behavior_feature_name, candidate_feature_name: histories and their candidates; see
            :func:`~nextrec.layers.history.find_pairs`.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: as :class:`~nextrec.layers.history.Histories`; too few items to draw from.
        ConfigError: heads that don't divide the width, a weight that is not positive, no hidden
            units.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        num_heads: int = 2,
        feedforward_dim: int | None = None,
        attention_hidden_units: Sequence[int] = (80, 40),
        attention_activation: str = "relu",
        use_negsampling: bool = False,
        *,
        auxiliary_weight: float = 1.0,
        attention_dropout: float = 0.0,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_rates(self.model_name, attention_dropout=attention_dropout)
        if not auxiliary_weight > 0:
            raise ConfigError(
                invalid(self.model_name, "auxiliary_weight", "positive", auxiliary_weight)
            )
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        width = self.histories.out_features
        hidden = 2 * width if feedforward_dim is None else feedforward_dim
        self.refiner = TransformerBlock(width, num_heads, hidden, attention_dropout, causal=True)
        self.extractor = InterestHeads(width, num_heads, hidden, attention_dropout)
        self.position = PositionalEmbedding(self.histories.max_len, width)
        self.query = nn.Linear(width, width, bias=False)
        self.place = nn.Linear(width, width, bias=False)
        self.activation_unit = HeadAttention(
            num_heads, width, attention_hidden_units, attention_activation
        )
        self.auxiliary_weight = auxiliary_weight
        self.auxiliary = None
        if use_negsampling:
            self.auxiliary = NextItemLoss(self.histories, self.features, width)
        self.mlp = mlp_from(
            self.histories.rest.width + num_heads * width,
            mlp_params,
            dims=(200, 80),
            activation="dice",
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        candidate, items, mask = self.histories(self.embedding, x)
        return self._predict(x, candidate, self.refiner(items, mask), mask)

    def training_outputs(self, x: Mapping[str, Tensor]) -> Tensor | Mapping[str, Any]:
        """The logits, with the auxiliary loss where it is trained."""
        candidate, items, mask = self.histories(self.embedding, x)
        refined = self.refiner(items, mask)  # (B, L, D)
        logits = self._predict(x, candidate, refined, mask)
        if self.auxiliary is None:
            return logits
        loss = self.auxiliary(self.embedding, x, refined, items, mask)
        return {"logits": logits, "auxiliary": {"next_item": self.auxiliary_weight * loss}}

    def _predict(
        self, x: Mapping[str, Tensor], candidate: Tensor, refined: Tensor, mask: Tensor
    ) -> Tensor:
        interests = self.extractor(refined, mask)  # (B, L, N, D)
        query = self.query(candidate).unsqueeze(1) + self.place(self.position(mask))  # (B, L, D)
        pooled = self.activation_unit(query, interests, mask)  # (B, N, D)
        others = self.embedding.flat(x, self.histories.rest)
        return self.mlp(torch.cat([others, pooled.flatten(1)], 1))


class InterestHeads(nn.Module):
    """Self-attention whose N heads stay apart, each brought back to the width of the items.

    Shape: ``(B, L, D)``, mask ``(B, L)`` -> ``(B, L, N, D)``.
    """

    def __init__(self, width: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, num_heads, dropout, causal=True, project=False)
        self.expand = ExpertLinear(num_heads, width // num_heads, width)
        self.norm = ExpertLayerNorm(num_heads, width)
        self.up = ExpertLinear(num_heads, width, hidden)
        self.down = ExpertLinear(num_heads, hidden, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        heads = self.attention.heads(x, mask).transpose(1, 2)  # (B, L, N, D / N)
        expanded = self.expand(heads.flatten(0, 1))  # (B L, N, D)
        s = self.norm(x.flatten(0, 1).unsqueeze(1) + expanded)
        interests = s + self.down(torch.relu(self.up(s)))
        return interests.unflatten(0, x.shape[:2])


class HeadAttention(nn.Module):
    """Pool each head's interests by an activation unit of its own.

    Shape: query ``(B, L, D)``, interests ``(B, L, N, D)``, mask ``(B, L)`` -> ``(B, N, D)``.
    """

    def __init__(
        self, num_heads: int, width: int, hidden_units: Sequence[int], activation: str
    ) -> None:
        super().__init__()
        if not hidden_units or min(hidden_units) < 1:
            must_be = "at least one width, all positive"
            raise ConfigError(invalid("DMIN", "attention_hidden_units", must_be, hidden_units))
        first, last = hidden_units[0], hidden_units[-1]
        self.on_interest = ExpertLinear(num_heads, 2 * width, first)
        self.on_query = nn.Linear(width, num_heads * first, bias=False)
        self.later = nn.ModuleList([activation_layer(activation, num_heads * first)])
        for inner, outer in pairwise(hidden_units):
            self.later.append(ExpertLinear(num_heads, inner, outer))
            self.later.append(activation_layer(activation, num_heads * outer))
        # Without a bias: the softmax would cancel it.
        self.score = nn.Parameter(torch.empty(num_heads, last).uniform_(-(last**-0.5), last**-0.5))

    def forward(self, query: Tensor, interests: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        rows, q = interests.flatten(0, 1), query.flatten(0, 1)  # (B L, N, D), (B L, D)
        pairs = torch.cat([rows, rows * q.unsqueeze(1)], -1)  # (B L, N, 2 D)
        hidden = self.on_interest(pairs)  # (B L, N, H)
        hidden = hidden + self.on_query(q).view_as(hidden)
        for layer in self.later:
            if isinstance(layer, Dice):  # padding has no part in its statistics
                hidden = layer(hidden.flatten(1), mask.flatten()).view_as(hidden)
            else:
                hidden = layer(hidden)
        scores = (hidden * self.score.to(hidden.dtype)).sum(-1).float()  # (B L, N)
        scores = scores.unflatten(0, mask.shape).transpose(1, 2)  # (B, N, L)
        weights = masked_softmax(scores, mask.unsqueeze(1)).to(interests.dtype)
        return torch.einsum("bnl,blnd->bnd", weights, interests)
