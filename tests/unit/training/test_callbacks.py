from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.errors import ConfigError
from nextrec.training.callbacks import (
    Callback,
    Checkpointing,
    EarlyStopper,
    EarlyStopping,
    MetricsFile,
)

NAN = math.nan


class FakeTrainer:
    """The part of a trainer that callbacks touch."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(epoch=0, step=0, stop=False)
        self.lines: list[str] = []
        self.saved: list[Path] = []

    def log(self, message: str) -> None:
        self.lines.append(message)

    def save_checkpoint(self, path: Path) -> None:
        self.saved.append(path)


def epochs(callback: Callback, values: list[float], key: str = "auc") -> FakeTrainer:
    trainer = FakeTrainer()
    for value in values:
        trainer.state.epoch += 1
        callback.on_epoch_end(trainer, {key: value})  # type: ignore[arg-type]
        if trainer.state.stop:
            break
    return trainer


@pytest.mark.parametrize(
    ("mode", "delta", "values", "stops"),
    [
        ("max", 0.0, [0.5, 0.6, 0.6, 0.5], [False, False, False, True]),
        ("min", 0.0, [0.5, 0.4, 0.4, 0.6], [False, False, False, True]),
        ("max", 0.2, [0.5, 0.6, 0.69], [False, False, True]),
        ("max", 0.2, [0.5, 0.6, 0.71], [False, False, False]),
        ("min", 0.2, [0.5, 0.4, 0.31], [False, False, True]),
        ("max", 0.0, [NAN, NAN], [False, True]),
        ("max", 0.0, [0.5, NAN, math.inf], [False, False, True]),
        ("min", 0.0, [NAN, 0.9, NAN, 0.8], [False, False, False, False]),
        ("max", 0.0, [-3.0, -2.0, -4.0, -5.0], [False, False, False, True]),
    ],
)
def test_early_stopper(mode: str, delta: float, values: list[float], stops: list[bool]) -> None:
    stopper = EarlyStopper(patience=2, mode=mode, min_delta=delta)
    assert [stopper.stop_training(value) for value in values] == stops


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=12))
def test_the_best_of_early_stopper_is_the_best_finite_value(values: list[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    for mode, pick in (("max", max), ("min", min)):
        stopper = EarlyStopper(patience=3, mode=mode)
        for value in values:
            stopper.stop_training(value, weights=value)
        if finite:
            assert stopper.best_metrics == stopper.best_weights == pick(finite)
        else:
            assert math.isnan(stopper.best_metrics)
            assert stopper.trial_counter == len(values)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"mode": "maxx"}, "Did you mean 'max'"), ({"patience": 0}, "`patience` must be at least 1")],
)
def test_early_stopper_checks_its_arguments(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        EarlyStopper(**options)


def test_early_stopping_keeps_the_best_and_stops() -> None:
    kept: list[int] = []
    stopping = EarlyStopping("auc", "max", 2, save_best=lambda: kept.append(len(kept)))
    trainer = epochs(stopping, [0.5, 0.7, 0.6, 0.7, 0.9])
    assert trainer.state.stop
    assert trainer.state.epoch == 4
    assert stopping.best_epoch == 2
    assert len(kept) == 2
    assert trainer.lines[1] == "auc 0.700000 is the best so far"
    assert trainer.lines[2] == "auc 0.600000 is no better than 0.700000 (1 of 2)"
    assert trainer.lines[-1] == "stopping early: no better auc in 2 of 2 epochs"


def test_an_undefined_monitor_has_no_best_epoch() -> None:
    stopping = EarlyStopping("auc", "max", 5, save_best=lambda: pytest.fail("nothing is best"))
    epochs(stopping, [NAN, NAN])
    assert stopping.best_epoch is None


def test_early_stopping_needs_its_monitor() -> None:
    with pytest.raises(ConfigError, match=r"`monitor` must be one of auc; got 'acu'.*'auc'"):
        epochs(EarlyStopping("acu", "max"), [0.5])


@pytest.mark.parametrize("values", [[], [NAN], [0.5, 0.7, 0.6], [0.5, 0.6, 0.7]])
def test_early_stopping_goes_on_where_it_stood(values: list[float]) -> None:
    whole, first, second = (EarlyStopping("auc", "max", 3) for _ in range(3))
    rest = [0.65, 0.71, 0.1, 0.2]
    epochs(whole, values + rest)
    epochs(first, values)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    trainer = FakeTrainer()
    for number, value in enumerate(rest, start=len(values) + 1):
        trainer.state.epoch = number
        second.on_epoch_end(trainer, {"auc": value})  # type: ignore[arg-type]
    assert second.state_dict() == whole.state_dict()


def test_checkpointing() -> None:
    checkpointing = Checkpointing(Path("x"), every_steps=3)
    trainer = FakeTrainer()
    for step in range(1, 8):
        trainer.state.step = step
        checkpointing.on_step_end(trainer)  # type: ignore[arg-type]
    assert len(trainer.saved) == 2
    checkpointing.on_epoch_end(trainer, {})  # type: ignore[arg-type]
    assert len(trainer.saved) == 3
    Checkpointing(Path("x")).on_step_end(trainer)  # type: ignore[arg-type]
    assert len(trainer.saved) == 3
    with pytest.raises(ConfigError, match="`checkpoint_steps` must be at least 1; got 0"):
        Checkpointing(Path("x"), 0)


def test_metrics_file_writes_a_copy() -> None:
    written: list[dict[str, Any]] = []
    record = {"auc": 0.5}
    MetricsFile(written.append).on_epoch_end(FakeTrainer(), record)  # type: ignore[arg-type]
    record["auc"] = 0.1
    assert written == [{"auc": 0.5}]


def test_a_callback_does_nothing_by_itself() -> None:
    callback, trainer = Callback(), FakeTrainer()
    for event in ("on_fit_start", "on_epoch_start", "on_step_end", "on_fit_end"):
        assert getattr(callback, event)(trainer) is None
    assert callback.on_epoch_end(trainer, {}) is None  # type: ignore[arg-type, func-returns-value]
    assert callback.state_dict() == {}
    callback.load_state_dict({})
