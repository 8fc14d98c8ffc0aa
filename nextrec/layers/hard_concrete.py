"""Switches that learn to be exactly open or shut (Louizos, Welling, Kingma; ICLR 2018).

A sum that should have few terms multiplies each by a switch and pays for those that are open. The
number of open switches has no gradient; that of their probability to be open has.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class HardConcrete(nn.Module):
    r"""Gates in [0, 1] with some probability of being 0 or 1 exactly.

    .. math::
        s &= \sigma\big((\log u - \log(1 - u) + \log \alpha) / \beta\big), \qquad
            u \sim \mathrm{Uniform}(0, 1) \\
        z &= \min(1, \max(0, s (\zeta - \gamma) + \gamma)) \\
        P(z \neq 0) &= \sigma\big(\log \alpha - \beta \log(-\gamma / \zeta)\big)

    In training a gate is drawn anew in every call; in evaluation it is
    :math:`\min(1, \max(0, \sigma(\log \alpha) (\zeta - \gamma) + \gamma))`.

    Source: Louizos, Welling and Kingma, "Learning Sparse Neural Networks through L0
    Regularization", ICLR 2018.

    Args:
        *shape: of the gates.
        temperature: :math:`\beta`.
        low, high: :math:`\gamma < 0` and :math:`\zeta > 1`, between which s is stretched.

    Shape: nothing -> ``shape``.

    >>> HardConcrete(2, 3).eval()()
    tensor([[0.5000, 0.5000, 0.5000],
            [0.5000, 0.5000, 0.5000]], grad_fn=<ClampBackward1>)
    """

    def __init__(
        self, *shape: int, temperature: float = 2 / 3, low: float = -0.1, high: float = 1.1
    ) -> None:
        super().__init__()
        self.temperature, self.low, self.high = temperature, low, high
        self.log_alpha = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:  # noqa: D102
        if not self.training:
            return self.expected()
        noise = torch.rand_like(self.log_alpha).clamp(1e-6, 1 - 1e-6)
        return self._stretched((torch.logit(noise) + self.log_alpha) / self.temperature)

    def expected(self) -> Tensor:
        """The gates of evaluation, without noise."""
        return self._stretched(self.log_alpha)

    def open_probability(self) -> Tensor:
        """Probability of each gate not to be 0; their sum is the expected L0 norm."""
        return torch.sigmoid(self.log_alpha - self.temperature * math.log(-self.low / self.high))

    def _stretched(self, scores: Tensor) -> Tensor:
        return (torch.sigmoid(scores) * (self.high - self.low) + self.low).clamp(0, 1)
