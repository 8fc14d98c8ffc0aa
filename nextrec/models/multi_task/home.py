"""HoME (Wang, Cao, Fu, Gai, Zhou; KDD 2025, arXiv:2408.05430)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import GateBank, inspected, named_gates
from nextrec.layers.gating import ExpertBank, ExpertLinear, ExpertMixture, mix
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class HoME(BaseModel):
    r"""Experts of all tasks, of groups of tasks and of single tasks, in two levels.

    .. math::
        h^c_e &= \mathrm{Expert}^c_e(x \odot F_c(x)), \qquad c \in \{s, 1, \dots, G\} \\
        m_c &= \sum_{e \in V_c} \mathrm{softmax}(G_c x)_e\, h_e
            + \sum_{e \in c} \mathrm{self}(x)_e\, h^c_e, \qquad V_g = s \cup g, \quad
            V_s = s \cup 1 \cup \dots \cup G \\
        y_t &= \sum_{e \in s \cup g \cup t} \mathrm{softmax}(G_t [m_g; m_s])_e\, h'_e
            + \sum_{e \in t} \mathrm{self}(m_g)_e\, h'^t_e, \qquad z_t = \mathrm{Tower}_t(y_t)

    where task t is in group g, and the second level's experts h' read :math:`m_s` if all tasks
    share them, :math:`m_g` if they are the group's or the task's. Experts end in a normalisation
    and Swish, so that none is larger or emptier than another; a task reads no other group; F, the
    :class:`FeatureGates`, gives every kind of expert its own view of the features; the self gate, a
    softmax or for one expert a sigmoid, keeps a way to its own experts. All gates are linear.

    This follows published descriptions of the paper; feature gates are on the first level.

    Args:
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each expert; by
            default with batch normalisation and Swish.
        num_experts: experts of each kind.
        task_groups: names of the targets in each group; each target in one. ``None``: one group.
        gate_rank: rank of a feature gate.
        num_feature_gates: feature gates that are mixed for each kind of expert.
        tower_params_list: arguments of each task's tower, in the order of ``target``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: a count is no positive integer, groups that name an unknown target or do not
            hold every target once, or wrong parameters of a part.
    """

    group_of: Tensor

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        expert_params: Mapping[str, Any] | None = None,
        num_experts: int = 2,
        task_groups: Sequence[Sequence[str]] | None = None,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        *,
        gate_rank: int = 4,
        num_feature_gates: int = 2,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(
            self.model_name,
            num_experts=num_experts,
            gate_rank=gate_rank,
            num_feature_gates=num_feature_gates,
        )
        names = [task.name for task in self.tasks]
        self.group_names, groups = group_tasks(names, task_groups)
        tasks, count = len(names), len(self.group_names)
        self.register_buffer("group_of", torch.tensor(groups), persistent=False)
        self.num_experts = num_experts
        params = {"dims": (256, 128), "activation": "silu", **(expert_params or {})}
        self.embedding = EmbeddingLayer(self.features)
        width, kinds = self.embedding.out_features, 1 + count  # shared, then the groups
        self.feature_gates = FeatureGates(width, kinds, num_feature_gates, gate_rank)
        self.meta_experts = ExpertBank.of(kinds * num_experts, width, params)
        self.group_gates = ExpertMixture(width, 2 * num_experts, count)
        self.shared_gate = ExpertMixture(width, kinds * num_experts)
        own = "softmax" if num_experts > 1 else "sigmoid"
        self.meta_self_gates = GateBank(kinds, width, num_experts, own)
        width = self.meta_experts.out_features
        self.experts = ExpertBank.of((kinds + tasks) * num_experts, width, params)
        self.task_gates = GateBank(tasks, 2 * width, 3 * num_experts)
        self.self_gates = GateBank(tasks, width, num_experts, own)
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.experts.out_features, tower_params_list
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.towers(self._mixed(x)[0])

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of each mixture over the shared, the group's and the task's experts.

        Of the first level ``"meta, shared"``, ``"meta, click+like"`` for a group, and ``"meta,
        shared, self"``; of the second ``"click"`` and ``"click, self"``.
        """
        return self._mixed(x)[1]

    def _mixed(self, x: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What the towers read, ``(B, T, D)``, and the weights of all gates by name."""
        flat = self.embedding.flat(x)
        meta, meta_gates = self._meta(flat)  # (B, 1 + G, D)
        shared, groups = meta[:, :1], meta[:, 1:]
        own = groups[:, self.group_of]  # (B, T, D): each task's group
        experts = self.experts(torch.cat([meta, own], dim=1))
        experts = experts.unflatten(1, (-1, self.num_experts))  # (B, 1 + G + T, n, D)
        kinds = meta.shape[1]
        common = experts[:, :1].expand(-1, own.shape[1], -1, -1)
        of_groups, of_tasks = experts[:, 1:kinds][:, self.group_of], experts[:, kinds:]
        weights = self.task_gates(torch.cat([own, shared.expand_as(own)], dim=-1))
        self_weights = self.self_gates(own)
        y = mix(torch.cat([common, of_groups, of_tasks], dim=2), weights)
        y = y + mix(of_tasks, self_weights)
        names = [task.name for task in self.tasks]
        selves = named_gates([f"{name}, self" for name in names], self_weights)
        return y, meta_gates | named_gates(names, weights) | selves

    def _meta(self, flat: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The first level ``(B, 1 + G, D)``, shared first, and its gates."""
        views = flat.unsqueeze(1) * self.feature_gates(flat)  # (B, 1 + G, I)
        everything = self.meta_experts(views)  # (B, (1 + G) * n, D)
        experts = everything.unflatten(1, (-1, self.num_experts))
        shared_weights = self.shared_gate.weights(flat)  # (B, 1, (1 + G) * n)
        weights = self.group_gates.weights(flat)  # (B, G, 2 * n)
        self_weights = self.meta_self_gates(flat)  # (B, 1 + G, n)
        common = experts[:, :1].expand(-1, weights.shape[1], -1, -1)
        seen = torch.cat([common, experts[:, 1:]], dim=2)  # (B, G, 2 * n, D)
        mixed = torch.cat([mix(everything, shared_weights), mix(seen, weights)], dim=1)
        gates = named_gates(["shared"], shared_weights, "meta, ")
        gates |= named_gates(self.group_names, weights, "meta, ")
        names = [f"{name}, self" for name in ("shared", *self.group_names)]
        return mixed + mix(experts, self_weights), gates | named_gates(
            names, self_weights, "meta, "
        )


class FeatureGates(nn.Module):
    r"""Low-rank gates of every input number, one mixture of them for each reader.

    .. math::
        F_c(x) = \sum_i \mathrm{softmax}(W_c x + b_c)_i \cdot 2\, \sigma(A_{ci} B_{ci} x)

    Args:
        input_dim: width I.
        num_readers: readers C.
        num_gates: gates that are mixed for one reader.
        rank: of A B.

    Shape: ``(B, I)`` -> ``(B, C, I)``, in (0, 2).
    """

    def __init__(self, input_dim: int, num_readers: int, num_gates: int, rank: int) -> None:
        super().__init__()
        self.down = ExpertLinear(num_readers * num_gates, input_dim, rank, bias=False)
        self.up = ExpertLinear(num_readers * num_gates, rank, input_dim, bias=False)
        self.mixture = GateBank(num_readers, input_dim, num_gates) if num_gates > 1 else None
        self.num_readers = num_readers

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        gates = 2 * torch.sigmoid(self.up(self.down(x)))  # (B, C * gates, I)
        if self.mixture is None:
            return gates
        return mix(gates.unflatten(1, (self.num_readers, -1)), self.mixture(x))


def group_tasks(
    names: Sequence[str], groups: Sequence[Sequence[str]] | None
) -> tuple[list[str], list[int]]:
    """Names of the groups, and the number of each task's group.

    Raises:
        ConfigError: see :class:`HoME`.

    >>> group_tasks(["click", "buy", "like"], [["click", "like"], ["buy"]])
    (['click+like', 'buy'], [0, 1, 0])
    """
    if groups is None:
        groups = [list(names)]
    given = [name for group in groups for name in group]
    for name in given:
        if name not in names:
            raise ConfigError(unknown_option("HoME", "task_groups", names, name))
    if sorted(given) != sorted(names) or not all(groups):
        must_be = f"groups that hold each of {', '.join(names)} once"
        raise ConfigError(invalid("HoME", "task_groups", must_be, groups))
    place = {name: number for number, group in enumerate(groups) for name in group}
    return ["+".join(group) for group in groups], [place[name] for name in names]
