"""The command itself: what it imports, its options, its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import nextrec
from nextrec.cli.main import app
from nextrec.cli.tables import columns, metric_rows, short_path
from nextrec.errors import ConfigError, DataError

HEAVY = ("torch", "numpy", "pandas", "pyarrow", "polars", "pydantic", "rich")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Another process that has this package, installed or not."""
    root = str(Path(nextrec.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from nextrec.cli.main import app; sys.argv = ['nextrec', '--help']\n"
        "try: app()\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = python("-c", code)
    assert done.returncode == 0
    assert "Commands:" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_python_m_nextrec_is_the_command():
    done = python("-m", "nextrec", "--version")
    assert done.stdout == f"{nextrec.__version__}\n"


def test_errors_go_to_stderr():
    done = python("-m", "nextrec", "train", "c.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no config file 'c.yaml'.\n"


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "predict", "models", "init", "config-schema"]
)
def test_every_command_has_help(command):
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f" {command} " in done.output


def test_the_schema_is_json():
    done = CliRunner().invoke(app, ["config-schema"])
    assert json.loads(done.output)["title"] == "TrainConfig"


@pytest.mark.parametrize(("error", "code"), [(ConfigError("wrong"), 2), (DataError("odd"), 1)])
def test_errors_of_nextrec_are_messages(monkeypatch, error, code):
    def fail(name):
        raise error

    monkeypatch.setattr("nextrec.cli.models.show_models", fail)
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == code
    assert done.output == f"{error}\n"
    shown = CliRunner().invoke(app, ["models", "--debug"])
    assert shown.exception is error


def test_other_errors_are_bugs_and_show_their_traceback(monkeypatch):
    def fail(name):
        raise ZeroDivisionError

    monkeypatch.setattr("nextrec.cli.models.show_models", fail)
    assert isinstance(CliRunner().invoke(app, ["models"]).exception, ZeroDivisionError)


def test_metrics_side_by_side():
    rows = metric_rows({"valid": {"loss": 0.5, "auc": float("nan")}, "test": {"auc": 0.75}})
    assert columns(rows).splitlines() == [
        "metric  valid     test",
        "loss    0.500000  -",
        "auc     nan       0.750000",
    ]


def test_paths_below_the_working_directory_are_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "a" / "b.csv") == "a/b.csv"
    assert short_path(tmp_path.parent) == str(tmp_path.parent)
