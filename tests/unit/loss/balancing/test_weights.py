"""Weights of each method against its formula, written out with vectors, loops and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from torch import Tensor

from nextrec.errors import CheckpointError, ConfigError, TrainingError
from nextrec.loss.balancing import (
    BALANCERS,
    FAMO,
    IMTL,
    IMTLG,
    IMTLL,
    MGDA,
    Balancer,
    CAGrad,
    DynamicWeightAverage,
    GradientBalancer,
    GradNorm,
    NashMTL,
    PCGrad,
    RandomWeights,
    Uncertainty,
    make_balancer,
    options_of,
)
from nextrec.tasks import make_tasks

NAMES = [name for name in BALANCERS if name != "equal"]
COMBINING = [name for name in NAMES if issubclass(BALANCERS[name], GradientBalancer)]  # type: ignore[arg-type]


def tasks(count: int) -> Any:
    return make_tasks("binary", [f"t{i}" for i in range(count)])


def make(name: str, count: int, **options: Any) -> Balancer:
    balancer = make_balancer(tasks(count), name, options)
    assert balancer is not None
    return balancer


def vectors(count: int, width: int, seed: int, conflict: float = 0.0) -> np.ndarray:
    """Task gradients ``(T, n)`` of very different lengths; a common part makes them disagree."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(count, width))
    plain[::2] -= conflict * plain.mean(0)
    return plain * np.exp(rng.normal(size=(count, 1)))


def direction(balancer: Balancer, grads: np.ndarray) -> np.ndarray:
    """What the shared parameters get, with all tasks in the batch and losses of 1."""
    losses, seen = torch.ones(len(grads), dtype=torch.float64), torch.ones(len(grads)).bool()
    gram = torch.from_numpy(grads @ grads.T)
    return balancer.weigh(losses, seen, gram).shared.numpy() @ grads


def all_seen(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


# -- methods that combine gradients ------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5])
def test_pcgrad_is_the_loop_over_vectors(count):
    grads = vectors(count, 4, seed=count, conflict=3.0)
    torch.manual_seed(7)
    found = direction(PCGrad(tasks(count)), grads)
    torch.manual_seed(7)
    total, conflicts = np.zeros(4), 0
    for i in range(count):
        projected = grads[i].copy()
        for j in torch.randperm(count).tolist():
            inner = projected @ grads[j]
            if i != j and inner < 0:
                projected = projected - inner / (grads[j] @ grads[j]) * grads[j]
                conflicts += 1
        total += projected
    assert conflicts
    np.testing.assert_allclose(found, total, rtol=1e-12)


@given(st.lists(st.floats(-10, 10), min_size=6, max_size=6))
def test_pcgrad_of_two_tasks_goes_against_neither(numbers):
    grads = np.array(numbers).reshape(2, 3)
    found = direction(PCGrad(tasks(2)), grads)
    assert (grads @ found >= -1e-9 * (1 + (grads**2).sum())).all()


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("width", [2, 8])
def test_mgda_is_the_quadratic_program(count, width):
    grads = vectors(count, width, seed=10 * count + width)
    found = direction(MGDA(tasks(count)), grads) / count
    start = np.full(count, 1 / count)
    program = minimize(
        lambda w: ((w @ grads) ** 2).sum(),
        start,
        jac=lambda w: 2 * grads @ (w @ grads),
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-16, "maxiter": 1000},
    )
    assert found @ found <= program.fun + 1e-9
    np.testing.assert_allclose(found, program.x @ grads, atol=1e-4)
    # The condition of the minimum: no gradient has a smaller product with the point than it itself.
    assert (grads @ found >= found @ found - 1e-8).all()


@pytest.mark.parametrize("scale", [1e-4, 1e-6, 1e-8])
def test_mgda_weighs_short_gradients_beside_a_long_one(scale):
    """Two orthogonal short gradients share the weight by their lengths; the long one has none."""
    grads = np.array([[1.0, 0.0, 1.0], [scale, 0.0, 0.0], [0.0, 2 * scale, 0.0]])
    np.testing.assert_allclose(MGDA(tasks(3)).combine(grads @ grads.T), [0, 2.4, 0.6], atol=1e-6)


