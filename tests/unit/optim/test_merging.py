from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextrec.optim.merging import Merge, MergeCache


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 3))
def test_merge_sums_and_expands_like_a_loop(flat, width):
    rows = torch.tensor(flat, dtype=torch.long)
    values = torch.arange(len(flat) * width, dtype=torch.float64).view(-1, width)
    merge = Merge(rows, num_rows=21)
    expected: dict[int, np.ndarray] = {}
    for row, value in zip(flat, values.numpy(), strict=True):
        expected[row] = expected.get(row, np.zeros(width)) + value
    assert merge.rows.tolist() == sorted(expected)
    for row, total in zip(merge.rows.tolist(), merge.sum(values).numpy(), strict=True):
        np.testing.assert_array_equal(total, expected[row])
    assert torch.equal(merge.expand(merge.rows.unsqueeze(1)).squeeze(1), rows)


def test_rows_beyond_int32_are_kept():
    far = 2**31 + 5
    merge = Merge(torch.tensor([far, 5, far]), num_rows=2**32)
    assert merge.rows.tolist() == [5, far]


def test_same_bits_for_any_number_of_threads():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 900, (50_000,), generator=generator)
    values = torch.randn(50_000, 8, generator=generator)
    before = torch.get_num_threads()
    sums = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            sums += [Merge(rows, 900).sum(values), Merge(rows, 900).sum(values)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(sums[0], each) for each in sums[1:])


def test_cache_shares_the_merge_of_one_tensor():
    cache, rows = MergeCache(), torch.tensor([[3, 1], [1, 2]])
    first = cache.merge(rows, 5)
    assert cache.merge(rows, 9) is first
    assert cache.merge(rows.clone(), 5) is not first
    assert cache.merge(rows.t(), 5) is not first


def test_cache_notices_a_change_in_place():
    cache, rows = MergeCache(), torch.tensor([3, 1])
    cache.merge(rows, 5)
    rows += 1
    assert cache.merge(rows, 5).rows.tolist() == [2, 4]


def test_cache_keeps_the_tensor_until_it_is_cleared():
    cache = MergeCache()
    merges = [cache.merge(torch.tensor([i, i]), 9) for i in range(9)]
    assert [merge.rows.tolist() for merge in merges] == [[i] for i in range(9)]
    rows = torch.tensor([1])
    first = cache.merge(rows, 9)
    cache.clear()
    assert cache.merge(rows, 9) is not first


@pytest.mark.parametrize("inference", [False, True])
def test_rows_made_in_inference_mode(inference):
    with torch.inference_mode(inference):
        rows = torch.tensor([2, 2, 0])
    assert MergeCache().merge(rows, 3).rows.tolist() == [0, 2]
