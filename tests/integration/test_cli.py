"""The commands one after the other, on a small table: init, train, evaluate, predict, models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

import nextrec
from nextrec.cli.main import app
from nextrec.models.zoo import load_zoo
from nextrec.training.logging import close_logger

CONFIG = """\
data:
  train: train.parquet
  valid: valid.parquet
  test: test.csv
features:
  dense: [price]
  sparse:
    - {name: user_id, vocab_size: 20, embedding_dim: 4}
    - {name: item_id, vocab_size: 30, embedding_dim: 4}
  sequence:
    - {name: hist_item_id, vocab_size: 30, max_len: 4, embedding_name: item_id}
model:
  name: DeepFM
  params:
    id_columns: [user_id]
    mlp_params: {dims: [8]}
compile:
  optimizer_params: {lr: 0.02}
fit:
  metrics: [auc, gauc, logloss]
  epochs: 2
  batch_size: 64
output:
  session: first
  predictions: out/test.parquet
"""


def table(rows: int, seed: int) -> pl.DataFrame:
    """Clicks that depend on price and item."""
    rng = np.random.default_rng(seed)
    price, item = rng.normal(size=rows), rng.integers(1, 30, rows)
    lengths = rng.integers(0, 6, rows)
    logit = price + (item % 5 - 2)
    return pl.DataFrame(
        {
            "user_id": rng.integers(1, 20, rows),
            "item_id": item,
            "price": price,
            "hist_item_id": ["|".join(map(str, rng.integers(1, 30, n))) for n in lengths],
            "label": (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )


@pytest.fixture(autouse=True)
def _one_thread():
    """Models this small only wait for a second thread, long on a machine that is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with data and a config."""
    table(600, 0).write_parquet(tmp_path / "train.parquet")
    table(200, 1).write_parquet(tmp_path / "valid.parquet")
    table(200, 2).write_csv(tmp_path / "test.csv")
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_logger()


def run(*arguments: str, code: int = 0) -> str:
    """What a command prints; its exit code must be ``code``."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def values_of(printed: str) -> dict[str, list[str]]:
    """First word of each line -> the rest."""
    return {words[0]: words[1:] for line in printed.splitlines() if (words := line.split())}


def test_train_evaluate_predict(folder):
    printed = values_of(run("train", "config.yaml", "--set", "fit.seed=1"))
    session = folder / "nextrec_logs" / "first"
    assert printed["session"] == ["nextrec_logs/first"]
    assert printed["predictions"] == ["out/test.parquet"]
    assert printed["metric"] == ["valid", "(epoch", "2)", "test"]
    assert {path.name for path in session.iterdir()} >= {"bundle", "config.yaml", "report.html"}

    shown = json.loads(run("evaluate", "nextrec_logs/first/bundle", "test.csv", "--json"))
    assert shown["reasons"] == {}
    assert shown["metrics"]["auc"] == pytest.approx(float(printed["auc"][1]), abs=1e-6)
    assert shown["metrics"]["auc"] > 0.6
    some = ("evaluate", "nextrec_logs/first", "test.csv", "--metrics", "auc, ndcg@5")
    assert list(values_of(run(*some))) == ["metric", "auc", "ndcg@5"]

    run("predict", "nextrec_logs/first/bundle", "test.csv", "--out", "p.csv", "--no-ids")
    written = pl.read_parquet("out/test.parquet")
    assert written.columns == ["user_id", "label_pred"]
    assert written["user_id"].to_list() == pl.read_csv("test.csv")["user_id"].to_list()
    alone = pl.read_csv("p.csv")
    assert alone.columns == ["label_pred"]
    np.testing.assert_allclose(alone["label_pred"], written["label_pred"], rtol=1e-5)


def test_the_sessions_config_repeats_the_run(folder):
    run("train", "config.yaml", "--set", "fit.epochs=1", "--session", "one")
    (folder / "elsewhere").mkdir()
    copy = Path("nextrec_logs/one/config.yaml").read_text()
    (folder / "elsewhere" / "config.yaml").write_text(copy)
    run("train", "elsewhere/config.yaml", "--session", "two")
    one, two = (nextrec.load(f"nextrec_logs/{name}/bundle") for name in ("one", "two"))
    for (name, first), second in zip(
        one.state_dict().items(), two.state_dict().values(), strict=True
    ):
        assert first.equal(second), name


