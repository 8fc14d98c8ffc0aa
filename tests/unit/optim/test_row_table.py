from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nextrec.errors import ConfigError
from nextrec.optim import RowTable


def make(rows: int = 12, width: int = 3, **options) -> RowTable:
    generator = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.randn(rows, width, generator=generator, dtype=torch.float64))
    return RowTable(weight, **options)


def dense_gradient(table: RowTable) -> torch.Tensor:
    """The gradient as a whole table; rows that aren't named have none."""
    found = table.gradient()
    assert found is not None
    rows, grad = found
    assert rows.tolist() == sorted(set(rows.tolist()))
    return torch.zeros_like(table.weight).index_copy_(0, rows, grad)


def test_gradient_equals_autograds_dense_one():
    table = make()
    rows = torch.tensor([[3, 5, 3], [0, 5, 11]])
    factor = torch.randn(2, 3, 3, dtype=torch.float64)
    looked_up = table.lookup(rows)
    assert torch.equal(looked_up.detach(), table.weight[rows].detach())
    (looked_up * factor).square().sum().backward()
    dense = nn.Parameter(table.weight.detach().clone())
    (F.embedding(rows, dense) * factor).square().sum().backward()
    assert dense.grad is not None
    torch.testing.assert_close(dense_gradient(table), dense.grad, rtol=1e-12, atol=0)
    assert table.weight.grad is None


def test_several_lookups_and_backward_passes_add_up():
    table = make()
    a, b, unused = torch.tensor([1, 2]), torch.tensor([2, 2, 7]), torch.tensor([9])
    loss = table.lookup(a).sum() + 2 * table.lookup(b).sum()
    table.lookup(unused)
    loss.backward()
    table.lookup(a).sum().backward()
    expected = torch.zeros(12, dtype=torch.float64)
    expected[[1, 2, 7]] = torch.tensor([2.0, 6.0, 2.0], dtype=torch.float64)
    assert torch.equal(dense_gradient(table), expected.unsqueeze(1).expand(12, 3))
    table.clear()
    assert table.gradient() is None


def test_gradient_is_recomputed_after_another_backward_pass():
    table = make()
    looked_up = table.lookup(torch.tensor([4]))
    looked_up.sum().backward(retain_graph=True)
    assert dense_gradient(table)[4].tolist() == [1, 1, 1]
    looked_up.sum().backward()
    assert dense_gradient(table)[4].tolist() == [2, 2, 2]


def test_a_table_used_as_a_matrix_too():
    table = make()
    rows, query = torch.tensor([1, 1, 4]), torch.randn(3, dtype=torch.float64)
    (table.lookup(rows) @ query).sum().backward()
    (table.weight @ query).square().sum().backward()
    dense = nn.Parameter(table.weight.detach().clone())
    (F.embedding(rows, dense) @ query).sum().backward()
    (dense @ query).square().sum().backward()
    torch.testing.assert_close(dense_gradient(table), dense.grad, rtol=1e-12, atol=1e-12)


def test_padding_rows_get_no_gradient_even_if_it_is_not_finite():
    table = make(padding_rows=torch.tensor([6, 0, 3, 11]))  # 3 is padding and not looked up
    looked_up = table.lookup(torch.tensor([0, 4, 6, 6, 4]))
    (looked_up * torch.tensor([[float("nan")], [1], [float("inf")], [1], [1]])).sum().backward()
    grad = dense_gradient(table)
    assert grad[4].tolist() == [2, 2, 2]
    assert grad.count_nonzero() == 3


def test_penalties_of_looked_up_rows_once_a_row():
    penalties = [(8, 12, 0.0, 0.5), (2, 5, 0.1, 0.01), (5, 8, 0.3, 0.0), (0, 2, 0.0, 0.0)]
    table = make(padding_rows=torch.tensor([3]), penalties=penalties)
    rows = [0, 2, 2, 3, 4, 5, 7, 8, 11, 11]
    (table.lookup(torch.tensor(rows)) * 0).sum().backward()
    expected = np.zeros((12, 3))
    weight = table.weight.detach().numpy()
    for start, stop, l1, l2 in penalties:
        for row in set(rows) & set(range(start, stop)) - {3}:
            expected[row] = l1 * np.sign(weight[row]) + 2 * l2 * weight[row]
    np.testing.assert_allclose(dense_gradient(table).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("bad", [[(0, 5, 1, 0), (4, 6, 1, 0)], [(0, 13, 0, 1)], [(5, 5, 0, 1)]])
def test_penalties_that_overlap_or_leave_the_table(bad):
    with pytest.raises(ConfigError, match="penalties"):
        make(penalties=bad)


def test_frozen_table_is_a_plain_lookup():
    table = make()
    table.weight.requires_grad_(False)
    looked_up = table.lookup(torch.tensor([1, 1]))
    assert not looked_up.requires_grad
    assert table.gradient() is None


def test_records_only_while_gradients_are_enabled():
    table = make()
    with torch.no_grad():
        assert torch.equal(table.lookup(torch.tensor([[2]])), table.weight[[2]].unsqueeze(0))
    assert not table._tape
    table(torch.tensor([2])).sum().backward()
    assert table.gradient() is not None


def test_empty_lookup():
    table = make()
    looked_up = table.lookup(torch.empty(0, 4, dtype=torch.long))
    assert looked_up.shape == (0, 4, 3)
    looked_up.sum().backward()
    found = table.gradient()
    assert found is not None
    assert found[1].shape == (0, 3)


def test_exchange_gives_every_worker_the_gradient_of_all():
    batches = [torch.tensor([1, 2, 2]), torch.tensor([2, 5])]
    whole, alone = make(), [make(), make()]
    whole.lookup(torch.cat(batches)).square().sum().backward()
    for table, batch in zip(alone, batches, strict=True):
        table.lookup(batch).square().sum().backward()
    sent = [table.gradient() for table in alone]
    asked = []

    def exchange(rows, grad):
        asked.append(rows.tolist())
        return tuple(map(torch.cat, zip(*sent, strict=True)))

    for batch in (*batches, torch.tensor([], dtype=torch.long)):
        worker = make()
        worker.exchange = exchange
        worker.lookup(batch).square().sum().backward()
        torch.testing.assert_close(dense_gradient(worker), dense_gradient(whole))
        dense_gradient(worker)
    worker = make()
    worker.exchange = exchange
    assert worker.gradient() is not None  # a worker that looked nothing up takes part
    assert asked == [[1, 2], [2, 5], [], []]


def test_rows_outside_the_table_are_refused():
    with pytest.raises((IndexError, RuntimeError)):
        make().lookup(torch.tensor([12]))
