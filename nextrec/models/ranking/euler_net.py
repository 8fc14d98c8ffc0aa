"""EulerNet (Tian, Bai, Zhao, Wen, Cao; SIGIR 2023, arXiv:2304.10711)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class EulerLayer(nn.Module):
    r"""N products of M complex vectors, each vector to a learned power, and a dense layer.

    .. math::
        \hat o_n = \prod_m (\lambda_m e^{i \theta_m})^{\alpha_{mn}} \cdot e^{\delta_n + i \delta'_n}
        = \exp\Big(\sum_m \alpha_{mn} \log \lambda_m + \delta_n\Big)\,
          e^{i (\sum_m \alpha_{mn} \theta_m + \delta'_n)}, \qquad
        o_n = \hat o_n + \mathrm{ReLU}(W_n r + b_n) + i\, \mathrm{ReLU}(W_n p + b_n)

    for inputs :math:`r_m + i p_m = \lambda_m e^{i \theta_m}`. The powers are linear in modulus and
    phase, so that products of any order are one matrix product. Each starts as one input.

    Shape: ``(2, B, M, D)``, real and imaginary parts -> ``(2, B, N, D)``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        *,
        explicit_dropout: float,
        implicit_dropout: float,
        layer_norm: bool,
    ) -> None:
        super().__init__()
        first = torch.arange(outputs) if inputs == outputs else torch.randint(inputs, (outputs,))
        self.alpha = nn.Parameter(F.one_hot(first, inputs).float())  # (N, M)
        self.bias = nn.Parameter(0.01 * torch.randn(2, 1, outputs, width))  # delta
        self.implicit = nn.Linear(inputs * width, outputs * width)
        # Much smaller ones leave the phases, and so the products, without a gradient for long.
        nn.init.xavier_uniform_(self.implicit.weight)
        self.explicit_dropout = nn.Dropout(explicit_dropout)
        self.implicit_dropout = nn.Dropout(implicit_dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 if layer_norm else 0))

    def forward(self, z: Tensor) -> Tensor:  # noqa: D102
        r, p = z.unbind(0)  # (B, M, D)
        # The small term keeps the gradient of a vanishing modulus finite.
        log_modulus = 0.5 * torch.log(r * r + p * p + 1e-8)
        polar = self.explicit_dropout(torch.stack([log_modulus, torch.atan2(p, r)]))
        polar = torch.matmul(self.alpha, polar) + self.bias  # (2, B, N, D)
        modulus, phase = torch.exp(polar[0]), polar[1]  # (B, N, D)
        explicit = torch.stack([modulus * torch.cos(phase), modulus * torch.sin(phase)])
        implicit = torch.relu(self.implicit(self.implicit_dropout(z.flatten(2))))
        out = explicit + implicit.view_as(explicit)
        if len(self.norms):
            return torch.stack([norm(part) for norm, part in zip(self.norms, out, strict=True)])
        return out


class EulerNet(BaseModel):
    r"""Products of fields to learned powers, as sums of the modulus and phase of complex vectors.

    .. math::
        r_f + i p_f = \mu_f (\cos e_f + i \sin e_f), \qquad
        z = w \cdot \mathrm{Re}(o) + w \cdot \mathrm{Im}(o) + b

    with o the output of the last :class:`EulerLayer`, which adds the explicit products of learned
    order to an implicit dense layer. Fields are all features; raw dense values get a learned map.

    Args:
        order_units: products of each Euler layer, whose orders are learned; by default one layer
            with as many as there are fields.
        explicit_dropout: dropout of modulus and phase.
        implicit_dropout: dropout in front of the dense layer.
        layer_norm: normalise real and imaginary vectors behind each layer.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: fields differ in width, or are fewer than 2.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        order_units: Sequence[int] | None = None,
        explicit_dropout: float = 0.0,
        implicit_dropout: float = 0.0,
        layer_norm: bool = False,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_rates(
            self.model_name, explicit_dropout=explicit_dropout, implicit_dropout=implicit_dropout
        )
        features = self.features.as_fields(self.model_name, at_least=2)
        width, count = features.field_width(self.model_name), len(features)
        units = [count] if order_units is None else order_units
        whole = isinstance(units, list | tuple) and all(type(n) is int and n > 0 for n in units)
        if not whole or not units:
            must_be = "a list of positive integers, one a layer, or None"
            raise ConfigError(invalid(self.model_name, "order_units", must_be, order_units))
        self.embedding = EmbeddingLayer(features)
        self.mu = nn.Parameter(torch.ones(count, 1))
        self.layers = nn.Sequential(
            *(
                EulerLayer(
                    inputs,
                    outputs,
                    width,
                    explicit_dropout=explicit_dropout,
                    implicit_dropout=implicit_dropout,
                    layer_norm=layer_norm,
                )
                for inputs, outputs in zip([count, *units], units, strict=False)
            )
        )
        self.head = nn.Linear(units[-1] * width, self.num_logits)
        nn.init.xavier_normal_(self.head.weight)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        e = self.embedding.fields(x)  # (B, F, D)
        z = self.mu * torch.stack([torch.cos(e), torch.sin(e)])  # (2, B, F, D)
        o = self.layers(z)  # (2, B, N, D)
        return self.head(o.sum(0).flatten(1))
