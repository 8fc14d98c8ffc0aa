"""Adaptive Parameter Generation network (Yan et al.; NeurIPS 2022, arXiv:2203.16218)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.activation import activation_layer
from nextrec.layers.checks import check_counts, is_count
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gating import EXPERT_PARAMETERS
from nextrec.layers.generated import GeneratedLinear
from nextrec.layers.mlp import BatchNorm1d, stack_arguments
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

NORMS = {"none": nn.Identity, "batch": BatchNorm1d, "layer": nn.LayerNorm}


class APG(BaseModel):
    r"""A deep network whose layers get a part of their weights from the row.

    .. math::
        h_l = \mathrm{dropout}(\phi(\mathrm{norm}(U_l (S_l(z) (V_l h_{l-1})) + b_l))), \qquad
        y = W h_L + b

    with :math:`h_0 = e`, all features, and :class:`AdaptiveLinear` as the map. The condition z is
    the layer's own input, as the paper's "self-wise" strategy, or the embeddings of some features:
    of one ("group-wise") or several, side by side ("mix-wise"). The formulas follow descriptions
    of the paper. All targets share all layers but the last.

    Args:
        mlp_params: ``dims``, ``dropout``, ``activation`` and ``norm`` as in
            :class:`~nextrec.layers.mlp.MLP`.
        condition_feature_names: the features that make z; without any, a layer's input does.
        rank: width K of the generated matrices S, ``K x K``.
        inner_dim: width P of the over-parameterised U and V, at least the rank; ``None`` learns U
            and V as they are.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: a condition names no feature, or a key or value is refused.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        condition_feature_names: str | Sequence[str] | None = None,
        rank: int = 16,
        inner_dim: int | None = 64,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, rank=rank)
        if inner_dim is not None and not is_count(inner_dim, rank):
            must_be = f"None, or an integer of at least the rank {rank}"
            raise ConfigError(invalid(self.model_name, "inner_dim", must_be, inner_dim))
        self.embedding = EmbeddingLayer(self.features)
        self.condition = self._condition(condition_feature_names)
        width = self.embedding.out_features
        given = stack_arguments("APG", width, mlp_params, EXPERT_PARAMETERS, dims=(256, 128))
        self.layers, self.after = nn.ModuleList(), nn.ModuleList()
        for dim, rate in zip(given.dims, given.rates, strict=True):
            told = width if self.condition is None else self.condition.width
            self.layers.append(AdaptiveLinear(width, dim, told, rank, inner_dim))
            activation = activation_layer(given.activation, dim)
            self.after.append(nn.Sequential(NORMS[given.norm](dim), activation, nn.Dropout(rate)))
            width = dim
        self.head = nn.Linear(width, self.num_logits)

    def _condition(self, names: str | Sequence[str] | None) -> FeatureSet | None:
        if not names:
            return None
        chosen = [names] if isinstance(names, str) else names
        known = [feature.name for feature in self.features]
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise ConfigError(unknown_option("APG", "condition_feature_names", known, unknown[0]))
        return FeatureSet.of(self.features[name] for name in chosen)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        h = self.embedding.flat(x)
        told = None if self.condition is None else self.embedding.flat(x, self.condition)
        for layer, after in zip(self.layers, self.after, strict=True):
            h = after(layer(h, h if told is None else told))
        return self.head(h)


class AdaptiveLinear(nn.Module):
    r"""A linear layer of low rank with a core that is made for each row.

    .. math::
        y = U (S(z) (V x)) + b, \qquad U = U_1 U_2, \quad V = V_1 V_2, \quad
        S(z) = \mathrm{reshape}(G z + g)

    S is K times K, computed from the right, so no row has a matrix of its own larger than that. U
    and V are shared by all rows. Over-parameterised as products with an inner width P they learn
    more than their size tells, and cost a batch no more than U and V themselves.

    Args:
        in_features, out_features: widths I and O.
        condition_dim: width C of z.
        rank: K.
        inner_dim: P; ``None`` for U and V as they are.

    Shape: x ``(B, I)``, z ``(B, C)`` -> ``(B, O)``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        condition_dim: int,
        rank: int,
        inner_dim: int | None,
    ) -> None:
        super().__init__()
        self.out_features = out_features
        self.v = nn.ParameterList(_factors(rank, inner_dim, in_features))
        self.core = GeneratedLinear(condition_dim, rank, rank, bias=False)
        self.u = nn.ParameterList(_factors(out_features, inner_dim, rank))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # noqa: D102
        low = F.linear(x, _product(self.v))  # (B, K)
        return F.linear(self.core(low, condition), _product(self.u), self.bias)


def _factors(rows: int, inner: int | None, columns: int) -> list[Tensor]:
    """Matrices whose product ``(rows, columns)`` keeps the variance of what it multiplies."""
    shapes = [(rows, columns)] if inner is None else [(rows, inner), (inner, columns)]
    return [torch.randn(shape) * shape[1] ** -0.5 for shape in shapes]


def _product(factors: nn.ParameterList) -> Tensor:
    return factors[0] if len(factors) == 1 else factors[0] @ factors[1]
