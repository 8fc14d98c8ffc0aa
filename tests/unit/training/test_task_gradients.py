"""Gradients of several losses, with tables in row mode, against dense autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextrec.loss.balancing import TaskWeights
from nextrec.optim import RowTable
from nextrec.training.task_gradients import TaskGradients

ROWS, WIDTH = 7, 3
IDS = torch.tensor([[3, 0, 3], [5, 5, 0], [1, 3, 2], [6, 1, 5]])


class Net(nn.Module):
    """A table that is looked up twice, a shared layer, a tower a task, and one unused weight."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(ROWS, WIDTH))
        self.bottom = nn.Linear(WIDTH, 4)
        self.towers = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))
        self.unused = nn.Parameter(torch.ones(2))
        self.tied = tied

    def losses(self, lookup: Any) -> tuple[Tensor, Tensor]:
        # Padding row 0 is cut from the graph by hand where there is no row table.
        first = lookup(IDS).sum(1)  # (B, D)
        second = lookup(IDS[:, 0].flip(0))
        hidden = self.bottom(first * second).tanh()
        logits = torch.cat([tower(hidden) for tower in self.towers], 1)  # (B, T)
        if self.tied:  # the table as a matrix, in the loss of two tasks
            scores = (first @ self.table.t()).square().mean()
            logits = logits + scores * torch.tensor([1.0, -2.0, 0.0])
        losses = (logits - torch.arange(12.0).view(4, 3) / 4).square().mean(0)
        return losses, hidden.square().sum() + first.sum()


def masked(table: nn.Parameter, padding: int | None) -> Any:
    """An ordinary lookup, whose padding row is cut from the graph."""

    def lookup(ids: Tensor) -> Tensor:
        rows = F.embedding(ids, table)
        return rows if padding is None else rows.masked_fill((ids == padding)[..., None], 0.0)

    return lookup


def dense_grads(net: Net, padding: int | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Name -> (T, n) gradients of each task by plain autograd, and (n,) of the other loss."""
    names, weights = zip(*net.named_parameters(), strict=True)
    losses, other = net.losses(masked(net.table, padding))

    def of(loss: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        return [
            torch.zeros(w.numel()) if g is None else without(g, w is net.table).flatten()
            for g, w in zip(found, weights, strict=True)
        ]

    def without(grad: Tensor, of_table: bool) -> Tensor:
        """The padding row has no gradient, however the table is used."""
        if not of_table or padding is None:
            return grad
        return grad.index_fill(0, torch.tensor([padding]), 0.0)

    rows = [of(loss) for loss in losses]
    by_name = {name: torch.stack([row[i] for row in rows]) for i, name in enumerate(names)}
    return by_name, dict(zip(names, of(other), strict=True))


def is_shared(name: str) -> bool:
    return name.split(".")[0] in ("table", "bottom")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("padding", [None, 0, 4])
def test_row_tables_give_the_gram_matrix_and_the_sums_of_dense_gradients(tied, padding):
    net = Net(tied)
    if padding is not None:
        net.table.data[padding] = 0.0
    tasks, other = dense_grads(net, padding)
    table = RowTable(net.table, None if padding is None else torch.tensor([padding]))
    gradients = TaskGradients(*net.losses(table), net.parameters(), [table])
    expected = sum(tasks[name] @ tasks[name].t() for name in tasks if is_shared(name))
    torch.testing.assert_close(gradients.gram(), expected, rtol=1e-4, atol=1e-4)
    of_bottom = tasks["bottom.weight"] @ tasks["bottom.weight"].t()
    torch.testing.assert_close(gradients.gram([net.bottom.weight]), of_bottom)
    assert not gradients.gram(net.towers.parameters()).any()

    weights = TaskWeights(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([3.0, 1.0, 4.0]))
    gradients.assign(weights)
    merged = table.gradient()
    assert merged is not None
    found = {"table": torch.zeros(ROWS, WIDTH).index_copy(0, *merged)}
    found |= {n: p.grad for n, p in net.named_parameters() if n not in ("table", "unused")}  # type: ignore[misc]
    for name, grad in found.items():
        row = weights.shared if is_shared(name) else weights.own
        torch.testing.assert_close(
            grad.flatten(), row @ tasks[name] + other[name], rtol=1e-4, atol=1e-4, msg=name
        )
    assert net.unused.grad is None


def test_without_row_tables_a_dense_table_is_a_parameter_like_others():
    net = Net()
    tasks, _ = dense_grads(net, None)
    losses, _ = net.losses(masked(net.table, None))
    gradients = TaskGradients(losses, None, net.parameters())
    expected = sum(tasks[name] @ tasks[name].t() for name in tasks if is_shared(name))
    torch.testing.assert_close(gradients.gram(), expected, rtol=1e-4, atol=1e-4)
    ones = torch.ones(3)
    gradients.assign(TaskWeights(ones, ones))
    found = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad()
    losses, _ = net.losses(masked(net.table, None))
    losses.sum().backward()
    for name, weight in net.named_parameters():
        if name != "unused":
            torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-5)


def test_nothing_of_the_tables_size_is_made():
    weight = nn.Parameter(torch.zeros(1, 2).expand(10**12, 2), requires_grad=True)
    table = RowTable(weight)
    rows = table(torch.tensor([5, 10**11, 5]))
    losses = torch.stack([(rows - 1).square().sum(), (rows + 2).square().sum()])
    gradients = TaskGradients(losses, None, [weight], [table])
    # d1 = -2 and d2 = 4 a number; row 5 counts twice.
    torch.testing.assert_close(gradients.gram(), torch.tensor([[40.0, -80.0], [-80.0, 160.0]]))


def test_a_lookup_without_rows_and_one_that_no_loss_reaches():
    table = RowTable(nn.Parameter(torch.ones(4, 2)))
    empty, used, unread = (
        table(torch.empty(3, 0).long()),
        table(torch.tensor([1])),
        table(torch.tensor([2])),
    )
    losses = torch.stack([used.sum() + empty.sum(), (2 * used).sum()])
    gradients = TaskGradients(losses, None, [table.weight], [table])
    torch.testing.assert_close(gradients.gram(), torch.tensor([[2.0, 4.0], [4.0, 8.0]]))
    gradients.assign(TaskWeights(torch.ones(2), torch.ones(2)))
    assert unread.grad is None
    rows, grad = table.gradient()  # type: ignore[misc]
    assert rows.tolist() == [1]
    assert grad.tolist() == [[3.0, 3.0]]


def test_what_one_task_reaches_alone_is_its_own():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    losses = torch.stack([weight.sum(), 0 * weight.sum()])
    gradients = TaskGradients(losses, None, [weight])
    assert not gradients.gram().any()
    gradients.assign(TaskWeights(torch.tensor([9.0, 9.0]), torch.tensor([2.0, 5.0])))
    assert weight.grad is not None
    assert weight.grad.tolist() == [2.0, 2.0]
