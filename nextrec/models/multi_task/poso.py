"""POSO (Dai, Lin, Zhao, Lin, Wu, Wang, Yang, Liu; Personalized Cold Start Modules for Large-scale
Recommender Systems, arXiv:2108.04690, 2021).

Users of small groups, such as new users, are drowned by the rest. POSO multiplies the hidden units
of ordinary modules by gates that only see the features naming a user's group (``pc``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError, invalid, unknown_option
from nextrec.layers.activation import activation_layer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gating import ExpertBank, ExpertMixture
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers, tower_params
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions

Architecture = Literal["mlp", "mmoe"]


class POSOGate(nn.Module):
    r"""Gate of the group features: :math:`g = C\,\sigma(W_2\,\phi(W_1 pc + b_1) + b_2)`.

    Args:
        pc_dim: width of the group features.
        out_dim: units to gate.
        hidden_dim: width of the hidden layer.
        scale_factor: the constant C; with 2 a gate is 1 where the group says nothing.
        activation: :math:`\phi`.

    Shape: ``(B, pc_dim)`` -> ``(B, out_dim)``, in (0, C).
    """

    def __init__(
        self,
        pc_dim: int,
        out_dim: int,
        hidden_dim: int = 32,
        scale_factor: float = 2.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.out_features = out_dim
        self.scale_factor = scale_factor
        self.net = nn.Sequential(
            nn.Linear(pc_dim, hidden_dim),
            activation_layer(activation, hidden_dim),
            nn.Linear(hidden_dim, out_dim),
        )

    def forward(self, pc: Tensor) -> Tensor:
        """The gate of each unit."""
        return self.scale_factor * torch.sigmoid(self.net(pc))


class POSOFC(nn.Module):
    r"""A gated layer: :math:`h = g(pc) \odot \phi(W x + b)`.

    Shape: ``(B, in_dim)``, ``(B, pc_dim)`` -> ``(B, out_dim)``.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        pc_dim: int,
        gate_hidden_dim: int = 32,
        scale_factor: float = 2.0,
        activation: str = "relu",
        use_bias: bool = True,
    ) -> None:
        super().__init__()
        self.out_features = out_dim
        self.linear = nn.Linear(in_dim, out_dim, bias=use_bias)
        self.activation = activation_layer(activation, out_dim)
        self.gate = POSOGate(pc_dim, out_dim, gate_hidden_dim, scale_factor, activation)

    def forward(self, x: Tensor, pc: Tensor) -> Tensor:
        """Hidden units of ``x``, gated by ``pc``."""
        return self.gate(pc) * self.activation(self.linear(x))


