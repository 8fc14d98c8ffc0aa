"""AutoInt (Song, Shi, Xiao, Duan, Xu, Zhang, Tang; CIKM 2019, arXiv:1810.11921)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.attention import MultiHeadSelfAttention
from nextrec.layers.checks import check_counts, check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class AutoInt(BaseModel):
    r"""Fields attend to each other; each layer raises the degree of their combinations.

    .. math::
        X^{l+1} = \mathrm{ReLU}(\mathrm{Att}(X^l) + W_{Res} X^l), \qquad
        z = w^\top \mathrm{vec}(X^L) + b \; (+ \mathrm{MLP}(\mathrm{vec}(X^0)))

    with the interacting layer :class:`~nextrec.layers.attention.MultiHeadSelfAttention`. The MLP
    makes it AutoInt+. Every feature is a field: a raw dense one gets a learned map
    :math:`v x + c` (the paper's has no c). The first layer takes fields from their width to
    ``att_embedding_dim``. Fields of different widths, which the paper does not have, first pass a
    linear map each to ``att_embedding_dim``.

    Args:
        att_layer_num: interacting layers.
        att_embedding_dim: width of a field in them, all heads together.
        att_head_num: heads, which share the width.
        att_dropout: probability that an attention weight is zeroed in training.
        att_use_residual: add the term with W_Res.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower of AutoInt+;
            ``None``: no tower.
        att_scaled: divide the scores by the square root of a head's width; the paper does not.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: fewer than two fields, no layer, or heads that do not divide the width.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        att_layer_num: int = 3,
        att_embedding_dim: int = 8,
        att_head_num: int = 2,
        att_dropout: float = 0.0,
        att_use_residual: bool = True,
        *,
        mlp_params: Mapping[str, Any] | None = None,
        att_scaled: bool = False,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(
            self.model_name,
            att_layer_num=att_layer_num,
            att_embedding_dim=att_embedding_dim,
            att_head_num=att_head_num,
        )
        check_rates(self.model_name, att_dropout=att_dropout)
        if att_embedding_dim % att_head_num:
            must_be = f"a divisor of `att_embedding_dim` ({att_embedding_dim})"
            raise ConfigError(invalid(self.model_name, "att_head_num", must_be, att_head_num))
        every, self.projections = self._fields(att_embedding_dim)
        self.embedding = EmbeddingLayer(every)
        width = every.fields[0].width if self.projections is None else att_embedding_dim
        self.layers = nn.ModuleList(
            MultiHeadSelfAttention(
                att_embedding_dim,
                att_head_num,
                att_dropout,
                att_use_residual,
                input_dim=att_embedding_dim if layer else width,
                scaled=att_scaled,
            )
            for layer in range(att_layer_num)
        )
        self.head = nn.Linear(len(every) * att_embedding_dim, self.num_logits)
        self.mlp = None
        if mlp_params is not None:
            self.mlp = mlp_from(
                every.width, mlp_params, dims=(256, 128), output_dim=self.num_logits
            )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        if self.projections is None:
            fields = self.embedding.fields(x)  # (B, F, D)
            flat = fields.flatten(1)
        else:
            flat = self.embedding.flat(x)
            vectors = flat.split([each.in_features for each in self.projections], dim=1)
            projected = [p(v) for p, v in zip(self.projections, vectors, strict=True)]
            fields = torch.stack(projected, dim=1)  # (B, F, att_embedding_dim)
        for layer in self.layers:
            fields = layer(fields)
        logits = self.head(fields.flatten(1))
        return logits if self.mlp is None else logits + self.mlp(flat)

    def _fields(self, width: int) -> tuple[FeatureSet, nn.ModuleList | None]:
        """All features as fields, and the maps to one width where they differ in it."""
        if len({field.width for field in self.features.fields}) <= 1:
            return self.features.as_fields(self.model_name, at_least=2), None
        every = FeatureSet.of(
            dataclasses.replace(f, embedding_dim=width, use_embedding=True)
            if isinstance(f, DenseFeature) and not f.use_embedding
            else f
            for f in self.features
        )
        return every, nn.ModuleList(nn.Linear(f.width, width, bias=False) for f in every)
