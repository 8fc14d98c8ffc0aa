"""PLE (Tang, Liu, Zhao, Gong; RecSys 2020)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Unpack, cast

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts, require_count
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import GateBank, inspected, named_gates
from nextrec.layers.gating import ExpertBank, mix
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions

__all__ = ["PLE", "CGCLayer", "CGCStack"]

DEFAULT_DIMS = (256, 128)


class PLE(BaseModel):
    r"""Levels of experts of which some belong to one task and some to all.

    .. math::
        x^0_t = x^0_s = x, \qquad
        (x^{l+1}_1, \dots, x^{l+1}_T, x^{l+1}_s) = \mathrm{CGC}_l(x^l_1, \dots, x^l_T, x^l_s),
        \qquad z_t = \mathrm{Tower}_t(x^L_t)

    with :class:`CGCLayer`; nothing reads the shared output of the last level, so it has none. The
    paper's gates have no bias.

    Args:
        shared_expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each
            shared expert.
        specific_expert_params: the same for the tasks' own experts, or a list of one a task. All
            experts need one last width.
        num_shared_experts: shared experts of a level; 0 leaves the tasks apart.
        num_specific_experts: own experts of each task; 0 leaves the shared ones.
        num_levels: levels L.
        tower_params_list: arguments of each task's tower, in the order of ``target``.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: a task would have less than two experts to choose from, experts of different
            output widths, not one ``specific_expert_params`` a task, or wrong parameters of a part.
    """

    then_positional = ("target", "task", *POSITIONAL_OPTIONS)

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        shared_expert_params: Mapping[str, Any] | None = None,
        specific_expert_params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        num_shared_experts: int = 1,
        num_specific_experts: int = 1,
        num_levels: int = 2,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.embedding = EmbeddingLayer(self.features)
        self.cgc_layers = CGCStack(
            num_levels,
            self.embedding.out_features,
            len(self.tasks),
            num_shared_experts,
            num_specific_experts,
            shared_expert_params,
            specific_expert_params,
        )
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.cgc_layers.out_features, tower_params_list
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.towers(self.cgc_layers(self.embedding.flat(x))[-1].tasks)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights ``(B, E)`` of each mixture: ``"level 1, click"``, ``"level 1, shared"``.

        A task's are over the shared experts and then its own; those of the shared output over the
        first task's experts, the next task's and so on, and then the shared ones.
        """
        levels = self.cgc_layers(self.embedding.flat(x))
        return gates_of_levels([task.name for task in self.tasks], levels)


class Extraction(NamedTuple):
    """What a level gives."""

    tasks: Tensor
    """``(B, T, D)``."""
    shared: Tensor | None
    """``(B, D)``."""
    task_weights: Tensor
    """``(B, T, shared + own experts)``."""
    shared_weights: Tensor | None
    """``(B, all experts)``."""


