"""EDCN (Chen, Y. Wang, Liu, Tang, Guo, Zheng, Yao, Zhang, He; CIKM 2021).

"Enhancing Explicit and Implicit Feature Interactions via Information Sharing for Parallel Deep CTR
Models", doi:10.1145/3459637.3481915.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.cross import CrossLayer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import MLP, NORMS, BatchNorm1d, Norm
from nextrec.layers.selection import Regulation
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["EDCN", "Bridge"]

BridgeType = Literal["hadamard_product", "pointwise_addition", "concatenation", "attention_pooling"]


class EDCN(BaseModel):
    r"""A cross network and a deep one that meet after every layer and choose their own inputs.

    .. math::
        x_l, h_l = \mathrm{regulate}_l(f_l), \qquad
        x'_l = x_0 (w_l^\top x_l) + b_l + x_l, \qquad h'_l = \phi(W_l h_l + c_l), \qquad
        f_{l+1} = \mathrm{bridge}_l(x'_l, h'_l)

    .. math::
        f_0 = e, \qquad z = w^\top [x'_L; h'_L; f_{L+1}] + b

    A layer's regulation weighs each feature for each network by a softmax over the features
    (:class:`~nextrec.layers.selection.Regulation`). What it gives is normalised (``norm``), because
    a softmax over many features makes them small; ``none`` leaves that out.

    Args:
        cross_num: layers L + 1 of both networks.
        bridge_type: how the two are joined; see :class:`Bridge`.
        temperature: of the regulation's softmax.
        dropout: after each deep layer.
        activation: of the deep layers.
        norm: of the regulated inputs: ``batch``, ``layer`` or ``none``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: fewer than two features, which leave nothing to weigh, or an unknown option.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        cross_num: int = 3,
        bridge_type: BridgeType = "hadamard_product",
        temperature: float = 1.0,
        dropout: float = 0.0,
        activation: str = "relu",
        norm: Norm = "batch",
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        name = self.model_name
        if not isinstance(cross_num, int) or isinstance(cross_num, bool) or cross_num < 1:
            raise ConfigError(invalid(name, "cross_num", "an integer of at least 1", cross_num))
        if norm not in NORMS:
            raise ConfigError(unknown_option(name, "norm", NORMS, norm))
        if len(self.features) < 2:
            found = ", ".join(map(repr, self.features.names))
            raise FeatureError(f"{name} needs at least 2 features; got {found}.")
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        widths = [feature.width for feature in self.features]
        layers = range(cross_num)
        self.regulations = nn.ModuleList(Regulation(widths, 2, temperature) for _ in layers)
        self.cross_norms = nn.ModuleList(_norm(norm, width) for _ in layers)
        self.deep_norms = nn.ModuleList(_norm(norm, width) for _ in layers)
        self.crosses = nn.ModuleList(CrossLayer(width) for _ in layers)
        self.deeps = nn.ModuleList(
            MLP(width, False, [width], dropout, activation, norm="none") for _ in layers
        )
        self.bridges = nn.ModuleList(Bridge(width, bridge_type) for _ in layers)
        self.head = nn.Linear(3 * width, self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        shared = self.embedding.flat(x)  # (B, width), as all that follow
        first: Tensor | None = None
        for regulate, cross_norm, deep_norm, cross_layer, deep_layer, bridge in zip(
            self.regulations,
            self.cross_norms,
            self.deep_norms,
            self.crosses,
            self.deeps,
            self.bridges,
            strict=True,
        ):
            to_cross, to_deep = regulate(shared)
            cross = cross_norm(to_cross)
            first = cross if first is None else first
            cross = cross_layer(first, cross) + cross
            deep = deep_layer(deep_norm(to_deep))
            shared = bridge(cross, deep)
        return self.head(torch.cat([cross, deep, shared], dim=1))


class Bridge(nn.Module):
    r"""Joins the outputs x and h of two networks into one vector of their width.

    * ``hadamard_product``: :math:`x \odot h`; ``pointwise_addition``: :math:`x + h`;
    * ``concatenation``: :math:`\mathrm{ReLU}(W [x; h] + b)`;
    * ``attention_pooling``: :math:`a(x) \odot x + a'(h) \odot h` with
      :math:`a(x) = \mathrm{softmax}(P\,\mathrm{ReLU}(W x + b))` over the numbers of the vector.

    Args:
        width: width D of both.
        bridge_type: one of the above.

    Shape: ``(B, D)``, ``(B, D)`` -> ``(B, D)``.

    Raises:
        ConfigError: an unknown type.

    >>> Bridge(4, "concatenation")(torch.ones(2, 4), torch.ones(2, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(self, width: int, bridge_type: BridgeType = "hadamard_product") -> None:
        super().__init__()
        known = get_args(BridgeType)
        if bridge_type not in known:
            raise ConfigError(unknown_option("EDCN", "bridge_type", known, bridge_type))
        self.bridge_type = bridge_type
        self.out_features = width
        if bridge_type == "concatenation":
            self.join = nn.Linear(2 * width, width)
        elif bridge_type == "attention_pooling":
            self.cross_weights = _attention(width)
            self.deep_weights = _attention(width)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:  # noqa: D102
        if self.bridge_type == "hadamard_product":
            return x * h
        if self.bridge_type == "pointwise_addition":
            return x + h
        if self.bridge_type == "concatenation":
            return torch.relu(self.join(torch.cat([x, h], dim=1)))
        return self.cross_weights(x) * x + self.deep_weights(h) * h


def _attention(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width, bias=False),
        nn.Softmax(dim=1),
    )


def _norm(norm: Norm, width: int) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    return BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width)