def test_a_stopped_run_goes_on(folder, monkeypatch):
    seeds = ["--set", "fit.seed=1", "--set", "fit.epochs=3"]
    run("train", "config.yaml", "--session", "whole", *seeds)

    from nextrec.training.trainer import Trainer

    train_epoch = Trainer.train_epoch

    def interrupted(self, loader):
        if self.state.epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(self, loader)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", interrupted)
        printed = run("train", "config.yaml", "--session", "cut", *seeds, code=130)
    command = "train nextrec_logs/cut/config.yaml --resume nextrec_logs/cut"
    assert f"Go on: nextrec {command}" in printed
    printed = values_of(run(*command.split()))
    assert printed["session"] == ["nextrec_logs/cut"]
    whole, cut = (nextrec.load(f"nextrec_logs/{name}/bundle") for name in ("whole", "cut"))
    for (name, first), second in zip(
        whole.state_dict().items(), cut.state_dict().values(), strict=True
    ):
        assert first.equal(second), name


def test_what_the_model_refuses_is_told_with_its_line():
    printed = run("train", "config.yaml", "--set", "features.sparse.0.embedding_dim=8", code=2)
    assert printed.startswith(
        "config.yaml has 1 problem:\n  config.yaml:13:3: model: DeepFM needs "
    )
    printed = run("train", "config.yaml", "--set", "model.params.mlp_params.dim=[3]", code=2)
    assert "Did you mean 'dims'?" in printed


def test_data_that_does_not_fit_leaves_no_session(folder):
    printed = run("train", "config.yaml", "--set", "features.dense.0=prize", code=2)
    assert "'prize'" in printed
    assert "Did you mean 'price'?" in printed
    assert not (folder / "nextrec_logs" / "first").exists()


def test_a_metric_that_is_undefined_is_null_with_a_reason():
    run("train", "config.yaml", "--set", "fit.epochs=1")
    pl.read_csv("test.csv").with_columns(label=pl.lit(1)).write_csv("ones.csv")
    model = "nextrec_logs/first/bundle"
    shown = json.loads(run("evaluate", model, "ones.csv", "--json", "--metrics", "auc,logloss"))
    assert shown["metrics"]["auc"] is None
    assert shown["metrics"]["logloss"] > 0
    assert list(shown["reasons"]) == ["auc"]
    printed = run("evaluate", model, "ones.csv", "--metrics", "auc")
    assert values_of(printed)["auc"] != []
    assert "auc of the data is undefined: " in printed


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["evaluate", "no_bundle", "test.csv"], 1, "no_bundle"),
        (["train", "config.yaml", "--resume", "nowhere"], 1, "nowhere"),
        (["train", "config.yaml", "--set", "fit.epochs=x"], 2, "--set fit.epochs=x: fit: `epochs`"),
        (["models", "DeepFN"], 2, "Did you mean 'DeepFM'?"),
        (["init", "trian.parquet", "--out", "-"], 1, "Did you mean 'train.parquet'?"),
        (["init", "test.csv", "--out", "-", "--target", "labl"], 2, "Did you mean 'label'?"),
        (["init", "train.parquet"], 2, "config.yaml exists already"),
        (["predict", "m", "test.csv", "--out", "p"], 2, ".csv or .parquet"),
    ],
)
def test_errors(arguments, code, words):
    assert words in run(*arguments, code=code)


def test_groups_of_features():
    text = CONFIG.replace("DeepFM", "POSO").replace("    mlp_params: {dims: [8]}\n", "")
    groups = "  groups: {main: [price, item_id, hist_item_id], pc: [user_id, item_id]}\n"
    Path("poso.yaml").write_text(text.replace("model:\n", f"{groups}model:\n", 1))
    run("train", "poso.yaml", "--set", "fit.epochs=1")
    model = nextrec.load("nextrec_logs/first/bundle")
    assert set(model.feature_groups["main"].names) == {"price", "item_id", "hist_item_id"}
    assert set(model.feature_groups["pc"].names) == {"user_id", "item_id"}


@pytest.mark.parametrize("data", ["train.parquet", "test.csv"])
def test_init_writes_a_config_that_trains(data, folder):
    run("init", data, "--out", "configs/first.yaml")
    text = Path("configs/first.yaml").read_text()
    assert f"  train: ../{data}\n" in text
    assert "    - price  # numbers" in text
    assert "{name: hist_item_id, vocab_size: 30, embedding_dim: 16, max_len: 5" in text
    assert "embedding_name: item_id}" in text
    assert "    id_columns: [user_id]" in text
    printed = values_of(run("train", "configs/first.yaml", "--set", "fit.epochs=1"))
    assert set(printed) >= {"auc", "gauc", "logloss", "session", "bundle"}


