"""Merge the duplicate rows of a lookup: sort once, then sum every run of equal rows.

Shapes: N looked-up rows, U of them distinct, D width.

Measured on 106,496 Zipf-distributed lookups of width 16 and 2 cores: the stable radix sort of
int32 rows takes 0.6 ms and the bag sum 0.15 ms, against 1.3 ms for ``torch.unique`` with its
inverse and 0.9-1.7 ms for ``index_add_``. Every run is summed by one thread in the order of the
lookups, so the result has the same bits whatever the number of threads.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

_INT32_ROWS = 2**31 - 1


class Merge:
    """The distinct rows of one lookup and where each of them was looked up.

    Args:
        flat: ``(N,)`` row numbers.
        num_rows: rows of the table; below 2^31 the sort runs on int32, twice as fast.

    >>> merge = Merge(torch.tensor([7, 2, 7]), num_rows=10)
    >>> merge.rows
    tensor([2, 7])
    >>> merge.sum(torch.tensor([[1.0], [2.0], [3.0]]))
    tensor([[2.],
            [4.]])
    >>> merge.expand(torch.tensor([[0.2], [0.7]]))
    tensor([[0.7000],
            [0.2000],
            [0.7000]])
    """

    def __init__(self, flat: Tensor, num_rows: int) -> None:
        keys = flat.to(torch.int32 if num_rows <= _INT32_ROWS else torch.int64)
        ordered, self.order = torch.sort(keys, stable=True)
        self._opens = torch.ones_like(ordered, dtype=torch.bool)  # (N,) a run of equals starts
        torch.ne(ordered[1:], ordered[:-1], out=self._opens[1:])
        self.starts = self._opens.nonzero().squeeze(1)  # (U,)
        self.rows = ordered.index_select(0, self.starts).long()  # (U,) ascending

    @cached_property
    def inverse(self) -> Tensor:
        """``(N,)`` position in :attr:`rows` of every lookup."""
        run = self._opens.cumsum(0).sub_(1)
        return torch.empty_like(run).scatter_(0, self.order, run)

    def sum(self, values: Tensor) -> Tensor:
        """Sum ``(N, D)`` values of the lookups into ``(U, D)`` values of the rows."""
        if not len(self.rows):
            return values.new_zeros(0, values.shape[1])
        # An embedding bag reads `values` as the table and `order` as its ids: one bag a run.
        return torch.embedding_bag(values, self.order, self.starts, False, 0)[0]

    def expand(self, values: Tensor) -> Tensor:
        """Repeat ``(U, D)`` values of the rows into ``(N, D)`` values of the lookups."""
        return values.index_select(0, self.inverse)


class MergeCache:
    """Merges of one step, shared by tables that are looked up with the same tensor of rows.

    A first-order table of width 1 usually has the offsets of the width-D table, so both are
    looked up with one tensor. The key is the memory read; the tensor is kept alive until
    :meth:`clear`, so its address can't be handed to another one meanwhile.
    """

    def __init__(self) -> None:
        self._merges: dict[tuple[object, ...], tuple[Tensor, Merge]] = {}

    def merge(self, rows: Tensor, num_rows: int) -> Merge:
        """Return the merge of ``rows`` (any shape, flattened in reading order)."""
        version = 0 if rows.is_inference() else rows._version  # an in-place write makes it new
        key = (rows.data_ptr(), rows.shape, rows.stride(), rows.dtype, rows.device, version)
        if key not in self._merges:
            self._merges[key] = (rows, Merge(rows.reshape(-1), num_rows))
        return self._merges[key][1]

    def clear(self) -> None:
        """Forget the step's merges."""
        self._merges.clear()
