"""DCN V2 (R. Wang, Shivanna, Cheng, Jain, Lin, Hong, Chi; WWW 2021, arXiv:2008.13535)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.cross import CrossNetMix, CrossNetV2
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["CrossNetMix", "CrossNetV2", "DCNv2"]

Structure = Literal["parallel", "stacked", "crossnet_only"]


class DCNv2(BaseModel):
    r"""Explicit crosses of bounded degree beside, or under, a deep tower.

    .. math::
        x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l

    With ``low_rank`` the matrix of each layer is a mixture of low-rank experts.

    Args:
        cross_num: cross layers; the highest degree of interaction is ``cross_num + 1``.
        architecture: ``parallel``: head of ``[cross(x); MLP(x)]``; ``stacked``: head of
            ``MLP(cross(x))``; ``crossnet_only`` (paper, figure 1).
        low_rank: rank of each expert's factors; ``None`` keeps the full matrix.
        num_experts: experts a layer, with ``low_rank``.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.

    Shape: columns -> ``(B, num_logits)``.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        cross_num: int = 3,
        architecture: Structure = "parallel",
        low_rank: int | None = None,
        num_experts: int = 4,
        mlp_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if architecture not in get_args(Structure):
            raise ConfigError(
                unknown_option(self.model_name, "architecture", get_args(Structure), architecture)
            )
        if architecture == "crossnet_only" and mlp_params is not None:
            raise ConfigError("DCNv2: `mlp_params` has no use with `architecture` 'crossnet_only'.")
        check_counts(
            self.model_name,
            cross_num=cross_num,
            low_rank=1 if low_rank is None else low_rank,
            num_experts=num_experts,
        )
        self.architecture = architecture
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.cross_network: nn.Module
        if low_rank is None:
            self.cross_network = CrossNetV2(width, cross_num)
        else:
            self.cross_network = CrossNetMix(width, cross_num, low_rank, num_experts)
        self.mlp = None
        if architecture != "crossnet_only":
            self.mlp = mlp_from(width, mlp_params, dims=(256, 128), output_layer=False)
        deep = 0 if self.mlp is None else self.mlp.out_features
        joined = deep if architecture == "stacked" else width + deep
        self.head = nn.Linear(joined, self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        x0 = self.embedding.flat(x)  # (B, width)
        crossed = self.cross_network(x0)  # (B, width)
        if self.mlp is None:
            return self.head(crossed)
        if self.architecture == "stacked":
            return self.head(self.mlp(crossed))
        return self.head(torch.cat([crossed, self.mlp(x0)], dim=1))
