from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from nextrec.errors import ConfigError
from nextrec.optim import SCHEDULERS, RowTable, SchedulerHandle, build_optimizer, build_scheduler


def sgd(*rates: float) -> torch.optim.Optimizer:
    rates = rates or (1.0,)
    return torch.optim.SGD(
        [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in rates], lr=1.0
    )


def run(handle: SchedulerHandle, epochs: int, steps: int, metric=None) -> list[float]:
    """The learning rate of the first group in every step."""
    rates = []
    for epoch in range(epochs):
        for _ in range(steps):
            rates.append(handle.last_lr[0])
            handle.optimizer.step()
            handle.on_step()
        handle.on_epoch(None if metric is None else metric[epoch])
    return rates


def made(name, params=None, optimizer=None, **known) -> SchedulerHandle:
    handle = build_scheduler(name, optimizer or sgd(), params, **known)
    assert handle is not None
    return handle


def test_none_is_none():
    assert build_scheduler(None, sgd()) is None


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("step", {"step_size": 2, "gamma": 0.1}, [1, 1, 0.1, 0.1]),
        ("StepLR", None, None),
        ("multistep", {"milestones": [1, 3], "gamma": 0.5}, [1, 0.5, 0.5, 0.25]),
        ("exponential", {"gamma": 0.5}, [1, 0.5, 0.25, 0.125]),
        ("cosine", {}, [1, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.1464466]),
        ("cosine", {"T_max": 2, "eta_min": 0.2}, [1, 0.6, 0.2, 0.6]),
        ("cosine_restarts", {"T_0": 2}, [1, 0.5, 1, 0.5]),
        ("linear", {}, [1, 0.75, 0.5, 0.25]),
        ("polynomial", {"power": 2}, [1, 0.5625, 0.25, 0.0625]),
        ("constant", {}, [1, 1, 1, 1]),
    ],
)
def test_schedules_per_epoch(name, params, expected):
    if expected is None:
        with pytest.raises(ConfigError, match="Did you mean"):
            made(name)
        return
    rates = run(made(name, params, epochs=4), epochs=4, steps=2)
    assert rates[::2] == rates[1::2] == pytest.approx(expected, abs=1e-6)


def test_any_schedule_per_step():
    rates = run(made("cosine", {"interval": "step"}, epochs=2, steps_per_epoch=4), 2, 4)
    assert rates == pytest.approx([0.5 + 0.5 * math.cos(math.pi * i / 8) for i in range(8)])


def test_one_cycle_ends_low_over_the_whole_training():
    rates = run(made("onecycle", epochs=3, steps_per_epoch=10), 3, 10)
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[-1] < 1e-3
    assert 5 < rates.index(max(rates)) < 15


@pytest.mark.parametrize(
    ("name", "decay"),
    [
        ("warmup_cosine", lambda p: 0.5 + 0.5 * math.cos(math.pi * p)),
        ("warmup_linear", lambda p: 1 - p),
    ],
)
def test_warmed_schedules(name, decay):
    params = {"warmup_steps": 4, "min_lr_ratio": 0.1}
    rates = run(made(name, params, epochs=2, steps_per_epoch=10), 2, 10)
    expected = [0.25, 0.5, 0.75, 1.0] + [0.1 + 0.9 * decay(i / 16) for i in range(16)]
    assert rates == pytest.approx(expected)
    tenth = run(made(name, {"total_steps": 20}), 1, 20)
    assert tenth[:3] == pytest.approx([0.5, 1.0, 1.0])


def test_warm_up_of_any_schedule_hides_nothing_from_it():
    """exponential computes from the present rate: the share must not leak into it."""
    handle = made("exponential", {"gamma": 0.5, "warmup_steps": 5})
    assert run(handle, 3, 3) == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.5, 0.5, 0.25, 0.25, 0.25])
    handle = made("exponential", {"gamma": 0.5, "warmup_steps": 2, "interval": "step"})
    assert run(handle, 1, 4) == pytest.approx([0.5, 0.5, 0.25, 0.125])


def test_warm_up_leaves_the_rate_alone_afterwards():
    handle = made("constant", {"warmup_steps": 2})
    run(handle, 1, 2)
    assert handle.last_lr == [1.0]
    handle.optimizer.param_groups[0]["lr"] = 0.3
    run(handle, 1, 2)
    assert handle.last_lr == [0.3]


