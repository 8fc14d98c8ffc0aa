from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nextrec.errors import ConfigError
from nextrec.optim import RowOptimizer, RowTable
from nextrec.optim.row_adam import Adam, AdamW, two_node_rule
from nextrec.optim.row_rules import LazyAdam


def schedule(step: int) -> float:
    """A warm-up from 0, then up and down."""
    return 1e-2 * min(1.0, step / 20) * (1 + 0.9 * math.sin(step / 30))


@pytest.mark.parametrize(
    ("rule", "dense", "options", "mean"),
    [
        (Adam, torch.optim.Adam, {}, 1e-6),
        (Adam, torch.optim.Adam, {"betas": (0.5, 0.9)}, 1e-6),
        (Adam, torch.optim.Adam, {"betas": (0.9, 0.95)}, 5e-5),  # eps counts for more
        (Adam, torch.optim.Adam, {"betas": (0.0, 0.99)}, 1e-15),
        (Adam, torch.optim.Adam, {"eps": 1e-3}, 1e-6),
        (AdamW, torch.optim.AdamW, {"weight_decay": 0.3}, 1e-6),
        (AdamW, torch.optim.AdamW, {"weight_decay": 0.0}, 1e-6),
    ],
)
def test_equals_dense_training(compare, rule, dense, options, mean):
    found = compare(rule, dense, steps=650, lr=schedule, **options)
    assert found.relative.mean() < mean
    assert found.relative.max() < 30 * mean + 5e-5
    assert found.relative.median() < 1e-8


def test_gradients_near_eps(compare):
    found = compare(Adam, torch.optim.Adam, steps=650, lr=schedule, scales=(-9, -7))
    assert found.relative.mean() < 2e-6
    assert found.relative.max() < 1e-4


def test_single_precision_rounds_like_single_precision(compare):
    found = compare(Adam, torch.optim.Adam, steps=650, lr=schedule, dtype=torch.float32)
    assert found.relative.mean() < 2e-6
    assert found.relative.max() < 1e-4


@pytest.mark.parametrize(
    ("rule", "dense", "dtype"),
    [
        (Adam, torch.optim.Adam, torch.float64),
        (AdamW, torch.optim.AdamW, torch.float64),
        (AdamW, torch.optim.AdamW, torch.float32),
    ],
)
def test_gaps_of_thousands(rule, dense, dtype):
    start = torch.tensor([[1.0], [-2.0], [0.5]], dtype=dtype)
    weight, reference = nn.Parameter(start.clone()), nn.Parameter(start.clone().double())
    group = {**rule.defaults, "lr": 1e-2, "weight_decay": 0.1 if rule is AdamW else 0.0}
    table, adam = RowTable(weight), dense([reference], lr=1e-2, weight_decay=group["weight_decay"])
    rows = RowOptimizer([table], rule(group))
    for step in range(2001):
        adam.param_groups[0]["lr"] = group["lr"] = 1e-2 / (1 + step / 500)
        reference.grad = torch.zeros_like(reference)
        if step in (0, 7, 2000):  # row 0, never row 2; row 1 every step
            table.lookup(torch.tensor([0])).backward(torch.tensor([[0.3]], dtype=dtype))
            reference.grad[0] = 0.3
        table.lookup(torch.tensor([1])).backward(torch.tensor([[-0.1]], dtype=dtype))
        reference.grad[1] = -0.1
        adam.step()
        rows.step()
    atol = 1e-8 if dtype is torch.float64 else 5e-5  # row 1: 2,001 roundings
    torch.testing.assert_close(rows.current(table).double(), reference.detach(), rtol=0, atol=atol)


def test_eps_zero_leaves_untouched_rows_alone():
    table = RowTable(nn.Parameter(torch.ones(3, 2)))
    rows = RowOptimizer([table], Adam({**Adam.defaults, "eps": 0.0}))
    for _ in range(5):
        table.lookup(torch.tensor([1])).backward(torch.tensor([[1.0, -1e-15]]))
        rows.step()
    current = rows.current(table)
    assert torch.equal(current[[0, 2]], torch.ones(2, 2))
    assert torch.isfinite(current).all()
    assert not torch.equal(current[1], torch.ones(2))


def test_all_rows_in_all_steps_is_torchs_adam_and_lazy_adam():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, generator=generator)
    reference, tables = nn.Parameter(start.clone()), []
    adam = torch.optim.Adam([reference], lr=1e-2, foreach=False)
    for rule in (Adam, LazyAdam):
        table = RowTable(nn.Parameter(start.clone()))
        tables.append((table, RowOptimizer([table], rule({**rule.defaults, "lr": 1e-2}))))
    for _ in range(50):
        grad = torch.randn(4, 3, generator=generator)
        reference.grad = grad.clone()
        adam.step()
        for table, rows in tables:
            table.lookup(torch.arange(4)).backward(grad)
            rows.step()
    for table, _ in tables:
        torch.testing.assert_close(table.weight, reference, rtol=1e-6, atol=1e-7)


def test_momentum_that_never_comes_to_rest_is_refused():
    with pytest.raises(ConfigError, match="betas"):
        Adam({**Adam.defaults, "betas": (0.99, 0.98)})


def test_betas_must_not_change():
    table = RowTable(nn.Parameter(torch.ones(3, 2)))
    rows = RowOptimizer([table], Adam(dict(Adam.defaults)))
    rows.step()
    rows.rule.group["betas"] = (0.8, 0.999)
    with pytest.raises(ConfigError, match="betas"):
        rows.step()


def test_decay_that_would_turn_the_sign_is_refused():
    rows = RowOptimizer([], AdamW({**AdamW.defaults, "lr": 2.0, "weight_decay": 0.5}))
    with pytest.raises(ConfigError, match="weight_decay"):
        rows.step()


weights = st.floats(1e-3, 1e3)


@settings(max_examples=200)
@given(st.lists(st.tuples(weights, weights), min_size=1, max_size=6), st.floats(1e-6, 1e6))
def test_two_node_rule_is_exact_for_two_nodes_and_bounded_for_more(nodes, s):
    w, g = np.array(nodes).T
    total, a, b, c = two_node_rule(np.array([[(w / g**i).sum()] for i in range(4)]))[0]
    found, exact = total * (s + a) / (s * s + b * s + c), (w / (s + g)).sum()
    if len(nodes) <= 2:
        assert found == pytest.approx(exact, rel=1e-5)
    assert (w / (s + g.max())).sum() * (1 - 1e-6) <= found
    assert found <= (w / (s + g.min())).sum() * (1 + 1e-6)
