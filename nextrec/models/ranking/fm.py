"""Factorization Machines (Rendle; ICDM 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers import fm
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class FM(BaseModel):
    r"""A weight for every feature, and the inner product of every two features' vectors.

    .. math::
        z = b + \sum_i w_i x_i + \sum_{i<j} \langle v_i, v_j \rangle x_i x_j

    Every feature is one field: a sparse one the vector of its id, a sequence its combined vectors,
    a dense one a learned map :math:`v x + c` of its value. The paper's map has no c, which lets a
    value of zero interact as well. Ids within one sequence don't meet each other.
    With several targets the first-order weights are each target's own and the interactions common.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: two fields differ in width, or all features are dense.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.embedding = EmbeddingLayer(self.features.as_fields(self.model_name))
        self.linear = FirstOrder(self.features, self.num_logits)
        self.fm = fm.FM()

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.linear(x) + self.fm(self.embedding.fields(x))
