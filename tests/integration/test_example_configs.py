"""Every config of `examples/` trains one epoch on rows of its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from nextrec.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "examples").glob("*/*.yaml"))
ROWS = 40


def named(entry: Any) -> str:
    return entry if isinstance(entry, str) else entry["name"]


def rows_of(processor: dict[str, Any], seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"label": (np.arange(ROWS) % 2).astype(np.float32)}
    for entry in processor.get("sparse", ()):
        columns[named(entry)] = rng.integers(0, 6, ROWS)
    for entry in processor.get("sequence", ()):
        columns[named(entry)] = [rng.integers(0, 6, n % 4).tolist() for n in range(ROWS)]
    return pa.table(columns)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_config_trains(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path))
    processor = yaml.safe_load(config.read_text())["processor"]
    arguments = ["train", str(config), "--session", "run", "--set", "fit.epochs=1"]
    for seed, part in enumerate(("train", "valid", "test")):
        path = tmp_path / f"{part}.parquet"
        pq.write_table(rows_of(processor, seed), path)
        arguments += ["--set", f"data.{part}={path}"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "bundle" / "model.json").exists()


def test_there_are_configs() -> None:
    assert {path.parent.name for path in CONFIGS} == {"frappe", "histories", "movielens_1m"}
