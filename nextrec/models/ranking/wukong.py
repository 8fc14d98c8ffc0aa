"""WuKong (B. Zhang et al.; ICML 2024, arXiv:2403.02545)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class WuKong(BaseModel):
    r"""Stacked factorization machines: layer i holds interactions of order 1 to :math:`2^i`.

    .. math::
        X_{i+1} &= \mathrm{LN}\big([\mathrm{FMB}_i(X_i); \mathrm{LCB}_i(X_i)] + X_i\big) \\
        \mathrm{FMB}(X) &= \mathrm{reshape}(\mathrm{MLP}(\mathrm{LN}(\mathrm{flatten}(X X^\top Y))))
        , \qquad \mathrm{LCB}(X) = W X, \qquad z = \mathrm{MLP}(\mathrm{flatten}(X_l))

    where X are n vectors of width d, first the fields, Y is ``(n, k)`` and learned, and
    :math:`X^\top Y` comes first. Where the number of vectors changes, the residual is a learned
    linear map of them. With ``attention_params`` Y depends on the row: an MLP reads k learned
    mixtures of the vectors. Without ``rank`` the machine is :math:`X X^\top`. Every feature is a
    field; raw dense values each get a learned map to the common width, where the paper has an MLP
    over all of them.

    Args:
        num_layers: layers l.
        num_fmb: vectors out of a factorization machine block.
        num_lcb: vectors out of a linear compress block.
        rank: columns k of Y; ``None`` for the full machine.
        fmb_params: arguments of :class:`~nextrec.layers.mlp.MLP` for that of a block; its output
            layer has ``num_fmb * d`` numbers.
        mlp_params: arguments of the last MLP.
        attention_params: arguments of the MLP that makes Y; ``None`` for a Y common to all rows.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: fields of different widths, or fewer than two.
        ConfigError: an argument is not positive.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        num_layers: int = 3,
        num_fmb: int = 16,
        num_lcb: int = 16,
        rank: int | None = 24,
        fmb_params: Mapping[str, Any] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        attention_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        counts = {"num_layers": num_layers, "num_fmb": num_fmb, "num_lcb": num_lcb}
        check_counts(self.model_name, **counts, rank=1 if rank is None else rank)
        if rank is None and attention_params is not None:
            raise ConfigError("WuKong: `attention_params` has no use without `rank`.")
        fields = self.features.as_fields(self.model_name, at_least=2)
        self.embedding = EmbeddingLayer(fields)
        width = fields.field_width(self.model_name)
        made = num_fmb + num_lcb
        self.layers = nn.Sequential(
            *(
                WuKongLayer(n, width, num_fmb, num_lcb, rank, fmb_params, attention_params)
                for n in [len(fields)] + [made] * (num_layers - 1)
            )
        )
        self.mlp = mlp_from(
            made * width, mlp_params, dims=(256, 128), norm="none", output_dim=self.num_logits
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.mlp(self.layers(self.embedding.fields(x)).flatten(1))


class WuKongLayer(nn.Module):
    """The two blocks side by side, the residual and the normalisation.

    All maps of the n vectors (compression, residual, Y or its input) are rows of one matrix.
    """

    def __init__(
        self,
        num_vectors: int,
        width: int,
        num_fmb: int,
        num_lcb: int,
        rank: int | None,
        fmb_params: Mapping[str, Any] | None,
        attention_params: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        made = num_fmb + num_lcb
        self.num_vectors, self.num_fmb = num_vectors, num_fmb
        self.rows = [num_lcb, rank or 0, made if made != num_vectors else 0]
        self.combine = nn.Linear(num_vectors, sum(self.rows), bias=False)
        self.attention = None
        if attention_params is not None:
            assert rank is not None
            self.attention = mlp_from(
                rank * width,
                attention_params,
                "attention_params",
                dims=(64,),
                norm="none",
                output_dim=num_vectors * rank,
            )
        pairs = num_vectors * (rank or num_vectors)
        self.pair_norm = nn.LayerNorm(pairs)
        self.fmb = mlp_from(
            pairs,
            fmb_params,
            "fmb_params",
            dims=(256, 256),
            norm="none",
            output_dim=num_fmb * width,
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, d)`` -> ``(B, num_fmb + num_lcb, d)``."""
        combined = F.linear(x.transpose(1, 2), self.combine.weight).transpose(1, 2)
        compressed, projected, residual = combined.split(self.rows, 1)  # each (B, rows, d)
        if self.attention is not None:
            y = self.attention(projected.flatten(1)).unflatten(1, (self.num_vectors, -1))
            projected = torch.bmm(y.transpose(1, 2), x)  # (B, k, d)
        other = projected if self.rows[1] else x
        pairs = torch.bmm(x, other.transpose(1, 2))  # (B, n, k)
        made = self.fmb(self.pair_norm(pairs.flatten(1))).unflatten(1, (self.num_fmb, -1))
        return self.norm(torch.cat([made, compressed], 1) + (residual if self.rows[2] else x))