class POSOMLP(nn.Module):
    """Gated layers one after the other, each with a gate of its own, dropout after each.

    Shape: ``(B, input_dim)``, ``(B, pc_dim)`` -> ``(B, dims[-1])``.
    """

    def __init__(
        self,
        input_dim: int,
        pc_dim: int,
        dims: Sequence[int],
        gate_hidden_dim: int = 32,
        scale_factor: float = 2.0,
        activation: str = "relu",
        use_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not dims:
            raise ConfigError(invalid("POSOMLP", "dims", "at least one width", dims))
        widths = [input_dim, *dims]
        self.layers = nn.ModuleList(
            POSOFC(inner, outer, pc_dim, gate_hidden_dim, scale_factor, activation, use_bias)
            for inner, outer in pairwise(widths)
        )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.out_features = dims[-1]

    def forward(self, x: Tensor, pc: Tensor) -> Tensor:
        """The last gated layer's units."""
        for layer in self.layers:
            x = self.dropout(layer(x, pc))
        return x


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
        self.pc_gates = nn.ModuleList(
            POSOGate(pc_dim, self.out_features, gate_hidden_dim, scale_factor, activation)
            for _ in range(num_experts)
        )
        self.mixture = ExpertMixture(input_dim, num_experts, num_tasks, gate_use_softmax)

    def forward(self, x: Tensor, pc: Tensor) -> list[Tensor]:
        """Each task's mixture."""
        gates = torch.stack([gate(pc) for gate in self.pc_gates], dim=1)  # (B, E, D)
        mixed = self.mixture(x, gates * self.experts(x))  # (B, T, D)
        return list(mixed.unbind(dim=1))


class POSO(BaseModel):
    """Personalised cold-start modules over a multi-layer perceptron or a mixture of experts.

    Main features (``main_dense_features``, ``main_sparse_features``, ``main_sequence_features``)
    are the modules' input; group features (``pc_*``) feed the gates alone. A feature may be both.

    Args:
        tower_params_list: one mapping a target. ``mlp``: the gated tower (``dims``, ``dropout``,
            ``gate_hidden_dim``, ``scale_factor``, ``activation``, ``use_bias``), then a linear
            layer. ``mmoe``: the :class:`~nextrec.layers.mlp.MLP` over a task's mixture.
        architecture: ``mlp``: a gated tower a task; ``mmoe``: gated experts shared by the tasks.
        gate_hidden_dim: hidden width of the gates of ``mlp``; a tower may set its own.
        gate_scale_factor: constant C of those gates.
        gate_activation: activation of the gated layers and their gates.
        gate_use_bias: bias of the gated layers.
        num_experts: experts of ``mmoe``.
        expert_hidden_dims: their hidden widths, needed by ``mmoe``.
        gate_use_softmax: normalise the tasks' mixing weights.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: no main or no group feature.
    """

    groups = ("main", "pc")
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
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**options)
        if architecture not in get_args(Architecture):
            raise ConfigError(
                unknown_option("POSO", "architecture", get_args(Architecture), architecture)
            )
        self.main, self.pc = self.feature_groups["main"], self.feature_groups["pc"]
        for group, features in self.feature_groups.items():
            if not len(features):
                raise FeatureError(f"POSO needs at least one {group} feature.")
        self.architecture = architecture
        self.embedding = EmbeddingLayer(self.features)
        towers = tower_params("POSO", self.tasks, tower_params_list)
        sizes = [task.size for task in self.tasks]
        if architecture == "mlp":
            shared = {
                "gate_hidden_dim": gate_hidden_dim,
                "scale_factor": gate_scale_factor,
                "activation": gate_activation,
                "use_bias": gate_use_bias,
            }
            gated = [self._gated_tower({**shared, **each}) for each in towers]
            self.towers = nn.ModuleList(gated)
            self.heads = nn.ModuleList(
                nn.Linear(tower.out_features, size)
                for tower, size in zip(gated, sizes, strict=True)
            )
            return
        self.mmoe = POSOMMoE(
            self.main.width,
            self.pc.width,
            num_experts,
            expert_hidden_dims or (),
            len(self.tasks),
            expert_activation,
            expert_dropout,
            expert_gate_hidden_dim,
            expert_gate_scale_factor,
            gate_use_softmax,
        )
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.mmoe.out_features, tower_params_list
        )

    def _gated_tower(self, params: Mapping[str, Any]) -> POSOMLP:
        known = ("dims", "dropout", "gate_hidden_dim", "scale_factor", "activation", "use_bias")
        unknown = [key for key in params if key not in known]
        if unknown:
            raise ConfigError(unknown_option("POSO", "tower_params_list", known, unknown[0]))
        return POSOMLP(self.main.width, self.pc.width, **params)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        main = self.embedding.flat(x, self.main)  # (B, width of main)
        pc = self.embedding.flat(x, self.pc)  # (B, width of pc)
        if self.architecture == "mmoe":
            return self.towers(self.mmoe(main, pc))
        hidden = [tower(main, pc) for tower in self.towers]
        logits = [head(each) for head, each in zip(self.heads, hidden, strict=True)]
        return torch.cat(logits, dim=1)
