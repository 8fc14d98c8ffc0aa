from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.layers.pooling import AveragePooling, ConcatPooling, MaxPooling, SumPooling

POOLS = [AveragePooling, SumPooling, MaxPooling, ConcatPooling]
REDUCE = {
    AveragePooling: lambda rows: rows.mean(0),
    SumPooling: lambda rows: rows.sum(0),
    MaxPooling: lambda rows: rows.max(0).values,
}


def by_loop(pool, x, mask):
    out = []
    for row, real in zip(x, mask, strict=True):
        if pool is ConcatPooling:
            out.append(torch.cat([v if keep else 0 * v for v, keep in zip(row, real, strict=True)]))
        elif real.any():
            out.append(REDUCE[pool](row[real]))
        else:
            out.append(torch.zeros(row.shape[1], dtype=x.dtype))
    return torch.stack(out)


@pytest.mark.parametrize("pool", POOLS)
@given(data=st.data(), B=st.integers(1, 4), L=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_is_the_loop_over_real_positions(pool, data, B, L):
    bits = data.draw(st.lists(st.booleans(), min_size=B * L, max_size=B * L))
    mask = torch.tensor(bits).view(B, L)
    x = torch.randn(B, L, 3, dtype=torch.float64)
    expected = by_loop(pool, x, mask)
    for kind in (torch.bool, torch.int64, torch.float32):
        torch.testing.assert_close(pool()(x, mask.unsqueeze(1).to(kind)), expected)


@pytest.mark.parametrize("pool", POOLS)
def test_no_mask_makes_every_position_real(pool):
    x = torch.randn(3, 4, 2)
    torch.testing.assert_close(pool()(x), by_loop(pool, x, torch.ones(3, 4, dtype=torch.bool)))
    assert pool()(x).shape == ((3, 8) if pool is ConcatPooling else (3, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pool", POOLS)
def test_an_empty_row_gives_zeros_and_no_gradient(pool, dtype):
    x = torch.randn(2, 5, 3).to(dtype).requires_grad_()
    mask = torch.tensor([[[0, 0, 0, 0, 0]], [[1, 0, 1, 0, 0]]])
    y = pool()(x, mask)
    (y * torch.randn_like(y)).sum().backward()
    assert y.dtype == dtype
    assert (y[0] == 0).all()
    assert torch.isfinite(y).all()
    assert (x.grad[mask.squeeze(1) == 0] == 0).all()
    assert (x.grad[mask.squeeze(1) == 1] != 0).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_mean_of_a_long_sequence_in_half_precision(dtype):
    # The sum overflows float16, and bfloat16 can't count to 257.
    x = torch.full((1, 257, 2), 255.0, dtype=dtype)
    assert torch.equal(AveragePooling()(x, torch.ones(1, 1, 257)), x[:, 0])


def test_the_mean_by_weights():
    x = torch.tensor([[[1.0], [3.0]]])
    weights = torch.tensor([[[0.25, 0.25]]])
    assert AveragePooling()(x, weights).item() == pytest.approx(2.0)


def test_the_largest_of_negative_values_is_not_the_padding():
    x = torch.tensor([[[-5.0], [0.0]]])
    assert MaxPooling()(x, torch.tensor([[[1, 0]]])).item() == -5


@pytest.mark.parametrize("pool", POOLS)
def test_gradients(pool):
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 1, 1]]])
    assert torch.autograd.gradcheck(lambda x: pool()(x, mask), (x,))
