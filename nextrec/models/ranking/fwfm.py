"""FwFM (Pan, Xu, Ruiz, Zhao, Pan, Sun, Lu; WWW 2018, arXiv:1806.03514)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, unknown_option
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.pairs import weighted_pair_sum
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

LinearType = Literal["LW", "FeLV", "FiLV"]


class FwFM(BaseModel):
    r"""A factorization machine that weights each pair of fields by how strongly they interact.

    .. math::
        z = b + \mathrm{linear}(x) + \sum_{i<j} r_{f_i f_j} \langle v_i, v_j \rangle x_i x_j

    where :math:`f_i` is the field of feature i. Every feature is one field: a dense one by a
    learned map :math:`v x + c` of its value, a sequence by its combined vectors. The weights r
    start at 1, so that training starts from a plain factorization machine; they and the vectors of
    ``FeLV`` are common to several targets.

    Args:
        linear_type: the paper's linear terms. ``LW``: a weight of its own for each feature,
            :math:`\sum_i w_i x_i`. ``FiLV`` (its choice): each field has a vector,
            :math:`\sum_i \langle v_i, w_{f_i} \rangle x_i`. ``FeLV``: each id has a second vector,
            :math:`\sum_i \langle v_i, w_i \rangle x_i`; dense features have one each.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: two fields differ in width, there are fewer than two, or all are dense.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        *,
        linear_type: LinearType = "FiLV",
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if linear_type not in get_args(LinearType):
            known = get_args(LinearType)
            raise ConfigError(unknown_option(self.model_name, "linear_type", known, linear_type))
        fields = self.features.as_fields(self.model_name, at_least=2)
        self.linear_type = linear_type
        self.embedding = EmbeddingLayer(fields)
        self.linear: nn.Module
        if linear_type == "LW":
            self.linear = FirstOrder(self.features, self.num_logits)
        elif linear_type == "FiLV":
            self.linear = nn.Linear(fields.width, self.num_logits)
        else:
            self.linear = _FeatureVectors(fields, self.num_logits)
        self.strengths = nn.Parameter(torch.ones(len(fields) * (len(fields) - 1) // 2))

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        if self.linear_type == "LW":
            linear = self.linear(x)
        elif self.linear_type == "FiLV":
            linear = self.linear(fields.flatten(1))
        else:
            linear = self.linear(x, fields)
        return linear + weighted_pair_sum(fields, self.strengths)


class _FeatureVectors(nn.Module):
    """Inner products of each field with the vector that its id, or dense feature, has for that."""

    def __init__(self, features: FeatureSet, num_logits: int) -> None:
        super().__init__()
        self.vectors = EmbeddingLayer(FeatureSet.of(features.embedded))
        mapped = sum(feature.width for feature in features.dense)
        self.dense = nn.Linear(mapped, 1, bias=False) if mapped else None
        self.bias = nn.Parameter(torch.zeros(num_logits))

    def forward(self, x: Mapping[str, Tensor], fields: Tensor) -> Tensor:  # (B, F, D) -> (B, T)
        vectors = self.vectors.fields(x)
        ids = vectors.shape[1]
        total = (fields[:, :ids] * vectors).sum((1, 2)).unsqueeze(1)  # (B, 1)
        if self.dense is not None:
            total = total + self.dense(fields[:, ids:].flatten(1))
        return total + self.bias
