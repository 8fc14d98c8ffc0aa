"""Parameter and Embedding Personalized Network (Chang et al.; KDD 2023, arXiv:2302.01115)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected
from nextrec.layers.gating import EXPERT_PARAMETERS
from nextrec.layers.mlp import MLP, stack_arguments
from nextrec.layers.poso import POSOGate
from nextrec.loss.reduction import check_number
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.roles import require_groups
from nextrec.models.multi_task.towers import tower_params
from nextrec.models.options import ModelOptions


class PEPNet(BaseModel):
    r"""Gates by domain on the embeddings, and gates by person on the layers of the tasks' towers.

    .. math::
        O = \mathrm{Gate}_d([E_{domain}; \oslash E]) \odot E, \qquad
        [\delta_{t1}; \dots; \delta_{tL}]_t = \mathrm{Gate}_p([E_{prior}; \oslash O]), \qquad
        h_{tl} = \delta_{tl} \odot \phi(W_{tl} h_{t,l-1} + b_{tl})

    with :math:`h_{t0} = O`, then a linear layer. E are the main features (``main_*``). Domain
    features (``domain_*``) are those of the scene: its id and statistics in it. Prior features
    (``prior_*``) are those of the user, the item and its author. A feature may be of several
    groups. :math:`\oslash` stops the gradient: a gate learns from the general embeddings without
    changing them. Gates (:class:`~nextrec.layers.poso.POSOGate`) are in
    (0, ``gate_scale``).

    One network makes the gates of all layers and tasks; the tasks' sets of gates are parts of its
    output.

    Args:
        tower_params_list: one mapping a target: ``dims``, ``dropout``, ``activation``, ``norm`` as
            in :class:`~nextrec.layers.mlp.MLP`.
        gate_hidden_dim: width of the hidden layer of both gates.
        gate_scale: largest gate, the paper's :math:`\gamma`.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: a group without a feature.
        ConfigError: not one mapping a target, or a key or value that is refused.
    """

    groups = ("main", "domain", "prior")

    def __init__(
        self,
        *,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        gate_hidden_dim: int = 64,
        gate_scale: float = 2.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**options)
        check_counts(self.model_name, gate_hidden_dim=gate_hidden_dim)
        check_number(self.model_name, "gate_scale", gate_scale, above=True)
        require_groups(self)
        self.main, self.domain, self.prior = self.feature_groups.values()
        self.embedding = EmbeddingLayer(self.features)
        width = self.main.width
        params = tower_params(self.model_name, self.tasks, tower_params_list)
        towers = [
            PersonalisedTower(width, task.size, each, f"tower_params_list[{position}]")
            for position, (task, each) in enumerate(zip(self.tasks, params, strict=True))
        ]
        self.towers = nn.ModuleList(towers)
        self.depths = [len(tower.widths) for tower in towers]
        self.widths = [width for tower in towers for width in tower.widths]
        self.domain_gate = POSOGate(self.domain.width + width, width, gate_hidden_dim, gate_scale)
        self.prior_gate = POSOGate(
            self.prior.width + width, sum(self.widths), gate_hidden_dim, gate_scale
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        hidden, _, unit_gates = self._gated(x)
        remaining = iter(unit_gates)
        logits = [
            tower(hidden, [next(remaining) for _ in range(depth)])
            for tower, depth in zip(self.towers, self.depths, strict=True)
        ]
        return torch.cat(logits, dim=1)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gates of the embeddings, ``domain``, and of each target's layers, ``layer 1, click``."""
        _, domain_gate, unit_gates = self._gated(x)
        names = [
            f"layer {number}, {task.name}"
            for task, depth in zip(self.tasks, self.depths, strict=True)
            for number in range(1, depth + 1)
        ]
        return {"domain": domain_gate, **dict(zip(names, unit_gates, strict=True))}

    def _gated(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Gated embeddings ``(B, width)``, their gates, and the gates ``(B, D)`` of each layer."""
        main = self.embedding.flat(x, self.main)
        domain, prior = self.embedding.flat(x, self.domain), self.embedding.flat(x, self.prior)
        domain_gate = self.domain_gate(torch.cat([domain, main.detach()], 1))
        hidden = domain_gate * main
        unit_gates = self.prior_gate(torch.cat([prior, hidden.detach()], 1))
        return hidden, domain_gate, unit_gates.split(self.widths, dim=1)


class PersonalisedTower(nn.Module):
    r"""Layers whose units are multiplied with gates, then a linear layer.

    Shape: ``(B, input_dim)`` and gates ``(B, D)`` of each layer -> ``(B, out_features)``.

    Raises:
        ConfigError: an unknown key, no widths, or a value that is refused; ``argument`` is named.
    """

    def __init__(
        self, input_dim: int, out_features: int, params: Mapping[str, Any], argument: str
    ) -> None:
        super().__init__()
        given = stack_arguments(
            f"PEPNet: `{argument}`", input_dim, params, EXPERT_PARAMETERS, dims=()
        )
        self.widths = list(given.dims)
        self.layers = nn.ModuleList(
            MLP(inner, False, [outer], rate, given.activation, given.norm)
            for (inner, outer), rate in zip(
                pairwise([input_dim, *given.dims]), given.rates, strict=True
            )
        )
        self.head = nn.Linear(given.dims[-1], out_features)
        self.out_features = out_features

    def forward(self, x: Tensor, gates: Sequence[Tensor]) -> Tensor:  # noqa: D102
        for layer, gate in zip(self.layers, gates, strict=True):
            x = gate * layer(x)
        return self.head(x)