def test_mgda_stops_where_no_direction_helps_all():
    grads = np.array([[1.0, 0.0], [-2.0, 0.0]])
    np.testing.assert_allclose(direction(MGDA(tasks(2)), grads), 0.0, atol=1e-12)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(-0.99, 0.99))
def test_mgda_of_two_tasks_is_the_closed_form(first, second, cosine):
    gram = np.array([[first**2, first * second * cosine], [0.0, second**2]])
    gram[1, 0] = gram[0, 1]
    weight = (gram[1, 1] - gram[0, 1]) / (gram[0, 0] + gram[1, 1] - 2 * gram[0, 1])
    weight = min(max(weight, 0.0), 1.0)
    np.testing.assert_allclose(
        MGDA(tasks(2)).combine(gram), [2 * weight, 2 - 2 * weight], atol=1e-8
    )


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("c", [0.2, 0.5])
def test_cagrad_is_the_best_direction_in_its_ball(count, c):
    grads = vectors(count, 6, seed=count, conflict=1.5)
    mean = grads.mean(0)
    found = direction(CAGrad(tasks(count), c=c), grads) / count
    radius = c * np.linalg.norm(mean)
    assert np.linalg.norm(found - mean) <= radius * (1 + 1e-6)
    # The primal problem, with the least product as a variable of its own.
    best = minimize(
        lambda z: -z[-1],
        np.append(mean, (grads @ mean).min()),
        constraints=[
            {"type": "ineq", "fun": lambda z: grads @ z[:-1] - z[-1]},
            {"type": "ineq", "fun": lambda z: radius**2 - ((z[:-1] - mean) ** 2).sum()},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert (grads @ found).min() == pytest.approx(best.x[-1], rel=1e-5, abs=1e-7)
    np.testing.assert_allclose(found, best.x[:-1], rtol=1e-3, atol=1e-4)


def test_cagrad_of_two_tasks_on_a_fine_grid():
    grads, c = vectors(2, 3, seed=1, conflict=4.0), 0.4
    mean = grads.mean(0)
    radius = c * np.linalg.norm(mean)
    shares = np.linspace(0, 1, 1_000_001)[:, None]
    points = shares * grads[0] + (1 - shares) * grads[1]
    values = points @ mean + radius * np.linalg.norm(points, axis=1)
    point = points[values.argmin()]
    expected = 2 * (mean + radius * point / np.linalg.norm(point))
    np.testing.assert_allclose(direction(CAGrad(tasks(2), c=c), grads), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e-5, 1e-8])
@pytest.mark.parametrize("count", [2, 3])
def test_cagrad_turns_by_its_whole_radius_to_a_task_with_short_gradients(scale, count):
    """The helped least is the last: the direction is g_0 + c |g_0| u with its unit vector u."""
    grads = np.eye(count, 4)
    grads[-1] *= scale
    mean, units = grads.mean(0), np.eye(4)
    expected = count * (mean + 0.4 * np.linalg.norm(mean) * units[count - 1])
    np.testing.assert_allclose(direction(CAGrad(tasks(count)), grads), expected, atol=5e-3)


def test_cagrad_without_a_radius_is_the_sum():
    grads = vectors(3, 4, seed=0)
    np.testing.assert_allclose(direction(CAGrad(tasks(3), c=0), grads), grads.sum(0))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_imtl_g_has_equal_projections_and_is_the_papers_closed_form(count):
    grads = vectors(count, 7, seed=count)
    found = direction(IMTLG(tasks(count)), grads)
    units = grads / np.linalg.norm(grads, axis=1, keepdims=True)
    projections = units @ found
    np.testing.assert_allclose(projections, projections[0], rtol=1e-5)
    differences, unit_differences = grads[0] - grads[1:], units[0] - units[1:]
    rest = grads[0] @ unit_differences.T @ np.linalg.inv(differences @ unit_differences.T)
    alphas = np.append(1 - rest.sum(), rest)
    np.testing.assert_allclose(found, count * alphas @ grads, rtol=1e-4)


def test_imtl_g_of_parallel_gradients_is_not_chosen_by_rounding():
    plain = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    grads = np.outer([1.0, 10.0, 100.0], plain).astype(np.float32)
    gram = (grads @ grads.T).astype(np.float64)
    for seed in range(20):  # errors of the size of a float32's
        noise = np.random.default_rng(seed).normal(size=(3, 3)) * 5e-8
        found = IMTLG(tasks(3)).combine(gram * (1 + noise + noise.T)) @ [1.0, 10.0, 100.0]
        assert found == pytest.approx(9 / 1.11, rel=0.5)  # each a third of the projection


@pytest.mark.parametrize("count", [2, 3, 5])
def test_nash_solves_its_equation_and_the_bargaining_problem(count):
    grads = vectors(count, 7, seed=count, conflict=1.0)
    balancer = NashMTL(tasks(count))
    alphas = balancer.combine(grads @ grads.T)
    assert (alphas > 0).all()
    np.testing.assert_allclose(grads @ grads.T @ alphas * alphas, 1.0, rtol=1e-4)
    found = direction(balancer, grads)
    assert found @ found == pytest.approx(count, rel=1e-4)
    # Of all directions of this length none has a larger product of gains.
    units = np.linalg.norm(grads, axis=1)
    start = np.linalg.pinv(grads) @ units  # all gain alike
    best = minimize(
        lambda d: -np.log(np.maximum(grads @ d / units, 1e-9)).sum(),
        start * np.sqrt(count / (start @ start)),
        constraints={"type": "eq", "fun": lambda d: d @ d - count},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    np.testing.assert_allclose(found, best.x, atol=2e-3)


def test_nash_of_two_tasks_does_not_change_with_a_losss_scale():
    grads = vectors(2, 4, seed=3)
    once = direction(NashMTL(tasks(2)), grads)
    np.testing.assert_allclose(
        direction(NashMTL(tasks(2)), grads * [[1000.0], [1.0]]), once, rtol=1e-6
    )


@pytest.mark.parametrize("name", COMBINING)
@pytest.mark.parametrize("count", [2, 4])
def test_equal_gradients_give_their_own_direction(name, count):
    grads = np.repeat(vectors(1, 5, seed=2), count, axis=0)
    found = direction(make(name, count), grads)
    cosine = found @ grads[0] / np.linalg.norm(found) / np.linalg.norm(grads[0])
    assert cosine == pytest.approx(1.0)


@pytest.mark.parametrize("name", COMBINING)
def test_opposite_gradients_and_rounded_ones_give_finite_weights(name):
    for grads in (np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[1e-6, 0], [1e6, 1.0]])):
        rounded = torch.from_numpy(grads.astype(np.float32) @ grads.T.astype(np.float32))
        weights = make(name, 2).weigh(torch.ones(2), all_seen(2), rounded)
        assert weights.shared.isfinite().all()


