"""Multi-scenario multi-task meta learning (Zhang et al.; WSDM 2022, arXiv:2201.06814)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected
from nextrec.layers.gating import ExpertBank, mix
from nextrec.layers.generated import GeneratedLinear
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.roles import require_groups
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class M2M(BaseModel):
    r"""The scenario makes the weights by which tasks choose experts and by which they refine them.

    .. math::
        a_{te} = v^\top \mathrm{Meta}([E_e; T_t]; s), \qquad
        r_t = \sum_e \mathrm{softmax}(a_t)_e E_e, \qquad
        h_{tl} = \phi(\mathrm{Meta}_l(h_{t,l-1}; s) + h_{t,l-1}), \quad h_{t0} = r_t, \qquad
        z_t = \mathrm{Tower}_t(h_{tL})

    where the experts :math:`E_e` read the main features (``main_*``), s is a network over the
    scenario's features (``scenario_*``: its id, its statistics, the advertiser's profile),
    :math:`T_t` a task's learned vector behind a layer, :math:`\phi` the leaky ReLU, and Meta a
    :class:`MetaUnit`. The tasks differ by their vectors and towers; their Meta units are the same,
    so a row's weights are made once for all tasks. The paper's experts read sequences behind
    transformers, and its tasks are Poisson regressions; here features and tasks are any. The
    formulas follow descriptions of the paper and public implementations.

    Args:
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank`. A row's weights are
            squares of twice the experts' width.
        num_experts: experts E.
        tower_params_list: arguments of each task's tower; by default a linear layer.
        scenario_params: arguments of :class:`~nextrec.layers.mlp.MLP` for s.
        meta_layers: layers of the Meta unit that scores the experts.
        residual_layers: layers L, each a Meta unit of one layer.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: no main or no scenario feature.
        ConfigError: a count is not positive, or a key or value is refused.
    """

    groups = ("main", "scenario")

    def __init__(
        self,
        *,
        expert_params: Mapping[str, Any] | None = None,
        num_experts: int = 4,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        scenario_params: Mapping[str, Any] | None = None,
        meta_layers: int = 1,
        residual_layers: int = 2,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**options)
        check_counts(
            self.model_name,
            num_experts=num_experts,
            meta_layers=meta_layers,
            residual_layers=residual_layers,
        )
        require_groups(self)
        self.main, self.scenario = self.feature_groups["main"], self.feature_groups["scenario"]
        self.embedding = EmbeddingLayer(self.features)
        self.experts = ExpertBank.of(num_experts, self.main.width, expert_params, dims=(128, 32))
        self.knowledge = mlp_from(
            self.scenario.width, scenario_params, "scenario_params", dims=(32,), output_layer=False
        )
        width, told = self.experts.out_features, self.knowledge.out_features
        self.task_vectors = nn.Parameter(torch.randn(len(self.tasks), width))
        self.task_view = nn.Linear(width, width)
        self.attention = MetaUnit(told, 2 * width, meta_layers)
        self.score = nn.Linear(2 * width, 1, bias=False)
        self.residual = nn.ModuleList(
            GeneratedLinear(told, width, width) for _ in range(residual_layers)
        )
        linear = [{"dims": ()} for _ in self.tasks]
        self.towers = TaskTowers(self.model_name, self.tasks, width, tower_params_list or linear)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        experts, scenario, weights = self._attended(x)
        h = mix(experts, weights)  # (B, T, D)
        for layer in self.residual:
            h = F.leaky_relu(layer(h, scenario) + h)
        return self.towers(h)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights ``(B, E)`` of the experts, by target."""
        weights = self._attended(x)[2].unbind(1)
        return {task.name: each for task, each in zip(self.tasks, weights, strict=True)}

    def _attended(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Experts ``(B, E, D)``, the scenario's vector ``(B, C)`` and weights ``(B, T, E)``."""
        experts = self.experts(self.embedding.flat(x, self.main))
        scenario = self.knowledge(self.embedding.flat(x, self.scenario))
        tasks = F.leaky_relu(self.task_view(self.task_vectors))  # (T, D)
        shape = (experts.shape[0], len(tasks), *experts.shape[1:])  # (B, T, E, D)
        pairs = [
            experts.unsqueeze(1).expand(shape),
            tasks.to(experts.dtype).view(1, len(tasks), 1, -1).expand(shape),
        ]
        seen = self.attention(torch.cat(pairs, -1).flatten(1, 2), scenario)  # (B, T * E, 2 * D)
        scores = self.score(seen).unflatten(1, shape[1:3]).squeeze(-1)  # (B, T, E)
        return experts, scenario, torch.softmax(scores, -1)


class MetaUnit(nn.Module):
    r"""Layers with weights made from a scenario, :math:`h_l = \phi(W_l(s) h_{l-1} + b_l(s))`.

    Shape: ``(B, N, D)``, s ``(B, C)`` -> ``(B, N, D)``.
    """

    def __init__(self, scenario_dim: int, width: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GeneratedLinear(scenario_dim, width, width) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, scenario: Tensor) -> Tensor:  # noqa: D102
        for layer in self.layers:
            x = F.leaky_relu(layer(x, scenario))
        return x
