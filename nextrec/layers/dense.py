"""Dense features as a layer reads them: their raw numbers, and the maps they are learned by.

Letters: B batch, n features, I numbers of a feature, D width of its map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from nextrec.errors import DataError
from nextrec.features import DenseFeature
from nextrec.layers.numeric import NUMERIC_LAYERS, n_linear

_TAKEN = frozenset(dir(nn.ModuleDict()))


class LinearMaps(nn.ModuleDict):
    r"""An affine map :math:`Wx + b` for each dense feature that has one, by the feature's name.

    Called with columns and some of the features, it gives the vectors ``(B, D)`` of those whose
    ``embedding_type`` is ``linear``: one batched product for all of one shape.
    """

    def __init__(self, features: Sequence[DenseFeature]) -> None:
        super().__init__({_module_key(each.name): _linear(each) for each in _linear_ones(features)})

    def forward(
        self, x: Mapping[str, Tensor], features: Sequence[DenseFeature]
    ) -> dict[str, Tensor]:
        """Vectors ``(B, D)`` by feature."""
        grouped: dict[tuple[int, int], list[DenseFeature]] = {}
        for feature in _linear_ones(features):
            grouped.setdefault((feature.input_dim, feature.width), []).append(feature)
        vectors: dict[str, Tensor] = {}
        for (inner, _), group in grouped.items():
            maps = [cast("nn.Linear", self[_module_key(each.name)]) for each in group]
            weight = torch.stack([each.weight for each in maps])  # (n, D, I)
            bias = torch.stack([each.bias for each in maps])  # (n, D)
            values = numbers(x, group).view(-1, len(group), inner)  # (B, n, I)
            vectors |= _by_name(group, n_linear(values, weight.transpose(1, 2), bias))
        return vectors


class NumericMaps(nn.ModuleList):
    """The other maps of dense features: one module for all of one type, width and parameters.

    Called with columns and some of the features, it gives the vectors ``(B, D)`` of those that
    have such a map.
    """

    def __init__(self, features: Sequence[DenseFeature]) -> None:
        grouped: dict[tuple[Any, ...], list[DenseFeature]] = {}
        for feature in features:
            if feature.embedding_type != "linear":
                grouped.setdefault(_group_of(feature), []).append(feature)
        super().__init__(_layer(group) for group in grouped.values())
        self._groups = list(grouped.values())

    def forward(
        self, x: Mapping[str, Tensor], features: Sequence[DenseFeature]
    ) -> dict[str, Tensor]:
        """Vectors ``(B, D)`` by feature."""
        names = {feature.name for feature in features}
        vectors: dict[str, Tensor] = {}
        for layer, group in zip(self, self._groups, strict=True):
            only = [place for place, feature in enumerate(group) if feature.name in names]
            chosen = [group[place] for place in only]
            if chosen:
                out = layer(numbers(x, chosen), None if len(only) == len(group) else only)
                vectors |= _by_name(chosen, out)
        return vectors


def numbers(x: Mapping[str, Tensor], features: Sequence[DenseFeature]) -> Tensor:
    """Raw values ``(B, sum of input_dim)`` in float."""
    if hasattr(x, "numbers"):
        return cast("Tensor", x.numbers(tuple(feature.name for feature in features)))
    columns = []
    for feature in features:
        value = column(x, feature.name)
        value = value.reshape(value.shape[0], -1)
        value = value if value.is_floating_point() else value.float()
        if value.shape[1] != feature.input_dim:
            raise DataError(
                f"feature {feature.name!r} has {value.shape[1]} numbers a row; "
                f"its `input_dim` is {feature.input_dim}."
            )
        columns.append(value)
    return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)


def column(x: Mapping[str, Tensor], name: str) -> Tensor:
    """A feature's column of a batch."""
    try:
        return x[name]
    except KeyError:
        raise DataError(f"the batch has no column for feature {name!r}.") from None


def _linear_ones(features: Sequence[DenseFeature]) -> list[DenseFeature]:
    return [f for f in features if f.use_embedding and f.embedding_type == "linear"]


def _linear(feature: DenseFeature) -> nn.Linear:
    linear = nn.Linear(feature.input_dim, feature.width)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _group_of(feature: DenseFeature) -> tuple[Any, ...]:
    """What features of one module share; edges of bins are each feature's own."""
    params = dict(feature.embedding_params or {})
    params.pop("edges", None)
    return feature.embedding_type, feature.width, *sorted(params.items())


def _layer(group: Sequence[DenseFeature]) -> nn.Module:
    first = group[0]
    build, params = NUMERIC_LAYERS[first.embedding_type], dict(first.embedding_params or {})
    if "edges" in params:
        edges = [cast("dict[str, Any]", feature.embedding_params)["edges"] for feature in group]
        return build(edges, first.width)
    return build(len(group), first.width, **params)


def _by_name(features: Sequence[DenseFeature], vectors: Tensor) -> dict[str, Tensor]:
    return {feature.name: vectors[:, place] for place, feature in enumerate(features)}


def _module_key(name: str) -> str:
    """A feature's name as a module's: without dots, and not that of a method such as ``items``."""
    if "." in name or name in _TAKEN or name.startswith("%"):
        return "%" + name.replace("%", "%25").replace(".", "%2E")
    return name