@pytest.mark.parametrize("name", COMBINING)
def test_a_task_without_labels_or_gradient_is_left_out(name):
    grads = vectors(3, 5, seed=4)
    torch.manual_seed(0)
    two = direction(make(name, 2), grads[:2])
    for seen, last in ((torch.tensor([True, True, False]), grads[2]), (all_seen(3), 0 * grads[2])):
        three = np.vstack([grads[:2], last])
        torch.manual_seed(0)
        weights = make(name, 3).weigh(torch.ones(3), seen, torch.from_numpy(three @ three.T))
        np.testing.assert_allclose(weights.shared.numpy()[:2] @ grads[:2], two, rtol=1e-4)


@pytest.mark.parametrize("name", COMBINING)
def test_nothing_seen_and_broken_gradients_give_plain_weights(name):
    for seen, gram in ((~all_seen(2), torch.eye(2)), (all_seen(2), torch.full((2, 2), math.nan))):
        assert make(name, 2).weigh(torch.ones(2), seen, gram).shared.tolist() == [1.0, 1.0]


# -- methods that weigh losses -----------------------------------------------------------------


def adam_loop(grad: Any, start: float, steps: int, lr: float, decay: float = 0.0) -> list[float]:
    """torch's Adam on one number; ``grad(step, value)``."""
    value = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([value], lr=lr, weight_decay=decay)
    values = [start]
    for step in range(steps):
        value.grad = torch.tensor([grad(step, value.item())], dtype=torch.float64)
        optimizer.step()
        values.append(value.item())
    return values


