"""HMoE (Li, Li, Da, Zeng, Zhang; CIKM 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected, named_gates
from nextrec.layers.gating import ExpertBank, ExpertMixture, mix
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class HMoE(BaseModel):
    r"""A mixture of experts over the features, and one over the tasks' own predictions.

    .. math::
        f_t &= \mathrm{Tower}_t\Big(\sum_e \mathrm{softmax}(G_t x + c_t)_e\,
            \mathrm{Expert}_e(x)\Big) \\
        z_t &= w_{tt} f_t + \sum_{s \neq t} w_{ts}\, M_{ts}(\mathrm{sg}(f_s)), \qquad
        w_t = \mathrm{softmax}(R_t x + d_t)

    The relations w between tasks are learned in the space of their labels. The stop of gradients sg
    keeps a task's loss out of the other tasks' towers. M leaves a score as it is between tasks of
    one kind and size, and is a linear map between others.

    The paper ranks one label in several scenarios, which are tasks here. This follows published
    descriptions of it. It mixes scores, here logits.

    Args:
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each expert.
        num_experts: experts.
        tower_params_list: arguments of each task's tower, in the order of ``target``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: ``num_experts`` is no positive integer, or wrong parameters of a part.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        expert_params: Mapping[str, Any] | None = None,
        num_experts: int = 4,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, num_experts=num_experts)
        self.embedding = EmbeddingLayer(self.features)
        width, count = self.embedding.out_features, len(self.tasks)
        self.experts = ExpertBank.of(num_experts, width, expert_params, dims=(256, 128))
        self.task_gates = ExpertMixture(width, num_experts, count)
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.experts.out_features, tower_params_list
        )
        self.relations = ExpertMixture(width, count, count)
        self.maps = nn.ModuleDict()
        for to, task in enumerate(self.tasks):
            for source, other in enumerate(self.tasks):
                if (task.kind, task.size) != (other.kind, other.size):
                    self.maps[f"{source}_to_{to}"] = nn.Linear(other.size, task.size)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        flat, (weights, relations) = self._weights(x)
        own = self.towers(mix(self.experts(flat), weights))  # f, (B, num_logits)
        others = own.detach()
        done = []
        for to, task in enumerate(self.tasks):
            scores = [self._score(others, to, source) for source in range(len(self.tasks))]
            scores[to] = own[:, task.logits]
            done.append(mix(torch.stack(scores, dim=1), relations[:, to]))
        return torch.cat(done, dim=1)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A task's weights over the experts (``"click"``) and the tasks (``"click, tasks"``)."""
        _, (weights, relations) = self._weights(x)
        names = [task.name for task in self.tasks]
        between = named_gates([f"{name}, tasks" for name in names], relations)
        return named_gates(names, weights) | between

    def _weights(self, x: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        flat = self.embedding.flat(x)
        return flat, (self.task_gates.weights(flat), self.relations.weights(flat))

    def _score(self, logits: Tensor, to: int, source: int) -> Tensor:
        """The score of task ``source`` for task ``to``, ``(B, size of to)``."""
        score, name = logits[:, self.tasks[source].logits], f"{source}_to_{to}"
        return self.maps[name](score) if name in self.maps else score
