"""Trains one table twice, by rows and with a dense optimizer of torch, on the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nextrec.optim import RowOptimizer, RowTable
from nextrec.optim.row_rules import RowRule


@dataclass
class Comparison:
    table: RowTable
    rows: RowOptimizer
    dense: Tensor
    """Weights of dense training, ``(R, D)`` in float64."""
    moved: Tensor
    """Distance that each weight moved in dense training."""
    current: Tensor
    """Weights of row training, up to date."""

    @property
    def relative(self) -> Tensor:
        """Deviation over the distance moved, of the weights that moved at all."""
        deviation = (self.current.double() - self.dense).abs()
        assert torch.equal(deviation[self.moved == 0].float(), self.moved[self.moved == 0].float())
        return deviation[self.moved > 0] / self.moved[self.moved > 0]


def compare_with_dense(
    rule: type[RowRule],
    dense_class: Callable[..., torch.optim.Optimizer],
    *,
    steps: int = 300,
    num_rows: int = 60,
    width: int = 3,
    lr: Callable[[int], float] = lambda step: 1e-2,
    scales: tuple[float, float] = (-6, 2),
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """Touch a few random rows a step, the first often and the last hardly ever.

    ``scales`` are the powers of ten of the gradients of the first and the last row (shuffled).
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(num_rows, width, generator=generator, dtype=torch.float64)
    weight = nn.Parameter(start.to(dtype, copy=True))
    dense = nn.Parameter(start.to(dtype).to(torch.float64, copy=True))
    reference = dense_class([dense], **{"lr": 1e-2, **options})
    group = {**rule.defaults, "lr": 1e-2, **options}
    table = RowTable(weight)
    rows = RowOptimizer([table], rule(group))
    shuffle = torch.randperm(num_rows, generator=generator)
    scale = torch.logspace(*scales, num_rows, dtype=torch.float64)[shuffle]
    chance = torch.linspace(1, 0.02, num_rows) ** 4
    moved = torch.zeros_like(start)
    for step in range(steps):
        reference.param_groups[0]["lr"] = group["lr"] = lr(step)
        touched = torch.multinomial(chance, 4, replacement=True, generator=generator)
        grad = torch.randn(4, width, generator=generator, dtype=torch.float64)
        grad = (grad * scale[touched].unsqueeze(1)).to(dtype)
        table.lookup(touched).backward(grad)
        rows.step()
        before = dense.detach().clone()
        dense.grad = torch.zeros_like(dense).index_add_(0, touched, grad.double())
        reference.step()
        moved += (dense.detach() - before).abs()
    return Comparison(table, rows, dense.detach(), moved, rows.current(table))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors here are tiny: a second thread only waits, for long where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def compare() -> Callable[..., Comparison]:
    """:func:`compare_with_dense`."""
    return compare_with_dense
