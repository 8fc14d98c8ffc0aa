from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.optim import RowOptimizer, RowTable
from nextrec.optim.row_rules import SGD, Adagrad, LazyAdam, RMSprop, RowRule, RowwiseAdagrad, power


def schedule(step: int) -> float:
    return 1e-2 * (1 + 0.9 * math.sin(step / 15)) * (step > 3)


@pytest.mark.parametrize(
    ("rule", "dense", "options"),
    [
        (SGD, torch.optim.SGD, {}),
        (SGD, torch.optim.SGD, {"momentum": 0.9}),
        (SGD, torch.optim.SGD, {"momentum": 0.5, "dampening": 0.3}),
        (SGD, torch.optim.SGD, {"momentum": 0.97, "nesterov": True}),
        (Adagrad, torch.optim.Adagrad, {}),
        (Adagrad, torch.optim.Adagrad, {"lr_decay": 0.01, "initial_accumulator_value": 0.1}),
        (RMSprop, torch.optim.RMSprop, {}),
        (RMSprop, torch.optim.RMSprop, {"alpha": 0.5, "eps": 1e-3}),
    ],
)
def test_equals_dense_training(compare, rule, dense, options):
    found = compare(rule, dense, lr=schedule, **options)
    assert found.relative.max() < 1e-6
    assert found.relative.mean() < 1e-8


def one_row(rule: type[RowRule], **options) -> tuple[RowTable, RowOptimizer]:
    table = RowTable(nn.Parameter(torch.tensor([[0.0, 0.0], [1.0, -2.0]], dtype=torch.float64)))
    return table, RowOptimizer([table], rule({**rule.defaults, "lr": 0.1, **options}))


def step(table: RowTable, rows: RowOptimizer, grad: list[float]) -> list[float]:
    table.lookup(torch.tensor([1])).backward(torch.tensor([grad], dtype=torch.float64))
    rows.step()
    return table.weight[1].tolist()


@pytest.mark.parametrize("rule", [SGD, Adagrad, RMSprop, LazyAdam])
def test_coupled_weight_decay_is_part_of_the_gradient(rule):
    decayed, plain = one_row(rule, weight_decay=0.5), one_row(rule)
    for _ in range(4):
        weight = plain[0].weight[1].detach()
        grad = [float(0.3 + 0.5 * weight[0]), float(-0.1 + 0.5 * weight[1])]
        np.testing.assert_allclose(step(*decayed, [0.3, -0.1]), step(*plain, grad), rtol=1e-12)


def test_rowwise_adagrad_is_its_formula():
    table, rows = one_row(RowwiseAdagrad, initial_accumulator_value=0.2, lr_decay=0.5, eps=1e-3)
    weight, total = np.array([1.0, -2.0]), 0.2
    for i, grad in enumerate(np.array([[0.3, -0.4], [1.0, 2.0], [0.0, 0.5]])):
        total += np.mean(grad**2)
        weight -= 0.1 / (1 + 0.5 * i) * grad / (math.sqrt(total) + 1e-3)
        np.testing.assert_allclose(step(table, rows, grad.tolist()), weight, rtol=1e-12)
    assert rows.tensors()["0.sum"].shape == (2, 1)


def test_lazy_adam_is_sparse_adam_where_eps_is_nothing():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    dense, table = nn.Parameter(start.clone()), RowTable(nn.Parameter(start.clone()))
    reference = torch.optim.SparseAdam([dense], lr=0.05, eps=1e-30)
    rows = RowOptimizer([table], LazyAdam({**LazyAdam.defaults, "lr": 0.05, "eps": 1e-30}))
    for _ in range(60):
        touched = torch.randint(0, 19, (5,), generator=generator)
        grad = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        table.lookup(touched).backward(grad)
        dense.grad = torch.sparse_coo_tensor(
            touched.unsqueeze(0), grad, (20, 3), check_invariants=True
        ).coalesce()
        rows.step()
        reference.step()
    torch.testing.assert_close(table.weight, dense, rtol=1e-9, atol=1e-12)
    assert torch.equal(table.weight[19], start[19])


@pytest.mark.parametrize(
    ("rule", "options", "changed"),
    [
        (SGD, {"momentum": 0.9}, {"momentum": 0.8}),
        (SGD, {"momentum": 0.9}, {"nesterov": True}),
        (RMSprop, {}, {"alpha": 0.9}),
    ],
)
def test_what_the_sums_rest_on_must_not_change(rule, options, changed):
    table, rows = one_row(rule, **options)
    step(table, rows, [1.0, 1.0])
    rows.rule.group.update(changed)
    with pytest.raises(ConfigError, match=next(iter(changed))):
        step(table, rows, [1.0, 1.0])


def test_power():
    exponents, like = torch.tensor([0.0, 1.0, 5000.0], dtype=torch.float64), torch.zeros(1)
    assert power(0.0, exponents, like).tolist() == [1, 0, 0]
    np.testing.assert_allclose(
        power(0.999, exponents, like), np.float32([1, 0.999, 0.999**5000]), rtol=1e-7
    )
