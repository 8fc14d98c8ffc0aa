"""Deep Interest Evolution Network (Zhou et al.; AAAI 2019, arXiv:1809.03672)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.attention import AttentionPoolingLayer
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories
from nextrec.layers.mlp import mlp_from
from nextrec.layers.next_item import NextItemLoss
from nextrec.layers.recurrent import AGRU, AUGRU, DynamicGRU
from nextrec.layers.softmax import masked_softmax
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["AGRU", "AUGRU", "DIEN", "DynamicGRU"]

GRUType = Literal["augru", "agru", "aigru"]
EVOLUTIONS: dict[str, type[nn.Module]] = {"augru": AUGRU, "agru": AGRU, "aigru": DynamicGRU}


class DIEN(BaseModel):
    r"""Draws interests from a history and follows those that lead to the candidate.

    .. math::
        h_t = \mathrm{GRU}(e_t, h_{t-1}), \qquad
        a_t = \mathrm{softmax}_t(h_t^\top W c), \qquad
        h'_t = \mathrm{AUGRU}(h_t, h'_{t-1}, a_t), \qquad
        z = \mathrm{MLP}([\text{all other features}; c; h'_L])

    where e are the history's items and c is the candidate; histories that run in step (items,
    categories) stand side by side, as do their candidates. The softmax runs over the real items
    and padding leaves the states as they were, so an empty history gives zeros. With
    ``use_negsampling`` training adds ``auxiliary_weight`` times the loss of
    :class:`~nextrec.layers.next_item.NextItemLoss`, by which :math:`h_t` has to tell the next item
    from a random one (paper, section 4.2); negatives are drawn anew in every step.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`; its activation is Dice by
            default, as in the authors' code.
        gru_hidden_size: width of h and h'.
        attention_hidden_units, attention_activation: when either is given, the score before the
            softmax is :math:`g([c; h_t; c - h_t; c \odot h_t])`, a network with these hidden
            widths (80, 40) and this activation (``dice``) over a linear map of c, as in the
            authors' code; else the paper's bilinear form.
        use_negsampling: train with the auxiliary loss.
        auxiliary_weight: its weight (the paper's alpha).
        gru_type: how the attention steers the second layer (paper, section 4.3): ``augru`` scales
            the update gate, ``agru`` takes its place, ``aigru`` scales the input.
        behavior_feature_name, candidate_feature_name: histories and their candidates; see
            :func:`~nextrec.layers.history.find_pairs`.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: as :class:`~nextrec.layers.history.Histories`; too few items to draw from.
        ConfigError: an unknown ``gru_type``, a weight that is not positive, or one without use.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        gru_hidden_size: int = 64,
        attention_hidden_units: Sequence[int] | None = None,
        attention_activation: str | None = None,
        use_negsampling: bool = False,
        *,
        auxiliary_weight: float = 1.0,
        gru_type: GRUType = "augru",
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, gru_hidden_size=gru_hidden_size)
        if gru_type not in EVOLUTIONS:
            raise ConfigError(unknown_option(self.model_name, "gru_type", EVOLUTIONS, gru_type))
        if not auxiliary_weight > 0:
            raise ConfigError(
                invalid(self.model_name, "auxiliary_weight", "positive", auxiliary_weight)
            )
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        width = self.histories.out_features
        self.interest_extractor = DynamicGRU(width, gru_hidden_size)
        self.attention_layer: nn.Module
        if attention_hidden_units is None and attention_activation is None:
            self.attention_layer = BilinearAttention(width, gru_hidden_size)
        else:
            self.attention_layer = MLPAttention(
                width, gru_hidden_size, attention_hidden_units, attention_activation or "dice"
            )
        self.interest_evolution = EVOLUTIONS[gru_type](gru_hidden_size, gru_hidden_size)
        self.auxiliary_weight = auxiliary_weight
        self.auxiliary = None
        if use_negsampling:
            self.auxiliary = NextItemLoss(self.histories, self.features, gru_hidden_size)
        self.mlp = mlp_from(
            self.histories.rest.width + gru_hidden_size,
            mlp_params,
            dims=(200, 80),
            activation="dice",
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self._evolve(x, *self._extract(x))

    def training_outputs(self, x: Mapping[str, Tensor]) -> Tensor | Mapping[str, Any]:
        """The logits, with the auxiliary loss where it is trained."""
        query, items, mask, states = self._extract(x)
        logits = self._evolve(x, query, items, mask, states)
        if self.auxiliary is None:
            return logits
        loss = self.auxiliary(self.embedding, x, states, items, mask)
        return {"logits": logits, "auxiliary": {"next_item": self.auxiliary_weight * loss}}

    def _extract(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Candidate ``(B, D)``, items ``(B, L, D)``, mask ``(B, L)``, interests ``(B, L, H)``."""
        query, items, mask = self.histories(self.embedding, x)
        states, _ = self.interest_extractor(items, mask=mask)
        return query, items, mask, states

    def _evolve(
        self, x: Mapping[str, Tensor], query: Tensor, items: Tensor, mask: Tensor, states: Tensor
    ) -> Tensor:
        attention = self.attention_layer(query, states, mask)  # (B, L)
        _, interest = self.interest_evolution(states, attention, mask=mask)  # (B, H)
        others = self.embedding.flat(x, self.histories.rest)
        return self.mlp(torch.cat([others, interest], 1))


class BilinearAttention(nn.Module):
    r"""The paper's weights :math:`\mathrm{softmax}_t(h_t^\top W c)`.

    Shape: c ``(B, D)``, h ``(B, L, H)``, mask ``(B, L)`` -> ``(B, L)``.
    """

    def __init__(self, query_size: int, state_size: int) -> None:
        super().__init__()
        self.map = nn.Linear(query_size, state_size, bias=False)

    def forward(self, query: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        scores = torch.bmm(states, self.map(query).unsqueeze(-1).to(states.dtype)).squeeze(-1)
        return masked_softmax(scores.float(), mask)


class MLPAttention(AttentionPoolingLayer):
    """Weights by DIN's activation unit, over a map of the candidate to the width of the states.

    Shape: as :class:`BilinearAttention`.
    """

    def __init__(
        self, query_size: int, state_size: int, hidden_units: Sequence[int] | None, activation: str
    ) -> None:
        super().__init__(state_size, hidden_units, activation)
        self.map = nn.Linear(query_size, state_size)

    def forward(self, query: Tensor, states: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return masked_softmax(self.scores(self.map(query), states, mask).float(), mask)
