from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from names import without_addresses

from nextrec.errors import ConfigError
from nextrec.models.fit_options import _CHECKS, FitOptions
from nextrec.training.callbacks import Callback


def test_defaults_are_those_of_0_3_1_where_it_had_them() -> None:
    options = FitOptions.of()
    assert (options.epochs, options.batch_size, options.shuffle) == (1, 32, True)
    assert (options.user_id_column, options.validation_split, options.metrics) == (
        "user_id",
        None,
        None,
    )


def test_every_check_is_of_an_argument_and_accepts_its_default() -> None:
    defaults = {each.name: each.default for each in dataclasses.fields(FitOptions)}
    assert set(_CHECKS) <= set(defaults)
    assert all(fits(defaults[name]) for name, (_, fits) in _CHECKS.items())


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": np.int64(3), "batch_size": np.int32(7)},
        {"validation_split": np.float32(0.25), "split_by": "user_time"},
        {"max_grad_norm": None},
        {"max_grad_norm": 5},
        {"seed": 0},
        {"min_delta": 1},
        {"monitor_mode": "min", "early_stop_patience": 1, "checkpoint_steps": 1},
        {"callbacks": (Callback(),), "precision": "bf16", "eval_batch_size": 1},
    ],
)
def test_good_values(values: dict[str, Any]) -> None:
    options = FitOptions.of(**values)
    assert all(getattr(options, name) == value for name, value in values.items())


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", None, True, float("nan")])
def test_counts(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"fit: `{name}` must be an integer of at least 1; got"):
        FitOptions.of(**{name: value})


@pytest.mark.parametrize("name", ["eval_batch_size", "early_stop_patience", "checkpoint_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True])
def test_optional_counts(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must be an integer of at least 1, or None"):
        FitOptions.of(**{name: value})


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), "0.2", True])
def test_shares(value: Any) -> None:
    with pytest.raises(ConfigError, match="`validation_split` must be a number between 0 and 1"):
        FitOptions.of(validation_split=value)


@pytest.mark.parametrize(
    "values",
    [
        {"precision": "fp16"},
        {"split_by": "user", "validation_split": 0.5},
        {"monitor_mode": "maximum"},
        {"max_grad_norm": float("inf")},
        {"max_grad_norm": True},
        {"min_delta": "a"},
        {"seed": 1.0},
        {"verbosity": 7},
        {"callbacks": Callback()},
        {"callbacks": [Callback]},
    ],
    ids=without_addresses,
)
def test_other_bad_values(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"`{next(iter(values))}` must be"):
        FitOptions.of(**values)


def test_a_way_to_split_needs_a_split() -> None:
    with pytest.raises(ConfigError, match="`validation_split` must be given: `split_by` 'time'"):
        FitOptions.of(split_by="time", split_column="at")


def test_steps_between_checkpoints_need_checkpoints() -> None:
    with pytest.raises(ConfigError, match="`checkpoint_steps` must be None without `checkpoint`"):
        FitOptions.of(checkpoint=False, checkpoint_steps=3)


def test_unknown_names_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        FitOptions.of(epoch=1, batchsize=2)
    assert str(caught.value) == (
        "fit does not take `epoch`. Did you mean 'epochs'? `batchsize`. Did you mean 'batch_size'?"
    )


def test_options_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FitOptions.of().epochs = 3  # type: ignore[misc]
