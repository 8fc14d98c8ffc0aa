"""NFM (He, Chua; SIGIR 2017, arXiv:1708.05027)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.fm import FM
from nextrec.layers.mlp import BatchNorm1d, mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class NFM(BaseModel):
    r"""A deep tower over the pooled products of all pairs of features.

    .. math::
        z = b + \sum_i w_i x_i + \mathrm{MLP}\Big(\mathrm{dropout}\big(\mathrm{BN}\big(
            \sum_{i<j} x_i v_i \odot x_j v_j\big)\big)\Big)

    Every feature is one field: a dense one by a learned map :math:`v x + c` of its value, a
    sequence by its combined vectors. The normalisation has no scale and shift of its own, which
    the first layer of the tower would only repeat. With several targets the tower shares all but
    the last layer.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.
        pooling_norm: batch normalisation of the pooled vector, as in the paper: products of small
            vectors are tiny, and without it the tower takes long to see them.
        pooling_dropout: dropout of the pooled vector; the tower's own is in ``mlp_params``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: two fields differ in width, there are fewer than two, or all are dense.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        pooling_norm: bool = True,
        pooling_dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if not 0 <= pooling_dropout < 1:
            must_be = "a number in [0, 1)"
            raise ConfigError(invalid(self.model_name, "pooling_dropout", must_be, pooling_dropout))
        fields = self.features.as_fields(self.model_name, at_least=2)
        width = fields.field_width(self.model_name)
        self.embedding = EmbeddingLayer(fields)
        self.linear = FirstOrder(self.features, self.num_logits)
        self.pooling = nn.Sequential(
            FM(reduce_sum=False),
            BatchNorm1d(width, affine=False) if pooling_norm else nn.Identity(),
            nn.Dropout(pooling_dropout),
        )
        self.mlp = mlp_from(width, mlp_params, dims=(256, 128), output_dim=self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        pooled = self.pooling(self.embedding.fields(x))  # (B, D)
        return self.linear(x) + self.mlp(pooled)
