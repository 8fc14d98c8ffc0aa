"""From a sequence of vectors to one vector: mean, sum, maximum or all of them side by side.

Letters: B batch, L sequence length, D width. Every layer takes ``x`` ``(B, L, D)`` and a ``mask``
``(B, 1, L)`` that is true, or 1, at real positions; ``None`` makes all of them real. A position
without a mask neither enters the result nor receives a gradient, and a row without any real
position gives zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pooling(nn.Module):
    """Base of the pooling layers: they have no weights and learn no width."""

    out_features: int | None = None
    """The input's width, which a pooling layer does not know before it is called."""


class SumPooling(Pooling):
    r"""Sum of the real positions, :math:`\sum_l m_l x_l`.

    Shape: ``(B, L, D)``, ``(B, 1, L)`` -> ``(B, D)``.

    >>> x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> SumPooling()(x, torch.tensor([[[1, 0]]]))
    tensor([[1., 2.]])
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: D102
        return x.sum(1) if mask is None else _weighted_sum(x, mask.to(x.dtype))


class AveragePooling(Pooling):
    r"""Mean of the real positions, :math:`\sum_l m_l x_l / \sum_l m_l`.

    Shape: ``(B, L, D)``, ``(B, 1, L)`` -> ``(B, D)``.

    >>> x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> AveragePooling()(x)
    tensor([[2., 3.]])
    >>> AveragePooling()(x, torch.zeros(1, 1, 2))
    tensor([[0., 0.]])
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: D102
        if mask is None:
            return x.mean(1)
        # Half precision can neither count a long sequence nor hold its sum; float32 weights lift
        # both. An empty row is divided by 1, not by an epsilon that may be rounded to 0.
        mask = mask.float() if x.dtype in (torch.float16, torch.bfloat16) else mask.to(x.dtype)
        count = mask.sum(-1, keepdim=True)  # (B, 1, 1)
        return _weighted_sum(x, mask / (count + (count == 0))).to(x.dtype)


class MaxPooling(Pooling):
    r"""Largest value of each column among the real positions.

    Shape: ``(B, L, D)``, ``(B, 1, L)`` -> ``(B, D)``.

    >>> x = torch.tensor([[[-1.0, 2.0], [-3.0, 4.0]]])
    >>> MaxPooling()(x, torch.tensor([[[True, False]]]))
    tensor([[-1.,  2.]])
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: D102
        if mask is None:
            return x.amax(1)
        real = _positions(mask)  # (B, L, 1)
        largest = x.masked_fill(~real, -torch.inf).amax(1)  # (B, D)
        return largest.masked_fill(~real.any(1), 0.0)


class ConcatPooling(Pooling):
    r"""All positions side by side, :math:`[m_1 x_1; \dots; m_L x_L]`.

    Shape: ``(B, L, D)``, ``(B, 1, L)`` -> ``(B, L * D)``.

    >>> ConcatPooling()(torch.ones(1, 2, 2), torch.tensor([[[1, 0]]]))
    tensor([[1., 1., 0., 0.]])
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: D102
        return (x if mask is None else x.masked_fill(~_positions(mask), 0.0)).flatten(1)


def _positions(mask: Tensor) -> Tensor:
    return mask.transpose(1, 2) != 0  # (B, L, 1)


def _weighted_sum(x: Tensor, weight: Tensor) -> Tensor:
    """Sum of ``x`` ``(B, L, D)`` by ``weight`` ``(B, 1, L)``.

    A product and a sum: on a CPU four times as fast as the same as a batched matrix product.
    """
    return (x * weight.transpose(1, 2)).sum(1)