class CGCLayer(nn.Module):
    r"""Customised gate control: shared experts and those of each task, and the gates over them.

    .. math::
        y_t &= \sum_{e \in S \cup S_t} \mathrm{softmax}(W_t x_t + b_t)_e\, h_e, \qquad
        y_s = \sum_{e \in S_1 \cup \dots \cup S_T \cup S} \mathrm{softmax}(W_s x_s + b_s)_e\, h_e \\
        h_e &= \mathrm{Expert}_e(x_s) \text{ for } e \in S, \qquad
        h_e = \mathrm{Expert}_e(x_t) \text{ for } e \in S_t

    Own experts of one shape run as one bank over all tasks, those of different shapes as one bank
    a task.

    Args:
        input_dim: width I.
        num_tasks: tasks T.
        num_shared_experts, num_specific_experts: experts in S and in each :math:`S_t`; one of them
            may be 0.
        shared_expert_params, specific_expert_params: as in :class:`PLE`.
        shared_output: whether :math:`y_s` is made.

    Shape: T times ``(B, I)``, ``(B, I)`` -> T times ``(B, D)``, ``(B, D)``.

    A state dict of NextRec 0.3.1 loads as it is.
    """

    def __init__(
        self,
        input_dim: int,
        num_tasks: int,
        num_shared_experts: int,
        num_specific_experts: int,
        shared_expert_params: Mapping[str, Any] | None,
        specific_expert_params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        *,
        shared_output: bool = True,
    ) -> None:
        super().__init__()
        check_experts(num_shared_experts, num_specific_experts)
        own = _own_params(specific_expert_params, num_tasks)
        self.num_tasks = num_tasks
        self.num_shared, self.num_own = num_shared_experts, num_specific_experts
        self.shared_experts: ExpertBank | None = None
        self.specific_experts: ExpertBank | nn.ModuleList | None = None
        banks = []
        if num_shared_experts:
            self.shared_experts = _bank(num_shared_experts, input_dim, shared_expert_params)
            banks.append(self.shared_experts)
        if num_specific_experts and all(each == own[0] for each in own):
            self.specific_experts = _bank(num_tasks * num_specific_experts, input_dim, own[0])
            banks.append(self.specific_experts)
        elif num_specific_experts:
            each_own = [_bank(num_specific_experts, input_dim, each) for each in own]
            self.specific_experts = nn.ModuleList(each_own)
            banks += each_own
        widths = [bank.out_features for bank in banks]
        if len(set(widths)) > 1:
            must_be = "of one last width with `shared_expert_params` and for all tasks"
            raise ConfigError(invalid("PLE", "specific_expert_params", must_be, widths))
        self.output_dim = self.out_features = widths[0]
        choices = num_shared_experts + num_specific_experts
        self.task_gates = GateBank(num_tasks, input_dim, choices)
        self.shared_gate: nn.Sequential | None = None
        if shared_output:
            everything = num_shared_experts + num_tasks * num_specific_experts
            gate = nn.Linear(input_dim, everything)
            self.shared_gate = nn.Sequential(gate, nn.Softmax(dim=-1))

    def forward(
        self, task_inputs: Sequence[Tensor], shared_input: Tensor
    ) -> tuple[list[Tensor], Tensor | None]:
        """The outputs of each task and the shared one, ``None`` without ``shared_output``."""
        level = self.extract(torch.stack(list(task_inputs), dim=1), shared_input)
        return list(level.tasks.unbind(1)), level.shared

    def extract(
        self, tasks: Tensor, shared: Tensor | None, scale: Tensor | None = None
    ) -> Extraction:
        """The layer on all tasks at once.

        Args:
            tasks: ``(B, T, I)``, or ``(B, I)`` that all tasks read.
            shared: ``(B, I)``; ``None`` if nothing reads it.
            scale: factors ``(B, all experts, D)`` of the experts' outputs, the tasks' own first.
        """
        own = self._own(tasks)  # (B, T * own, D)
        common = None if self.shared_experts is None else self.shared_experts(shared)
        if scale is not None:
            split = self.num_tasks * self.num_own
            own = None if own is None else own * scale[:, :split]
            common = None if common is None else common * scale[:, split:]
        weights = self.task_gates(tasks)  # (B, T, shared + own)
        parts = []
        if common is not None:
            parts.append(mix(common, weights[..., : self.num_shared]))
        if own is not None:
            grouped = own.unflatten(1, (self.num_tasks, self.num_own))
            parts.append(mix(grouped, weights[..., self.num_shared :]))
        mixed = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if self.shared_gate is None:
            return Extraction(mixed, None, weights, None)
        shared_weights = self.shared_gate(shared)  # (B, all experts)
        everything = torch.cat([each for each in (own, common) if each is not None], dim=1)
        return Extraction(mixed, mix(everything, shared_weights), weights, shared_weights)

    def _own(self, tasks: Tensor) -> Tensor | None:
        if not isinstance(self.specific_experts, nn.ModuleList):
            return None if self.specific_experts is None else self.specific_experts(tasks)
        inputs = tasks.unbind(1) if tasks.dim() == 3 else [tasks] * self.num_tasks
        banks = zip(self.specific_experts, inputs, strict=True)
        return torch.cat([bank(each) for bank, each in banks], dim=1)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """0.3.1 numbers own experts by task and had a shared gate in the last level too."""
        own = re.compile(re.escape(prefix) + r"specific_experts\.(\d+)\.(\d+)\.mlp\.(.*)")
        for key in list(state_dict):
            found = own.fullmatch(key)
            if found and isinstance(self.specific_experts, ExpertBank):
                place = int(found[1]) * self.num_own + int(found[2])
                name = f"{prefix}specific_experts.{place}.mlp.{found[3]}"
                state_dict[name] = state_dict.pop(key)
            elif self.shared_gate is None and key.startswith(f"{prefix}shared_gate."):
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)


