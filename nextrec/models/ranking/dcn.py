"""Deep & Cross Network (R. Wang, B. Fu, G. Fu, M. Wang; ADKDD 2017, arXiv:1708.05123)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.cross import CrossNetwork
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["DCN", "CrossNetwork"]


class DCN(BaseModel):
    r"""A cross network of vectors and a deep tower, joined by one linear layer.

    .. math::
        x_{l+1} = x_0 (w_l^\top x_l) + b_l + x_l, \qquad
        z = w^\top [x_L; \mathrm{MLP}(x_0)] + b

    Args:
        cross_num: cross layers; the highest degree of interaction is ``cross_num + 1``.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower; ``None``
            leaves the cross network alone.

    Shape: columns -> ``(B, num_logits)``.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        cross_num: int = 3,
        mlp_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, cross_num=cross_num)
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.cross_network = CrossNetwork(width, cross_num)
        self.mlp = None if mlp_params is None else mlp_from(width, mlp_params, output_layer=False)
        deep = 0 if self.mlp is None else self.mlp.out_features
        self.head = nn.Linear(width + deep, self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        x0 = self.embedding.flat(x)  # (B, width)
        crossed = self.cross_network(x0)  # (B, width)
        if self.mlp is not None:
            crossed = torch.cat([crossed, self.mlp(x0)], dim=1)
        return self.head(crossed)
