"""Products of pairs of fields."""

from __future__ import annotations

import itertools

import pytest
import torch

from nextrec.layers.pairs import (
    pair_inner_products,
    pair_positions,
    pair_products,
    weighted_pair_sum,
)


def test_pair_products_are_in_the_order_of_combinations():
    left, right = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    expected = [left[:, i] * right[:, j] for i, j in itertools.combinations(range(4), 2)]
    assert torch.equal(pair_products(left, right), torch.stack(expected, 1))
    assert torch.equal(pair_products(left[:, :3], right), torch.stack(expected, 1))


@pytest.mark.parametrize("fields", [2, 3, 7])
def test_inner_products_are_in_the_same_order(fields):
    left, right = torch.randn(4, fields, 5), torch.randn(4, fields, 5)
    pairs = list(itertools.combinations(range(fields), 2))
    expected = torch.stack([(left[:, i] * right[:, j]).sum(-1) for i, j in pairs], 1)
    torch.testing.assert_close(pair_inner_products(left, right), expected)
    torch.testing.assert_close(pair_products(left, right).sum(-1), expected)
    assert pair_positions(fields).tolist() == [i * fields + j for i, j in pairs]


def test_one_field_has_no_pair():
    assert pair_inner_products(torch.ones(2, 1, 3), torch.ones(2, 1, 3)).shape == (2, 0)


def bilinear(x: torch.Tensor, matrices: list[torch.Tensor]) -> torch.Tensor:
    pairs = itertools.combinations(range(x.shape[1]), 2)
    terms = [
        torch.einsum("bd,de,be->b", x[:, i], m, x[:, j])
        for (i, j), m in zip(pairs, matrices, strict=True)
    ]
    return torch.stack(terms, 1).sum(1, keepdim=True)


@pytest.mark.parametrize("fields", [2, 3, 6])
@pytest.mark.parametrize("shape", [(), (4,), (4, 4)])
def test_weighted_pair_sum_is_the_sum_of_the_bilinear_forms(fields, shape):
    pairs = fields * (fields - 1) // 2
    x = torch.randn(5, fields, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(pairs, *shape, dtype=torch.float64, requires_grad=True)
    matrices = list(weight) if len(shape) == 2 else [torch.diag(w.expand(4)) for w in weight]
    expected = bilinear(x, matrices)
    torch.testing.assert_close(weighted_pair_sum(x, weight), expected)
    ours = torch.autograd.grad(weighted_pair_sum(x, weight).square().sum(), (x, weight))
    theirs = torch.autograd.grad(expected.square().sum(), (x, weight))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(), (4,), (4, 4)])
def test_weighted_pair_sum_works_under_autocast(shape):
    x, weight = torch.randn(3, 5, 4), torch.randn(10, *shape)
    with torch.autocast("cpu", torch.bfloat16):
        near = weighted_pair_sum(x, weight)
    torch.testing.assert_close(near.float(), weighted_pair_sum(x, weight), rtol=0.1, atol=0.3)