ROWS = 300
LABEL = np.random.default_rng(5).integers(0, 2, ROWS)
NUMBER = np.random.default_rng(6).normal(size=ROWS)
ITEM = np.random.default_rng(7).integers(-1, 9, ROWS)
DAYS = np.datetime64("2024-01-01") + (ITEM + 1).astype("timedelta64[D]")
TABLES = {
    "words": {"x": NUMBER, "label": np.array(["no", "yes"])[LABEL]},
    "classes": {"x": NUMBER, "label": np.array(["a", "b", "c"])[ITEM % 3]},
    "one_two": {"x": NUMBER, "label": LABEL + 1},
    "dates": {"day": DAYS.astype("datetime64[ms]"), "label": LABEL},
    "german": {"day": [f"{i + 2:02d}.01.2024" for i in ITEM.tolist()], "label": LABEL},
    "unix": {"time": 1_700_000_000_000 + ITEM * 3_600_000, "label": LABEL},
    "infinite": {"x": NUMBER, "y": np.where(NUMBER > 1, np.inf, 1.0), "label": LABEL},
    "negative": {"item_id": ITEM, "level": ITEM // 2, "label": LABEL},
    "zero": {"liked": [[i % 3, 0][: i % 3] for i in range(ROWS)], "label": LABEL},
    "far": {"sku": 1_000_001 + ITEM, "label": LABEL},
    "tags": {"tags": np.array(["a|b", "b", "c|a|b", "c", "a"])[ITEM % 5], "label": LABEL},
}


@pytest.mark.parametrize("name", TABLES)
def test_init_writes_a_config_that_trains_unchanged(name):
    pl.DataFrame(TABLES[name]).write_parquet("data.parquet")
    run("init", "data.parquet", "--out", "first.yaml")
    printed = values_of(run("train", "first.yaml"))
    assert set(printed) >= {"loss", "session", "bundle"}


def test_init_of_data_without_a_feature(folder):
    pl.DataFrame({"row_id": range(ROWS), "label": LABEL}).write_parquet("data.parquet")
    printed = run("init", "data.parquet", "--out", "first.yaml", code=2)
    assert "no column can be a feature as it is: row_id (another value in every row" in printed
    assert not (folder / "first.yaml").exists()


def test_init_of_several_targets():
    stay = np.random.default_rng(3).exponential(size=600)
    pl.read_parquet("train.parquet").with_columns(
        stay=pl.Series(stay), city=pl.lit("a"), time=pl.int_range(1_700_000_000, 1_700_000_600)
    ).write_parquet("tasks.parquet")
    run("init", "tasks.parquet", "--target", "label", "--target", "stay", "--out", "t.yaml")
    text = Path("t.yaml").read_text()
    assert "  name: ShareBottom" in text
    assert "    task: [binary, regression]" in text
    assert "  #   - city  # holds one value only" in text
    splits = ["--set", "data.split_by=time", "--set", "data.split_column=time"]
    printed = values_of(run("train", "t.yaml", "--set", "fit.epochs=1", *splits))
    assert set(printed) >= {"auc_label", "mse_stay"}


def test_a_monitor_of_several_targets():
    for part in ("train", "valid"):
        rows = pl.read_parquet(f"{part}.parquet")
        rows.with_columns(buy=pl.col("label") * (pl.col("item_id") % 2)).write_parquet(
            f"{part}.parquet"
        )
    settings = ["model.name=ShareBottom", "model.params={target: [label, buy]}"]
    settings += ["fit.metrics=[auc]", "fit.monitor=auc", "compile.loss_weights=cagrad"]
    settings += ["data.test=", "output.predictions=", "fit.batch_size=200"]
    printed = values_of(run("train", "config.yaml", *(f"--set={each}" for each in settings)))
    mean = (float(printed["auc_label"][0]) + float(printed["auc_buy"][0])) / 2
    assert float(printed["auc"][0]) == pytest.approx(mean, abs=1e-4)


def test_models_shows_every_model():
    printed = run("models")
    for name in load_zoo():
        assert f"{name}: " in printed
    whole = run("models", "DIN")
    assert "arXiv:1706.06978" in whole
    assert "attention_hidden_units  Sequence[int]" in whole
    assert "``" not in whole


def test_what_the_constructor_refuses_stands_beside_the_other_problems(folder):
    wrong = [
        "--set",
        "model.params.mlp_params={dims: [8], actvation: relu}",
        "--set",
        "fit.monitor=foo",
    ]
    printed = run("train", "config.yaml", *wrong, code=2)
    assert "has 2 problems" in printed
    assert "'actvation'" in printed
    assert "'foo'" in printed
