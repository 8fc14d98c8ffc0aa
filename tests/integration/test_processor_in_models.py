"""A processor in the life of a model: training, validation, bundles, the command line."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import nextrec
from nextrec import DataProcessor, DeepFM
from nextrec.cli.main import app
from nextrec.errors import DataError, NotFittedError
from nextrec.training.logging import close_logger

CONFIG = """\
data: {train: train.csv, test: test.csv, validation_split: 0.1}
processor:
  numeric: [{name: price, scaler: log, fill_na: 0}]
  sparse: [user_id, {name: item_id, vocabulary: item}]
  sequence: [{name: seen, vocabulary: item, separator: "|", max_len: 4}]
  datetime: [{name: at, parts: [hour, weekday], format: "%Y-%m-%d %H:%M:%S"}]
  target_encoding: [{name: item_rate, target: label, columns: item_id}]
  target: [label]
model: {name: DIN, params: {target: label, id_columns: [user_id], mlp_params: {dims: [8]}}}
compile: {optimizer_params: {lr: 0.02}}
fit: {metrics: [auc, gauc], epochs: 2, batch_size: 64, seed: 1}
output: {session: first, predictions: test_predictions.parquet}
"""


def table(rows: int, seed: int) -> pl.DataFrame:
    """Clicks that depend on price and item; all columns raw."""
    random = np.random.default_rng(seed)
    items = [f"item {n}" for n in range(40)]
    chosen = random.integers(0, 40, rows)
    price = random.lognormal(size=rows)
    logit = chosen % 5 - 2 + np.log(price)
    return pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in random.integers(0, 50, rows)],
            "item_id": [items[n] for n in chosen],
            "price": [None if n % 19 == 0 else each for n, each in enumerate(price)],
            "seen": ["|".join(random.choice(items, n)) for n in random.integers(0, 6, rows)],
            "at": [f"2024-05-{day:02d} 1{day % 9}:00:00" for day in random.integers(1, 29, rows)],
            "label": (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path / "logs"))
    table(1000, 0).write_csv("train.csv")
    table(300, 1).write_csv("test.csv")
    yield
    close_logger()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    close_logger()
    assert result.exit_code == 0, result.output
    return result.output


def fitted(data: object) -> DataProcessor:
    processor = DataProcessor()
    processor.add_numeric_feature("price")
    processor.add_sparse_feature("item_id", vocabulary="item")
    processor.add_sequence_feature("seen", vocabulary="item", separator="|", max_len=4)
    processor.add_target("label")
    return processor.fit(data)


def trained(known: DataProcessor, data: object, **options) -> DeepFM:
    model = DeepFM(
        **known.features(4).as_arguments(),
        target="label",
        id_columns="user_id",
        mlp_params={"dims": [8]},
        optimizer_params={"lr": 0.02},
        seed=0,
    )
    options = {"batch_size": 64, "seed": 0, "verbosity": 0, "report": False, **options}
    return model.fit(data, **{"processor": known, **options})


@pytest.mark.parametrize("stream", [False, True])
def test_raw_rows_and_transformed_rows_train_alike(stream):
    raw = table(500, 0)
    processor = fitted(raw)
    raw.write_parquet("raw.parquet", row_group_size=90)
    ready = processor.transform(raw, return_dict=False).with_columns(user_id=raw["user_id"])
    ready.write_parquet("ready.parquet", row_group_size=90)
    ours = trained(processor, "raw.parquet", stream=stream)
    theirs = trained(processor, "ready.parquet", processor=False, stream=stream)
    for name, value in ours.state_dict().items():
        assert value.equal(theirs.state_dict()[name]), name


def test_a_bundle_predicts_from_raw_rows_in_another_process():
    train, test = table(500, 0), table(50, 1)
    model = trained(fitted(train), train)
    expected = model.predict(test)
    assert expected["user_id"].to_list() == test["user_id"].to_list()
    model.save("bundle")
    test.drop("label").write_parquet("test.parquet")
    code = "import nextrec; nextrec.load('bundle').predict('test.parquet', save_path='out.parquet')"
    subprocess.run([sys.executable, "-c", code], check=True)
    found = pl.read_parquet("out.parquet")
    assert found["label_pred"].to_list() == expected["label_pred"].to_list()


def test_no_row_is_trained_on_its_own_label():
    """Ids that never come again say nothing; their own label would say everything."""
    random = np.random.default_rng(0)
    raw = pl.DataFrame(
        {
            "key": [f"k{n}" for n in range(2000)],
            "noise": random.normal(size=2000),
            "label": random.integers(0, 2, 2000),
        }
    )
    processor = DataProcessor()
    processor.add_target_encoding("rate", "label", "key", smoothing=0.0)
    processor.add_numeric_feature("noise")
    processor.add_target("label")
    processor.fit(raw)
    for stream in (False, True):
        raw.write_parquet("raw.parquet", row_group_size=300)
        model = nextrec.DCN(**processor.features().as_arguments(), target="label", seed=0)
        model.fit(
            "raw.parquet",
            processor=processor,
            stream=stream,
            epochs=5,
            batch_size=100,
            metrics="auc",
            validation_split=0.2,
            seed=0,
            verbosity=0,
        )
        assert all(abs(record["auc"] - 0.5) < 0.1 for record in model.history)


def test_what_is_unknown_is_told(caplog):
    train, test = table(500, 0), table(50, 1)
    model = trained(fitted(train), train)
    logging.getLogger("nextrec").propagate = True
    with caplog.at_level(logging.WARNING, "nextrec"):
        model.predict(test.with_columns(item_id=pl.lit("never seen")))
    assert any("predict: column 'item_id': 100.0% unknown" in each for each in caplog.messages)
    assert model.processor.rates.columns["item_id"].unknown == 50


@pytest.mark.parametrize("stream", [False, True])
def test_each_table_of_a_run_is_told_by_itself(stream, caplog):
    train, valid = table(500, 0), table(40, 1).with_columns(item_id=pl.lit("never seen"))
    train.write_parquet("train.parquet", row_group_size=70)
    valid.write_parquet("valid.parquet")
    processor = fitted(train)
    logging.getLogger("nextrec").propagate = True
    with caplog.at_level(logging.WARNING, "nextrec"):
        trained(processor, "train.parquet", valid_data="valid.parquet", stream=stream, epochs=2)
    told = [each for each in caplog.messages if "unknown" in each]
    assert told == [
        "DataProcessor, validation data: column 'item_id': 100.0% unknown in 40 tokens"
        " (0.0% when the processor was fitted)"
    ]


def test_what_is_fitted_later_does_not_change_a_model():
    train, test = table(300, 0), table(20, 1)
    processor = fitted(train)
    model = trained(processor, train)
    expected = model.predict(test)
    processor.extend(pl.DataFrame({"item_id": ["new"], "seen": ["new"]}))
    new = test.with_columns(item_id=pl.lit("new"))
    assert model.predict(new)["label_pred"].is_finite().all()  # the row of unknown items
    processor.fit(table(100, 5))
    assert model.predict(test).equals(expected)


def test_a_copy_of_a_model_has_a_processor_of_its_own():
    train, test = table(300, 0), table(20, 1)
    model = trained(fitted(train), train)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model.processor))):
        processor = getattr(twin, "processor", twin)
        assert processor is not model.processor
        processor.extend(pl.DataFrame({"item_id": ["new"], "seen": ["new"]}))
        assert processor.get_vocab_sizes()["item_id"] == 43
    assert model.processor.get_vocab_sizes()["item_id"] == 42
    assert model.predict(test)["label_pred"].is_finite().all()


def test_an_unfitted_processor_is_refused_before_a_session():
    processor = fitted(table(100, 0))
    model = DeepFM(**processor.features(4).as_arguments(), target="label")
    fresh = DataProcessor()
    fresh.add_sparse_feature("item_id")
    with pytest.raises(NotFittedError):
        model.fit(table(100, 0), processor=fresh)
    assert not Path("logs").exists()


def test_a_wrong_value_is_named_by_the_column_it_came_from():
    processor = fitted(table(100, 0))
    bad = table(100, 0).with_columns(label=pl.lit("maybe"))
    model = DeepFM(**processor.features(4).as_arguments(), target="label")
    with pytest.raises(DataError, match=r"'label', row 0.*'maybe'"):
        model.fit(bad, processor=processor)


def test_a_config_with_a_processor(tmp_path):
    Path("config.yaml").write_text(CONFIG)
    output = run("train", "config.yaml")
    assert "hist" not in output
    assert "item_rate" in output
    assert (tmp_path / "logs/first/bundle/processor.arrow").exists()
    assert pl.read_parquet("test_predictions.parquet").columns == ["user_id", "label_pred"]
    told = run("evaluate", "logs/first/bundle", "test.csv", "--metrics", "auc")
    assert "auc" in told
    run("predict", "logs/first/bundle", "test.csv", "--out", "again.parquet")
    assert pl.read_parquet("again.parquet").equals(pl.read_parquet("test_predictions.parquet"))


def test_the_config_of_a_session_repeats_it():
    Path("config.yaml").write_text(CONFIG)
    run("train", "config.yaml")
    text = Path("logs/first/config.yaml").read_text().replace("session: first", "session: second")
    Path("again.yaml").write_text(text)
    run("train", "again.yaml")
    first, second = (nextrec.load(f"logs/{name}/bundle") for name in ("first", "second"))
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name]), name


def test_a_first_config_of_raw_columns_trains():
    run("init", "train.csv", "--out", "first.yaml")
    text = Path("first.yaml").read_text()
    assert "vocabulary: item_id" not in text  # `seen` does not say whose items it holds
    assert "{name: seen, separator: '|', max_len: 5}" in text
    assert "auc" in run("train", "first.yaml", "--set", "fit.epochs=1")


def test_problems_of_the_processor_section_are_told_with_their_lines():
    wrong = CONFIG.replace("scaler: log", "scaler: lgo").replace("max_len: 4", "max_length: 4")
    wrong = wrong.replace("sparse: [user_id,", "sparse: [user_id, user_id,")
    Path("config.yaml").write_text(wrong)
    result = CliRunner().invoke(app, ["train", "config.yaml"])
    assert result.exit_code == 2
    assert "config.yaml:3:" in result.output
    assert "Did you mean 'log'?" in result.output
    assert "unknown key `max_length`. Did you mean 'max_len'?" in result.output
    assert "'user_id' is described already" in result.output
