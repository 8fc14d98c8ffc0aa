"""Logistic regression: the linear part of wide and factorised models."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LR(nn.Module):
    r"""One linear layer to one number, :math:`y = w \cdot x + b`, with or without a sigmoid.

    Args:
        input_dim: width of the input.
        sigmoid: return the probability :math:`\sigma(y)`, not the logit.

    Shape: ``(..., input_dim)`` -> ``(..., 1)``.

    >>> LR(10)(torch.zeros(4, 10)).shape
    torch.Size([4, 1])
    """

    def __init__(self, input_dim: int, sigmoid: bool = False) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.fc = nn.Linear(input_dim, 1)
        self.out_features = 1

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        logit = self.fc(x)
        return torch.sigmoid(logit) if self.sigmoid else logit
