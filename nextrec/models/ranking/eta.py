"""ETA (Chen, Pei, Lv, Li, Ge, Ou; 2021, arXiv:2108.04468)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_rates, require_count
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.hashing import SimHash
from nextrec.layers.history import Histories
from nextrec.layers.mlp import mlp_from
from nextrec.layers.search import HistoryIds, Part, best, newest
from nextrec.layers.target_attention import MultiHeadTargetAttention
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class ETA(BaseModel):
    r"""Attention over the items of a long history whose hashes are nearest to the candidate's.

    .. math::
        S = \operatorname{top-}k_t\ -\mathrm{Hamming}(h(q), h(k_t)), \qquad
        z = \mathrm{MLP}([\text{other features}; \mathrm{MHTA}_{long}(q, S);
            \mathrm{MHTA}_{short}(q, \text{newest})])

    with h the signs of random projections (:class:`~nextrec.layers.hashing.SimHash`) of the same
    embeddings that the model trains, so that the search follows them, and MHTA multi-head target
    attention. Among items of one distance the newer ones are taken. The search has no gradient:
    it reads the whole history without keeping anything for the backward pass, and only the items
    found are looked up to be trained. The whole history is searched, the newest items included,
    so that a short one loses nothing. An empty history gives zeros.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        top_k: items k that the search finds.
        hash_bits: random projections.
        num_heads: heads of both attentions.
        attention_dropout: probability that an attention weight is zeroed in training.
        short_len: newest items in the short-term attention; 0 leaves it out.
        behavior_feature_name: the history, or several that run in step; by default every sequence
            that shares its table with a sparse feature.
        candidate_feature_name: the candidate of each history; by default the sparse feature that
            shares its table.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: a history has no candidate, several sparse features could be it, or the
            histories differ in ``max_len``.
        ConfigError: the heads do not divide the history's width, or a count is below 1.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        top_k: int = 50,
        hash_bits: int = 32,
        num_heads: int = 2,
        attention_dropout: float = 0.0,
        short_len: int = 50,
        *,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_rates(self.model_name, attention_dropout=attention_dropout)
        require_count(self.model_name, "top_k", top_k)
        require_count(self.model_name, "hash_bits", hash_bits)
        require_count(self.model_name, "short_len", short_len, least=0)
        self.top_k, self.short_len = top_k, short_len
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        width = self.histories.out_features
        self.hashes = SimHash(width, hash_bits)
        self.long = MultiHeadTargetAttention(width, num_heads, attention_dropout)
        self.short = None
        if short_len:
            self.short = MultiHeadTargetAttention(width, num_heads, attention_dropout)
        self.mlp = mlp_from(
            self.histories.rest.width + width * (2 if short_len else 1),
            mlp_params,
            dims=(200, 80),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        ids = HistoryIds(x, [behavior for behavior, _ in self.histories.pairs])
        parts = [self.embedding.flat(x, self.histories.rest)]
        parts.append(self.long(*self._look_up(x, ids, self._search(x))))  # (B, D)
        if self.short is not None:
            parts.append(self.short(*self._look_up(x, ids, newest(ids.mask, self.short_len))))
        return self.mlp(torch.cat(parts, dim=1))

    @torch.no_grad()
    def _search(self, x: Mapping[str, Tensor]) -> Part:
        candidate, keys, mask = self.histories(self.embedding, x)  # (B, D), (B, L, D), (B, L)
        nearness = -self.hashes.distances(candidate, keys).int()  # (B, L)
        return best(nearness, mask, self.top_k)

    def _look_up(
        self, x: Mapping[str, Tensor], ids: HistoryIds, part: Part
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Candidate ``(B, D)``, items of a part ``(B, k, D)`` and which are real ``(B, k)``."""
        candidates = {feature.name: x[feature.name] for _, feature in self.histories.pairs}
        return self.histories(self.embedding, candidates | ids.part(part))
