from __future__ import annotations

import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import CheckpointError, ConfigError
from nextrec.training.session import Session, create_session, resolve_save_path


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "logs"


# -- ids and folders ---------------------------------------------------------------------------


def test_nothing_is_made_before_something_is_written(base: Path) -> None:
    session = create_session("run")
    for folder in (
        session.logs_dir,
        session.checkpoints_dir,
        session.params_dir,
        session.metrics_dir,
        session.predictions_dir,
        session.processor_dir,
    ):
        assert folder.is_relative_to(base / "run")
    assert session.predictions_dir.name == "predictions"
    assert session.processor_dir.name == "processor"
    assert not base.exists()
    session.save_text("notes/a.txt", "é")
    assert (base / "run/notes/a.txt").read_text(encoding="utf-8") == "é"


def test_default_ids_differ_within_one_second() -> None:
    ids = {create_session().experiment_id for _ in range(200)}
    assert len(ids) == 200
    assert all(each.startswith("nextrec_session_2") for each in ids)


def test_base_is_the_working_directory_without_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEXTREC_LOG_DIR")
    monkeypatch.setenv("PYTEST_RUNNING", "1")
    monkeypatch.setenv("NEXTREC_TEST_MODE", "1")
    assert create_session(" run ").root == tmp_path / "nextrec_logs" / "run"


def test_slashes_nest(base: Path) -> None:
    session = create_session("team/a").claim()
    assert session.root == base / "team" / "a"
    assert session.root.is_dir()
    assert session.experiment_id == "team/a"
    assert create_session(Path("team/b")).root == base / "team" / "b"
    assert create_session("team/a").claim().experiment_id == "team/a-2"


@pytest.mark.parametrize("bad", ["/abs", "../up", "a/../../b", "C:\\x", "\\\\host\\x", ".", "a\0b"])
def test_ids_stay_inside_the_base(bad: str, base: Path) -> None:
    with pytest.raises(ConfigError, match="experiment_id"):
        create_session(bad)
    assert not base.exists()


def test_save_text_stays_inside_the_folder() -> None:
    with pytest.raises(ConfigError, match="save_text"):
        create_session("run").save_text("../other.txt", "x")


def test_claim_never_takes_a_folder_that_exists(base: Path) -> None:
    first = create_session("run").claim()
    first.save_text("model.txt", "first")
    second, third = create_session("run").claim(), create_session("run").claim()
    assert [s.experiment_id for s in (first, second, third)] == ["run", "run-2", "run-3"]
    assert second.root == base / "run-2"
    assert (first.root / "model.txt").read_text() == "first"
    assert first.claim() is first
    (base / "file").write_text("not a folder")
    assert create_session("file").claim().root == base / "file-2"


def test_claims_at_the_same_time_get_different_folders() -> None:
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda _: create_session("run").claim(), range(24)))
    assert len({session.root for session in sessions}) == 24


