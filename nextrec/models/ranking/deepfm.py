"""DeepFM (Guo, Tang, Ye, Li, He; IJCAI 2017, arXiv:1703.04247)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.fm import FM
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class DeepFM(BaseModel):
    r"""A factorization machine and a deep tower over the same embeddings.

    .. math::
        z = b + \sum_i w_i x_i + \sum_{i<j} \langle v_i, v_j \rangle x_i x_j + \mathrm{MLP}(e)

    The first-order weights are tables of width 1 over the ids and a linear map of dense values.
    Fields of the second-order term are sparse features, pooled sequences and dense features with a
    learned map; they need one width. Raw dense values enter the first-order term and the tower.
    With several targets the towers share all but the last layer and the first-order weights; the
    second-order term is common to them.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.

    Shape: columns -> ``(B, num_logits)``.
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
        self.features.field_width(self.model_name)
        self.embedding = EmbeddingLayer(self.features)
        self.linear = FirstOrder(self.features, self.num_logits)
        self.fm = FM()
        self.mlp = mlp_from(
            self.embedding.out_features,
            mlp_params,
            dims=(256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        flat = self.embedding.flat(x, fields=fields)  # (B, width)
        return self.linear(x) + self.fm(fields) + self.mlp(flat)
