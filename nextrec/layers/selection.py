"""Gates that weigh features before they interact: by a context, by the fields, by their place.

Letters: B batch, F fields, D width of a field, W width of the flat vector, C width of a context,
N inputs that are weighed apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import FeatureSet
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from


class ContextGate(nn.Module):
    r"""Weighs every number of the flat vector by what a few features say.

    .. math::
        y = 2\,\sigma(\mathrm{MLP}(c)) \odot x

    where c is the context's own embedding (own tables, so that what selects is not tied to what is
    selected), or one learned vector for all rows. A weight lies in (0, 2) and starts near 1.

    Source: Mao, Zhu, Su, Cai, Li and Dong, "FinalMLP: An Enhanced Two-Stream MLP Model for CTR
    Prediction", AAAI 2023.

    Args:
        context: features of the context; a number C learns one vector of that width instead.
        out_features: width W of what is weighed.
        params: arguments of :class:`~nextrec.layers.mlp.MLP`; by default one hidden layer of 64
            with ReLU and without normalisation.

    Shape: columns, ``(B, W)`` -> ``(B, W)``.

    >>> from nextrec.features import SparseFeature
    >>> gate = ContextGate(FeatureSet.of([SparseFeature("user", 10)]), out_features=6)
    >>> gate({"user": torch.tensor([1, 2])}, torch.ones(2, 6)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self,
        context: FeatureSet | int,
        out_features: int,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.embedding: EmbeddingLayer | None = None
        self.vector: nn.Parameter | None = None
        if isinstance(context, FeatureSet):
            self.embedding = EmbeddingLayer(context)
            width = self.embedding.out_features
        else:
            width = context
            self.vector = nn.Parameter(torch.zeros(1, width))
        self.mlp = mlp_from(
            width, params, "fs_params", dims=(64,), norm="none", output_dim=out_features
        )
        self.out_features = out_features

    def forward(self, x: Mapping[str, Tensor], flat: Tensor) -> Tensor:
        """Weigh ``flat``; ``x`` has the context's columns."""
        context = self.vector if self.embedding is None else self.embedding.flat(x)  # (B or 1, C)
        return 2 * torch.sigmoid(self.mlp(context)) * flat


class FieldGate(nn.Module):
    r"""Weighs every number of a field by a linear view of the same number of all fields.

    .. math::
        y_{fd} = x_{fd} \Big(\sum_g W_{fg}\, x_{gd} + b_f\Big)

    It starts as the identity (W = 0, b = 1).

    Source: Zhu, Jia, Cai, Dai, Li, Dong, Tang and Zhang, "FINAL: Factorized Interaction Layer for
    CTR Prediction", SIGIR 2023.

    Args:
        num_fields: fields F.

    Shape: ``(B, F, D)`` -> ``(B, F, D)``.

    >>> FieldGate(3)(torch.ones(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, num_fields: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_fields, num_fields))
        self.bias = nn.Parameter(torch.ones(num_fields, 1))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return x * (torch.matmul(self.weight, x) + self.bias)


class Regulation(nn.Module):
    r"""Gives each of N networks its own share of every field.

    .. math::
        y_n = \mathrm{softmax}_f(g_n / \tau)_f\; x_f

    The weights are the same for all rows. A low temperature lets a network see few fields; at
    the start all weights are 1 / F.

    Source: Chen, Wang, Liu, Tang, Guo, Zheng, Yao, Zhang and He, "Enhancing Explicit and Implicit
    Feature Interactions via Information Sharing for Parallel Deep CTR Models", CIKM 2021.

    Args:
        widths: width of each field; F of them, with the sum W.
        num_gates: networks N.
        temperature: :math:`\tau`.

    Shape: ``(B, W)`` -> N tensors ``(B, W)``.

    Raises:
        ConfigError: the temperature is not a positive number.

    >>> a, b = Regulation([4, 4, 1], num_gates=2)(torch.ones(2, 9))
    >>> a.shape
    torch.Size([2, 9])
    """

    places: Tensor

    def __init__(self, widths: Sequence[int], num_gates: int = 2, temperature: float = 1.0) -> None:
        super().__init__()
        number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
        if not number or not temperature > 0:
            must_be = "a number above 0"
            raise ConfigError(invalid("Regulation", "temperature", must_be, temperature))
        self.logits = nn.Parameter(torch.zeros(num_gates, len(widths)))
        places = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(list(widths)))
        self.register_buffer("places", places, persistent=False)  # (W,)
        self.temperature = temperature

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # noqa: D102
        weights = torch.softmax(self.logits / self.temperature, -1)  # (N, F)
        return tuple(x * gate for gate in weights.index_select(1, self.places).unbind(0))
