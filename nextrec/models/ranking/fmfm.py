"""FmFM (Y. Sun, Pan, A. Zhang, Flores; WWW 2021, arXiv:2102.12994)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.pairs import weighted_pair_sum
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

Interaction = Literal["matrix", "vector", "scalar"]


class FmFM(BaseModel):
    r"""A factorization machine that sees one field's vector through a matrix for the other field.

    .. math::
        z = b + \sum_i w_i x_i + \sum_{i<j} \langle v_i M_{f_i f_j}, v_j \rangle x_i x_j

    where :math:`f_i` is the field of feature i. Every feature is one field: a dense one by a
    learned map :math:`v x + c` of its value, a sequence by its combined vectors. The matrices start
    as the identity, so that training starts from a plain factorization machine; they are common to
    several targets. The paper's field-specific widths are not offered: all fields have one.

    Args:
        interaction: what stands for M. ``matrix``: a full one (the paper's FmFM); ``vector``: its
            diagonal (FvFM); ``scalar``: one number (FwFM).

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
        interaction: Interaction = "matrix",
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        known = get_args(Interaction)
        if interaction not in known:
            raise ConfigError(unknown_option(self.model_name, "interaction", known, interaction))
        fields = self.features.as_fields(self.model_name, at_least=2)
        width, pairs = fields.field_width(self.model_name), len(fields) * (len(fields) - 1) // 2
        self.embedding = EmbeddingLayer(fields)
        self.linear = FirstOrder(self.features, self.num_logits)
        start = {
            "matrix": torch.eye(width).repeat(pairs, 1, 1),
            "vector": torch.ones(pairs, width),
            "scalar": torch.ones(pairs),
        }
        self.pair_weights = nn.Parameter(start[interaction])

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.linear(x) + weighted_pair_sum(self.embedding.fields(x), self.pair_weights)
