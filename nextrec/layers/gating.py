"""Mixtures of experts: E equal networks computed as one, gates that weigh them, and the sum.

Letters: B batch, I input width, E experts, H width of a hidden layer, D width of an expert's
output, T gates (one a task).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.layers.activation import Dice, activation_layer
from nextrec.layers.mlp import BatchNorm1d, Norm, check_keys, layer_rates, stack_problems

EXPERT_PARAMETERS = ("dims", "dropout", "activation", "norm")
"""Keys of ``expert_params``."""


def mix(experts: Tensor, gate: Tensor) -> Tensor:
    r"""Sum of the experts by a gate's weights, :math:`\sum_e g_e x_e`.

    Args:
        experts: ``(B, E, D)``, or ``(B, T, E, D)`` if each of T mixtures has its own.
        gate: ``(B, E)``, or ``(B, T, E)`` for T mixtures.

    Returns:
        ``(B, D)`` or ``(B, T, D)``.

    >>> mix(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[0.5, 0.5]]))
    tensor([[2., 3.]])
    """
    if gate.dim() == 3 and experts.dim() == 3:
        return torch.bmm(gate, experts)
    # As a matrix product this has one row, which a CPU computes at a quarter of the speed.
    return (gate.unsqueeze(-1) * experts).sum(-2)


class ExpertMixture(nn.Module):
    r"""T softmax gates over the same experts: the multi-gate mixture of experts.

    .. math::
        y_t = \sum_e \mathrm{softmax}(G_t x + c_t)_e\ x_e

    Source: Ma, Zhao, Yi, Chen, Hong and Chi, "Modeling Task Relationships in Multi-task Learning
    with Multi-gate Mixture-of-Experts", KDD 2018.

    Args:
        input_dim: width I of what the gates read.
        num_experts: experts E.
        num_gates: gates T.
        use_softmax: normalise a gate's weights; without it they are the raw numbers.
        bias: learn the bias c.

    Shape: ``(B, I)``, experts ``(B, E, D)`` -> ``(B, T, D)``.

    A state dict of NextRec 0.3.1, one module a gate (``<t>.0.weight``), loads as it is.

    >>> ExpertMixture(10, num_experts=3, num_gates=2)(torch.ones(4, 10), torch.ones(4, 3, 8)).shape
    torch.Size([4, 2, 8])
    """

    out_features: int | None = None
    """The experts' width, which the gates do not know."""

    def __init__(
        self,
        input_dim: int,
        num_experts: int,
        num_gates: int = 1,
        use_softmax: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(input_dim, num_gates * num_experts, bias=bias)
        self.num_experts, self.num_gates, self.use_softmax = num_experts, num_gates, use_softmax

    def forward(self, x: Tensor, experts: Tensor) -> Tensor:  # noqa: D102
        return mix(experts, self.weights(x))

    def weights(self, x: Tensor) -> Tensor:
        """Weight of each expert in each mixture, ``(B, T, E)``."""
        scores = self.gate(x).unflatten(-1, (self.num_gates, self.num_experts))
        return torch.softmax(scores, -1) if self.use_softmax else scores

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        pack_modules(self, state_dict, prefix, self.num_gates, "gate", "0")
        super()._load_from_state_dict(state_dict, prefix, *args)


class ExpertBank(nn.Module):
    r"""E hidden stacks of one shape, computed together.

    .. math::
        h_{e0} = x, \qquad
        h_{el} = \mathrm{dropout}(\phi(\mathrm{norm}(W_{el} h_{e,l-1} + b_{el})))

    The same function as E times ``MLP(input_dim, output_layer=False, ...)``: one matrix product
    for the first layer and one batched product for each later one take the place of E small ones,
    and one normalisation that of E.

    Args:
        num_experts: experts E.
        input_dim: width I.
        dims: hidden widths; the last is D.
        dropout, activation, norm: as in :class:`~nextrec.layers.mlp.MLP`.

    Shape: ``(B, I)``, or ``(B, S, I)`` for S inputs, each read by the next E / S experts ->
    ``(B, E, D)``.

    State dict: ``bank.<j>`` has the numbers of the MLP's ``mlp.<j>``; weights are ``(E, out, in)``,
    biases and layer normalisation ``(E, out)``, batch normalisation ``(E * out,)``. One of E
    separate stacks, as in NextRec 0.3.1 (``<e>.mlp.<j>.weight``), loads as it is.

    Raises:
        ConfigError: no widths, or what :class:`~nextrec.layers.mlp.MLP` refuses.

    >>> ExpertBank(3, 10, dims=[16, 8])(torch.ones(4, 10)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(
        self,
        num_experts: int,
        input_dim: int,
        dims: Sequence[int],
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        problems = stack_problems("ExpertBank", input_dim, dims, dropout, norm)
        if not isinstance(num_experts, int) or num_experts < 1:
            problems.append(invalid("ExpertBank", "num_experts", "at least 1", num_experts))
        if not dims:
            problems.append(invalid("ExpertBank", "dims", "at least one width", dims))
        if problems:
            raise ConfigError("\n".join(problems))
        rates = layer_rates(dims, dropout)
        layers: list[nn.Module] = []
        for width, dim, rate in zip((input_dim, *dims), dims, rates, strict=False):
            layers += [
                ExpertLinear(num_experts, width, dim),
                *_norm_layer(norm, num_experts, dim),
                _activation(activation, num_experts, dim),
                nn.Dropout(rate) if rate else nn.Identity(),
            ]
        self.bank = nn.ModuleList(layers)
        self.num_experts = num_experts
        self.dims = tuple(dims)
        self.out_features = dims[-1]

    @classmethod
    def of(
        cls, num_experts: int, input_dim: int, params: Mapping[str, Any] | None, **defaults: Any
    ) -> ExpertBank:
        """Build from a model's ``expert_params``, which win over ``defaults``.

        Raises:
            ConfigError: an unknown key, with the likely one, or a value that is refused.
        """
        params = dict(params or {})
        check_keys("ExpertBank", params, EXPERT_PARAMETERS)
        return cls(num_experts, input_dim, **{"dims": (), **defaults, **params})

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for number in range(len(self.dims)):
            x = self.hidden_layer(x, number)
        return x

    def hidden_layer(self, x: Tensor, number: int) -> Tensor:
        """The layer of width ``dims[number]`` alone, for what is done to its inputs between."""
        parts = len(self.bank) // len(
            self.dims
        )  # linear, normalisation if any, activation, dropout
        for part in range(parts):
            layer = self.bank[number * parts + part]
            if isinstance(layer, BatchNorm1d | Dice):
                # Their statistics are by channel, and here a channel is one of E * H.
                x = layer(x.flatten(1)).view_as(x)
            else:
                x = layer(x)  # (B, E, H)
        return x

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        for number in range(len(self.bank)):
            packed, single = f"bank.{number}", f"mlp.{number}"
            pack_modules(self, state_dict, prefix, self.num_experts, packed, single)
        super()._load_from_state_dict(state_dict, prefix, *args)


class ExpertLinear(nn.Module):
    r"""E linear layers at once, :math:`y_e = W_e x_e + b_e`, with the initial values of nn.Linear.

    Args:
        num_experts: layers E.
        in_features, out_features: widths I and D.
        bias: learn the biases b.

    Shape: ``(B, I)``, or ``(B, S, I)`` for S inputs, each read by the next E / S layers ->
    ``(B, E, D)``.

    >>> ExpertLinear(6, 10, 8)(torch.ones(4, 10)).shape
    torch.Size([4, 6, 8])
    >>> ExpertLinear(6, 10, 8)(torch.ones(4, 2, 10)).shape
    torch.Size([4, 6, 8])
    """

    bias: nn.Parameter | None

    def __init__(
        self, num_experts: int, in_features: int, out_features: int, bias: bool = True
    ) -> None:
        super().__init__()
        bound = in_features**-0.5
        self.num_experts = num_experts
        self.in_features, self.out_features = in_features, out_features
        weight = torch.empty(num_experts, out_features, in_features).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.register_parameter("bias", None)
        if bias:
            values = torch.empty(num_experts, out_features).uniform_(-bound, bound)
            self.bias = nn.Parameter(values)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if x.dim() == 2:
            flat = None if self.bias is None else self.bias.flatten()
            y = F.linear(x, self.weight.flatten(0, 1), flat)  # (B, E * D)
            return y.unflatten(-1, (self.num_experts, self.out_features))
        inputs = x.shape[1]  # S
        weight = self.weight.view(inputs, -1, self.in_features).transpose(1, 2)
        x = x.transpose(0, 1)  # (S, B, I), times (S, I, E / S * D)
        if self.bias is None:
            y = torch.bmm(x, weight)
        else:
            y = torch.baddbmm(self.bias.view(inputs, 1, -1), x, weight)
        return y.transpose(0, 1).reshape(-1, self.num_experts, self.out_features)


class ExpertLayerNorm(nn.Module):
    """Layer normalisation over the last axis of ``(B, E, H)`` with an affine part an expert."""

    def __init__(self, num_experts: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_experts, width))
        self.bias = nn.Parameter(torch.zeros(num_experts, width))
        self.out_features = width

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.layer_norm(x, (self.out_features,)) * self.weight + self.bias


def _norm_layer(norm: Norm, num_experts: int, width: int) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "layer":
        return [ExpertLayerNorm(num_experts, width)]
    return [BatchNorm1d(num_experts * width)]


def _activation(activation: str, num_experts: int, width: int) -> nn.Module:
    layer = activation_layer(activation, num_experts * width)
    # A slope an expert: nn.PReLU's channels are the second axis, here E.
    return nn.PReLU(num_experts) if isinstance(layer, nn.PReLU) else layer


def pack_modules(
    module: nn.Module, state_dict: dict, prefix: str, count: int, packed: str, single: str
) -> None:
    """Replace ``<i>.<single>.*`` of ``count`` separate modules by the one ``<packed>.*``."""
    for name, own in module.get_submodule(packed).state_dict().items():
        keys = [f"{prefix}{i}.{single}.{name}" for i in range(count)]
        if all(key in state_dict for key in keys):
            parts = [state_dict.pop(key) for key in keys]
            # A counter of batches is the same in all of them.
            value = torch.stack(parts).reshape(own.shape) if own.dim() else parts[0]
            state_dict[f"{prefix}{packed}.{name}"] = value