@pytest.mark.parametrize(("mode", "metric"), [("min", [3, 2, 2, 2, 2]), ("max", [1, 2, 2, 2, 1])])
def test_plateau_follows_the_metric(mode, metric):
    params = {"factor": 0.1, "patience": 1, "warmup_steps": 2}
    handle = made("plateau", params, mode=mode)
    assert handle.needs_metric
    assert run(handle, 5, 1, metric) == pytest.approx([0.5, 1, 1, 1, 0.1])


def test_plateau_and_metrics_that_say_nothing():
    handle = made("plateau", {"patience": 0}, mode="max")
    run(handle, 4, 1, [1.0, math.nan, math.nan, math.nan])
    assert handle.last_lr == [1.0]
    with pytest.raises(ConfigError, match="plateau"):
        handle.on_epoch(None)
    with pytest.raises(ConfigError, match="interval"):
        made("plateau", {"interval": "step"})


@pytest.mark.parametrize(
    "scheduler",
    [
        lr_scheduler.StepLR,
        lambda optimizer, **options: lr_scheduler.StepLR(optimizer, **options),
    ],
)
def test_class_and_factory_take_the_options(scheduler):
    handle = made(scheduler, {"step_size": 1, "gamma": 0.5, "warmup_steps": 0})
    assert run(handle, 3, 1) == [1.0, 0.5, 0.25]


def test_instances():
    optimizer = sgd()
    own = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    handle = made(own, optimizer=optimizer)
    assert handle.scheduler is own
    assert handle.needs_metric
    per_step = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9, cycle_momentum=False)
    assert made(per_step, optimizer=optimizer).interval == "step"
    assert made(per_step, {"interval": "epoch"}, optimizer=optimizer).interval == "epoch"
    with pytest.raises(ConfigError, match="over the optimizer that trains"):
        made(own)
    with pytest.raises(ConfigError, match="scheduler_params"):
        made(own, {"patience": 1}, optimizer=optimizer)


@pytest.mark.parametrize(
    ("scheduler", "params", "message"),
    [
        ("cosin", {}, "Did you mean 'cosine'"),
        ("cosine", {"t_max": 3}, "Did you mean 'T_max'"),
        ("cosine", {}, "T_max"),
        ("onecycle", {}, "total_steps"),
        ("onecycle", {"total_steps": 5, "cycle_momentum": True}, "onecycle"),
        ("step", {}, "step_size"),
        ("step", {"step_size": 1, "interval": "batch"}, "interval"),
        ("constant", {"warmup_steps": -1}, "warmup_steps"),
        ("warmup_cosine", {"interval": "epoch", "total_steps": 5}, "interval"),
        (lr_scheduler.StepLR, {}, "step_size"),
        (lambda optimizer: None, {}, "scheduler"),
        (5, {}, "scheduler"),
    ],
)
def test_what_is_wrong_is_said(scheduler, params, message):
    table = RowTable(nn.Parameter(torch.ones(5, 2)))
    optimizer = build_optimizer("adam", groups={}, row_tables=[table])
    with pytest.raises(ConfigError, match=message):
        build_scheduler(scheduler, optimizer, params)


def test_every_name_acts_on_row_tables_and_resumes():
    params = {
        "step": {"step_size": 2},
        "multistep": {"milestones": [2, 3]},
        "exponential": {"gamma": 0.8},
        "cosine_restarts": {"T_0": 2},
    }
    for name in SCHEDULERS:
        options = {"warmup_steps": 3, **params.get(name, {})}
        rates, saved = [], None
        for resume in (False, True):
            table = RowTable(nn.Parameter(torch.ones(5, 2)))
            optimizer = build_optimizer("adam", groups={}, row_tables=[table])
            handle = made(name, options, optimizer, epochs=6, steps_per_epoch=2)
            if resume:
                assert saved is not None
                optimizer.load_state_dict(saved[0])
                handle.load_state_dict(json.loads(saved[1]))
            else:
                run(handle, 2, 2, [1.0, 2.0])
                saved = optimizer.state_dict(), json.dumps(handle.state_dict())
            rates.append(run(handle, 4, 2, [3.0, 4.0, 5.0, 6.0]))
        assert rates[0] == rates[1], name
