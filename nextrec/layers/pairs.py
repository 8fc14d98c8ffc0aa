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


def weighted_pair_sum(x: Tensor, weight: Tensor) -> Tensor:
    r"""A bilinear form of every pair of fields, summed over the pairs.

    .. math::
        \sum_{i<j} x_i^\top M_{ij}\, x_j

    where :math:`M_{ij}` is a number times the identity, a diagonal, or a matrix.

    The weights of the pairs are laid out as the upper triangle of an ``F x F`` table, with zeros
    below. That makes the sum one form in all fields at once, a few large matrix products, and
    neither the P products of width D nor a copy of a field is made.

    Args:
        x: the fields.
        weight: of each pair, in the order of the pairs: numbers ``(P,)``, diagonals ``(P, D)`` or
            matrices ``(P, D, D)``.

    Shape: ``(B, F, D)`` -> ``(B, 1)``.

    >>> x = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [5.0, 3.0]]])
    >>> weighted_pair_sum(x, torch.tensor([1.0, 0.5, 0.1]))
    tensor([[7.]])
    >>> weighted_pair_sum(x, torch.eye(2).expand(3, 2, 2))
    tensor([[20.]])
    """
    fields, width = x.shape[1:]
    positions = pair_positions(fields, weight.device)
    table = weight.new_zeros(fields * fields, *weight.shape[1:]).index_copy(0, positions, weight)
    if weight.dim() == 1:
        products = torch.bmm(x, x.transpose(1, 2))  # (B, F, F)
        return products.flatten(1) @ table.unsqueeze(1)
    table = table.unflatten(0, (fields, fields))
    if weight.dim() == 2:
        by_width = x.permute(2, 0, 1).contiguous()  # (D, B, F)
        seen = torch.bmm(by_width, table.permute(2, 0, 1))
        return (seen * by_width).sum((0, 2)).unsqueeze(1)
    flat = x.flatten(1)
    matrix = table.transpose(1, 2).reshape(fields * width, fields * width)
    return (flat @ matrix * flat).sum(1, keepdim=True)


def pair_positions(fields: int, device: torch.device | str = "cpu") -> Tensor:
    """Where each pair lies in a flattened ``(F, F)`` matrix, ``(P,)``.

    >>> pair_positions(3)
    tensor([1, 2, 5])
    """
    first, second = torch.triu_indices(fields, fields, offset=1, device=device)
    return first * fields + second
