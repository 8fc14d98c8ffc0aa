"""MMoE (Ma, Zhao, Yi, Chen, Hong, Chi; KDD 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected, named_gates
from nextrec.layers.gating import ExpertBank, ExpertMixture, mix
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions


class MMOE(BaseModel):
    r"""Experts that all tasks share, mixed by a gate a task.

    .. math::
        z_t = \mathrm{Tower}_t\Big(\sum_e \mathrm{softmax}(G_t x + c_t)_e\,
            \mathrm{Expert}_e(x)\Big)

    The paper's gates have no bias c; it is kept from NextRec 0.3.1, whose state dict loads.

    Args:
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each expert.
        num_experts: experts.
        tower_params_list: arguments of each task's tower, in the order of ``target``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: ``num_experts`` is no positive integer, or wrong parameters of a part.
    """

    then_positional = ("target", "task", *POSITIONAL_OPTIONS)

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        expert_params: Mapping[str, Any] | None = None,
        num_experts: int = 3,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, num_experts=num_experts)
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.experts = ExpertBank.of(num_experts, width, expert_params, dims=(256, 128))
        self.task_gates = ExpertMixture(width, num_experts, len(self.tasks))
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.experts.out_features, tower_params_list
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        flat = self.embedding.flat(x)
        return self.towers(mix(self.experts(flat), self.task_gates.weights(flat)))

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each task's weights ``(B, E)`` over the experts, by its name."""
        weights = self.task_gates.weights(self.embedding.flat(x))
        return named_gates([task.name for task in self.tasks], weights)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(f"{prefix}gates.")]:
            # 0.3.1's name, which is a method here
            state_dict[f"{prefix}task_{key.removeprefix(prefix)}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)
