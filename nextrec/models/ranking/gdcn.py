"""Gated Deep Cross Network (F. Wang, Gu, Li, Lu, Zhang, Gu; CIKM 2023, arXiv:2311.04635)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.cross import GatedCrossNetwork
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

Structure = Literal["parallel", "stacked", "crossnet_only"]


class GDCN(BaseModel):
    r"""A cross network that gates the crosses of each degree, beside or under a deep tower.

    .. math::
        x_{l+1} = x_0 \odot (W_l x_l + b_l) \odot \sigma(G_l x_l) + x_l

    The paper also shrinks each field's width by its importance and trains again (FDO); here widths
    are what the features say, and they may differ.

    Args:
        cross_num: gated cross layers.
        architecture: ``parallel`` (GDCN-P): head of ``[cross(x); MLP(x)]``; ``stacked`` (GDCN-S):
            head of ``MLP(cross(x))``; ``crossnet_only`` (the paper's GCN).
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: an unknown architecture, ``cross_num`` below 1, or ``mlp_params`` with
            ``crossnet_only``.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        cross_num: int = 3,
        architecture: Structure = "parallel",
        mlp_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if architecture not in get_args(Structure):
            raise ConfigError(
                unknown_option(self.model_name, "architecture", get_args(Structure), architecture)
            )
        if architecture == "crossnet_only" and mlp_params is not None:
            raise ConfigError("GDCN: `mlp_params` has no use with `architecture` 'crossnet_only'.")
        if not isinstance(cross_num, int) or isinstance(cross_num, bool) or cross_num < 1:
            must_be = "an integer of at least 1"
            raise ConfigError(invalid(self.model_name, "cross_num", must_be, cross_num))
        self.architecture = architecture
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.cross_network = GatedCrossNetwork(width, cross_num)
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