def test_uncertainty_has_the_form_of_each_kind_and_learns_like_adam():
    both = make_tasks(["binary", "regression"], ["click", "stay"])
    balancer = Uncertainty(both, lr=0.1)
    losses = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    found = torch.stack([balancer.weigh(each, all_seen(2)).shared for each in losses])

    def joint(column: int, factor: float) -> list[float]:
        def grad(step: int, value: float) -> float:
            s = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            sigma = (s / 2).exp()
            (factor / sigma**2 * losses[step, column] + sigma.log()).backward()
            return s.grad.item()  # type: ignore[union-attr]

        values = adam_loop(grad, 0.0, 19, 0.1)
        return [factor * math.exp(-value) for value in values]

    np.testing.assert_allclose(found[:, 0], joint(0, 1.0), rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], joint(1, 0.5), rtol=1e-6)


def test_uncertainty_settles_at_the_loss():
    balancer = Uncertainty(make_tasks(["binary", "regression"], ["a", "b"]), lr=0.05)
    losses = torch.tensor([0.3, 5.0])
    for _ in range(3000):
        weights = balancer.weigh(losses, all_seen(2)).shared
    # d/ds of the joint loss is zero where sigma^2 is 2 L (classification) and L (regression).
    np.testing.assert_allclose(weights, [1 / 0.6, 0.5 / 5.0], rtol=1e-3)


def test_imtl_l_brings_the_scaled_losses_to_one():
    balancer = IMTLL(tasks(2), lr=0.05)
    losses = torch.tensor([0.02, 7.0])
    for _ in range(3000):
        weights = balancer.weigh(losses, all_seen(2)).shared
    np.testing.assert_allclose(weights * losses, 1.0, rtol=1e-3)


def test_imtl_l_learns_like_adam():
    balancer = IMTLL(tasks(2), lr=0.1)
    losses = torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    found = torch.stack([balancer.weigh(each, all_seen(2)).own for each in losses])
    for column in range(2):
        own = losses[:, column].tolist()
        values = adam_loop(lambda i, s, own=own: math.exp(s) * own[i] - 1, 0.0, 8, 0.1)
        np.testing.assert_allclose(found[:, column], np.exp(values), rtol=1e-6)


def test_imtl_is_g_of_the_scaled_losses():
    grads = vectors(3, 6, seed=5)
    losses = torch.tensor([0.5, 2.0, 9.0], dtype=torch.float64)
    balancer, scales = IMTL(tasks(3), lr=0.5), IMTLL(tasks(3), lr=0.5)
    for _ in range(4):
        weights = balancer.weigh(losses, all_seen(3), torch.from_numpy(grads @ grads.T))
        scale = scales.weigh(losses, all_seen(3)).own
    np.testing.assert_allclose(weights.own, scale)
    assert not np.allclose(scale, 1.0)
    expected = direction(IMTLG(tasks(3)), grads * scale.numpy()[:, None])
    np.testing.assert_allclose(weights.shared.numpy() @ grads, expected, rtol=1e-5)


