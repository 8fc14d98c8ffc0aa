"""DCNv3 (H. Li, Yiwen Zhang, Yi Zhang, H. Li, Sang, Zhu; 2024, arXiv:2407.13349)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import BatchNorm1d
from nextrec.loss import Objective
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class MaskedCross(nn.Module):
    r"""L crosses of a vector of width D by halves of D / 2, then the logits.

    .. math::
        c_l = W_l x_l + b_l, \qquad \mathrm{mask}(c) = c \odot \max(0, \mathrm{LN}(c)), \qquad
        x_{l+1} = y_l \odot [c_l; \mathrm{mask}(c_l)] + x_l

    In the linear cross network y is x_1 and the degree grows by one a layer; in the exponential
    one y is x_l and the degree doubles. The layer norm leaves about half of a mask at zero. The
    authors' code adds a bias of width D behind the mask instead of b.

    Shape: ``(B, H, D)``, H heads that share the weights -> ``(B, num_logits)``, their mean.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        num_logits: int,
        *,
        exponential: bool,
        dropout: float,
        batch_norm_heads: int | None,
    ) -> None:
        super().__init__()
        half = width // 2
        self.exponential = exponential
        self.w = nn.ModuleList(nn.Linear(width, half) for _ in range(layers))
        heads = batch_norm_heads
        self.batch_norms = nn.ModuleList(
            nn.Identity() if heads is None else BatchNorm1d(heads) for _ in range(layers)
        )
        self.layer_norms = nn.ModuleList(nn.LayerNorm(half) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_logits)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        first = x
        for w, batch_norm, layer_norm in zip(
            self.w, self.batch_norms, self.layer_norms, strict=True
        ):
            c = batch_norm(w(x))  # (B, H, D / 2)
            gate = torch.cat([c, c * torch.relu(layer_norm(c))], dim=-1)  # (B, H, D)
            x = self.dropout((x if self.exponential else first) * gate + x)
        return self.head(x.mean(dim=1))


class TriObjective(Objective):
    r"""The objective of the model's logits, and of each branch's where it is worse.

    .. math::
        L + \sum_b w_b L_b, \qquad w_b = \max(0, L_b - L)

    by task (the paper's Tri-BCE with the binary cross entropy). The weights are constants of the
    gradient: differentiated, as in the authors' code, they would pay for a larger L.
    """

    def forward(
        self,
        outputs: Tensor | Mapping[str, Any],
        labels: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """As :meth:`Objective.forward`; ``outputs["branches"]``: logits ``(B, S)`` of each."""
        total = super().forward(outputs, labels, sample_weight)
        branches = () if isinstance(outputs, Tensor) else outputs.get("branches", ())
        if not branches:
            return total
        main = self.task_losses(outputs, labels, sample_weight).detach()  # tasks
        for logits in branches:
            losses = self.task_losses(logits, labels, sample_weight)
            weights = (losses.detach() - main).clamp(min=0)
            if self.loss_weights is not None:
                weights = weights * self.loss_weights.to(weights)
            total = total + (weights * losses).sum()
        return total


class DCNv3(BaseModel):
    r"""A linear and an exponential cross network, each with a loss of its own; no deep tower.

    .. math::
        z = \tfrac{1}{2} (z_{deep} + z_{shallow})

    where both are :class:`MaskedCross` over :math:`x_1 = [a_1; \dots; a_F; b_1; \dots; b_F]`, the
    first halves of all fields before their second halves: the exponential (deep) one of degree
    :math:`2^L` and the linear (shallow) one of degree L + 1. Training adds the branches' losses
    where they are above that of z (:class:`TriObjective`). Fields are all features; raw dense
    values get a learned map. The mean is of logits, as in the authors' code; the paper writes it
    of probabilities.

    Args:
        deep_cross_num: layers of the exponential network; 0 leaves it out.
        shallow_cross_num: layers of the linear network; 0 leaves it out.
        deep_dropout: dropout behind each layer of the exponential network.
        shallow_dropout: dropout behind each layer of the linear network.
        num_heads: parts of each field's vector that are crossed apart, by the same weights.
        batch_norm: normalise each :math:`c_l` over the batch, one mean and variance a head.
        tri_loss: train the branches by losses of their own too.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: fields differ in width, are fewer than 2, or don't split into two halves for
            each head.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        deep_cross_num: int = 3,
        shallow_cross_num: int = 3,
        deep_dropout: float = 0.0,
        shallow_dropout: float = 0.0,
        num_heads: int = 1,
        batch_norm: bool = False,
        tri_loss: bool = True,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        for name, value in (
            ("deep_cross_num", deep_cross_num),
            ("shallow_cross_num", shallow_cross_num),
        ):
            if not isinstance(value, int) or value < 0:
                raise ConfigError(invalid(self.model_name, name, "an integer of at least 0", value))
        check_rates(self.model_name, deep_dropout=deep_dropout, shallow_dropout=shallow_dropout)
        layers = {"deep": deep_cross_num, "shallow": shallow_cross_num}
        if not any(layers.values()):
            must_be = "at least 1 where `shallow_cross_num` is 0"
            raise ConfigError(invalid(self.model_name, "deep_cross_num", must_be, 0))
        if not isinstance(num_heads, int) or num_heads < 1:
            must_be = "a positive integer"
            raise ConfigError(invalid(self.model_name, "num_heads", must_be, num_heads))
        features = self.features.as_fields(self.model_name, at_least=2)
        width = features.field_width(self.model_name)
        if width % (2 * num_heads):
            names = ", ".join(repr(name) for name in features.names)
            raise FeatureError(
                f"{self.model_name} splits each field in two halves a head (`num_heads` "
                f"{num_heads}), so their width must be a multiple of {2 * num_heads}; {names} "
                f"have {width}."
            )
        self.num_heads, self.tri_loss = num_heads, tri_loss
        self.embedding = EmbeddingLayer(features)
        dropout = {"deep": deep_dropout, "shallow": shallow_dropout}
        self.branches = nn.ModuleDict(
            {
                name: MaskedCross(
                    features.width // num_heads,
                    count,
                    self.num_logits,
                    exponential=name == "deep",
                    dropout=dropout[name],
                    batch_norm_heads=num_heads if batch_norm else None,
                )
                for name, count in layers.items()
                if count
            }
        )

    def compile(self, *arguments: Any, **options: Any) -> None:
        """See :meth:`BaseModel.compile`."""
        super().compile(*arguments, **options)
        self.objective = TriObjective(self.tasks, **self.compiled.losses)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self._mean(self._branches(x))

    def training_outputs(self, x: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """See :meth:`BaseModel.training_outputs`."""
        branches = self._branches(x)
        apart = branches if self.tri_loss and len(branches) > 1 else []
        return {"logits": self._mean(branches), "branches": apart}

    def _branches(self, x: Mapping[str, Tensor]) -> list[Tensor]:
        """Logits ``(B, num_logits)`` of each branch."""
        fields = self.embedding.fields(x)  # (B, F, D)
        parts = fields.unflatten(2, (self.num_heads, 2, -1))  # (B, F, H, 2, D / 2H)
        x_1 = parts.permute(0, 2, 3, 1, 4).flatten(2)  # (B, H, F * D / H)
        return [branch(x_1) for branch in self.branches.values()]

    @staticmethod
    def _mean(branches: list[Tensor]) -> Tensor:
        return branches[0] if len(branches) == 1 else (branches[0] + branches[1]) / 2
