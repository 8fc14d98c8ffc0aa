"""Models of a chain of events against their formulas, written out number by number in float64."""

from __future__ import annotations

import math

import pytest
import torch
from parity.pieces import (
    ROWS,
    Vector,
    X,
    affine,
    batch_norm,
    check,
    dot,
    features,
    flat,
    mlp,
    ready,
    relu,
    sigmoid,
)
from torch import nn

from nextrec.models.multi_task.aitm import AITM
from nextrec.models.multi_task.escm2 import ESCM2
from nextrec.models.multi_task.esmm import ESMM

NAN = math.nan
CHAIN = ["click", "cart", "buy"]
TOWERS = [{"dims": [4]}, {"dims": [5, 3]}, {"dims": []}]

LABELS = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
PARTLY = [[1.0, 1.0], [0.0, NAN], [1.0, NAN], [NAN, 1.0], [1.0, 0.0]]
ROW_WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.0]
TASK_WEIGHTS = [[0.5, 1.5], [2.0, 0.3], [1.0, 4.0], [0.7, 0.7], [3.0, 0.2]]


def log_odds(p: float) -> float:
    return math.log(p) - math.log(1 - p)


def log_loss(p: float, label: float) -> float:
    return -math.log(p) if label else -math.log(1 - p)


def softplus(z: float) -> float:
    return math.log(1 + math.exp(z))


def mean(values: Vector, weights: Vector) -> float:
    return dot(values, weights) / sum(weights)


def weight_table(weights: list | None) -> list[Vector]:
    if weights is None:
        return [[1.0, 1.0]] * ROWS
    return [each if isinstance(each, list) else [each, each] for each in weights]


# -- ESMM ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [CHAIN[:2], CHAIN])
def test_esmm_multiplies_the_steps(targets: list[str]) -> None:
    towers = TOWERS[: len(targets)]
    model = ready(ESMM(**features(), target=targets, tower_params_list=towers))
    expected, steps = [], []
    for row in range(ROWS):
        e = flat(model.embedding, row)
        steps.append([sigmoid(mlp(tower, e)[0]) for tower in model.towers])
        expected.append([log_odds(math.prod(steps[-1][: n + 1])) for n in range(len(targets))])
    check(model, expected)
    torch.testing.assert_close(model.conditional(X), torch.tensor(steps, dtype=torch.float64))


# -- ESCM2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, ROW_WEIGHTS, TASK_WEIGHTS])
@pytest.mark.parametrize("labels", [LABELS, PARTLY])
@pytest.mark.parametrize("estimator", ["ips", "dr"])
def test_escm2(estimator: str, labels: list[Vector], weights: list | None) -> None:
    model = ESCM2(
        **features(),
        target=CHAIN[::2],
        tower_params_list=TOWERS[:2],
        estimator=estimator,
        counterfactual_weight=0.7,
        global_weight=0.4,
        **({"imputation_params": {"dims": [4]}} if estimator == "dr" else {}),
    )
    factors = model.objective.loss_weights.tolist()
    ready(model)
    model.objective.loss_weights.copy_(torch.tensor(factors))
    steps, logits, guesses = [], [], []
    for row in range(ROWS):
        e = flat(model.embedding, row)
        click, conversion = (sigmoid(mlp(tower, e)[0]) for tower in model.towers)
        steps.append([click, conversion])
        logits.append([log_odds(click), log_odds(click * conversion)])
        guesses.append(softplus(mlp(model.imputation, e)[0]) if estimator == "dr" else 0.0)
    check(model, logits)
    floor = model.min_propensity = sorted(click for click, _ in steps)[ROWS // 2]

    table = weight_table(weights)
    losses = []
    for task, factor in enumerate([1.0, 0.4]):
        seen = [row for row in range(ROWS) if not math.isnan(labels[row][task])]
        p = [math.prod(steps[row][: task + 1]) for row in seen]
        values = [log_loss(each, labels[row][task]) for each, row in zip(p, seen, strict=True)]
        losses.append(factor * mean(values, [table[row][task] for row in seen]))
    risk, imputation, mass = 0.0, 0.0, 0.0
    for row in range(ROWS):
        click, buy = labels[row]
        if math.isnan(click) or (click == 1 and math.isnan(buy)):
            continue
        weight = table[row][1] if click == 1 else table[row][0]
        mass += weight
        guess = guesses[row]
        risk += weight * guess
        if click == 1:
            propensity = max(steps[row][0], floor)
            error = log_loss(steps[row][1], buy)
            risk += weight * (error - guess) / propensity
            imputation += weight * (error - guess) ** 2 / propensity
    losses.append(0.7 * risk / mass)
    if estimator == "dr":
        losses.append(0.7 * imputation / mass)

    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    y = torch.tensor(labels, dtype=torch.float64)
    loss = model.objective(model.training_outputs(X), y, given)
    torch.testing.assert_close(loss.item(), sum(losses))


def test_escm2_trains_no_click_to_lower_the_risk() -> None:
    """The propensity is a constant of the risk."""
    model = ready(ESCM2(**features(), target=CHAIN[::2], estimator="ips"))
    auxiliary = model.training_outputs(X)["auxiliary"]
    labels = torch.tensor(LABELS, dtype=torch.float64)
    auxiliary["counterfactual"](labels, torch.ones_like(labels)).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.towers[0].parameters())
    assert any(p.grad.any() for p in model.towers[1].parameters())


