"""Runs that are killed for real, then resumed, end with the weights of a run left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import CheckpointError
from nextrec.training.checkpoint import read_state

SCRIPT = """
import sys, numpy as np, torch, nextrec
from nextrec.features import DenseFeature, SparseFeature
from nextrec.training.callbacks import Callback
torch.set_num_threads(1)
session, resume, die_at = sys.argv[1], sys.argv[2] == "resume", int(sys.argv[3])
stream = sys.argv[4] == "stream"
rng = np.random.default_rng(0)
n = 640
data = {"user": rng.integers(0, 50, n), "item": rng.integers(0, 40, n),
        "price": rng.normal(size=n).astype("float32")}
data["label"] = (data["price"] + rng.normal(size=n) > 0).astype("float32")
train = data
if stream:
    from pathlib import Path
    import pyarrow as pa, pyarrow.parquet as pq
    train = Path(session + "-data")
    train.mkdir(exist_ok=True)
    for number in range(3):
        part = pa.table(data).slice(number * 250, 250)
        path = train / f"{number}.parquet"
        if not path.exists():
            pq.write_table(part, path, row_group_size=90)
class Die(Callback):
    def on_step_end(self, trainer):
        if trainer.state.step == die_at:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
model = nextrec.DeepFM([DenseFeature("price")],
    [SparseFeature("user", 50, embedding_dim=4), SparseFeature("item", 40, embedding_dim=4)],
    mlp_params={"dims": [8], "dropout": 0.3}, session_id=session, seed=5,
    scheduler="step", scheduler_params={"step_size": 1, "gamma": 0.5})
more = {"stream": True, "buffer_rows": 128} if stream else {}
model.fit(train, valid_data=data, **more, metrics=["auc"], epochs=4, batch_size=64,
          seed=11, report=False, checkpoint_steps=3, resume=resume or None,
          callbacks=[Die()] if die_at else [])
model.save_model(session + ".model")
"""


def run(folder: Path, session: str, mode: str, die_at: int = 0, how: str = "memory") -> int:
    environment = {**os.environ, "NEXTREC_LOG_DIR": str(folder)}
    command = [sys.executable, "-c", SCRIPT, session, mode, str(die_at), how]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, "whole", "fresh") == 0
    return read_state(folder / "whole.model")[0]


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, "whole", "fresh", how="stream") == 0
    return read_state(folder / "whole.model")[0]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["memory", "stream"])
@pytest.mark.parametrize("die_at", [4, 10, 13, 29])
def test_killed_at_a_step_then_resumed(
    die_at: int, how: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uninterrupted = request.getfixturevalue("streamed" if how == "stream" else "uninterrupted")
    assert run(tmp_path, "run", "fresh", die_at, how) == -signal.SIGKILL
    assert run(tmp_path, "run", "resume", how=how) == 0
    resumed = read_state(tmp_path / "run.model")[0]
    assert resumed.keys() == uninterrupted.keys()
    for name, expected in uninterrupted.items():
        assert torch.equal(resumed[name], expected), name
    records = [
        json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    ]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]


@pytest.mark.slow
def test_killed_at_any_instant_leaves_no_broken_file(
    tmp_path: Path, uninterrupted: dict[str, torch.Tensor]
) -> None:
    """SIGKILL from outside, at times that no step knows of."""
    environment = {**os.environ, "NEXTREC_LOG_DIR": str(tmp_path)}
    delay, mode = 0.0, "fresh"
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, "run", mode, "0", "memory"],
            cwd=tmp_path,
            env=environment,
        )
        while process.poll() is None and not (tmp_path / "run/DeepFM_checkpoint.model").exists():
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        if process.wait() == 0:
            break
        delay += 0.03
        for file in tmp_path.rglob("*.model"):
            read_state(file)
        mode = "resume"
    if not (tmp_path / "run.model").exists():
        assert run(tmp_path, "run", "resume") == 0
    resumed = read_state(tmp_path / "run.model")[0]
    for name, expected in uninterrupted.items():
        assert torch.equal(resumed[name], expected), name


def small(**options) -> nextrec.BaseModel:
    features = [nextrec.SparseFeature("user", 20, embedding_dim=4)]
    return nextrec.DCN(sparse_features=features, seed=1, **options)


def data(rows: int = 64) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"user": rng.integers(0, 20, rows), "label": (rng.random(rows) > 0.5).astype("float32")}


def test_resume_refuses_other_settings(tmp_path: Path) -> None:
    model = small()
    model.fit(data(), batch_size=16, seed=3, report=False)
    again = small()
    with pytest.raises(CheckpointError, match=r"batch_size was 16, is 32"):
        again.fit(data(), batch_size=32, resume=model.session_path, report=False)
    with pytest.raises(CheckpointError, match=r"rows was 64, is 65"):
        again.fit(data(65), batch_size=16, resume=model.session_path, report=False)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        again.fit(data(), resume=tmp_path / "nowhere")


def test_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    model = small()
    model.fit(data(), batch_size=16, seed=3, report=False)
    raw = model.checkpoint_path.read_bytes()
    broken = tmp_path / "DCN_checkpoint.model"
    for size in (0, 7, 100, len(raw) // 2, len(raw) - 1):
        broken.write_bytes(raw[:size])
        with pytest.raises(CheckpointError, match="DCN_checkpoint"):
            small().fit(data(), batch_size=16, resume=broken)


def test_more_epochs_can_be_added_by_resuming() -> None:
    straight = small()
    straight.fit(data(), batch_size=16, epochs=3, seed=3, report=False)
    first = small()
    first.fit(data(), batch_size=16, epochs=1, seed=3, report=False)
    first.fit(data(), batch_size=16, epochs=3, resume=True, report=False)
    for a, b in zip(straight.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [record["epoch"] for record in first.history] == [1, 2, 3]
