"""DNN (Covington, Adams, Sargin; Deep Neural Networks for YouTube Recommendations, RecSys 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class DNN(BaseModel):
    r"""Embeddings and an MLP: the base that other ranking models are measured against.

    .. math::
        z = \mathrm{MLP}([e_1; \dots; e_F; x])

    with the embeddings e of sparse features, pooled histories and the numbers x: the ranking
    network of the paper, without its weighting by watch time (``fit`` takes sample weights).

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.

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
        self.embedding = EmbeddingLayer(self.features)
        self.mlp = mlp_from(
            self.embedding.out_features,
            mlp_params,
            dims=(256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.mlp(self.embedding.flat(x))
