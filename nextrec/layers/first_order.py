"""The first-order term: a weight of its own for every id, a linear map for numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from nextrec.features import FeatureSet, SparseFeature, TableFeature
from nextrec.layers.embedding import EmbeddingLayer, numbers


class FirstOrder(nn.Module):
    r"""The first-order term :math:`\sum_i w_i x_i + b` over ids and numbers.

    Each id has a weight of its own (a table of width ``out_features``); a sequence gives the mean
    of its items' weights when its combiner is the mean, else their sum; dense values enter
    linearly. Rendle, Factorization Machines, ICDM 2010.

    Shapes: columns -> ``(B, out_features)``.
    """

    def __init__(self, features: FeatureSet, out_features: int = 1) -> None:
        super().__init__()
        self.out_features = out_features

        def narrow(feature: TableFeature) -> TableFeature:
            # A narrow copy reads the same ids of a table of the same name, one number an output.
            changes: dict[str, Any] = {"embedding_dim": out_features, "trainable": True}
            if isinstance(feature, SparseFeature):
                changes |= {"pretrained_weight": None, "freeze_pretrained": False}
            elif feature.combiner != "mean":
                changes["combiner"] = "sum"
            return dataclasses.replace(feature, **changes)

        self.weights = EmbeddingLayer(FeatureSet.of(narrow(f) for f in features.embedded))
        self.dense = features.dense
        inputs = sum(feature.input_dim for feature in self.dense)
        self.linear = nn.Linear(inputs, out_features) if inputs else None
        self.bias = nn.Parameter(torch.zeros(out_features)) if not inputs else None

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Sum of the weights of all ids, plus the linear part."""
        total: Tensor | float = 0.0
        if self.weights.features.embedded:
            total = self.weights.fields(x).sum(dim=1)  # (B, F, T) -> (B, T)
        if self.linear is not None:
            return total + self.linear(numbers(x, self.dense))
        return total + cast("Tensor", self.bias)
