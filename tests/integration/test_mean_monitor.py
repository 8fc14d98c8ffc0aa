"""A monitor of several targets: the mean of a metric over those that have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextrec import MMOE, SparseFeature
from nextrec.errors import ConfigError, DataError

ROWS = 400


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path))


def columns(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 30, ROWS)
    return {
        "item": item,
        "click": (item % 3 == 0).astype("float32"),
        "buy": (rng.random(ROWS) < 0.4).astype("float32"),
        "stay": rng.normal(size=ROWS).astype("float32"),
    }


def fit(monitor: str | None, valid: Any = None, **changes: Any) -> Any:
    model = MMOE(
        sparse_features=[SparseFeature("item", 30, embedding_dim=4)],
        expert_params={"dims": [8]},
        target=["click", "buy", "stay"],
        task=["binary", "binary", "regression"],
        seed=1,
    )
    return model.fit(
        columns(),
        columns(1) if valid is None else valid,
        metrics={"click": ["logloss", "auc"], "buy": ["auc"], "stay": ["mse"]},
        monitor=monitor,
        epochs=4,
        batch_size=64,
        seed=3,
        report=False,
        progress=False,
        **changes,
    )


def test_the_mean_is_recorded_and_decides() -> None:
    model = fit("auc")
    for record in model.history:
        mean = (record["auc_click"] + record["auc_buy"]) / 2
        assert record["auc"] == pytest.approx(mean)
    best = max(model.history, key=lambda record: record["auc"])
    values = model.evaluate(columns(1), {"click": ["auc"], "buy": ["auc"]})
    assert values["auc_click"] == pytest.approx(best["auc_click"], abs=1e-6)
    assert values["auc_buy"] == pytest.approx(best["auc_buy"], abs=1e-6)


def test_a_metric_of_one_target_is_called_by_its_key() -> None:
    assert "mse" not in fit("mse_stay").history[0]
    with pytest.raises(ConfigError, match="monitor"):
        fit("mse")


def test_it_is_undefined_where_one_of_its_parts_is() -> None:
    valid = columns(1)
    valid["buy"][:] = 1.0
    with pytest.raises(DataError, match="'auc_buy' is undefined"):
        fit("auc", valid)


def test_other_monitors_add_nothing_to_the_record() -> None:
    assert "auc" not in fit("auc_buy").history[0]
    assert "auc" not in fit(None).history[0]
