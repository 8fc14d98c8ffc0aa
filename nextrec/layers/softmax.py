"""Softmax over the real positions of a history."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Weights over the last axis that sum to 1 where ``mask`` is true and are 0 elsewhere.

    Without a real position all weights are 0.

    Shape: scores and mask ``(..., L)`` -> ``(..., L)``.

    >>> mask = torch.tensor([[True, True, False], [False, False, False]])
    >>> masked_softmax(torch.zeros(2, 3), mask)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    # The lowest finite number: with -inf a row without a real position would give 0 / 0.
    lowest = torch.finfo(scores.dtype).min
    return torch.softmax(scores.masked_fill(~mask, lowest), -1).masked_fill(~mask, 0.0)
