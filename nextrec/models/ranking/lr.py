"""Logistic regression (Richardson, Dominowska, Ragno; WWW 2007, for clicks on ads)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.first_order import FirstOrder
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class LR(BaseModel):
    r"""A weight for every id and every number, and a bias.

    .. math::
        z = b + \sum_i w_i x_i

    A sequence gives the mean of its ids' weights when its combiner is the mean, else their sum.
    The features' ``embedding_dim`` plays no part: the tables have one number a logit.

    Shape: columns -> ``(B, num_logits)``.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.linear = FirstOrder(self.features, self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.linear(x)
