"""``nextrec doctor``: report, draft config, memory, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from nextrec.cli.check import check_config
from nextrec.cli.main import app

ROWS = 2000


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def table() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "user_id": rng.integers(2, 90, ROWS),
        "item_id": rng.integers(2, 60, ROWS),
        "price": rng.normal(size=ROWS),
        "city": np.array(["Oslo", "Rome"])[rng.integers(0, 2, ROWS)],
        "time": np.arange(ROWS) + 1_700_000_000,
        "label": rng.integers(0, 2, ROWS),
    }


def write(table, name: str = "clicks.csv") -> str:
    frame = pd.DataFrame(table)
    frame.to_csv(name, index=False) if name.endswith("csv") else frame.to_parquet(name)
    return name


def run(*arguments: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert done.exit_code == exit_code, done.output
    return done.output


def test_the_report(table):
    output = run(write(table))
    assert "2,000 rows, 6 columns" in output
    assert "Memory of a first config: DeepFM, adam" in output
    assert "together while training" in output
    assert "nextrec doctor DATA --config config.yaml" in output


def test_text_counts_as_if_it_were_encoded(table):
    tables = json.loads(run(write(table), "--json"))["memory"]["tables"]
    assert next(each["rows"] for each in tables if each["name"] == "city") == 4


def test_strict_fails_on_errors_only(table):
    run(write(table), "--strict")
    table["paid"] = table["label"] * 5 + np.random.default_rng(1).normal(size=ROWS)
    assert "label_leak: paid" in run(write(table), "--strict", exit_code=1)
    run(write(table))


def test_the_draft_leaves_out_what_leaks(table):
    table["paid"] = table["label"] * 5 + np.random.default_rng(1).normal(size=ROWS)
    table["cost"] = table["price"]
    output = run(write(table), "--config", "first.yaml")
    assert "Read it, then: nextrec train first.yaml" in output
    draft = Path("first.yaml").read_text()
    assert "#   - paid  # gives the label away: AUC 0.99" in draft
    assert "#   - cost  # the same as price in every row" in draft
    names = [each.feature.name for each in check_config("first.yaml").features]
    parts = ["time_hour", "time_weekday"]
    assert names == ["price", "user_id", "item_id", "city", *parts]


def test_a_config_is_never_written_over(table):
    Path("first.yaml").write_text("mine")
    output = run(write(table), "--config", "first.yaml", exit_code=2)
    assert "doctor: first.yaml exists already" in output
    assert Path("first.yaml").read_text() == "mine"


def test_a_config_is_judged(table):
    write(table)
    run("clicks.csv", "--config", "first.yaml")
    output = run("clicks.csv", "--for", "first.yaml", "--strict")
    assert "its features fit the data" in output
    assert "Memory of first.yaml: DeepFM, adam" in output
    text = Path("first.yaml").read_text().replace("optimizer: adam", "optimizer: sgd")
    Path("first.yaml").write_text(text.replace("vocab_size: 60", "vocab_size: 40"))
    later = {**table, "user_id": table["user_id"] + 100}
    later.pop("price")
    output = run(write(later, "later.parquet"), "--for", "first.yaml", "--strict", exit_code=1)
    assert "DeepFM, sgd" in output
    assert "feature 'price': the data has no such column" in output
    assert "feature 'item_id': ids 2 to 59, but `vocab_size` is 40" in output
    assert "feature 'user_id': ids 102 to 189" in output


def test_json(table):
    values = json.loads(run(write(table), "--time", "time", "--json"))
    assert values["rows"] == ROWS
    assert values["test_rows"] == pytest.approx(400, abs=2)
    assert values["memory"]["model"] == "DeepFM"
    assert values["roles"] == {"time": "time", "user": "user_id", "item": "item_id"}
    assert [each["name"] for each in values["schema"]] == list(table)


def test_train_and_test_files(table):
    late = {**table, "time": table["time"] + ROWS}
    late["city"] = np.full(ROWS, "Cork")
    write(late, "test.csv")
    table["time"][5] += 10**6
    output = run(write(table), "--test", "test.csv", "--time", "time")
    assert "future_rows: time: 1 train rows" in output
    assert "unknown_tokens: city: 100 % of the test values" in output


def test_data_without_labels_has_no_draft(table):
    del table["label"]
    output = run(write(table))
    assert "Memory of a first config: doctor: no column is called like a label" in output
    run("clicks.csv", "--config", "first.yaml", exit_code=2)
    assert not Path("first.yaml").exists()


def test_a_config_with_a_processor_is_judged(table):
    write(table)
    Path("c.yaml").write_text(
        "data: {train: clicks.csv}\nprocessor: {numeric: price, sparse: city, target: label}\n"
        "model: {name: DeepFM}\n"
    )
    assert "table city: 4 x 16" in run("clicks.csv", "--for", "c.yaml", "--strict")
    words = {**table, "price": np.where(table["price"] > 2, "much", "1.5")}
    output = run(write(words, "words.csv"), "--for", "c.yaml", "--strict", exit_code=1)
    assert "error   processor: " in output
    assert "'much'" in output


def test_a_copy_of_the_label_is_told_on_the_copy(table):
    copied = {"bought": table["label"].copy(), **table}
    findings = json.loads(run(write(copied), "--json"))["findings"]
    copies = [each["column"] for each in findings if each["kind"] == "duplicate_column"]
    assert copies == ["bought"]


def test_an_empty_table():
    output = run(write({"a": [], "label": []}))
    assert "no_rows" in output
    assert "Memory of a first config: there is no row" in output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no.csv"], 1, "no such file"),
        (["clicks.csv", "--target", "labl"], 2, "Did you mean 'label'?"),
        (["clicks.csv", "--for", "no.yaml"], 2, "no config file"),
        (["clicks.csv", "--leak-auc", "2"], 2, "`leak_auc` must be a number in (0, 1)"),
    ],
)
def test_wrong_arguments(table, arguments, code, message):
    write(table)
    assert message in run(*arguments, exit_code=code)