# -- AITM ----------------------------------------------------------------------------------------


def bottom(bank: nn.Module, number: int, x: Vector) -> Vector:
    """One stack of linear, batch norm and ReLU out of a bank of them."""
    for layer in bank.bank:
        if isinstance(layer, nn.BatchNorm1d):
            own = slice(number * len(x), (number + 1) * len(x))
            norm = nn.BatchNorm1d(len(x)).double()
            for name in ("running_mean", "running_var", "weight", "bias"):
                getattr(norm, name).data.copy_(getattr(layer, name)[own])
            x = batch_norm(norm, x)
        elif hasattr(layer, "num_experts"):
            pairs = zip(layer.weight[number].tolist(), layer.bias[number].tolist(), strict=True)
            x = [dot(w, x) + b for w, b in pairs]
        elif isinstance(layer, nn.ReLU):
            x = relu(x)
    return x


def aitm(model: AITM, row: int) -> tuple[Vector, list[Vector]]:
    """Towers' logits, and the weights of what later steps take over and of their own."""
    e = flat(model.embedding, row)
    states = [bottom(model.bottoms, 0, e)]
    gates = []
    for n, (carry, transfer) in enumerate(zip(model.carries, model.transfers, strict=True)):
        both = [relu(affine(carry[0], states[-1])), bottom(model.bottoms, n + 1, e)]
        root = math.sqrt(len(both[0]))
        scores = [dot(affine(transfer.query, u), affine(transfer.key, u)) / root for u in both]
        total = sum(math.exp(score) for score in scores)
        gates.append([math.exp(score) / total for score in scores])
        values = [affine(transfer.value, u) for u in both]
        states.append([dot(gates[-1], list(pair)) for pair in zip(*values, strict=True)])
    return [mlp(tower, z)[0] for tower, z in zip(model.towers, states, strict=True)], gates


@pytest.mark.parametrize("consistent", [False, True])
def test_aitm(consistent: bool) -> None:
    model = ready(
        AITM(
            **features(),
            target=CHAIN,
            bottom_params={"dims": [5, 4]},
            tower_params_list=TOWERS,
            consistent=consistent,
        )
    )
    expected, gates = [], []
    for row in range(ROWS):
        logits, weights = aitm(model, row)
        gates.append(weights)
        if consistent:
            steps = [sigmoid(z) for z in logits]
            logits = [log_odds(math.prod(steps[: n + 1])) for n in range(3)]
        expected.append(logits)
    check(model, expected)
    for n, (name, weights) in enumerate(model.gates(X).items()):
        assert name == CHAIN[n + 1]
        own = torch.tensor([each[n] for each in gates], dtype=torch.float64)
        torch.testing.assert_close(weights, own)


@pytest.mark.parametrize("weights", [None, ROW_WEIGHTS, TASK_WEIGHTS])
def test_aitm_adds_what_a_step_exceeds_the_one_before(weights: list | None) -> None:
    model = ready(AITM(**features(), target=CHAIN[:2], calibrator_weight=0.3))
    first, second = ([aitm(model, row)[0][n] for row in range(ROWS)] for n in range(2))
    with torch.no_grad():  # the second step exceeds the first in some rows
        gaps = sorted(a - b for a, b in zip(first, second, strict=True))
        model.towers[1].mlp[-1].bias += gaps[ROWS - 2] + 1e-3
    labels = [*PARTLY[:4], [NAN, NAN]]
    table = weight_table(weights)
    excess, mass, losses = [], [], [0.0, 0.0]
    p = [[sigmoid(z) for z in aitm(model, row)[0]] for row in range(ROWS)]
    for row in range(ROWS):
        seen = [w for w, y in zip(table[row], labels[row], strict=True) if not math.isnan(y)]
        excess.append(max(p[row][1] - p[row][0], 0))
        mass.append(max(seen, default=0.0))
    for task in range(2):
        seen = [row for row in range(ROWS) if not math.isnan(labels[row][task])]
        values = [log_loss(p[row][task], labels[row][task]) for row in seen]
        losses[task] = mean(values, [table[row][task] for row in seen])
    assert any(excess[row] * mass[row] for row in range(ROWS)), "a step exceeds the one before"
    assert not all(excess), "a step does not exceed the one before"
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    y = torch.tensor(labels, dtype=torch.float64)
    loss = model.objective(model.training_outputs(X), y, given)
    torch.testing.assert_close(loss.item(), sum(losses) + 0.3 * mean(excess, mass))
