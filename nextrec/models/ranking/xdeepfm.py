"""xDeepFM (Lian, Zhou, Zhang, Chen, Xie, Sun; KDD 2018, arXiv:1803.05170)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.cin import CIN
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["CIN", "xDeepFM"]


class xDeepFM(BaseModel):  # noqa: N801 - the model's name
    r"""Explicit products of whole vectors, a deep tower and a linear model, added up.

    .. math::
        z = b + \sum_i w_i x_i + w_{cin}^\top \mathrm{CIN}(X^0) + \mathrm{MLP}(e)

    Fields of the compressed interaction network (:class:`~nextrec.layers.cin.CIN`) are sparse
    features, pooled sequences and dense features with a learned map; they need one width. Raw dense
    values enter the first-order term and the tower.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.
        cin_size: feature maps of each CIN layer.
        split_half: half of the maps of each layer but the last go to the output alone, the other
            half to the next layer alone, as in the authors' code; the paper sends all to both.
        cin_activation: activation of the maps; none is the paper's best.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: ``cin_size`` is empty, or odd where it is to be split.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        cin_size: Sequence[int] = (128, 128),
        split_half: bool = True,
        *,
        cin_activation: str = "none",
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.features.field_width(self.model_name, at_least=2)
        self.embedding = EmbeddingLayer(self.features)
        self.linear = FirstOrder(self.features, self.num_logits)
        self.cin = CIN(
            len(self.features.fields),
            cin_size,
            split_half,
            activation=cin_activation,
            output_dim=self.num_logits,
        )
        self.mlp = mlp_from(
            self.embedding.out_features, mlp_params, dims=(256, 128), output_dim=self.num_logits
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        flat = self.embedding.flat(x, fields=fields)  # (B, width)
        return self.linear(x) + self.cin(fields) + self.mlp(flat)
