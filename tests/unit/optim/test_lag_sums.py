from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nextrec.optim.lag_sums import LagSums, _Mirror

RATIOS = [0.6, 0.5]


def loop(ratio: float, t: int, drivers: list[float], keeps: list[float]) -> float:
    """The definition; step s is at index s - 1."""
    now, total = len(drivers), 0.0
    for j in range(1, now - t + 1):
        total += ratio**j * drivers[t + j - 1] * math.prod(keeps[t + j :])
    return total


def run(steps: int, shrink: bool) -> tuple[LagSums, list[list[float]], list[float]]:
    rng = np.random.default_rng(0)
    drivers = rng.random((steps, 2)).tolist()
    keeps = (1 - 0.02 * rng.random(steps) * shrink).tolist()
    sums = LagSums(RATIOS, lambda s: s.T.copy(), neutral=[0.0, 0.0])
    for x, keep in zip(drivers, keeps, strict=True):
        sums.advance(x, keep)
    return sums, drivers, keeps


@pytest.mark.parametrize("shrink", [False, True])
def test_sums_equal_their_definition_within_and_beyond_the_window(shrink):
    sums, drivers, keeps = run(130, shrink)
    assert sums.window < 100
    last = torch.arange(131, dtype=torch.int32)
    first = [x[0] for x in drivers]
    expected = [loop(RATIOS[0], t, first, keeps) for t in range(131)]
    np.testing.assert_allclose(sums.gather(last)[:, 0].numpy(), expected, rtol=1e-12)
    kept = sums.kept(last)
    if shrink:
        assert kept is not None
        np.testing.assert_allclose(kept, [math.prod(keeps[t:]) for t in range(131)], rtol=1e-12)
    else:
        assert kept is None
        second = [loop(RATIOS[1], t, [x[1] for x in drivers], keeps) for t in range(131)]
        np.testing.assert_allclose(sums.gather(last)[:, 1].numpy(), second, rtol=1e-12)


def test_longer_than_the_first_reservation():
    sums, drivers, keeps = run(2500, shrink=True)
    last = torch.tensor([0, 3, 1023, 1024, 2040, 2480, 2500])
    expected = [loop(RATIOS[0], t, [x[0] for x in drivers], keeps) for t in last.tolist()]
    np.testing.assert_allclose(sums.gather(last)[:, 0].numpy(), expected, rtol=1e-11)


def test_drivers_of_zero_owe_nothing_and_zero_ratio_has_a_window():
    sums = LagSums([0.0], lambda s: s.T, neutral=[0.0])
    for _ in range(3):
        sums.advance([0.0], 1.0)
    assert sums.window == 1
    assert not sums.gather(torch.tensor([0, 1, 2, 3])).any()


def test_restore_continues_with_the_same_bits():
    sums, _, _ = run(70, shrink=True)
    copy = LagSums(RATIOS, lambda s: s.T.copy(), neutral=[0.0, 0.0])
    saved = sums.tensors()
    assert {name: tuple(each.shape) for name, each in saved.items()} == sums.shapes(now=70)
    copy.restore(saved)
    for each in (sums, copy):
        each.advance([0.3, 0.1], 0.99)
    last = torch.arange(72)
    assert torch.equal(sums.gather(last), copy.gather(last))


def test_mirror_on_another_device_follows():
    sums, device = LagSums([0.7], lambda s: s.T, neutral=[0.0]), torch.device("cpu")
    mirror = _Mirror.empty(sums._table, sums._log_keep, device)
    for step in range(200):
        sums.advance([1.0 + step], 0.999)
        if step % 7 == 0 or step > 190:  # it may be asked after any number of steps
            mirror.follow(sums._table, sums._log_keep, sums.now, sums.window)
            end = sums.now + 1
            assert np.array_equal(mirror.table[:end], sums._table[:end])
            assert np.array_equal(mirror.log_keep[:end], sums._log_keep[:end])
