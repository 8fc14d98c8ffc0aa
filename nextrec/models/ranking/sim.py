"""SIM (Pi, Zhou, Zhang, Wang, Ren, Fan, Zhu, Gai; CIKM 2020, arXiv:2006.05639)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError, invalid, unknown_option
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_rates, require_count
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories, Pair, find_pairs
from nextrec.layers.mlp import MLP, mlp_from
from nextrec.layers.search import HistoryIds, Part, best, newest
from nextrec.layers.target_attention import MultiHeadTargetAttention
from nextrec.loss import Objective
from nextrec.loss.reduction import check_number
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

Search = Literal["soft", "hard"]


class SIM(BaseModel):
    r"""Finds the part of a long history that has to do with the candidate, then attends to it.

    The general search unit scores every item, and the k best are kept:

    .. math::
        r_t = (W_b k_t) \cdot (W_a q) \ \text{(soft)}, \qquad
        r_t = [c(k_t) = c(q)] \ \text{(hard, c the category)}

    The exact search unit is multi-head attention of the candidate over them,

    .. math::
        z_t = [k_t; e^{time}_t], \qquad v = [\textstyle\sum_t \alpha_{1t} z_t; \dots;
            \sum_t \alpha_{Nt} z_t], \qquad
        \alpha_n = \mathrm{softmax}\big((W^b_n z_t) \cdot (W^a_n q) / \sqrt{D / N}\big)

    and the tower reads all other features, v, and the short-term attention over the newest items.
    The soft search is trained by a loss of its own: the task's loss of
    :math:`\mathrm{MLP}([\sum_t r_t k_t; q])`, added with ``auxiliary_weight``; the choice of items
    has no gradient. Of hard matches the newest are taken, and a history without one gives zeros.

    Departures: the scores are divided by the root of a head's width, as in the Transformer; the
    short-term part is multi-head attention instead of DIEN; the whole history is searched, the
    newest items included; the search is exact instead of an index of inner products.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        search: ``soft`` or ``hard``.
        top_k: items k that the search keeps.
        num_heads: heads of both attentions.
        attention_dropout: probability that an attention weight is zeroed in training.
        short_len: newest items in the short-term attention; 0 leaves it out.
        auxiliary_weight: weight of the soft search's loss, above 0.
        search_params: arguments of the MLP of that loss.
        behavior_feature_name: the history, or several that run in step; by default every sequence
            that shares its table with a sparse feature.
        candidate_feature_name: the candidate of each history; by default the sparse feature that
            shares its table.
        category_behavior_name: for hard search, the history of categories, in step with the items.
        category_feature_name: for hard search, the candidate's category. One of the two is enough
            where they share a table.
        time_feature_name: a sequence, in step with the items, of numbered spans of time between
            each item and now; its vectors stand beside the items' in the exact search unit.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: a history has no candidate, several sparse features could be it, or sequences
            that run in step differ in ``max_len``.
        ConfigError: ``search`` is unknown or lacks its categories, an argument has no use with it,
            the heads do not divide the width of z, or a count is below 1.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        search: Search = "soft",
        top_k: int = 50,
        num_heads: int = 2,
        attention_dropout: float = 0.0,
        short_len: int = 50,
        auxiliary_weight: float = 1.0,
        search_params: Mapping[str, Any] | None = None,
        *,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        category_behavior_name: str | None = None,
        category_feature_name: str | None = None,
        time_feature_name: str | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_rates(self.model_name, attention_dropout=attention_dropout)
        require_count(self.model_name, "top_k", top_k)
        require_count(self.model_name, "short_len", short_len, least=0)
        check_number(self.model_name, "auxiliary_weight", auxiliary_weight, above=True)
        self.top_k, self.short_len = top_k, short_len
        self.auxiliary_weight = auxiliary_weight
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        width = self.histories.out_features
        self.category = self._category(search, category_behavior_name, category_feature_name)
        if self.category is not None and search_params is not None:
            raise ConfigError(f"{self.model_name}: `search_params` has no use with hard search.")
        self.soft = None
        if self.category is None:
            self.soft = SoftSearch(width, search_params, self.num_logits)
        self.time = self._in_step(time_feature_name, "time_feature_name")
        self.beside = (self.category[0] if self.category else None, self.time)
        exact = width + (self.time.table_width if self.time else 0)
        self.long = MultiHeadTargetAttention(
            exact, num_heads, attention_dropout, query_dim=width, project_values=False
        )
        self.short = None
        if short_len:
            self.short = MultiHeadTargetAttention(width, num_heads, attention_dropout)
        self.rest = FeatureSet.of(f for f in self.histories.rest if f is not self.time)
        self.mlp = mlp_from(
            self.rest.width + self.long.out_features + (width if short_len else 0),
            mlp_params,
            dims=(200, 80),
            output_dim=self.num_logits,
        )

    def compile(self, *arguments: Any, **options: Any) -> None:
        """See :meth:`BaseModel.compile`."""
        super().compile(*arguments, **options)
        self.objective = SearchObjective(self.tasks, **self.compiled.losses)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self._outputs(x, search=False)["logits"]

    def training_outputs(self, x: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """See :meth:`BaseModel.training_outputs`."""
        return self._outputs(x, search=True)

    def _outputs(self, x: Mapping[str, Tensor], search: bool) -> dict[str, Any]:
        """The logits and, on demand, those of the soft search with their weight."""
        behaviors = [behavior for behavior, _ in self.histories.pairs]
        ids = HistoryIds(x, behaviors, [f for f in self.beside if f is not None])
        if self.soft is None:
            return {"logits": self._rank(x, ids, newest(self._matches(x, ids), self.top_k))}
        if not search:
            with torch.no_grad():
                candidate, keys, mask = self.histories(self.embedding, x)
                part = best(self.soft(candidate, keys), mask, self.top_k)
            return {"logits": self._rank(x, ids, part)}
        candidate, keys, mask = self.histories(self.embedding, x)  # (B, D), (B, L, D), (B, L)
        scores = self.soft(candidate, keys)  # (B, L)
        return {
            "logits": self._rank(x, ids, best(scores, mask, self.top_k)),
            "search": self.soft.logits(candidate, keys, scores),
            "search_weight": self.auxiliary_weight,
        }

    def _matches(self, x: Mapping[str, Tensor], ids: HistoryIds) -> Tensor:
        """True ``(B, L)`` at items of the candidate's category."""
        assert self.category is not None
        history, candidate = self.category
        return ids.mask & (ids.ids[history.name] == x[candidate.name].reshape(-1, 1))

    def _rank(self, x: Mapping[str, Tensor], ids: HistoryIds, part: Part) -> Tensor:
        candidates = {feature.name: x[feature.name] for _, feature in self.histories.pairs}
        columns = candidates | ids.part(part)
        candidate, items, real = self.histories(self.embedding, columns)  # (B, D), (B, k, D)
        if self.time is not None:
            items = torch.cat([items, self.embedding.sequence(columns, self.time)[0]], 2)
        parts = [self.embedding.flat(x, self.rest), self.long(candidate, items, real)]
        if self.short is not None:
            columns = candidates | ids.part(newest(ids.mask, self.short_len))
            parts.append(self.short(*self.histories(self.embedding, columns)))
        return self.mlp(torch.cat(parts, dim=1))

    def _category(self, search: str, history: str | None, candidate: str | None) -> Pair | None:
        """The history of categories and the candidate's, for hard search."""
        name = self.model_name
        if search not in get_args(Search):
            raise ConfigError(unknown_option(name, "search", get_args(Search), search))
        given = [each for each in (history, candidate) if each is not None]
        if search == "soft" and given:
            must_be = "'hard' with `category_behavior_name` or `category_feature_name`"
            raise ConfigError(invalid(name, "search", must_be, search))
        if search == "soft":
            return None
        if not given:
            must_be = "the candidate's category with `search` 'hard'"
            raise ConfigError(invalid(name, "category_feature_name", must_be, candidate))
        pair = find_pairs(self.features, history, candidate, name)[0]
        self._in_step(pair[0].name, "category_behavior_name")
        return pair

    def _in_step(self, name: str | None, parameter: str) -> SequenceFeature | None:
        """The sequence of that name, which has a place for each of the items' places."""
        if name is None:
            return None
        sequence, first = self.features[name], self.histories.pairs[0][0]
        if not isinstance(sequence, SequenceFeature):
            must_be = "the name of a sequence feature"
            raise FeatureError(invalid(self.model_name, parameter, must_be, name))
        if sequence.max_len != first.max_len:
            raise FeatureError(
                f"{self.model_name} reads {name!r} in step with {first.name!r}, so they need one "
                f"`max_len`: {sequence.max_len} and {first.max_len}."
            )
        return sequence


class SoftSearch(nn.Module):
    """Scores of a history's items for the candidate, and the tower that they are trained by."""

    def __init__(
        self, embedding_dim: int, params: Mapping[str, Any] | None, num_logits: int
    ) -> None:
        super().__init__()
        self.W_a = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.W_b = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.mlp: MLP = mlp_from(
            2 * embedding_dim, params, "search_params", dims=(200, 80), output_dim=num_logits
        )

    def forward(self, candidate: Tensor, keys: Tensor) -> Tensor:
        """Scores ``(B, L)`` of items ``(B, L, D)`` for the candidate ``(B, D)``."""
        asked = self.W_a(candidate) @ self.W_b.weight  # (B, D): the items need no map
        return torch.bmm(keys, asked.unsqueeze(2).to(keys.dtype)).squeeze(2)

    def logits(self, candidate: Tensor, keys: Tensor, scores: Tensor) -> Tensor:
        """Logits ``(B, num_logits)`` of the items' sum by score, and the candidate."""
        user = torch.bmm(scores.unsqueeze(1).to(keys.dtype), keys).squeeze(1)  # (B, D)
        return self.mlp(torch.cat([user, candidate], 1))


class SearchObjective(Objective):
    """The tasks' losses of the model and, weighted, those of its soft search."""

    def forward(
        self,
        outputs: Tensor | Mapping[str, Any],
        labels: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """The scalar to minimise; ``outputs`` may hold ``search`` and ``search_weight``."""
        total = super().forward(outputs, labels, sample_weight)
        if isinstance(outputs, Tensor) or "search" not in outputs:
            return total
        searched = super().forward(outputs["search"], labels, sample_weight)
        return total + outputs["search_weight"] * searched