def test_gradnorm_descends_its_loss_and_keeps_the_sum():
    alpha, lr = 1.5, 0.01
    balancer = GradNorm(tasks(3), alpha=alpha, lr=lr)
    losses = torch.tensor([[1.0, 2.0, 4.0], [0.5, 1.8, 4.4], [0.4, 1.9, 2.0]], dtype=torch.float64)
    grams = [torch.from_numpy(g @ g.T) for g in (vectors(3, 4, seed=s) for s in range(3))]
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=lr)
    for now, gram in zip(losses, grams, strict=True):
        found = balancer.weigh(now, all_seen(3), gram)
        np.testing.assert_allclose(found.shared, weights.detach(), rtol=1e-6)
        np.testing.assert_allclose(found.own, weights.detach(), rtol=1e-6)
        norms = weights * gram.diagonal().sqrt()
        rates = now / losses[0]
        target = (norms.mean() * (rates / rates.mean()) ** alpha).detach()
        optimizer.zero_grad()
        (norms - target).abs().sum().backward()
        optimizer.step()
        with torch.no_grad():
            weights *= 3 / weights.sum()
    assert (balancer.state["weights"] - 1).abs().max() > 1e-2


def test_gradnorm_begins_with_the_first_loss_above_zero():
    """Until then, and below zero, no rate is divided by what it must not be."""
    balancer = GradNorm(tasks(2))
    courses = [(0.0, 1.0), (-1.0, 1.0), (10.0, 0.5), (5.0, -0.5), (0.0, 0.0)]
    for losses in courses:
        found = balancer.weigh(torch.tensor(losses), all_seen(2), torch.eye(2))
        assert found.shared.isfinite().all()
    assert balancer.state["first_losses"].tolist() == [10.0, 1.0]
    assert all(each.isfinite().all() for each in balancer.state.values())


def test_gradnorm_weighs_a_task_with_small_gradients_up():
    balancer = GradNorm(tasks(2), alpha=0.0)
    gram = torch.diag(torch.tensor([1.0, 9.0]))
    for _ in range(500):
        weights = balancer.weigh(torch.ones(2), all_seen(2), gram).shared
    np.testing.assert_allclose(weights, [1.5, 0.5], atol=0.06)  # equal norms, sum 2


def test_dwa_is_the_softmax_of_the_ratios():
    balancer = DynamicWeightAverage(tasks(2), temperature=2.0)
    epochs = [[(1.0, 3.0), (3.0, 1.0)], [(1.0, 1.8), (1.0, 1.8)], [(0.5, 1.5), (0.5, 1.5)]]
    found = []
    for epoch in epochs:
        for losses in epoch:
            found.append(balancer.weigh(torch.tensor(losses), all_seen(2)).shared.tolist())
        balancer.end_epoch()
    assert np.allclose(found[:4], 1.0)  # no two epochs lie behind
    ratios = np.array([1.0 / 2.0, 1.8 / 2.0])
    shares = np.exp(ratios / 2.0)
    np.testing.assert_allclose(found[4], 2 * shares / shares.sum(), rtol=1e-6)


def test_dwa_averages_over_the_batches_with_labels():
    balancer = DynamicWeightAverage(tasks(2))
    balancer.weigh(torch.tensor([4.0, 1.0]), all_seen(2))
    balancer.weigh(torch.tensor([0.0, 3.0]), torch.tensor([False, True]))
    balancer.end_epoch()
    assert balancer.state["last"].tolist() == [4.0, 2.0]


def test_rlw_is_the_softmax_of_a_normal_draw():
    torch.manual_seed(3)
    found = RandomWeights(tasks(4)).weigh(torch.ones(4), all_seen(4)).shared
    torch.manual_seed(3)
    np.testing.assert_allclose(found, 4 * torch.softmax(torch.randn(4), 0), rtol=1e-6)
    seen = torch.tensor([True, False, True, False])
    partly = RandomWeights(tasks(4)).weigh(torch.ones(4), seen).shared
    assert partly.sum().item() == pytest.approx(2.0)
    assert partly[~seen].tolist() == [0.0, 0.0]


