"""The tape of a step's lookups in one embedding table, and its gradient as rows.

Shapes: R rows of the table, N looked-up rows, U of them distinct, D width.

Dense autograd would return a gradient of shape ``(R, D)`` for a lookup that read a few rows.
Here a lookup returns a leaf tensor instead, so autograd stops at the N gathered rows; the
gradients of equal rows are summed when the optimizer asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextrec.errors import ConfigError, invalid
from nextrec.optim.merging import Merge, MergeCache

Penalty = tuple[int, int, float, float]
"""``(start, stop, l1, l2)``: strengths for the rows ``start <= row < stop``."""


@dataclass
class RowBlock:
    """Rows gathered from a table with what the optimizer keeps about them."""

    rows: Tensor
    """``(U,)`` ascending row numbers."""
    weight: Tensor
    """``(U, D)`` weights as dense training would have them now."""
    state: dict[str, Tensor] = field(default_factory=dict)
    """``(U, D)`` or ``(U, 1)`` optimizer state, as it was at the step ``last``."""
    last: Tensor | None = None
    """``(U,)`` step of each row's last update, 0 for never; ``None`` if the rule needs none."""


class RowSource(Protocol):
    """What a table asks of its optimizer."""

    def load(self, table: RowTable, rows: Tensor) -> RowBlock:
        """Gather distinct ``rows``, brought up to date."""

    def owes(self, table: RowTable) -> bool:
        """Whether some stored row is not what dense training would have now."""


