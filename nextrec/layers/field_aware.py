"""Field-aware vectors: every feature has a vector of its own for each field that it may meet.

Letters: B batch, F fields, D width of a vector, P = F (F - 1) / 2 pairs of fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nextrec.features import DenseFeature, Feature, FeatureSet
from nextrec.layers.embedding import EmbeddingLayer


class FieldAwareEmbedding(nn.Module):
    r"""Reads, for every feature of a row, its vectors towards each of the other fields.

    A feature's vectors lie side by side in one row of one wide table, so that reading all of them
    is one gather and training them is one row update.

    A feature that has its table for itself keeps no vector towards its own field. Features that
    share a table (an item and a history of items) share its vectors field by field; towards one
    another they use different ones of them.

    Sequences are combined vector by vector. A dense feature's vectors are a learned map of its
    value. Pretrained weights are the start of the vectors towards every field.

    Source: Juan, Zhuang, Chin and Lin, "Field-aware Factorization Machines for CTR Prediction",
    RecSys 2016.

    Args:
        features: the fields, all of one width D; dense ones with a learned map.

    Shape: columns -> ``(B, F, F - 1, D)``: of each field the vectors towards the others, in order.

    >>> from nextrec.features import SparseFeature
    >>> fields = [SparseFeature(name, 10, embedding_dim=4) for name in ("user", "item", "city")]
    >>> layer = FieldAwareEmbedding(FeatureSet.of(fields))
    >>> layer({name: torch.tensor([1, 2]) for name in ("user", "item", "city")}).shape
    torch.Size([2, 3, 2, 4])
    """

    def __init__(self, features: FeatureSet) -> None:
        super().__init__()
        self.width = features.field_width("FieldAwareEmbedding", at_least=2)
        self.num_fields = len(features)
        self.shared = [_is_shared(features, feature) for feature in features]
        pretrained = {
            name: table.pretrained_weight.repeat(1, self._vectors(len(table.features) > 1))
            for name, table in features.tables.items()
            if table.pretrained_weight is not None
        }

        def widen(feature: Feature, shared: bool) -> Feature:
            assert feature.embedding_dim is not None
            changes: dict[str, Any] = {"embedding_dim": self._vectors(shared) * self.width}
            if isinstance(feature, DenseFeature):
                changes["use_embedding"] = True
            elif getattr(feature, "pretrained_weight", None) is not None:
                changes["pretrained_weight"] = pretrained[feature.embedding_name]
            return dataclasses.replace(feature, **changes)

        wide = [widen(*each) for each in zip(features, self.shared, strict=True)]
        self.embedding = EmbeddingLayer(wide)
        self.names = features.names
        self.groups = [
            FeatureSet.of(
                f for f, shared in zip(wide, self.shared, strict=True) if shared == wanted
            )
            for wanted in sorted(set(self.shared))
        ]

    def _vectors(self, shared: bool) -> int:
        """Vectors in a row of a table."""
        return self.num_fields if shared else self.num_fields - 1

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:  # noqa: D102
        if not any(self.shared):
            fields = self.embedding.fields(x)  # (B, F, (F - 1) * D)
        else:
            fields = torch.stack(self._others(x), dim=1)
        return fields.view(-1, self.num_fields, self.num_fields - 1, self.width)

    def _others(self, x: Mapping[str, Tensor]) -> list[Tensor]:
        """Of each field ``(B, (F - 1) * D)``: a shared row less the vector towards the field."""
        read: dict[str, Tensor] = {}
        for group in self.groups:
            read.update(zip(group.names, self.embedding.fields(x, group).unbind(1), strict=True))
        others = []
        for i, (name, shared) in enumerate(zip(self.names, self.shared, strict=True)):
            vectors = read[name]
            if shared:
                sizes = [i * self.width, self.width, (self.num_fields - 1 - i) * self.width]
                before, _, after = vectors.split(sizes, dim=1)
                vectors = torch.cat([before, after], dim=1)
            others.append(vectors)
        return others


def field_aware_products(x: Tensor) -> Tensor:
    r"""Inner products :math:`\langle v_{i \to j}, v_{j \to i} \rangle` of all pairs ``i < j``.

    Args:
        x: of each field the vectors towards the others, in order, as
            :class:`FieldAwareEmbedding` reads them.

    Shape: ``(B, F, F - 1, D)`` -> ``(B, P)``, in the order of :mod:`nextrec.layers.pairs`.

    >>> x = torch.tensor([[[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]]])  # of 3 fields
    >>> field_aware_products(x)
    tensor([[ 3., 10., 24.]])
    """
    if torch.compiler.is_compiling():  # compilers see through plain operations only
        return _products(x)
    return _Products.apply(x)


def _products(x: Tensor) -> Tensor:
    # The vector of field i towards j > i is at j - 1, as its own field has none; that of field j
    # towards i is at i.
    last = x.shape[1] - 1
    return torch.cat([(x[:, i, i:] * x[:, i + 1 :, i]).sum(-1) for i in range(last)], dim=1)


class _Products(torch.autograd.Function):
    """:func:`_products` with a backward pass that writes each vector's gradient once.

    Autograd would make a zero tensor of the size of ``x`` for each of the slices and add them up.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _products(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # (B, P)
        (x,) = ctx.saved_tensors
        last = x.shape[1] - 1
        out = torch.empty_like(x)
        for i, each in enumerate(grad.unsqueeze(-1).split(list(range(last, 0, -1)), dim=1)):
            torch.mul(each, x[:, i + 1 :, i], out=out[:, i, i:])
            torch.mul(each, x[:, i, i:], out=out[:, i + 1 :, i])
        return out


def _is_shared(features: FeatureSet, feature: Feature) -> bool:
    return not isinstance(feature, DenseFeature) and bool(features.sharing(feature))
