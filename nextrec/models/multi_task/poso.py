"""POSO (Dai, Lin, Zhao, Lin, Wu, Wang, Yang, Liu; Personalized Cold Start Modules for Large-scale
Recommender Systems, arXiv:2108.04690, 2021).

Users of small groups, such as new users, are drowned by the rest. POSO multiplies the hidden units
of ordinary modules by gates that only see the features naming a user's group (``pc``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, cast, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.layers.chain import ChainPredictionLayer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected, named_gates
from nextrec.layers.gating import ExpertBank, ExpertMixture
from nextrec.layers.poso import POSOFC, POSOMLP, POSOGate, POSOGateBank
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.chains import joint_logits
from nextrec.models.multi_task.ple import CGCStack, Extraction, gates_of_levels
from nextrec.models.multi_task.roles import require_groups
from nextrec.models.multi_task.sequential_towers import SequentialTowers
from nextrec.models.multi_task.towers import TaskTowers, tower_params
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions

__all__ = ["POSO", "POSOFC", "POSOMLP", "POSOPLE", "POSOGate", "POSOMMoE"]

Architecture = Literal["mlp", "mmoe", "ple"]
Transfer = Literal["none", "tower", "logit"]


class POSOMMoE(nn.Module):
    r"""Experts gated by group, mixed for each task.

    .. math::
        h_e = g_e(pc) \odot \mathrm{Expert}_e(x), \qquad
        y_t = \sum_e \mathrm{softmax}(G_t x)_e\, h_e

    Args:
        gate_use_softmax: False mixes by the raw values :math:`G_t x`.

    Shape: ``(B, input_dim)``, ``(B, pc_dim)`` -> one ``(B, expert_hidden_dims[-1])`` a task.
    """

    def __init__(
        self,
        input_dim: int,
        pc_dim: int,
        num_experts: int,
        expert_hidden_dims: Sequence[int],
        num_tasks: int,
        activation: str = "relu",
        expert_dropout: float = 0.0,
        gate_hidden_dim: int = 32,
        scale_factor: float = 2.0,
        gate_use_softmax: bool = True,
    ) -> None:
        super().__init__()
        if not expert_hidden_dims:
            must_be = "at least one width"
            raise ConfigError(invalid("POSOMMoE", "expert_hidden_dims", must_be, None))
        self.out_features = expert_hidden_dims[-1]
        self.experts = ExpertBank(
            num_experts,
            input_dim,
            expert_hidden_dims,
            activation=activation,
            dropout=expert_dropout,
        )
        self.pc_gates = POSOGateBank(
            num_experts, pc_dim, self.out_features, gate_hidden_dim, scale_factor, activation
        )
        self.mixture = ExpertMixture(input_dim, num_experts, num_tasks, gate_use_softmax)

    def forward(self, x: Tensor, pc: Tensor) -> list[Tensor]:
        """Each task's mixture."""
        mixed = self.mixture(x, self.pc_gates(pc) * self.experts(x))  # (B, T, D)
        return list(mixed.unbind(dim=1))


class POSOPLE(nn.Module):
    r"""Progressive layered extraction whose experts are gated by group.

    In every level :math:`g_e(pc) \odot \mathrm{Expert}_e(\cdot)` takes the place of an expert's
    output in :class:`~nextrec.models.multi_task.ple.CGCLayer`.

    Args:
        num_shared_experts, num_specific_experts, num_levels: as in
            :class:`~nextrec.models.multi_task.ple.PLE`.
        expert_params: arguments of :class:`~nextrec.layers.gating.ExpertBank`.

    Shape: ``(B, input_dim)``, ``(B, pc_dim)`` -> a level's outputs, for each level.
    """

    def __init__(
        self,
        input_dim: int,
        pc_dim: int,
        num_tasks: int,
        num_shared_experts: int,
        num_specific_experts: int,
        num_levels: int,
        expert_params: Mapping[str, Any],
        gate_hidden_dim: int = 32,
        scale_factor: float = 2.0,
    ) -> None:
        super().__init__()
        counts = (num_shared_experts, num_specific_experts)
        self.cgc_layers = CGCStack(
            num_levels, input_dim, num_tasks, *counts, expert_params, expert_params
        )
        self.out_features = self.cgc_layers.out_features
        experts = num_tasks * num_specific_experts + num_shared_experts
        activation = expert_params["activation"]
        shape = (experts, pc_dim, self.out_features, gate_hidden_dim, scale_factor, activation)
        self.pc_gates = nn.ModuleList(POSOGateBank(*shape) for _ in range(num_levels))

    def forward(self, x: Tensor, pc: Tensor) -> list[Extraction]:
        """Every level."""
        return self.cgc_layers(x, [gates(pc) for gates in self.pc_gates])


