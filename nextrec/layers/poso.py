"""Gates that see only the features naming a user's group, and the layers they scale (POSO).

Source: Dai, Lin, Zhao, Lin, Wu, Wang, Yang and Liu, "POSO: Personalized Cold Start Modules for
Large-scale Recommender Systems", arXiv:2108.04690, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.layers.activation import activation_layer
from nextrec.layers.checks import check_counts, check_positive
from nextrec.layers.gating import ExpertBank, ExpertLinear, pack_modules
from nextrec.layers.mlp import stack_problems


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
        _check_gate("POSOGate", hidden_dim, scale_factor)
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


def _check_gate(owner: str, hidden_dim: int, scale_factor: float) -> None:
    """Refuse a gate without hidden units, and one that shuts or turns round what it weighs.

    Raises:
        ConfigError: see above.
    """
    check_counts(owner, hidden_dim=hidden_dim)
    check_positive(owner, scale_factor=scale_factor)


class POSOGateBank(nn.Module):
    """The gates of E experts, as so many :class:`POSOGate`, computed together.

    Args:
        num_experts: experts E.
        pc_dim, out_dim, hidden_dim, scale_factor, activation: as in :class:`POSOGate`.

    Shape: ``(B, pc_dim)`` -> ``(B, E, out_dim)``, in (0, C).

    A state dict of E separate gates, as in NextRec 0.3.1 (``<e>.net.0.weight``), loads as it is.

    >>> POSOGateBank(3, pc_dim=4, out_dim=8)(torch.ones(2, 4)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        num_experts: int,
        pc_dim: int,
        out_dim: int,
        hidden_dim: int = 32,
        scale_factor: float = 2.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        _check_gate("POSOGateBank", hidden_dim, scale_factor)
        self.num_experts, self.out_features = num_experts, out_dim
        self.scale_factor = scale_factor
        self.hidden = ExpertBank(
            num_experts, pc_dim, [hidden_dim], activation=activation, norm="none"
        )
        self.out = ExpertLinear(num_experts, hidden_dim, out_dim)

    def forward(self, pc: Tensor) -> Tensor:
        """The gate of each unit of each expert."""
        return self.scale_factor * torch.sigmoid(self.out(self.hidden(pc)))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        for packed, single in (("hidden.bank.0", "0"), ("hidden.bank.1", "1"), ("out", "2")):
            pack_modules(self, state_dict, prefix, self.num_experts, packed, f"net.{single}")
        super()._load_from_state_dict(state_dict, prefix, *args)


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
        problems = stack_problems("POSOMLP", input_dim, dims, dropout, "none")
        if isinstance(dropout, list | tuple):
            problems.append(invalid("POSOMLP", "dropout", "one number for all layers", dropout))
        if not problems and not dims:
            problems = [invalid("POSOMLP", "dims", "at least one width", dims)]
        if problems:
            raise ConfigError("\n".join(problems))
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
