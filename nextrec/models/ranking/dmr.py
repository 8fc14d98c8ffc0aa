"""Deep Match to Rank (Lyu, Dong, Huo, Ren; AAAI 2020)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import FeatureError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.checks import require_count
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories
from nextrec.layers.mlp import mlp_from
from nextrec.layers.search import HistoryIds, newest
from nextrec.layers.softmax import masked_softmax
from nextrec.layers.transformer import PositionalEmbedding
from nextrec.loss.reduction import check_number
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class DMR(BaseModel):
    r"""Two measures of how a user and the candidate match, as features of a ranking tower.

    .. math::
        \hat a_t = \hat z^\top \tanh(\hat W_c q + \hat W_p \hat p_t + \hat W_e k_t + \hat b),
        \qquad \hat u = \sum_t \mathrm{softmax}(\hat a)_t\, k_t, \qquad \hat r = \sum_t \hat a_t

        a_t = z^\top \tanh(W_p p_t + W_e k_t + b), \qquad
        u = g\Big(\sum_t \mathrm{softmax}(a)_t\, k_t\Big), \qquad r = u \cdot v'

        logit = \mathrm{MLP}([\text{other features}; \hat u; r; \hat r])

    The first line is the item-to-item network, the second the user-to-item network: it does not
    see the candidate q, and meets it only in v', the candidate's row in a table of its own for
    items as targets. p are embeddings of an item's place, counted from the newest; g is a linear
    map with PReLU. Training adds the match loss: the user of the items before the newest, u', is
    to find the newest,

    .. math::
        L = L_{target} - \beta\, \frac{1}{N} \sum
            \log \frac{\exp(u' \cdot v'_{newest})}{\sum_{j \in S} \exp(u' \cdot v'_j)}

    over the N rows with two or more items. S holds the row's newest item and the other ones that
    are newest in the first ``num_negatives`` rows of the batch, each once. The paper draws its
    negatives from the whole table and replaces the softmax by k + 1 logistic terms. An empty
    history gives zeros.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        attention_dim: hidden width of both attentions; ``None``: that of an item.
        position_dim: width of the positions.
        auxiliary_weight: weight :math:`\beta` of the match loss; 0 leaves it out.
        num_negatives: rows of the batch whose newest items are negatives.
        behavior_feature_name: the history, or several that run in step, the items first; by
            default every sequence that shares its table with a sparse feature.
        candidate_feature_name: the candidate of each history; by default the sparse feature that
            shares its table.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: a history has no candidate, several sparse features could be it, the
            histories differ in ``max_len``, or the items' history and candidate differ in table.
        ConfigError: a count is below 1 or ``auxiliary_weight`` below 0.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        attention_dim: int | None = None,
        position_dim: int = 8,
        auxiliary_weight: float = 0.1,
        num_negatives: int = 256,
        *,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if attention_dim is not None:
            require_count(self.model_name, "attention_dim", attention_dim)
        require_count(self.model_name, "position_dim", position_dim)
        require_count(self.model_name, "num_negatives", num_negatives)
        check_number(self.model_name, "auxiliary_weight", auxiliary_weight)
        self.auxiliary_weight, self.num_negatives = auxiliary_weight, num_negatives
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        self.items, self.candidate = self.histories.pairs[0]
        self.targets = _target_side(self.items, self.candidate, self.model_name)
        width = self.histories.out_features
        sizes = (self.histories.max_len, width, attention_dim or width, position_dim)
        self.item_to_item = AdditiveAttention(*sizes, with_candidate=True)
        self.user_to_item = AdditiveAttention(*sizes)
        self.user = nn.Sequential(nn.Linear(width, self.candidate.width, bias=False), nn.PReLU())
        self.mlp = mlp_from(
            self.histories.rest.width + width + 2,
            mlp_params,
            dims=(512, 256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self._rank(x, *self.histories(self.embedding, x))

    def training_outputs(self, x: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """See :meth:`BaseModel.training_outputs`."""
        candidate, keys, mask = self.histories(self.embedding, x)
        logits = self._rank(x, candidate, keys, mask)
        if not self.auxiliary_weight:
            return {"logits": logits}
        match = self.auxiliary_weight * self._match_loss(x, keys, mask)
        return {"logits": logits, "auxiliary": {"match": match}}

    def _rank(
        self, x: Mapping[str, Tensor], candidate: Tensor, keys: Tensor, mask: Tensor
    ) -> Tensor:
        ages = self.item_to_item.positions.ages(mask)  # (B, L)
        interest, scores = self.item_to_item(keys, mask, ages, candidate)  # (B, D), (B, L)
        user = self.user(self.user_to_item(keys, mask, ages)[0])  # (B, D')
        target = self.targets.lookup(x, self.candidate)  # (B, D')
        relevance = (user * target).sum(1, keepdim=True)  # (B, 1)
        flat = self.embedding.flat(x, self.histories.rest)
        return self.mlp(torch.cat([flat, interest, relevance, scores.sum(1, keepdim=True)], dim=1))

    def _match_loss(self, x: Mapping[str, Tensor], keys: Tensor, mask: Tensor) -> Tensor:
        """Mean of -log softmax over the rows with two items or more; 0 without any."""
        ages = self.item_to_item.positions.ages(mask)
        before = mask & (ages > 0)  # (B, L)
        known = before.any(1)  # (B,)
        user = self.user(self.user_to_item(keys, before, (ages - 1).clamp(min=0))[0])  # (B, D')
        place, _ = newest(mask, 1)  # (B, 1)
        found = HistoryIds(x, [behavior for behavior, _ in self.histories.pairs])
        ids = found.ids[self.items.name].gather(1, place).squeeze(1)  # (B,)
        targets = self.targets.lookup({self.candidate.name: ids}, self.candidate)  # (B, D')
        pool, others = ids[: self.num_negatives], targets[: self.num_negatives]  # (n,), (n, D')
        fit = known[: self.num_negatives]  # (n,)
        same = (pool[:, None] == pool) & fit  # (n, n)
        unfit = ~fit | same.tril(-1).any(1)  # (n,): each item once
        own = (user * targets).sum(1, keepdim=True)  # (B, 1)
        scores = (user @ others.T).to(own.dtype)  # (B, n)
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(unfit | (ids[:, None] == pool), lowest)
        losses = -F.log_softmax(torch.cat([own, scores], 1), 1)[:, 0]  # (B,)
        return (losses * known).sum() / known.sum().clamp(min=1)


class AdditiveAttention(nn.Module):
    """Attention by an item, its place and, if it is given, the candidate: see :class:`DMR`.

    Shape: items ``(B, L, D)``, mask and ages ``(B, L)``, candidate ``(B, D)`` -> what is gathered
    ``(B, D)``, and the raw scores ``(B, L)``, 0 at positions that are not real.
    """

    def __init__(
        self,
        max_len: int,
        embedding_dim: int,
        hidden_dim: int,
        position_dim: int,
        with_candidate: bool = False,
    ) -> None:
        super().__init__()
        self.positions = PositionalEmbedding(max_len, position_dim)
        self.W_p = nn.Linear(position_dim, hidden_dim)
        self.W_e = nn.Linear(embedding_dim, hidden_dim, bias=False)
        self.W_c = nn.Linear(embedding_dim, hidden_dim, bias=False) if with_candidate else None
        self.z = nn.Linear(hidden_dim, 1, bias=False)

    def forward(  # noqa: D102
        self, keys: Tensor, mask: Tensor, ages: Tensor, candidate: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        # There are fewer places than items: they are mapped first.
        hidden = self.W_e(keys) + F.embedding(ages, self.W_p(self.positions.weight))  # (B, L, H)
        if self.W_c is not None and candidate is not None:
            hidden = hidden + self.W_c(candidate).unsqueeze(1)
        scores = self.z(torch.tanh(hidden)).squeeze(2)  # (B, L)
        weights = masked_softmax(scores, mask)
        pooled = torch.bmm(weights.unsqueeze(1).to(keys.dtype), keys).squeeze(1)  # (B, D)
        return pooled, scores.masked_fill(~mask, 0.0)


def _target_side(items: SequenceFeature, candidate: SparseFeature, owner: str) -> EmbeddingLayer:
    """A second table over the items' ids, which only the match reads."""
    if items.embedding_name != candidate.embedding_name:
        raise FeatureError(
            f"{owner} reads the ids of the history and of the candidate in one table of targets, "
            f"so they need one `embedding_name`: {items.name!r} has {items.embedding_name!r}, "
            f"{candidate.name!r} has {candidate.embedding_name!r}."
        )
    own = dataclasses.replace(
        candidate, pretrained_weight=None, freeze_pretrained=False, trainable=True
    )
    return EmbeddingLayer(FeatureSet.of([own, dataclasses.replace(items, trainable=True)]))