class POSO(BaseModel):
    r"""Personalised cold-start modules over a multi-layer perceptron or a mixture of experts.

    Main features (``main_dense_features``, ``main_sparse_features``, ``main_sequence_features``)
    are the modules' input; group features (``pc_*``) feed the gates alone. A feature may be both.

    Targets may be steps of a sequence, such as click, register, buy. With ``transfer`` the tower of
    a step also reads the step before, with ``chain`` a tower's output is the log-odds of its step
    given the one before, and the model's are those of having come so far:

    .. math::
        y_t = \mathrm{Tower}_t([x_t; r_{t-1}]), \qquad
        p_t = p_{t-1}\, \sigma(y_t) \;\text{ with } \texttt{chain}

    where r is the earlier tower's last hidden layer or its output. This and ``ple`` are no part of
    the paper.

    Args:
        tower_params_list: one mapping a target. ``mlp``: the gated tower (``dims``, ``dropout``,
            ``gate_hidden_dim``, ``scale_factor``, ``activation``, ``use_bias``), then a linear
            layer. Else the :class:`~nextrec.layers.mlp.MLP` over a task's mixture.
        architecture: ``mlp``: a gated tower a task; ``mmoe``: gated experts shared by the tasks;
            ``ple``: gated experts of which some are shared and some a task's own.
        gate_hidden_dim: hidden width of the gates of ``mlp``; a tower may set its own.
        gate_scale_factor: constant C of those gates.
        gate_activation: activation of the gated layers and their gates.
        gate_use_bias: bias of the gated layers.
        num_experts: experts of ``mmoe``.
        expert_hidden_dims: the experts' hidden widths, needed by ``mmoe`` and ``ple``.
        expert_activation, expert_dropout: of the experts; the activation is that of their gates.
        expert_gate_hidden_dim, expert_gate_scale_factor: of the experts' gates.
        gate_use_softmax: normalise the mixing weights of ``mmoe``.
        num_shared_experts, num_specific_experts, num_levels: of ``ple``.
        transfer: what a tower reads of the target before its own: ``tower``, the last hidden layer;
            ``logit``, the log-odds; ``none``. ``None``: ``tower`` for ``ple``, else ``none``.
        chain: each target needs the one before, so its probability is at most that.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: no main or no group feature.
        ConfigError: an unknown option, ``transfer`` with ``mlp``, ``chain`` of less than two or
            other than binary targets, or wrong parameters of a part.
    """

    groups = ("main", "pc")
    towers: nn.Module
    then_positional = (
        "tower_params_list",
        "target",
        "task",
        "architecture",
        "gate_hidden_dim",
        "gate_scale_factor",
        "gate_activation",
        "gate_use_bias",
        "num_experts",
        "expert_hidden_dims",
        "expert_activation",
        "expert_dropout",
        "expert_gate_hidden_dim",
        "expert_gate_scale_factor",
        "gate_use_softmax",
        *POSITIONAL_OPTIONS,
    )

    def __init__(
        self,
        *,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        architecture: Architecture = "mlp",
        gate_hidden_dim: int = 32,
        gate_scale_factor: float = 2.0,
        gate_activation: str = "relu",
        gate_use_bias: bool = True,
        num_experts: int = 4,
        expert_hidden_dims: Sequence[int] | None = None,
        expert_activation: str = "relu",
        expert_dropout: float = 0.0,
        expert_gate_hidden_dim: int = 32,
        expert_gate_scale_factor: float = 2.0,
        gate_use_softmax: bool = True,
        num_shared_experts: int = 1,
        num_specific_experts: int = 1,
        num_levels: int = 1,
        transfer: Transfer | None = None,
        chain: bool = False,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**options)
        self.transfer: str = transfer or ("tower" if architecture == "ple" else "none")
        self._check(architecture, chain)
        self.architecture, self.chain = architecture, chain
        if chain:
            self.prediction_layer = ChainPredictionLayer.of(self.tasks)
        self.main, self.pc = self.feature_groups["main"], self.feature_groups["pc"]
        require_groups(self)
        self.embedding = EmbeddingLayer(self.features)
        if architecture == "mlp":
            shared = {
                "gate_hidden_dim": gate_hidden_dim,
                "scale_factor": gate_scale_factor,
                "activation": gate_activation,
                "use_bias": gate_use_bias,
            }
            self._make_gated_towers(tower_params("POSO", self.tasks, tower_params_list), shared)
            return
        widths = (self.main.width, self.pc.width)
        if architecture == "mmoe":
            self.mmoe = POSOMMoE(
                *widths,
                num_experts,
                expert_hidden_dims or (),
                len(self.tasks),
                expert_activation,
                expert_dropout,
                expert_gate_hidden_dim,
                expert_gate_scale_factor,
                gate_use_softmax,
            )
        else:
            self.ple = POSOPLE(
                *widths,
                len(self.tasks),
                num_shared_experts,
                num_specific_experts,
                num_levels,
                {
                    "dims": expert_hidden_dims or (),
                    "activation": expert_activation,
                    "dropout": expert_dropout,
                },
                expert_gate_hidden_dim,
                expert_gate_scale_factor,
            )
        mixed = self.mmoe if architecture == "mmoe" else self.ple
        reads = ("POSO", self.tasks, mixed.out_features, tower_params_list)
        if self.transfer == "none":
            self.towers = TaskTowers(*reads)
        else:
            self.towers = SequentialTowers(*reads, self.transfer == "logit")

    def _check(self, architecture: str, chain: bool) -> None:
        if architecture not in get_args(Architecture):
            raise ConfigError(
                unknown_option("POSO", "architecture", get_args(Architecture), architecture)
            )
        if self.transfer not in get_args(Transfer):
            raise ConfigError(unknown_option("POSO", "transfer", get_args(Transfer), self.transfer))
        if architecture == "mlp" and self.transfer != "none":
            raise ConfigError("POSO: `transfer` has no use with `architecture` 'mlp'.")
        kinds = [task.kind for task in self.tasks]
        if chain and (len(kinds) < 2 or set(kinds) != {"binary"}):
            raise ConfigError(f"POSO: `chain` needs two or more binary targets; got {kinds}.")

    def _make_gated_towers(
        self, towers: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]
    ) -> None:
        """A gated tower and a linear layer a task; what a tower says itself wins."""
        gated = [self._gated_tower({**shared, **each}) for each in towers]
        self.towers = nn.ModuleList(gated)
        self.heads = nn.ModuleList(
            nn.Linear(tower.out_features, task.size)
            for tower, task in zip(gated, self.tasks, strict=True)
        )

    def _gated_tower(self, params: Mapping[str, Any]) -> POSOMLP:
        known = ("dims", "dropout", "gate_hidden_dim", "scale_factor", "activation", "use_bias")
        unknown = [key for key in params if key not in known]
        if unknown:
            raise ConfigError(unknown_option("POSO", "tower_params_list", known, unknown[0]))
        return POSOMLP(self.main.width, self.pc.width, **{"dims": (), **params})

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        steps = self._towers(x)
        return joint_logits(steps) if self.chain else steps

    def _towers(self, x: Mapping[str, Tensor]) -> Tensor:
        main, pc = self._inputs(x)
        if self.architecture == "mmoe":
            return self.towers(torch.stack(self.mmoe(main, pc), dim=1))
        if self.architecture == "ple":
            return self.towers(self.ple(main, pc)[-1].tasks)
        hidden = [tower(main, pc) for tower in cast("nn.ModuleList", self.towers)]
        logits = [head(each) for head, each in zip(self.heads, hidden, strict=True)]
        return torch.cat(logits, dim=1)

    def _inputs(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The main and the group features, ``(B, width)`` each."""
        return self.embedding.flat(x, self.main), self.embedding.flat(x, self.pc)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights ``(B, E)`` of each mixture of experts by name; ``mlp`` has none.

        ``mmoe``: ``"click"``; ``ple``: as :meth:`PLE.gates`.
        """
        names = [task.name for task in self.tasks]
        if self.architecture == "mlp":
            return {}
        main, pc = self._inputs(x)
        if self.architecture == "ple":
            return gates_of_levels(names, self.ple(main, pc))
        return named_gates(names, self.mmoe.mixture.weights(main))
