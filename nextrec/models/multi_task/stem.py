"""STEM (Su, Pan, Wang, Xiao, Quan, Chen, Jiang; AAAI 2024, arXiv:2308.13537)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import FeatureError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import GateBank, inspected, named_gates
from nextrec.layers.gating import ExpertBank, mix
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class STEM(BaseModel):
    r"""Tables of each task beside the shared ones; a task sees all experts and trains its own.

    .. math::
        x_t = e_t(\text{ids}), \qquad x_s = e_s(\text{ids}), \qquad
        (x_1, \dots, x_T, x_s) \leftarrow \mathrm{AFTB}_l(x_1, \dots, x_T, x_s), \qquad
        z_t = \mathrm{Tower}_t(x_t)

    with :class:`STEMLayer`, the "all forward, task-specific backward" gates. The shared embedding
    is ``embedding``, the tasks' are ``task_embeddings``: T + 1 tables for each table of the
    features, so memory grows with the tasks. The last level has no shared output. The shared output
    of an earlier level is trained by all tasks and trains all experts that it mixes. The gates are
    linear; those of the authors' code have hidden layers.

    Args:
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each expert.
        num_shared_experts: shared experts of a level.
        num_specific_experts: own experts of each task in a level.
        num_levels: levels.
        tower_params_list: arguments of each task's tower, in the order of ``target``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: no sparse or sequence feature, so no table.
        ConfigError: a count is no positive integer, or wrong parameters of a part.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        expert_params: Mapping[str, Any] | None = None,
        num_shared_experts: int = 1,
        num_specific_experts: int = 1,
        num_levels: int = 1,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(
            self.model_name,
            num_shared_experts=num_shared_experts,
            num_specific_experts=num_specific_experts,
            num_levels=num_levels,
        )
        if not self.features.embedded:
            raise FeatureError("STEM needs at least one sparse or sequence feature.")
        self.embedding = EmbeddingLayer(self.features)
        self.task_embeddings = nn.ModuleList(EmbeddingLayer(self.features) for _ in self.tasks)
        width, levels = self.embedding.out_features, []
        for level in range(num_levels):
            counts = (len(self.tasks), num_shared_experts, num_specific_experts)
            last = level == num_levels - 1
            levels.append(STEMLayer(width, *counts, expert_params, shared_output=not last))
            width = levels[-1].out_features
        self.levels = nn.ModuleList(levels)
        self.towers = TaskTowers(self.model_name, self.tasks, width, tower_params_list)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.towers(self._levels(x)[-1].outputs)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights ``(B, E)`` of each mixture: ``"level 1, click"``, ``"level 1, shared"``.

        They are over the first task's experts, the next task's and so on, and then the shared ones.
        """
        names = [*(task.name for task in self.tasks), "shared"]
        gates: dict[str, Tensor] = {}
        for number, level in enumerate(self._levels(x), start=1):
            mixtures = names[: level.weights.shape[1]]
            gates |= named_gates(mixtures, level.weights, f"level {number}, ")
        return gates

    def _levels(self, x: Mapping[str, Tensor]) -> list[Mixtures]:
        inputs = [layer.flat(x) for layer in (*self.task_embeddings, self.embedding)]
        h, levels = torch.stack(inputs, dim=1), []  # (B, T + 1, I)
        for layer in self.levels:
            levels.append(layer(h))
            h = levels[-1].outputs
        return levels


class Mixtures(NamedTuple):
    """What a level gives: T mixtures, or T + 1 with the shared one."""

    outputs: Tensor
    """``(B, mixtures, D)``."""
    weights: Tensor
    """``(B, mixtures, E)``."""


class STEMLayer(nn.Module):
    r"""Gates over all experts that pass a task's gradient to its own and the shared ones alone.

    .. math::
        h_e &= \mathrm{Expert}_e(x_t) \text{ for } e \in S_t, \qquad
        h_e = \mathrm{Expert}_e(x_s) \text{ for } e \in S \\
        y_t &= \sum_{e \in S_t \cup S} g_{te} h_e + \sum_{e \in S_{r \neq t}} g_{te}\,
            \mathrm{sg}(h_e), \qquad g_t = \mathrm{softmax}(W_t (x_t + x_s) + b_t) \\
        y_s &= \sum_e g_{se} h_e, \qquad g_s = \mathrm{softmax}(W_s x_s + b_s)

    Args:
        input_dim: width I.
        num_tasks: tasks T.
        num_shared_experts, num_specific_experts: experts in S and in each :math:`S_t`.
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank`.
        shared_output: whether :math:`y_s` is made.

    Shape: ``(B, T + 1, I)``, the shared input last -> :class:`Mixtures`.
    """

    own_block: Tensor

    def __init__(
        self,
        input_dim: int,
        num_tasks: int,
        num_shared_experts: int,
        num_specific_experts: int,
        expert_params: Mapping[str, Any] | None = None,
        *,
        shared_output: bool = True,
    ) -> None:
        super().__init__()
        self.num_tasks, self.num_own = num_tasks, num_specific_experts
        specific, dims = num_tasks * num_specific_experts, (256, 128)
        self.specific_experts = ExpertBank.of(specific, input_dim, expert_params, dims=dims)
        self.shared_experts = ExpertBank.of(num_shared_experts, input_dim, expert_params, dims=dims)
        mixtures = num_tasks + shared_output
        self.gates = GateBank(mixtures, input_dim, specific + num_shared_experts)
        self.shared_output = shared_output
        self.out_features = self.specific_experts.out_features
        block = torch.eye(num_tasks, dtype=torch.bool).unsqueeze(-1)  # where a task meets itself
        self.register_buffer("own_block", block, persistent=False)

    def forward(self, x: Tensor) -> Mixtures:  # noqa: D102
        tasks, shared = x[:, :-1], x[:, -1:]
        specific = self.specific_experts(tasks)  # (B, T * own, D)
        common = self.shared_experts(shared.squeeze(1))  # (B, shared, D)
        weights = self.gates(
            torch.cat([tasks + shared, shared], 1) if self.shared_output else tasks + shared
        )
        of_tasks = weights[:, : self.num_tasks]  # (B, T, E)
        on_specific, on_shared = of_tasks.split([specific.shape[1], common.shape[1]], dim=-1)
        blocks = on_specific.unflatten(-1, (self.num_tasks, self.num_own))  # (B, T, T, own)
        mine = specific.unflatten(1, (self.num_tasks, self.num_own))
        y = (
            mix(common, on_shared)
            + mix(mine, (blocks * self.own_block).sum(2))
            + mix(specific.detach(), (blocks * ~self.own_block).flatten(2))
        )
        if self.shared_output:
            everything = torch.cat([specific, common], dim=1)
            y = torch.cat([y, mix(everything, weights[:, -1:])], dim=1)
        return Mixtures(y, weights)
