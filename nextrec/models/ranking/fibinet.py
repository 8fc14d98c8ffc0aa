"""FiBiNET (Huang, Zhang, Zhang; RecSys 2019, arXiv:1905.09433)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer, numbers
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.fm import BiLinearInteractionLayer, SENETLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class FiBiNET(BaseModel):
    r"""Bilinear products of the fields, and of the fields weighed by their importance.

    .. math::
        z = b + \sum_i w_i x_i + \mathrm{MLP}([p; q; x_d]), \qquad
        p_{ij} = (W_{ij} v_i) \odot v_j, \qquad q_{ij} = (W'_{ij} a_i v_i) \odot a_j v_j

    with the importances a from :class:`~nextrec.layers.fm.SENETLayer`. Fields are sparse features,
    pooled sequences and dense features with a learned map; they need one width. Raw dense values
    :math:`x_d`, which the paper does not have, enter the first-order term and the tower.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.
        bilinear_type: ``field_all``, ``field_each`` or ``field_interaction``: one matrix for all,
            for each left field or for each pair.
        senet_reduction: fields over the hidden width of the importances.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: an unknown type, fewer than two fields, or fields of different widths.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        bilinear_type: str = "field_interaction",
        senet_reduction: int = 3,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, senet_reduction=senet_reduction)
        width = self.features.field_width(self.model_name, at_least=2)
        count = len(self.features.fields)
        self.embedding = EmbeddingLayer(self.features)
        self.linear = FirstOrder(self.features, self.num_logits)
        self.senet = SENETLayer(count, senet_reduction)
        self.bilinear_standard = BiLinearInteractionLayer(width, count, bilinear_type)
        self.bilinear_senet = BiLinearInteractionLayer(width, count, bilinear_type)
        self.raw = [feature for feature in self.features.dense if not feature.use_embedding]
        self.mlp = mlp_from(
            count * (count - 1) * width + sum(feature.width for feature in self.raw),
            mlp_params,
            dims=(256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        parts = [
            self.bilinear_standard(fields).flatten(1),  # (B, P * D)
            self.bilinear_senet(self.senet(fields)).flatten(1),
        ]
        if self.raw:
            parts.append(numbers(x, self.raw))
        return self.linear(x) + self.mlp(torch.cat(parts, dim=1))