def test_famo_is_its_algorithm():
    lr, gamma, least = 0.1, 0.01, [0.0, -1.0, 0.5]
    balancer = FAMO(tasks(3), lr=lr, gamma=gamma, min_losses=least)
    rng = torch.Generator().manual_seed(0)
    before = 1 + torch.rand(6, 3, dtype=torch.float64, generator=rng)
    after = before * (0.6 + 0.6 * torch.rand(6, 3, dtype=torch.float64, generator=rng))
    after = after.clamp(min=0.6)
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=lr, weight_decay=gamma)
    lowest = torch.tensor(least, dtype=torch.float64)
    for old, new in zip(before, after, strict=True):
        found = balancer.weigh(old, all_seen(3)).shared
        shares = torch.softmax(logits, 0)
        above = old - lowest
        expected = 3 * shares / above / (shares / above).sum()
        np.testing.assert_allclose(found, expected.detach(), rtol=1e-6)
        balancer.after_update(new, all_seen(3))
        fallen = above.log() - (new - lowest).log()
        optimizer.zero_grad()
        (shares * fallen).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(balancer.state["logits"], logits.detach(), rtol=1e-5)


def test_famo_refuses_a_loss_below_its_least_value():
    balancer = FAMO(tasks(2), min_losses=[0.0, -1.0])
    balancer.weigh(torch.tensor([-1e-8, -1.0]), all_seen(2))  # rounding
    balancer.weigh(torch.tensor([-5.0, 1.0]), torch.tensor([False, True]))
    with pytest.raises(TrainingError, match="the loss of 't1' is -2, below its least value -1"):
        balancer.weigh(torch.tensor([1.0, -2.0]), all_seen(2))
    assert balancer.weigh(torch.ones(2), all_seen(2)).shared.sum() == 2
    balancer._lowest = torch.tensor([-0.5, 0.0])  # as on an accelerator, where no step looks
    with pytest.raises(TrainingError, match="'t0' is -0\\.5"):
        balancer.end_epoch()


# -- all of them -------------------------------------------------------------------------------


