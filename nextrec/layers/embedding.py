"""Embedding tables: ids in, vectors out, one gather for all fields of one width.

Shapes: B batch, F fields, L positions of a sequence, D width of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextrec.errors import DataError, FeatureError, invalid
from nextrec.features import (
    DenseFeature,
    Feature,
    FeatureSet,
    SequenceFeature,
    SparseFeature,
    TableFeature,
)
from nextrec.layers.dense import LinearMaps, NumericMaps, column, numbers
from nextrec.layers.tables import EmbeddingTables, Storage

__all__ = ["EmbeddingLayer", "InputMask", "numbers"]


@dataclass(frozen=True)
class _Gather:
    """Single-valued features that one gather reads."""

    names: tuple[str, ...]
    storage: Storage
    offsets: tuple[int, ...]
    padding: tuple[int, ...] | None
    """Padding row of each field, -1 for none; ``None`` when no field has one."""


class EmbeddingLayer(nn.Module):
    r"""Turns the columns of a batch into vectors.

    A sparse feature's id is looked up in its table. A sequence is looked up and combined over its
    real positions: mean, sum or max, the concatenation of all ``max_len`` positions, or kept. A
    dense feature passes as it is, or through its learned map: :math:`Wx + b`, or one of
    :mod:`nextrec.layers.numeric`. Padding rows are zero and are not trained. An empty history is a
    zero vector.

    Args:
        features: a list of features or a :class:`~nextrec.features.FeatureSet`.

    Shapes:
        input: mapping name -> ``(B,)`` ids, ``(B, L)`` sequences, ``(B,)`` or ``(B, n)`` numbers.
        :meth:`flat`: ``(B, out_features)``; :meth:`fields`: ``(B, F, D)``;
        :meth:`sequence`: ``(B, L, D)`` and mask ``(B, L)``.

    >>> import torch
    >>> from nextrec.features import DenseFeature, SparseFeature
    >>> layer = EmbeddingLayer([SparseFeature("item", 10, embedding_dim=4), DenseFeature("price")])
    >>> layer.flat({"item": torch.tensor([1, 2]), "price": torch.tensor([0.5, 1.0])}).shape
    torch.Size([2, 5])
    """

    def __init__(self, features: FeatureSet | Sequence[Feature]) -> None:
        super().__init__()
        self.features = features if isinstance(features, FeatureSet) else FeatureSet.of(features)
        self.embed_dict = EmbeddingTables(self.features.tables)
        self.dense_transforms = LinearMaps(self.features.dense)
        self.numeric = NumericMaps(self.features.dense)
        self._subsets: dict[tuple[str, ...], FeatureSet] = {}
        self._plans: dict[tuple[str, ...], list[_Gather]] = {}
        self._constants: dict[tuple[Any, ...], Tensor] = {}

    # -- widths ------------------------------------------------------------------------------

    @property
    def out_features(self) -> int:
        """Length of the flat vector."""
        return self.features.width

    @property
    def input_dim(self) -> int:
        """0.3.1's name of :attr:`out_features`."""
        return self.out_features

    @property
    def output_dim(self) -> int:
        """0.3.1's name of :attr:`out_features`."""
        return self.out_features

    def get_input_dim(self, features: Iterable[Feature] | None = None) -> int:
        """Length of the flat vector of ``features``, each name counted once."""
        if features is None:
            return self.out_features
        return sum({feature.name: feature.width for feature in features}.values())

    # -- reading -----------------------------------------------------------------------------

    def forward(
        self,
        x: Mapping[str, Tensor],
        features: Sequence[Feature] | None = None,
        squeeze_dim: bool = False,
    ) -> Tensor:
        """0.3.1's call: ``(B, sum of widths)`` when ``squeeze_dim``, else fields ``(B, F, D)``.

        Dense features come last; without ``squeeze_dim`` they are fields too, so all widths must
        agree.
        """
        chosen = self.features if features is None else self._chosen(features)
        if squeeze_dim:
            return self.flat(x, chosen)
        pieces = self._embedded(x, chosen)
        pieces += self._dense(x, chosen.dense, self._mapped(x, chosen.dense))
        if not pieces:
            raise FeatureError(invalid("EmbeddingLayer", "features", "not empty", []))
        widths = {piece.shape[-1] for piece in pieces}
        if len(widths) > 1:
            named = {feature.name: feature.width for feature in chosen}
            raise FeatureError(f"EmbeddingLayer: fields need one width; got {named}.")
        return torch.cat([p if p.dim() == 3 else p.unsqueeze(1) for p in pieces], dim=1)

    def fields(self, x: Mapping[str, Tensor], features: FeatureSet | None = None) -> Tensor:
        """Fields ``(B, F, D)`` in the set's order: sparse, sequence, dense with a learned map."""
        chosen = features or self.features
        pieces = self._embedded(x, chosen)
        pieces += self._mapped(x, chosen.dense).values()
        whole = [p if p.dim() == 3 else p.unsqueeze(1) for p in pieces]
        return whole[0] if len(whole) == 1 else torch.cat(whole, dim=1)

    def flat(
        self,
        x: Mapping[str, Tensor],
        features: FeatureSet | None = None,
        fields: Tensor | None = None,
    ) -> Tensor:
        """The flat vector ``(B, sum of widths)``.

        Args:
            fields: the result of :meth:`fields` for the same features, to be read only once.
        """
        chosen = features or self.features
        if fields is None:
            pieces = [piece.flatten(1) for piece in self._embedded(x, chosen)]
            pieces += self._dense(x, chosen.dense, self._mapped(x, chosen.dense))
        else:
            count = len(chosen.embedded)
            mapped = [feature.name for feature in chosen.dense if feature.use_embedding]
            rest = dict(zip(mapped, fields[:, count:].unbind(1), strict=True))
            pieces = [fields[:, :count].flatten(1), *self._dense(x, chosen.dense, rest)]
        if not pieces:
            raise FeatureError(invalid("EmbeddingLayer", "features", "not empty", []))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def sequence(self, x: Mapping[str, Tensor], feature: SequenceFeature) -> tuple[Tensor, Tensor]:
        """A history as it is: vectors ``(B, L, D)`` and True ``(B, L)`` at real positions."""
        ids = newest_ids(column(x, feature.name), feature)  # (B, L)
        if not hasattr(x, "ids"):
            self._check_range(ids.reshape(-1, 1), (feature.name,))
        storage = self.embed_dict.storage_of(feature.embedding_name)
        padding = ids == feature.padding_id
        rows = ids + storage.offsets[feature.embedding_name]
        return self.embed_dict.lookup(storage, rows, padding), ~padding

    def lookup(self, x: Mapping[str, Tensor], feature: SparseFeature) -> Tensor:
        """The vector ``(B, D)`` of one sparse feature."""
        return self._single(x, (feature,))[0].squeeze(1)

    # -- parts -------------------------------------------------------------------------------

    def _chosen(self, features: Sequence[Feature]) -> FeatureSet:
        names = tuple(dict.fromkeys(feature.name for feature in features))
        if names not in self._subsets:
            self._subsets[names] = FeatureSet.of(self.features[name] for name in names)
        return self._subsets[names]

    def _embedded(self, x: Mapping[str, Tensor], features: FeatureSet) -> list[Tensor]:
        """Pieces in the set's order: runs of sparse fields ``(B, n, D)``, sequences ``(B, w)``."""
        pieces = self._single(x, features.sparse) if features.sparse else []
        return pieces + [self._combined(x, feature) for feature in features.sequence]

    def _single(self, x: Mapping[str, Tensor], features: Sequence[SparseFeature]) -> list[Tensor]:
        """One gather a storage, then the runs of neighbours that came from one storage."""
        names = tuple(feature.name for feature in features)
        if names not in self._plans:
            self._plans[names] = self._plan(features)
        gathers = self._plans[names]
        vectors = [self._gather(x, each) for each in gathers]  # each (B, n, D)
        if len(vectors) == 1:
            return vectors
        columns = {
            name: each[:, i : i + 1]
            for gather, each in zip(gathers, vectors, strict=True)
            for i, name in enumerate(gather.names)
        }
        return [columns[name] for name in names]

    def _plan(self, features: Sequence[SparseFeature]) -> list[_Gather]:
        grouped: dict[str, list[SparseFeature]] = {}
        for feature in features:
            storage = self.embed_dict.storage_of(feature.embedding_name)
            grouped.setdefault(storage.key, []).append(feature)
        plan = []
        for key, group in grouped.items():
            storage = self.embed_dict.storages[key]
            offsets = tuple(storage.offsets[f.embedding_name] for f in group)
            pads = [self.features.tables[f.embedding_name].padding_idx for f in group]
            padding = None
            if any(pad is not None for pad in pads):
                padding = tuple(
                    -1 if pad is None else offset + pad
                    for offset, pad in zip(offsets, pads, strict=True)
                )
            plan.append(_Gather(tuple(f.name for f in group), storage, offsets, padding))
        return plan

    def _gather(self, x: Mapping[str, Tensor], gather: _Gather) -> Tensor:
        rows = self._rows(x, gather)  # (B, n)
        padding = None
        if gather.padding is not None and gather.storage.reader is None:
            padding = rows == self._constant(gather.padding, rows)
        return self.embed_dict.lookup(gather.storage, rows, padding)  # (B, n, D)

    def _rows(self, x: Mapping[str, Tensor], gather: _Gather) -> Tensor:
        """Rows of the storage ``(B, n)``; layers over the same tables share one tensor a batch."""
        cache: dict[Any, Tensor] | None = getattr(x, "cache", None)
        key = (gather.names, gather.offsets)
        if cache is not None and key in cache:
            return cache[key]
        if hasattr(x, "ids"):
            ids = x.ids(gather.names)
        else:
            ids = torch.stack([column(x, name).reshape(-1) for name in gather.names], dim=1)
            self._check_range(ids, gather.names)
        rows = ids + self._constant(gather.offsets, ids) if any(gather.offsets) else ids
        if cache is not None:
            cache[key] = rows
        return rows

    def _combined(self, x: Mapping[str, Tensor], feature: SequenceFeature) -> Tensor:
        vectors, mask = self.sequence(x, feature)  # (B, L, D), (B, L)
        if feature.combiner == "max":
            lowest = torch.finfo(vectors.dtype).min
            best = vectors.masked_fill(~mask.unsqueeze(-1), lowest).amax(dim=1)  # (B, D)
            return best.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)
        if feature.combiner == "concat":
            missing = feature.max_len - vectors.shape[1]
            return F.pad(vectors, (0, 0, 0, missing)).flatten(1)  # (B, max_len * D)
        if feature.combiner == "none":
            _ = feature.width  # raises: a kept sequence has no place among vectors
        total = vectors.sum(dim=1)  # padding rows are zero
        if feature.combiner == "sum":
            return total
        return total / mask.sum(dim=1, keepdim=True).clamp(min=1).to(total.dtype)

    def _dense(
        self, x: Mapping[str, Tensor], features: Sequence[DenseFeature], mapped: dict[str, Tensor]
    ) -> list[Tensor]:
        """Dense features in order: neighbours without a map as one block, each map's output."""
        pieces: list[Tensor] = []
        raw: list[DenseFeature] = []  # neighbours without a map
        for feature in features:
            if not feature.use_embedding:
                raw.append(feature)
                continue
            if raw:
                pieces.append(numbers(x, raw))
                raw = []
            pieces.append(mapped[feature.name])
        return [*pieces, numbers(x, raw)] if raw else pieces

    def _mapped(
        self, x: Mapping[str, Tensor], features: Sequence[DenseFeature]
    ) -> dict[str, Tensor]:
        """Learned maps ``(B, D)`` by feature, in order."""
        vectors = self.dense_transforms(x, features)
        if len(self.numeric):
            vectors |= self.numeric(x, features)
        return {f.name: vectors[f.name] for f in features if f.use_embedding}

    def _check_range(self, ids: Tensor, names: Sequence[str]) -> None:
        """Refuse ids ``(B, n)`` outside their tables, which would read a neighbour's rows.

        Batches of our loaders are checked when they are packed; this is for a plain mapping on the
        CPU, where looking costs no wait for a device.
        """
        if ids.device.type != "cpu" or torch.compiler.is_compiling() or not len(ids):
            return
        low, high = ids.amin(dim=0).tolist(), ids.amax(dim=0).tolist()
        for name, least, most in zip(names, low, high, strict=True):
            table = self.features.tables[cast("TableFeature", self.features[name]).embedding_name]
            if least < 0 or most >= table.rows:
                raise DataError(
                    f"feature {name!r} has the id {least if least < 0 else most}; "
                    f"its table has {table.rows} rows, from 0."
                )

    def _constant(self, values: tuple[int, ...], like: Tensor) -> Tensor:
        key = (values, like.device)
        if key in self._constants:
            return self._constants[key]
        constant = torch.tensor(values, dtype=like.dtype, device=like.device)
        if not torch.compiler.is_compiling():  # a trace must not leave its tensors in the module
            self._constants[key] = constant
        return constant


class InputMask(nn.Module):
    """Where a sequence has real items: float ``(B, 1, L)``, 1 for an item and 0 for padding."""

    def forward(
        self,
        x: Mapping[str, Tensor],
        feature: SequenceFeature,
        seq_tensor: Tensor | None = None,
    ) -> Tensor:
        """Mask of ``seq_tensor``, or of the feature's column."""
        ids = column(x, feature.name) if seq_tensor is None else seq_tensor
        return (ids != feature.padding_id).unsqueeze(1).float()


def newest_ids(ids: Tensor, feature: SequenceFeature) -> Tensor:
    """Sequences ``(B, L)`` cut to their last ``max_len`` positions; L is at least 1.

    One id a row is a sequence, and a batch without any position has one of padding.
    """
    if ids.dim() == 1:
        ids = ids.unsqueeze(1)
    if not ids.shape[1]:
        ids = F.pad(ids, (0, 1), value=feature.padding_id)
    return ids[:, -feature.max_len :] if ids.shape[1] > feature.max_len else ids
