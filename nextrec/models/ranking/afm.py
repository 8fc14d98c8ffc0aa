"""AFM (Xiao, Ye, He, Zhang, Wu, Chua; IJCAI 2017, arXiv:1708.04617)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.pairs import pair_products
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

_NUMBERS_AT_A_TIME = 2**19


class AFM(BaseModel):
    r"""A factorization machine that pools its pairs by an attention over them.

    .. math::
        z = b + \sum_i w_i x_i + p^\top \sum_{i<j} a_{ij}\, u_{ij}, \qquad
        u_{ij} = x_i v_i \odot x_j v_j, \qquad
        a = \mathrm{softmax}_{ij}\big(h^\top \mathrm{ReLU}(W u_{ij} + c)\big)

    Every feature is one field: a dense one by a learned map of its value, a sequence by its
    combined vectors. With several targets w and p are each target's own.

    Args:
        attention_dim: width of the attention's hidden layer.
        attention_dropout: dropout of the products u, where the paper has it.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: two fields differ in width, there are fewer than two, or all are dense.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        attention_dim: int = 32,
        attention_dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if not isinstance(attention_dim, int) or attention_dim < 1:
            must_be = "a positive integer"
            raise ConfigError(invalid(self.model_name, "attention_dim", must_be, attention_dim))
        if not 0 <= attention_dropout < 1:
            must_be = "a number in [0, 1)"
            raise ConfigError(
                invalid(self.model_name, "attention_dropout", must_be, attention_dropout)
            )
        fields = self.features.as_fields(self.model_name, at_least=2)
        width = fields.field_width(self.model_name)
        self.embedding = EmbeddingLayer(fields)
        self.linear = FirstOrder(self.features, self.num_logits)
        self.dropout = nn.Dropout(attention_dropout)
        self.attention_hidden = nn.Linear(width, attention_dim)
        self.attention_output = nn.Linear(attention_dim, 1, bias=False)
        self.projection = nn.Linear(width, self.num_logits, bias=False)
        numbers = width * len(fields) * (len(fields) - 1) // 2
        self.rows_at_a_time = max(1, _NUMBERS_AT_A_TIME // numbers)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        if fields.device.type != "cpu" or torch.compiler.is_compiling():
            pooled = self.pool(fields)
        else:
            # Pairs make the largest tensors of the network. A few rows at a time they stay in a
            # CPU's cache, which halves the time of a batch of 4096.
            pooled = torch.cat([self.pool(rows) for rows in fields.split(self.rows_at_a_time)])
        return self.linear(x) + self.projection(pooled)

    def pool(self, fields: Tensor) -> Tensor:
        """Attention over the pairs of fields: ``(B, F, D)`` -> ``(B, D)``."""
        products = self.dropout(pair_products(fields, fields))  # (B, P, D)
        # Flattened, the map is one matrix product that adds its bias on the way.
        hidden = self.attention_hidden(products.flatten(0, 1)).relu_()  # (B * P, attention_dim)
        scores = self.attention_output(hidden).view(-1, 1, products.shape[1])
        return torch.bmm(torch.softmax(scores, dim=2), products).squeeze(1)