def run(balancer: Balancer, steps: int, seed: int) -> list[Tensor]:
    """Weights of a few steps of a made-up course of training, some without a task."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for step in range(steps):
        losses = torch.rand(3, generator=rng) + 0.1
        grads = torch.randn(3, 5, generator=rng)
        seen = torch.rand(3, generator=rng) > 0.3
        gram = grads @ grads.t() if balancer.needs_gradients else None
        found.append(torch.stack(balancer.weigh(losses, seen, gram)))
        if balancer.looks_again:
            balancer.after_update(losses * 0.9, seen)
        if step % 4 == 3:
            balancer.end_epoch()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_on_where_it_stopped(name):
    whole, first, second = make(name, 3), make(name, 3), make(name, 3)
    torch.manual_seed(0)
    run(whole, 7, seed=1)
    expected = run(whole, 7, seed=2)
    torch.manual_seed(0)
    run(first, 7, seed=1)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for found, each in zip(run(second, 7, seed=2), expected, strict=True):
        assert torch.equal(found, each)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_labels_changes_nothing_that_is_learned_of_it(name):
    balancer = make(name, 3)
    run(balancer, 5, seed=0)
    before = {key: value.clone() for key, value in balancer.state_dict().items()}
    seen = torch.tensor([True, True, False])
    balancer.weigh(torch.tensor([1.0, 2.0, 0.0]), seen, torch.eye(3))
    if balancer.looks_again:
        balancer.after_update(torch.tensor([0.5, 2.0, 0.0]), seen)
    kept = {key for key in before if key not in ("logs", "weights")}  # of this step; scaled to T
    for key in kept:
        torch.testing.assert_close(
            balancer.state[key][2], before[key][2], rtol=0, atol=0, equal_nan=True
        )
    assert all(value.isfinite().all() for key, value in balancer.state.items() if "last" not in key)


def test_a_state_of_other_tasks_is_refused():
    with pytest.raises(CheckpointError, match="uncertainty: its state"):
        make("uncertainty", 2).load_state_dict(make("uncertainty", 3).state_dict())


def test_names_and_options():
    assert make_balancer(tasks(2), "equal") is None
    assert make_balancer(tasks(1), "equal") is None
    assert make_balancer(tasks(2), [1.0, 2.0]) is None
    assert isinstance(make_balancer(tasks(2), "PCGrad"), PCGrad)
    assert options_of(FAMO) == ["lr", "gamma", "min_losses"]
    assert set(NAMES) == {
        *("uncertainty", "gradnorm", "dwa", "rlw", "pcgrad", "cagrad", "mgda"),
        *("imtl_g", "imtl_l", "imtl", "nash_mtl", "famo"),
    }


@pytest.mark.parametrize(
    ("count", "name", "params", "message"),
    [
        (2, "pcgard", None, "`loss_weights` must be one of.*Did you mean 'pcgrad'"),
        (2, "cagrad", {"C": 1}, "`loss_weights_params` must be one of c;.*Did you mean 'c'"),
        (2, "pcgrad", {"c": 1}, "'pcgrad' has no options"),
        (2, "equal", {"c": 1}, "'equal' has no options"),
        (2, 2.0, {"c": 1}, "names no balancer"),
        (2, "cagrad", [1], "`loss_weights_params` must be a dict"),
        (2, "cagrad", {"c": -1}, "loss_weights_params: `c` must be a number of at least 0"),
        (2, "dwa", {"temperature": 0}, "`temperature` must be a number above 0"),
        (2, "gradnorm", {"alpha": "x"}, "`alpha`"),
        (2, "uncertainty", {"lr": 0}, "`lr`"),
        (2, "imtl", {"lr": 0}, "`lr`"),
        (2, "famo", {"min_losses": [1.0]}, "`min_losses` must be one number, or one a task"),
        (1, "mgda", None, "`loss_weights` must be a number or 'equal' for the one task 't0'"),
    ],
)
def test_wrong_names_and_options_are_refused(count, name, params, message):
    with pytest.raises(ConfigError, match=message):
        make_balancer(tasks(count), name, params)


def test_brentq_agrees_with_nash_for_two_tasks():
    """With cosine c and unit norms, equal alphas solve a^2 (1 + c) = 1."""
    cosine = -0.7
    gram = np.array([[1.0, cosine], [cosine, 1.0]])
    root = brentq(lambda a: a * a * (1 + cosine) - 1, 1e-6, 100)
    np.testing.assert_allclose(NashMTL(tasks(2)).combine(gram), root, rtol=1e-5)


def test_famo_shares_the_weight_among_the_tasks_of_the_batch():
    balancer = FAMO(tasks(3))
    found = balancer.weigh(torch.tensor([0.5, 2.0, 0.0]), torch.tensor([True, True, False])).own
    np.testing.assert_allclose(found, [2 * 2 / 2.5, 2 * 0.5 / 2.5, 0.0], rtol=1e-5)


def test_gradnorm_never_weighs_a_task_below_zero():
    balancer = GradNorm(tasks(2), lr=0.5)
    for _ in range(20):
        weights = balancer.weigh(torch.ones(2), all_seen(2), torch.diag(torch.tensor([1.0, 1e6])))
        assert (weights.own > 0).all()


def test_dwa_keeps_the_mean_of_a_task_that_an_epoch_had_no_label_of():
    balancer = DynamicWeightAverage(tasks(2))
    for seen in (all_seen(2), torch.tensor([True, False])):
        balancer.weigh(torch.tensor([4.0, 3.0]), seen)
        balancer.end_epoch()
    assert balancer.state["last"].tolist() == [4.0, 3.0]
    balancer.state["before_last"] = torch.tensor([0.0, 3.0])  # a loss of zero has no ratio
    assert balancer.weigh(torch.ones(2), all_seen(2)).own.tolist() == [1.0, 1.0]
