"""Gates that each read their own input and weigh their own experts.

Letters: B batch, I input width, E experts of a gate, T gates (one a task).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nextrec.layers.gating import ExpertLinear, pack_modules

Model = TypeVar("Model", bound=nn.Module)
Weights = dict[str, Tensor]


class GateBank(nn.Module):
    r"""T gates of E weights each, computed together.

    .. math::
        g_t = \mathrm{softmax}(W_t x_t + b_t)

    The gates of :class:`~nextrec.layers.gating.ExpertMixture` read one input and weigh one set of
    experts; these may have their own. The weights go to :func:`~nextrec.layers.gating.mix`.

    Args:
        num_gates: gates T.
        input_dim: width I.
        num_experts: experts E of each gate.
        activation: ``softmax``, or ``sigmoid`` for weights that do not compete.

    Shape: ``(B, I)`` that all gates read, or ``(B, T, I)`` -> ``(B, T, E)``.

    A state dict of NextRec 0.3.1, one module a gate (``<t>.0.weight``), loads as it is.

    >>> GateBank(2, 10, num_experts=3)(torch.ones(4, 2, 10)).sum(-1).shape
    torch.Size([4, 2])
    """

    def __init__(
        self, num_gates: int, input_dim: int, num_experts: int, activation: str = "softmax"
    ) -> None:
        super().__init__()
        self.linear = ExpertLinear(num_gates, input_dim, num_experts)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        scores = self.linear(x)
        return torch.sigmoid(scores) if self.activation == "sigmoid" else torch.softmax(scores, -1)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        pack_modules(self, state_dict, prefix, self.linear.num_experts, "linear", "0")
        super()._load_from_state_dict(state_dict, prefix, *args)


def named_gates(names: Sequence[str], weights: Tensor, prefix: str = "") -> dict[str, Tensor]:
    """Weights ``(B, T, E)`` as one ``(B, E)`` a name.

    >>> list(named_gates(["click", "buy"], torch.ones(4, 2, 3), "level 1, "))
    ['level 1, click', 'level 1, buy']
    """
    pairs = zip(names, weights.unbind(1), strict=True)
    return {f"{prefix}{name}": each for name, each in pairs}


def inspected(
    gates: Callable[[Model, Mapping[str, Tensor]], Weights],
) -> Callable[[Model, Mapping[str, Tensor]], Weights]:
    """Let a model's method ``gates(x)`` look without leaving a trace.

    It runs in evaluation mode and without gradients: a look in the middle of training would else
    move the running statistics of the experts' normalisations and the stream of their dropout.
    Every module has its own mode again afterwards.
    """

    @wraps(gates)
    @torch.no_grad()
    def look(model: Model, x: Mapping[str, Tensor]) -> Weights:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            return gates(model, x)
        finally:
            for module, mode in modes:
                module.training = mode

    return look