class CGCStack(nn.ModuleList):
    """Levels of :class:`CGCLayer`, each reading the outputs of the one before.

    Args:
        num_levels: levels.
        input_dim: width I.
        num_tasks, num_shared_experts, *params: as in :class:`CGCLayer`, for every level.

    Shape: ``(B, I)`` -> an :class:`Extraction` a level.
    """

    def __init__(
        self,
        num_levels: int,
        input_dim: int,
        num_tasks: int,
        num_shared_experts: int,
        *params: Any,
    ) -> None:
        check_counts("PLE", num_levels=num_levels)
        require_count("PLE", "num_shared_experts", num_shared_experts, 0)
        levels: list[CGCLayer] = []
        for level in range(num_levels):
            # Shared experts of the next level read it, and nothing else does.
            read = level < num_levels - 1 and num_shared_experts > 0
            shape = (input_dim, num_tasks, num_shared_experts)
            levels.append(CGCLayer(*shape, *params, shared_output=read))
            input_dim = levels[-1].out_features
        super().__init__(levels)
        self.out_features = input_dim

    def forward(self, x: Tensor, scales: Sequence[Tensor] | None = None) -> list[Extraction]:
        """Every level; ``scales`` are the factors of each level's experts."""
        tasks, levels = x, []
        shared: Tensor | None = x
        for number, layer in enumerate(self):
            done = cast("CGCLayer", layer).extract(
                tasks, shared, None if scales is None else scales[number]
            )
            levels.append(done)
            tasks, shared = done.tasks, done.shared
        return levels


def gates_of_levels(names: Sequence[str], levels: Sequence[Extraction]) -> dict[str, Tensor]:
    """Weights of each level's mixtures by name."""
    gates: dict[str, Tensor] = {}
    for number, level in enumerate(levels, start=1):
        gates |= named_gates(names, level.task_weights, f"level {number}, ")
        if level.shared_weights is not None:
            gates[f"level {number}, shared"] = level.shared_weights
    return gates


def check_experts(num_shared_experts: int, num_specific_experts: int) -> None:
    """Refuse numbers of experts that leave a gate nothing to choose.

    Raises:
        ConfigError: a count is negative or no integer, or there are less than two experts a task.
    """
    require_count("PLE", "num_shared_experts", num_shared_experts, 0)
    require_count("PLE", "num_specific_experts", num_specific_experts, 0)
    if num_shared_experts + num_specific_experts < 2:
        raise ConfigError(
            "PLE: a task's gate must have at least 2 experts (`num_shared_experts` + "
            f"`num_specific_experts`); got {num_shared_experts} + {num_specific_experts}."
        )


def _own_params(
    given: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, num_tasks: int
) -> list[Mapping[str, Any]]:
    if given is None or isinstance(given, Mapping):
        return [given or {}] * num_tasks
    if len(given) != num_tasks:
        must_be = f"a mapping, or a list of one a target ({num_tasks})"
        raise ConfigError(invalid("PLE", "specific_expert_params", must_be, list(given)))
    return list(given)


def _bank(num_experts: int, input_dim: int, params: Mapping[str, Any] | None) -> ExpertBank:
    return ExpertBank.of(num_experts, input_dim, params, dims=DEFAULT_DIMS)
