"""Deep Interest Network (Zhou et al.; KDD 2018, arXiv:1706.06978)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.attention import AttentionPoolingLayer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import candidate_map, find_pairs
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class DIN(BaseModel):
    r"""Pools each history of a user by how much its items have to do with the candidate.

    .. math::
        v = \sum_t a(k_t, q)\, k_t, \qquad a(k, q) = \sigma(g([q; k; q - k; q \odot k])), \qquad
        z = \mathrm{MLP}([\text{all other features}; v_1; v_2; \dots])

    where q is the candidate's vector and k the history's. As in the paper the weights are not
    normalised over the history, so they keep the strength of an interest; the sigmoid that keeps
    each in (0, 1) is ours (``attention_use_softmax=True`` takes the softmax of g instead). The
    activation of g is Dice; that of the MLP is ``mlp_params``'s. Each pair of a
    history and its candidate (items and item, categories and category) has an attention unit of
    its own. Other sequences are pooled by their own combiners. An empty history gives zeros.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        attention_hidden_units: hidden widths of g.
        attention_activation: activation of g.
        attention_use_softmax: softmax over the real positions.
        behavior_feature_name: the history, or several; by default every sequence that shares its
            table with a sparse feature.
        candidate_feature_name: the candidate of each history; by default the sparse feature that
            shares its table.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: a history has no candidate, or several sparse features could be it.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        attention_hidden_units: Sequence[int] = (80, 40),
        attention_activation: str = "dice",
        attention_use_softmax: bool = False,
        *,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.pairs = find_pairs(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        widths = [behavior.table_width for behavior, _ in self.pairs]
        self.attention = nn.ModuleList(
            AttentionPoolingLayer(
                width, list(attention_hidden_units), attention_activation, attention_use_softmax
            )
            for width in widths
        )
        # Only the attention compares the two, so only there their widths must agree.
        self.candidate_maps = nn.ModuleList(candidate_map(*pair) for pair in self.pairs)
        behaviors = {behavior.name for behavior, _ in self.pairs}
        self.rest = FeatureSet.of(f for f in self.features if f.name not in behaviors)
        self.mlp = mlp_from(
            self.rest.width + sum(widths),
            mlp_params,
            dims=(200, 80),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        parts = [self.embedding.flat(x, self.rest)]
        for (behavior, candidate), attention, project in zip(
            self.pairs, self.attention, self.candidate_maps, strict=True
        ):
            keys, mask = self.embedding.sequence(x, behavior)  # (B, L, D), (B, L)
            query = project(self.embedding.lookup(x, candidate))  # (B, D)
            parts.append(attention(query, keys, mask=mask))  # (B, D)
        return self.mlp(torch.cat(parts, dim=1))
