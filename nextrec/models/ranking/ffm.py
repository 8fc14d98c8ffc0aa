"""FFM (Juan, Zhuang, Chin, Lin; RecSys 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.field_aware import FieldAwareEmbedding, field_aware_products
from nextrec.layers.first_order import FirstOrder
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class FFM(BaseModel):
    r"""A factorization machine whose features have a vector of their own for each other field.

    .. math::
        z = b + \sum_i w_i x_i + \sum_{i<j} \langle v_{i, f_j}, v_{j, f_i} \rangle x_i x_j

    where :math:`f_i` is the field of feature i. The features' ``embedding_dim`` is the width of
    each of the F - 1 vectors; small ones do. With several targets each has its first-order weights,
    and the second-order term is common to them. Every feature is one field: a dense
    one by learned maps :math:`v x + c` of its value, a sequence by its combined vectors, so ids
    within one sequence don't meet each other. The paper leaves the first-order terms out of its
    formulas and scales each row to unit length; we keep the former and don't do the latter.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: two fields differ in width, there are fewer than two, or all are dense.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        fields = self.features.as_fields(self.model_name, at_least=2)
        self.field_aware = FieldAwareEmbedding(fields)
        self.linear = FirstOrder(self.features, self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        products = field_aware_products(self.field_aware(x))  # (B, P)
        return self.linear(x) + products.sum(dim=1, keepdim=True)
