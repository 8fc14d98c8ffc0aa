"""The two-task toy problem of the CAGrad, Nash-MTL and FAMO papers.

Liu et al., Conflict-averse gradient descent (NeurIPS 2021), appendix; with the first loss scaled by
0.1 as in Navon et al. (ICML 2022) and Liu et al. (NeurIPS 2023). The losses of (x, y) are

    f1 = c1 (log max(|0.5 (-x - 7) - tanh(-y)|, 5e-6) + 6) + c2 (((-x + 7)^2 + v) / 10 - 20)
    f2 = c1 (log max(|0.5 (-x + 3) + tanh(-y) + 2|, 5e-6) + 6) + c2 (((-x - 7)^2 + v) / 10 - 20)

with v = 0.1 (-y - 8)^2, c1 = max(tanh(y / 2), 0), c2 = max(tanh(-y / 2), 0). The papers start Adam
from the five points of :data:`STARTS`. Above y = 0 lie the valleys of the logarithms, where the sum
of the losses gets stuck; the Pareto set is a curve near y = -8.36 with x between -7 and 7.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nextrec.loss.balancing import GradientBalancer, make_balancer
from nextrec.tasks import make_tasks

TASKS = make_tasks("regression", ["first", "second"])
STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
STEPS, RATE, SCALE = 5000, 2e-2, 0.1
Point = tuple[float, float]


def losses_of(x: Tensor, y: Tensor) -> Tensor:
    """``(2,)`` as published."""
    upper, lower = (y / 2).tanh().clamp(min=0), (-y / 2).tanh().clamp(min=0)
    valley1 = (0.5 * (-x - 7) - (-y).tanh()).abs().clamp(min=5e-6).log() + 6
    valley2 = (0.5 * (-x + 3) + (-y).tanh() + 2).abs().clamp(min=5e-6).log() + 6
    bowl1 = ((-x + 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20
    bowl2 = ((-x - 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20
    first, second = upper * valley1 + lower * bowl1, upper * valley2 + lower * bowl2
    return torch.stack([SCALE * first, second])


def losses_and_gradients(x: float, y: float) -> tuple[list[float], np.ndarray]:
    """The same two losses and their gradients ``(2, 2)``, by hand: autograd takes a minute."""
    half, slope = math.tanh(y / 2), 0.5 * (1 - math.tanh(y / 2) ** 2)
    t, dt = math.tanh(y), 1 - math.tanh(y) ** 2
    losses, grads = [], []
    for factor, inside, sign, center in (
        (SCALE, 0.5 * (-x - 7) + t, 1, 7),
        (1.0, 0.5 * (-x + 3) - t + 2, -1, -7),
    ):
        if y > 0:
            flat = abs(inside) <= 5e-6
            valley = math.log(max(abs(inside), 5e-6)) + 6
            dx = 0.0 if flat else -0.5 / inside
            dy = 0.0 if flat else sign * dt / inside
            losses.append(factor * half * valley)
            grads.append([factor * half * dx, factor * (slope * valley + half * dy)])
        else:
            bowl = ((x - center) ** 2 + 0.1 * (y + 8) ** 2) / 10 - 20
            losses.append(factor * -half * bowl)
            dx, dy = (x - center) / 5, (y + 8) / 50
            grads.append([factor * -half * dx, factor * (-slope * bowl - half * dy)])
    return losses, np.array(grads)


@functools.cache
def end(name: str, start: Point, steps: int = STEPS) -> Point:
    """Where Adam leads along a balancer's direction (fewer and longer steps than the papers')."""
    torch.manual_seed(0)
    options = {"min_losses": [-21 * SCALE, -21.0]} if name == "famo" else {}
    balancer = make_balancer(TASKS, name, options)
    point, mean, square = np.array(start), np.zeros(2), np.zeros(2)
    seen = torch.ones(2, dtype=torch.bool)
    for step in range(1, steps + 1):
        losses, grads = losses_and_gradients(*point.tolist())
        weights = np.ones(2)
        if isinstance(balancer, GradientBalancer):
            weights = balancer.combine(grads @ grads.T) if grads.any(axis=1).all() else weights
        elif balancer is not None:
            weights = balancer.weigh(torch.tensor(losses), seen).shared.numpy()
        grad = weights @ grads
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad * grad
        rate = RATE if step < 0.8 * steps else RATE / 10
        unbiased = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        point = point - rate * mean / (1 - 0.9**step) / unbiased
        if balancer is not None and balancer.looks_again:
            balancer.after_update(torch.tensor(losses_and_gradients(*point.tolist())[0]), seen)
    return float(point[0]), float(point[1])


def on_front(point: Point) -> bool:
    return -8.5 < point[1] < -7.9 and -7.1 < point[0] < 7.1


@pytest.mark.parametrize("point", [*STARTS[::2], (1.5, -3.0), (-4.0, 2.0)])
def test_the_gradients_by_hand_are_those_of_the_published_losses(point):
    x, y = (torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in point)
    losses = losses_of(x, y)
    expected = [torch.stack(torch.autograd.grad(f, (x, y), retain_graph=True)) for f in losses]
    values, grads = losses_and_gradients(*point)
    np.testing.assert_allclose(values, losses.detach())
    np.testing.assert_allclose(grads, torch.stack(expected), rtol=1e-9)


def test_the_sum_of_the_losses_is_stuck_from_one_start_and_serves_the_larger_loss_from_others():
    assert not on_front(end("equal", (9.0, 9.0)))
    assert on_front(end("equal", (-7.5, -0.5)))
    # The sum's minimum on the front, 0.1 (x - 7) + (x + 7) = 0, almost the second task's own.
    assert end("equal", (-7.5, -0.5))[0] == pytest.approx(-6.3 / 1.1, abs=0.05)


@pytest.mark.parametrize("name", ["pcgrad", "mgda", "imtl_g", "nash_mtl", "famo"])
def test_others_reach_the_front_from_where_the_sum_is_stuck(name):
    assert on_front(end(name, (9.0, 9.0)))


def test_cagrad_reaches_the_minimum_of_the_mean_loss():
    point = end("cagrad", (-7.5, -0.5))
    assert on_front(point)
    assert point[0] == pytest.approx(-6.3 / 1.1, abs=0.05)


@pytest.mark.parametrize("name", ["imtl_g", "nash_mtl"])
def test_methods_that_no_scale_changes_reach_the_middle_of_the_front(name):
    """Whatever the first loss is multiplied by, from the symmetric start both tasks gain alike."""
    point = end(name, (0.0, 0.0))
    assert on_front(point)
    assert abs(point[0]) < 0.2


def test_mgda_stops_at_any_point_of_the_front():
    start = (3.0, -8.38)
    assert end("mgda", start, steps=1500)[0] == pytest.approx(3.0, abs=0.1)
    assert end("equal", start, steps=1500)[0] == pytest.approx(-6.3 / 1.1, abs=0.05)
