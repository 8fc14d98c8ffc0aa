"""DLRM (Naumov et al.; 2019, arXiv:1906.00091)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor

from nextrec.errors import ConfigError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer, numbers
from nextrec.layers.mlp import mlp_from
from nextrec.layers.pairs import pair_inner_products
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class DLRM(BaseModel):
    r"""Numbers become one more vector among the fields; a tower reads the products of all pairs.

    .. math::
        e_0 = \mathrm{MLP}_{bottom}(x_d), \qquad
        z = \mathrm{MLP}_{top}([e_0; \langle e_i, e_j \rangle_{i<j}])

    Fields :math:`e_1 \dots e_F` are sparse features, pooled sequences and dense features with a
    learned map; they need one width, which the bottom MLP ends in too. Without raw dense features
    there is no :math:`e_0`.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the top tower.
        bottom_mlp_params: those of the bottom tower; its last layer to the fields' width is added.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: fewer than two vectors, fields of different widths, or a bottom MLP without
            numbers to read.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        bottom_mlp_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.raw = [feature for feature in self.features.dense if not feature.use_embedding]
        width = self.features.field_width(self.model_name, at_least=1 if self.raw else 2)
        self.embedding = EmbeddingLayer(self.features)
        self.bottom = None
        if self.raw:
            self.bottom = mlp_from(
                sum(feature.width for feature in self.raw),
                bottom_mlp_params,
                "bottom_mlp_params",
                dims=(128, 64),
                output_dim=width,
            )
            if self.bottom.out_features != width:
                raise ConfigError(
                    f"{self.model_name}: `bottom_mlp_params` must end in the fields' width "
                    f"{width}; got {self.bottom.out_features}."
                )
        elif bottom_mlp_params is not None:
            raise ConfigError(
                f"{self.model_name}: `bottom_mlp_params` has no use without raw dense features."
            )
        count = len(self.features.fields) + bool(self.raw)
        self.mlp = mlp_from(
            count * (count - 1) // 2 + (width if self.raw else 0),
            mlp_params,
            dims=(256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        if self.bottom is None:
            return self.mlp(pair_inner_products(fields, fields))
        dense = self.bottom(numbers(x, self.raw))  # (B, D)
        vectors = torch.cat([dense.unsqueeze(1), fields], dim=1)  # (B, 1 + F, D)
        return self.mlp(torch.cat([dense, pair_inner_products(vectors, vectors)], dim=1))
