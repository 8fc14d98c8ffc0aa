"""SNR-Trans (Ma, Zhao, Chen, Li, Hong, Chi; AAAI 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected, named_gates
from nextrec.layers.gating import ExpertBank
from nextrec.layers.hard_concrete import HardConcrete
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class SNRTrans(BaseModel):
    r"""Levels of sub-networks whose connections are learned, and may be cut.

    .. math::
        u^1_e = \mathrm{Expert}^1_e(x), \qquad
        u^{l+1}_j = \mathrm{Expert}^{l+1}_j\Big(\sum_e z^l_{je}\, W^l_{je} u^l_e\Big), \qquad
        y_t = \mathrm{Tower}_t\Big(\sum_e z^L_{te}\, W^L_{te} u^L_e\Big)

    with :class:`~nextrec.layers.hard_concrete.HardConcrete` switches z, drawn once a batch in
    training. The loss has an auxiliary part: ``l0_weight`` times the expected number of open
    connections. The towers are connected like one more level. A sub-network is a small perceptron.
    The structure follows published descriptions of the paper, the switches Louizos et al.

    Args:
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each sub-network.
        num_experts: sub-networks of a level.
        num_levels: levels L.
        tower_params_list: arguments of each task's tower, in the order of ``target``.
        l0_weight: price of an open connection.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: a count is no positive integer, a negative ``l0_weight``, or wrong parameters
            of a part.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        expert_params: Mapping[str, Any] | None = None,
        num_experts: int = 3,
        num_levels: int = 2,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        l0_weight: float = 1e-4,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_counts(self.model_name, num_experts=num_experts, num_levels=num_levels)
        if l0_weight < 0:
            raise ConfigError(invalid(self.model_name, "l0_weight", "at least 0", l0_weight))
        self.l0_weight = l0_weight
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.levels, self.connections = nn.ModuleList(), nn.ModuleList()
        for level in range(num_levels):
            bank = ExpertBank.of(num_experts, width, expert_params, dims=(128,))
            width = bank.out_features
            followers = num_experts if level < num_levels - 1 else len(self.tasks)
            self.levels.append(bank)
            self.connections.append(Connections(num_experts, followers, width))
        self.towers = TaskTowers(self.model_name, self.tasks, width, tower_params_list)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        h = self.embedding.flat(x)
        for bank, connections in zip(self.levels, self.connections, strict=True):
            h = connections(bank(h))
        return self.towers(h)

    def training_outputs(self, x: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Logits and the price of the open connections."""
        opened = [each.open_probability().sum() for each in self._switches()]
        penalty = self.l0_weight * torch.stack(opened).sum()
        return {"logits": self.logits(x), "auxiliary": {"l0": penalty}}

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Switches of evaluation ``(B, E)`` before each follower, the same in each row.

        ``"level 2, expert 1"`` for sub-networks, ``"click"`` for towers.
        """
        rows, last = len(self.embedding.flat(x)), len(self.connections) - 1
        gates: dict[str, Tensor] = {}
        for number, each in enumerate(self._switches()):
            switches = each.expected()  # (followers, E)
            names = [f"level {number + 2}, expert {j + 1}" for j in range(len(switches))]
            if number == last:
                names = [task.name for task in self.tasks]
            gates |= named_gates(names, switches.expand(rows, -1, -1))
        return gates

    def _switches(self) -> list[HardConcrete]:
        return [cast("Connections", each).switches for each in self.connections]


class Connections(nn.Module):
    r"""Sums of transformed inputs, each behind a switch: :math:`v_j = \sum_e z_{je} W_{je} u_e`.

    Args:
        num_inputs: sub-networks E that are read.
        num_outputs: readers J.
        width: of an input and of an output.

    Shape: ``(B, E, D)`` -> ``(B, J, D)``.
    """

    def __init__(self, num_inputs: int, num_outputs: int, width: int) -> None:
        super().__init__()
        self.out_features = width
        self.switches = HardConcrete(num_outputs, num_inputs)
        # Half-open switches shrink a sum, so it starts as wide as Glorot and Bengio's (2010), not
        # as nn.Linear's: what is small is moved far by a normalisation that follows.
        bound = (6 / ((num_inputs + 1) * width)) ** 0.5
        weight = torch.empty(num_outputs, width, num_inputs, width).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)

    def forward(self, u: Tensor) -> Tensor:  # noqa: D102
        weight = self.weight * self.switches()[:, None, :, None]  # (J, D, E, D)
        v = u.flatten(1) @ weight.flatten(2).flatten(0, 1).t()  # (B, J * D)
        return v.unflatten(1, (-1, self.out_features))
