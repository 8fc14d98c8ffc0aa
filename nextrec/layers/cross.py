"""Cross networks: explicit products of features, one degree higher with every layer.

Letters: B batch, D width of the input, L layers, K experts, R rank of an expert.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossLayer(nn.Module):
    r"""One cross without the residual, :math:`y = (w \cdot x_i)\, x_0 + b`.

    Source: R. Wang, B. Fu, G. Fu and M. Wang, "Deep & Cross Network for Ad Click Predictions",
    ADKDD 2017. :class:`CrossNetwork` stacks it with the residual.

    Args:
        input_dim: width D of both inputs.

    Shape: ``(B, D)``, ``(B, D)`` -> ``(B, D)``.

    >>> CrossLayer(5)(torch.ones(2, 5), torch.ones(2, 5)).shape
    torch.Size([2, 5])
    """

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.w = nn.Linear(input_dim, 1, bias=False)
        self.b = nn.Parameter(torch.zeros(input_dim))
        self.out_features = input_dim

    def forward(self, x_0: Tensor, x_i: Tensor) -> Tensor:  # noqa: D102
        return x_0 * self.w(x_i) + self.b


class CrossNetwork(nn.Module):
    r"""The vector form: every layer scales x_0 by one number a row.

    .. math::
        x_{l+1} = x_0\, (w_l \cdot x_l) + b_l + x_l

    Source: R. Wang, B. Fu, G. Fu and M. Wang, "Deep & Cross Network for Ad Click Predictions",
    ADKDD 2017, eq. 3.

    Args:
        input_dim: width D.
        num_layers: layers L; the highest degree is L + 1.

    Shape: ``(B, D)`` -> ``(B, D)``.

    >>> CrossNetwork(5, num_layers=3)(torch.ones(2, 5)).shape
    torch.Size([2, 5])
    """

    def __init__(self, input_dim: int, num_layers: int) -> None:
        super().__init__()
        self.w = nn.ModuleList(nn.Linear(input_dim, 1, bias=False) for _ in range(num_layers))
        self.b = nn.ParameterList(torch.zeros(input_dim) for _ in range(num_layers))
        self.out_features = input_dim

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x_0 = x
        for w, b in zip(self.w, self.b, strict=True):
            x = x_0 * w(x) + b + x
        return x


class CrossNetV2(nn.Module):
    r"""The matrix form: every number of x_0 is scaled by its own view of x_l.

    .. math::
        x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l

    Source: R. Wang, Shivanna, Cheng, Jain, Lin, Hong and Chi, "DCN V2: Improved Deep & Cross
    Network and Practical Lessons for Web-scale Learning to Rank Systems", WWW 2021, eq. 1.

    Args:
        input_dim: width D.
        num_layers: layers L; the highest degree is L + 1.

    Shape: ``(B, D)`` -> ``(B, D)``.

    >>> CrossNetV2(5, num_layers=3)(torch.ones(2, 5)).shape
    torch.Size([2, 5])
    """

    def __init__(self, input_dim: int, num_layers: int) -> None:
        super().__init__()
        self.w = nn.ModuleList(nn.Linear(input_dim, input_dim) for _ in range(num_layers))
        self.out_features = input_dim

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x_0 = x
        for w in self.w:
            x = x_0 * w(x) + x
        return x


class GatedCrossNetwork(nn.Module):
    r"""The matrix form with a gate that says how much of each new cross is let in.

    .. math::
        x_{l+1} = x_0 \odot (W_l x_l + b_l) \odot \sigma(G_l x_l) + x_l

    Source: F. Wang, Gu, Li, Lu, Zhang and Gu, "Towards Deeper, Lighter and Interpretable Cross
    Network for CTR Prediction", CIKM 2023.

    Args:
        input_dim: width D.
        num_layers: layers L; the highest degree is L + 1, the gates aside.

    Shape: ``(B, D)`` -> ``(B, D)``.

    >>> GatedCrossNetwork(5, num_layers=3)(torch.ones(2, 5)).shape
    torch.Size([2, 5])
    """

    def __init__(self, input_dim: int, num_layers: int) -> None:
        super().__init__()
        D = input_dim
        self.w = nn.ModuleList(nn.Linear(D, D) for _ in range(num_layers))
        self.gate = nn.ModuleList(nn.Linear(D, D, bias=False) for _ in range(num_layers))
        self.out_features = D

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x_0 = x
        for w, gate in zip(self.w, self.gate, strict=True):
            x = x_0 * w(x) * torch.sigmoid(gate(x)) + x
        return x


class CrossNetMix(nn.Module):
    r"""The matrix form with each W a mixture of low-rank experts.

    .. math::
        x_{l+1} &= \sum_k G_k(x_l)\, E_k(x_l) + x_l \\
        E_k(x_l) &= x_0 \odot \big(U_{lk} \tanh(C_{lk} \tanh(V_{lk}^\top x_l)) + b_l\big) \\
        G(x_l) &= \mathrm{softmax}_k(\gamma_k \cdot x_l)

    The gates are shared by all layers. As they sum to 1, they may act in the space of rank R:
    the mixture is :math:`x_0 \odot (\sum_k U_{lk} (G_k h_{lk}) + b_l)`, one matrix product over
    all experts, and the K full-width outputs never exist (measured: less than half the time).

    Source: as :class:`CrossNetV2`.

    Args:
        input_dim: width D.
        num_layers: layers L.
        low_rank: rank R of an expert; worth it below D / 2.
        num_experts: experts K; a single one needs no gate and has none.

    Shape: ``(B, D)`` -> ``(B, D)``.

    >>> CrossNetMix(20, num_layers=2, low_rank=4, num_experts=3)(torch.ones(1, 20)).shape
    torch.Size([1, 20])
    """

    def __init__(
        self, input_dim: int, num_layers: int = 2, low_rank: int = 32, num_experts: int = 4
    ) -> None:
        super().__init__()
        D, L, K, R = input_dim, num_layers, num_experts, low_rank
        self.u = nn.ParameterList(_xavier(D, K, R, fans=(R, D)) for _ in range(L))
        self.v = nn.ParameterList(_xavier(K, R, D, fans=(D, R)) for _ in range(L))
        self.c = nn.ParameterList(_xavier(K, R, R, fans=(R, R)) for _ in range(L))
        self.b = nn.ParameterList(torch.zeros(D) for _ in range(L))
        self.gate = nn.Linear(D, K, bias=False) if K > 1 else None
        self.num_experts, self.low_rank = K, R
        self.out_features = D

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x_0 = x
        for u, v, c, b in zip(self.u, self.v, self.c, self.b, strict=True):
            h = torch.tanh(F.linear(x, v.flatten(0, 1)))  # (B, K * R)
            h = h.unflatten(-1, (self.num_experts, self.low_rank))  # (B, K, R)
            h = torch.tanh(torch.einsum("bkr,ksr->bks", h, c))
            if self.gate is not None:
                h = h * torch.softmax(self.gate(x), -1).unsqueeze(-1)
            x = x_0 * F.linear(h.flatten(1), u.flatten(1), b) + x  # (B, D)
        return x


def _xavier(*shape: int, fans: tuple[int, int]) -> nn.Parameter:
    """Xavier-normal matrices stacked in one tensor, where torch would misread the fans."""
    return nn.Parameter(torch.randn(shape) * (2.0 / sum(fans)) ** 0.5)