def test_reopen(base: Path) -> None:
    session = create_session("team/run").claim()
    session.write_manifest({})
    again = Session.reopen(session.root)
    assert again == session
    assert again.claimed
    assert again.claim() is again
    (base / "bare").mkdir()
    assert Session.reopen(base / "bare").experiment_id == "bare"
    with pytest.raises(CheckpointError, match="no session folder"):
        Session.reopen(base / "absent")
    (base / "bare/manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        Session.reopen(base / "bare")


# -- manifest ----------------------------------------------------------------------------------


def test_manifest_says_what_ran_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--name", "two words"])
    session = create_session("run").claim()
    config = {
        "seed": 7,
        "lr": np.float32(0.5),
        "dims": (np.int64(4), 2),
        "path": Path("a/b"),
        "limit": math.inf,
        "dtype": torch.float32,
        "weights": torch.ones(2),
        3: None,
    }
    session.write_manifest(config)
    text = (session.root / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert manifest["experiment_id"] == "run"
    assert manifest["command"] == "train.py --name 'two words'"
    assert manifest["versions"]["nextrec"] == nextrec.__version__
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["machine"]["devices"]["cpu"]
    assert manifest["machine"]["cpus"] > 0
    assert {key: manifest[key] for key in ("seed", "lr", "dims", "path", "limit", "dtype")} == {
        "seed": 7,
        "lr": 0.5,
        "dims": [4, 2],
        "path": str(Path("a/b")),
        "limit": "inf",
        "dtype": "torch.float32",
    }
    assert manifest["weights"] == [1.0, 1.0]
    assert manifest["3"] is None


def test_manifest_keeps_the_first_start() -> None:
    session = create_session("run").claim()
    session.write_manifest({"seed": 1})
    path = session.root / "manifest.json"
    path.write_text(path.read_text().replace('"started": "2', '"started": "1'))
    session.write_manifest({"seed": 2})
    manifest = session.read_manifest()
    assert manifest["started"].startswith("1")
    assert manifest["updated"].startswith("2")
    assert manifest["seed"] == 2


# -- metrics -----------------------------------------------------------------------------------


def test_metrics_are_lines_of_strict_json() -> None:
    session = create_session("run")
    assert session.read_metrics() == []
    session.append_metrics({"epoch": 1, "loss": np.float32(0.5), "auc_a.b": torch.tensor(0.75)})
    session.append_metrics({"epoch": 2, "loss": math.inf, "auc_a.b": np.float64("nan")})
    session.append_metrics(
        {
            "epoch": 3,
            "valid": {"auc": math.nan, "mse": -math.inf, "mae": 1.0},
            "reasons": {"valid": {"auc": "all labels are 0"}, "gauc": "no users", "epoch": {}},
        }
    )
    lines = (session.root / "metrics.jsonl").read_text().splitlines()
    strict = [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in lines]
    assert strict[0] == {"epoch": 1, "loss": 0.5, "auc_a.b": 0.75}
    assert strict[1]["loss"] is None
    assert strict[1]["reasons"] == {"loss": "inf", "auc_a.b": "nan"}
    assert strict[2]["reasons"]["valid"] == {"auc": "all labels are 0", "mse": "-inf"}
    first, second, third = session.read_metrics()
    assert first == strict[0]
    assert second["loss"] == math.inf
    assert math.isnan(second["auc_a.b"])
    assert math.isnan(third["valid"]["auc"])
    assert third["valid"]["mse"] == -math.inf
    assert third["valid"]["mae"] == 1.0


def test_every_record_is_on_disk_at_once() -> None:
    session = create_session("run").claim()
    for epoch in range(3):
        session.append_metrics({"epoch": epoch})
        assert len((session.root / "metrics.jsonl").read_bytes().splitlines()) == epoch + 1


@pytest.mark.parametrize("kept", range(1, 13))
def test_a_torn_line_is_ignored_then_removed(kept: int) -> None:
    session = create_session("run").claim()
    session.append_metrics({"epoch": 1})
    path = session.root / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"epoch": 2}'[:kept])
    assert [record["epoch"] for record in session.read_metrics()] == [1]
    again = Session.reopen(session.root)
    assert path.read_bytes() == whole
    again.append_metrics({"epoch": 2})
    assert [record["epoch"] for record in again.read_metrics()] == [1, 2]


def test_a_file_of_one_torn_line_becomes_empty() -> None:
    session = create_session("run").claim()
    (session.root / "metrics.jsonl").write_bytes(b'{"epo')
    assert Session.reopen(session.root).read_metrics() == []
    assert (session.root / "metrics.jsonl").read_bytes() == b""


def test_a_broken_line_is_named() -> None:
    session = create_session("run").claim()
    (session.root / "metrics.jsonl").write_bytes(b'{"epoch": 1}\nnonsense\n{"epoch": 2}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        session.read_metrics()


def test_truncate_drops_later_epochs_only() -> None:
    session = create_session("run").claim()
    session.append_metrics({"note": "before"})
    for epoch in (1, 2, 3):
        session.append_metrics({"epoch": epoch, "auc": math.nan})
    session.truncate_metrics(2)
    records = session.read_metrics()
    assert [record.get("epoch") for record in records] == [None, 1, 2]
    assert math.isnan(records[-1]["auc"])
    create_session("empty").truncate_metrics(0)


# -- where results go --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (None, "default/predictions.csv"),
        ("", "default/predictions.csv"),
        ("res", "default/res.csv"),
        ("res_v1.2", "default/res_v1.2.csv"),
        ("proc.v3", "default/proc.v3.csv"),
        ("sub/out", "sub/out.csv"),
        ("sub/out_v1.2", "sub/out_v1.2.csv"),
        ("sub/out.csv", "sub/out.csv"),
        ("./out", "out.csv"),
        ("res.csv", "res.csv"),
        ("res.txt", "res.txt"),
        ("sub/res.csv.gz", "sub/res.csv.gz"),
        ("folder", "folder/predictions.csv"),
        ("new/", "new/predictions.csv"),
    ],
)
def test_the_path_given_is_the_path_used(typed: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = resolve_save_path(typed, tmp_path / "default", "predictions", ".csv")
    assert path == tmp_path / expected
    assert path.parent.is_dir()
    assert not path.exists()


def test_absolute_paths_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    target = tmp_path / "deep" / "file.parquet"
    assert resolve_save_path(target, "default", "x", ".csv") == target
    assert resolve_save_path("~/out", "default", "x", ".csv") == tmp_path / "out.csv"


@pytest.mark.parametrize(
    ("typed", "pattern"),
    [
        ("res_v1.2", r"default/res_v1\.2_\d{8}_\d{6}\.csv"),
        ("res.csv", r"res_\d{8}_\d{6}\.csv"),
        (None, r"default/x_\d{8}_\d{6}\.csv"),
    ],
)
def test_timestamp_stands_before_the_extension(
    typed: str | None, pattern: str, tmp_path: Path
) -> None:
    import re

    path = resolve_save_path(typed, tmp_path / "default", "x", ".csv", add_timestamp=True)
    assert re.fullmatch(pattern, path.relative_to(tmp_path).as_posix())
