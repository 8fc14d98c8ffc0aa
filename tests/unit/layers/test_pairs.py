"""Products of pairs of fields."""

from __future__ import annotations

import itertools

import pytest
import torch

from nextrec.layers.pairs import pair_inner_products, pair_positions, pair_products


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
