"""ONN, also NFFM (Y. Yang, Xu, S. Shen, F. Shen, Zhao; Neural Networks 2020, arXiv:1904.12579)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor

from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.field_aware import FieldAwareEmbedding, field_aware_products
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class ONN(BaseModel):
    r"""A deep tower over features that have a vector of their own for each operation.

    .. math::
        z = \mathrm{MLP}\big(\big[e_1; \dots; e_F;\ \langle v_{1,2}, v_{2,1} \rangle; \dots;
            \langle v_{F-1,F}, v_{F,F-1} \rangle\big]\big)

    The operations are the copy, with the vectors e, and the inner product with each other field,
    with the vectors :math:`v_{i,j}` of field i towards field j. All of them have the features'
    ``embedding_dim``. Fields are sparse features, sequences and dense features with a learned map;
    raw dense values are copied.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: two fields differ in width, or there are fewer than two.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.features.field_width(self.model_name, at_least=2)
        fields = FeatureSet.of(self.features.fields)
        self.embedding = EmbeddingLayer(self.features)
        self.field_aware = FieldAwareEmbedding(fields)
        self.mlp = mlp_from(
            self.embedding.out_features + len(fields) * (len(fields) - 1) // 2,
            mlp_params,
            dims=(256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        products = field_aware_products(self.field_aware(x))  # (B, P)
        return self.mlp(torch.cat([self.embedding.flat(x), products], dim=1))
