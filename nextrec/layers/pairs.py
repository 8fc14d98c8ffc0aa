"""Products of all pairs of fields, in the order (0, 1), (0, 2), ..., (F - 2, F - 1).

Letters: B batch, F fields, D width of a field, P = F (F - 1) / 2 pairs of fields.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pair_products(left: Tensor, right: Tensor) -> Tensor:
    """Products ``left_i * right_j`` of all pairs ``i < j``.

    One slice a left field. Gathering the P left and the P right vectors by index looks more
    vectorised and takes two to three times as long on a CPU: it copies both sides, and its
    backward pass scatters them.

    Shape: ``(B, F - 1 or more, D)``, ``(B, F, D)`` -> ``(B, P, D)``.

    >>> x = torch.tensor([[[1.0], [2.0], [5.0]]])
    >>> pair_products(x, x).squeeze()
    tensor([ 2.,  5., 10.])
    """
    fields = right.shape[1]
    return torch.cat([left[:, i : i + 1] * right[:, i + 1 :] for i in range(fields - 1)], 1)


def pair_inner_products(left: Tensor, right: Tensor) -> Tensor:
    r"""Inner products :math:`\langle left_i, right_j \rangle` of all pairs ``i < j``.

    One batched matrix product, of which the upper triangle is kept; the P products of width D
    never exist.

    Shape: ``(B, F, D)``, ``(B, F, D)`` -> ``(B, P)``.

    >>> x = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [5.0, 3.0]]])
    >>> pair_inner_products(x, x)
    tensor([[ 2.,  8., 10.]])
    """
    fields = left.shape[1]
    products = torch.bmm(left, right.transpose(1, 2)).flatten(1)  # (B, F * F)
    return products.index_select(1, pair_positions(fields, products.device))


def pair_positions(fields: int, device: torch.device | str = "cpu") -> Tensor:
    """Where each pair lies in a flattened ``(F, F)`` matrix, ``(P,)``.

    >>> pair_positions(3)
    tensor([1, 2, 5])
    """
    first, second = torch.triu_indices(fields, fields, offset=1, device=device)
    return first * fields + second