class RowTable:
    """An embedding table whose lookups cost, and whose gradients are, the rows looked up.

    Args:
        weight: ``(R, D)`` parameter.
        padding_rows: rows that get no gradient.
        penalties: ``(start, stop, l1, l2)`` a range of rows; ranges must not overlap. A row that
            was looked up in a step gets ``l1 * sign(w) + 2 * l2 * w`` once.

    Raises:
        ConfigError: penalties overlap or lie outside the table.

    A table is callable: it fits the ``reader`` slot of an embedding storage.

    >>> table = RowTable(nn.Parameter(torch.ones(5, 2)), padding_rows=torch.tensor([0]))
    >>> table(torch.tensor([3, 0, 3])).sum().backward()
    >>> table.gradient()
    (tensor([0, 3]), tensor([[0., 0.],
            [2., 2.]]))
    """

    def __init__(
        self,
        weight: nn.Parameter,
        padding_rows: Tensor | None = None,
        penalties: Sequence[Penalty] = (),
    ) -> None:
        self.weight = weight
        self.width = weight.shape[1]
        self.padding_rows = None if padding_rows is None else padding_rows.unique()
        self.penalties = _check_penalties(penalties, len(weight))
        self.source: RowSource | None = None
        self.merges = MergeCache()
        self.exchange: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
        """Data parallel training: takes this worker's ``(rows, grad)`` and returns those of all
        workers one after the other, the same on each. It is called once a step and table, with
        no rows where this worker looked nothing up."""
        self._tape: list[_Lookup] = []
        self._merged: tuple[tuple[object, ...], RowBlock, Tensor] | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        """:meth:`lookup`."""
        return self.lookup(rows)

    def lookup(self, rows: Tensor) -> Tensor:
        """Gather ``rows`` of any shape into ``rows.shape + (D,)`` and record them for the step.

        Nothing is recorded while gradients are disabled or the table is frozen.
        """
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return self.read(rows)
        merge = self.merges.merge(rows, len(self.weight))
        block = self._load(merge.rows)
        leaf = merge.expand(block.weight).view(*rows.shape, self.width).requires_grad_()
        self._tape.append(_Lookup(merge, block, leaf))
        return leaf

    @torch.no_grad()
    def read(self, rows: Tensor) -> Tensor:
        """Gather ``rows`` as dense training would have them now; changes nothing."""
        if self.source is None or not self.source.owes(self):
            return F.embedding(rows, self.weight)
        merge = Merge(rows.reshape(-1), len(self.weight))
        return merge.expand(self._load(merge.rows).weight).view(*rows.shape, self.width)

    def gradient(self) -> tuple[Tensor, Tensor] | None:
        """Return ``(U,)`` distinct rows and their ``(U, D)`` gradient, or ``None`` without one."""
        merged = self.merged()
        return None if merged is None else (merged[0].rows, merged[1])

    @torch.no_grad()
    def merged(self) -> tuple[RowBlock, Tensor] | None:
        """Return the rows that have a gradient, with their state, and the gradient ``(U, D)``.

        The result is kept until the gradients change, so that scaling it in place (clipping)
        reaches the update.
        """
        used = [each for each in self._tape if each.leaf.grad is not None]
        dense = self.weight.grad
        if not used and dense is None and self.exchange is None:
            return None
        grads = [dense, *(each.leaf.grad for each in used)]
        key = tuple((id(g), g._version) for g in grads if g is not None)
        if self._merged is None or self._merged[0] != key:
            block, grad = self._merge(used)
            self._penalise(block, grad)
            self._zero_padding(block.rows, grad)
            self._merged = (key, block, grad)
        return self._merged[1:]

    # Gradients of several losses, for who combines them before the update.

    def leaves(self) -> list[Tensor]:
        """The tensors that this step's lookups returned; autograd gives them their gradients."""
        return [each.leaf for each in self._tape]

    @torch.no_grad()
    def merge_each(self, grads: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Sum the gradients of K losses over equal rows, as :meth:`merged` does for one.

        Args:
            grads: of each of :meth:`leaves`, ``(K, N * D)``; ``None``: no loss reaches it.

        Returns:
            ``(U,)`` distinct rows, and ``(K, U, D)`` rows of the table's K dense gradients; zero
            for padding rows.
        """
        rows, sums = [], []
        for lookup, grad in zip(self._tape, grads, strict=True):
            if grad is not None:
                # One pass for all losses: (K, N, D) -> (N, K * D) -> (U, K * D).
                count = lookup.leaf.numel() // self.width
                wide = grad.view(len(grad), count, self.width).transpose(0, 1).flatten(1)
                rows.append(lookup.merge.rows)
                sums.append(lookup.merge.sum(wide))
        union = Merge(torch.cat(rows), len(self.weight)) if len(rows) > 1 else None
        distinct = rows[0] if union is None else union.rows
        total = sums[0] if union is None else union.sum(torch.cat(sums))
        self._zero_padding(distinct, total)
        losses = total.shape[1] // self.width
        return distinct, total.view(len(distinct), losses, self.width).transpose(0, 1)

    def clear(self) -> None:
        """Forget the lookups and gradients of the step."""
        self._tape.clear()
        self._merged = None
        self.merges.clear()

    def _load(self, rows: Tensor) -> RowBlock:
        if self.source is None:
            return RowBlock(rows, self.weight.detach().index_select(0, rows))
        return self.source.load(self, rows)

    def _merge(self, used: list[_Lookup]) -> tuple[RowBlock, Tensor]:
        if len(used) == 1 and self.weight.grad is None and self.exchange is None:
            return used[0].block, used[0].grad()
        none = self.weight.detach()[:0]
        rows = torch.cat([self._no_rows(), *(each.merge.rows for each in used)])
        grad = torch.cat([none, *(each.grad() for each in used)])
        if self.weight.grad is not None:  # the table was used as a matrix too, e.g. as a softmax
            rows = torch.cat([rows, torch.arange(len(self.weight), device=rows.device)])
            grad = torch.cat([grad, self.weight.grad])
        if self.exchange is not None:
            local = Merge(rows, len(self.weight))
            rows, grad = self.exchange(local.rows, local.sum(grad))
        union = Merge(rows, len(self.weight))
        return self._load(union.rows), union.sum(grad)

    def _no_rows(self) -> Tensor:
        return torch.empty(0, dtype=torch.long, device=self.weight.device)

    def _penalise(self, block: RowBlock, grad: Tensor) -> None:
        if not self.penalties:
            return
        bounds, strengths = _steps(self.penalties)
        index = torch.bucketize(block.rows, bounds.to(block.rows.device), right=True)
        l1, l2 = strengths.to(grad).index_select(0, index).split(1, dim=1)  # (U, 1) each
        grad.addcmul_(block.weight.sign(), l1).addcmul_(block.weight, 2 * l2)

    def _zero_padding(self, rows: Tensor, grad: Tensor) -> None:
        if self.padding_rows is None or not len(self.padding_rows) or not len(rows):
            return
        self.padding_rows = self.padding_rows.to(rows.device)
        nearest = torch.searchsorted(rows, self.padding_rows).clamp_(max=len(rows) - 1)
        missed = (rows.index_select(0, nearest) != self.padding_rows).to(torch.int8)
        # A padding row that wasn't looked up may land on one that was: the hit (0) must win.
        keep = torch.ones_like(rows, dtype=torch.int8)
        keep.scatter_reduce_(0, nearest, missed, "amin")
        grad.masked_fill_((keep == 0).unsqueeze(1), 0.0)


@dataclass
class _Lookup:
    merge: Merge
    block: RowBlock
    leaf: Tensor

    def grad(self) -> Tensor:
        """The leaf's gradient summed over equal rows, ``(U, D)``."""
        assert self.leaf.grad is not None
        return self.merge.sum(self.leaf.grad.reshape(-1, self.leaf.shape[-1]))


def _check_penalties(penalties: Sequence[Penalty], num_rows: int) -> list[Penalty]:
    """Return the penalties by row, without those of strength 0."""
    wanted = sorted(each for each in penalties if each[2] or each[3])
    end = 0
    for start, stop, *_ in wanted:
        if not end <= start < stop <= num_rows:
            must_be = f"(start, stop, l1, l2) of ranges apart from each other in 0..{num_rows}"
            raise ConfigError(invalid("RowTable", "penalties", must_be, wanted))
        end = stop
    return wanted


def _steps(penalties: list[Penalty]) -> tuple[Tensor, Tensor]:
    """Turn ranges into a step function of the row: ``(2P,)`` bounds, ``(2P + 1, 2)`` strengths."""
    bounds, strengths = [], [(0.0, 0.0)]
    for start, stop, l1, l2 in penalties:
        bounds += [start, stop]
        strengths += [(l1, l2), (0.0, 0.0)]
    return torch.tensor(bounds), torch.tensor(strengths, dtype=torch.float64)
