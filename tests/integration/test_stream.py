"""Training, evaluating and predicting from files that are read meanwhile."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

import nextrec
from nextrec.data.loaders import BatchLoader
from nextrec.data.preprocessor import DataProcessor
from nextrec.data.stream import StreamLoader
from nextrec.errors import CheckpointError, ConfigError, DataError, NotFittedError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.fit_options import FitOptions
from nextrec.models.run_data import load_run_data
from nextrec.training.callbacks import Callback
from nextrec.training.checkpoint import read_state

ROWS = 300
OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 32, "seed": 3, "report": False}


def model(**options: Any) -> nextrec.BaseModel:
    return nextrec.DeepFM(
        [DenseFeature("price")],
        [SparseFeature("user", 50, embedding_dim=4)],
        [SequenceFeature("history", 30, 5, embedding_dim=4)],
        **{"mlp_params": {"dims": [8], "dropout": 0.3}, "seed": 1, **options},
    )


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "user": random.integers(0, 50, rows),
        "price": random.normal(size=rows).astype(np.float32),
        "history": [random.integers(1, 30, size).tolist() for size in random.integers(0, 7, rows)],
        "user_id": [f"u{each}" for each in random.integers(0, 40, rows)],
        "time": random.integers(0, 100, rows),
        "weight": random.random(rows),
        "label": random.integers(0, 2, rows).astype(np.float32),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, five row groups."""
    table = pa.table(columns())
    folder = tmp_path / "data"
    folder.mkdir()
    for number, (start, stop) in enumerate([(0, 130), (130, 200), (200, ROWS)]):
        path = folder / f"part-{number}.parquet"
        pq.write_table(table.slice(start, stop - start), path, row_group_size=70)
    return folder


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    pq.write_table(pa.table(columns(90, 1)), tmp_path / "valid.parquet", row_group_size=40)
    return tmp_path / "valid.parquet"


def weights(of: nextrec.BaseModel) -> dict[str, Tensor]:
    """Weights after the last epoch."""
    state, _ = read_state(of.checkpoint_path)
    return {name[6:]: each for name, each in state.items() if name.startswith("model/")}


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def run(data: Any, valid_data: Any = None, of: Any = None, **options: Any) -> dict[str, Tensor]:
    fitted = model() if of is None else of
    fitted.fit(data, valid_data, **{**OPTIONS, **options})
    return weights(fitted)


# -- the same run ------------------------------------------------------------------------------


def test_a_stream_in_order_trains_like_memory(folder: Path, valid: Path) -> None:
    options = {"shuffle": False, "metrics": ["auc", "gauc"], "weight_column": "weight"}
    loaded = run(folder, valid, stream=False, **options)
    assert differing(run(folder, valid, stream=True, **options), loaded) == []
    assert differing(run(pa.table(columns()), valid, stream=True, **options), loaded) == []
    table = pa.table(columns()).to_pandas()
    table.to_csv(folder.parent / "data.csv", index=False)
    assert differing(run(folder.parent / "data.csv", valid, stream=True, **options), loaded) == []


def test_the_shuffled_stream_depends_on_the_seed_and_the_buffer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(folder, stream=True, buffer_rows=64)
    assert differing(run(folder, stream=True, buffer_rows=96), first)
    assert differing(run(folder, stream=True, buffer_rows=64, seed=4), first)
    for threads in (0, 1, 3):
        monkeypatch.setattr("nextrec.data.stream.default_threads", lambda threads=threads: threads)
        assert differing(run(folder, stream=True, buffer_rows=64), first) == []


def test_evaluate_and_predict_see_the_same(folder: Path) -> None:
    fitted = model(id_columns=["user_id"]).fit(folder, **OPTIONS)
    for options in ({}, {"streaming": True, "metrics": ["auc", "logloss"]}):
        loaded = fitted.evaluate(folder, stream=False, **options)
        assert fitted.evaluate(folder, stream=True, batch_size=4096, **options) == loaded
        small = fitted.evaluate(folder, stream=True, batch_size=17, **options)
        assert small == pytest.approx(loaded, rel=1e-6)
    whole = fitted.predict(pd.DataFrame(columns()))
    streamed = fitted.predict(folder)
    assert streamed["user_id"].tolist() == whole["user_id"].tolist()
    np.testing.assert_allclose(streamed["label_pred"], whole["label_pred"], rtol=1e-5)
    path = fitted.predict(folder, save_path=folder.parent / "p.parquet", return_dataframe=False)
    assert pq.read_table(path)["user_id"].to_pylist() == whole["user_id"].tolist()


# -- memory or stream --------------------------------------------------------------------------


def loaders(train: Any, valid_data: Any = None, **options: Any) -> Any:
    return load_run_data(model(), train, valid_data, FitOptions.of(**options), seed=3)


def test_files_are_streamed_when_they_pass_the_budget(
    folder: Path, valid: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = 8 + 5 * 8 + 4 + 4
    monkeypatch.setattr("nextrec.models.loading.MEMORY_BUDGET", ROWS * row)
    data = loaders(folder, valid)
    assert isinstance(data.train, BatchLoader)
    assert data.notes[0] == (
        f"training data: 300 rows of {row} bytes take 0.0 GiB, the budget is 0.0: "
        "loaded into memory"
    )
    monkeypatch.setattr("nextrec.models.loading.MEMORY_BUDGET", ROWS * row - 1)
    data = loaders(folder, valid)
    assert isinstance(data.train, StreamLoader)
    assert isinstance(data.valid, BatchLoader)  # which is smaller
    assert isinstance(loaders(pa.table(columns())).train, BatchLoader)  # it is there already
    assert isinstance(loaders(folder, stream=False).train, BatchLoader)
    with caplog.at_level(logging.INFO, "nextrec"):
        run(folder, epochs=1)
    assert any(message.endswith("streamed") for message in caplog.messages)


def test_a_small_csv_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame(columns()).to_csv(tmp_path / "data.csv", index=False)
    data = loaders(tmp_path / "data.csv")
    assert isinstance(data.train, BatchLoader)
    assert data.notes == []
    monkeypatch.setattr("nextrec.models.loading.MEMORY_BUDGET", 1000)
    assert isinstance(loaders(tmp_path / "data.csv").train, StreamLoader)


def test_the_buffer_follows_the_width_of_a_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loaders(folder, stream=True, batch_size=1).train.buffer_rows == 262_144
    assert loaders(folder, stream=True, batch_size=32, buffer_rows=65).train.buffer_rows == 96
    monkeypatch.setattr("nextrec.models.loading.BUFFER_BYTES", 56 * 100)
    assert loaders(folder, stream=True, batch_size=20).train.buffer_rows == 100
    assert loaders(folder, stream=True, batch_size=128).train.buffer_rows == 128


def test_a_loader_is_no_table(folder: Path) -> None:
    loader = loaders(folder, stream=True).train
    for option in ({"stream": True}, {"buffer_rows": 5}):
        with pytest.raises(ConfigError, match=f"fit: `{next(iter(option))}` must be said where"):
            model().fit(loader, **option)
    with pytest.raises(ConfigError, match="evaluate: `stream` must be said where"):
        model().evaluate(loader, stream=True)
    with pytest.raises(ConfigError, match="`stream` must be True, False or None"):
        model().fit(folder, stream="yes")
    with pytest.raises(ConfigError, match="`buffer_rows` must be an integer"):
        model().fit(folder, buffer_rows=0)


# -- splitting ---------------------------------------------------------------------------------


def rows_in(loader: Any) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for batch in loader.batches()
        for row in np.column_stack([batch.features["user"], batch.features["price"]]).tolist()
    ]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"split_by": "group"},
        {"split_by": "group", "split_column": "time"},
        {"split_by": "time", "split_column": "time"},
    ],
    ids=str,
)
def test_a_streamed_split_has_every_row_once(folder: Path, how: dict[str, Any]) -> None:
    data = loaders(folder, validation_split=0.2, stream=True, metrics=["auc", "gauc"], **how)
    held, kept = rows_in(data.valid), rows_in(data.train)
    assert len(kept) + len(held) == ROWS
    whole = pd.DataFrame(columns())
    assert sorted(kept + held) == sorted(zip(whole["user"], whole["price"], strict=True))
    assert 0.1 * ROWS < len(held) < 0.3 * ROWS
    if how.get("split_by") == "time":
        memory = loaders(folder, validation_split=0.2, stream=False, **how)
        assert rows_in(memory.valid) == held
    if not how:
        assert len(held) == 60
    assert data.group_column == "user_id"


def test_a_run_with_a_streamed_split(folder: Path) -> None:
    first = model()
    options = {"validation_split": 0.2, "stream": True, "metrics": ["auc"]}
    trained = run(folder, of=first, **options)
    assert "auc" in first.history[0]
    assert differing(run(folder, **options), trained) == []
    with pytest.raises(ConfigError, match=r"user_time.*set stream=False"):
        run(folder, **options, split_by="user_time", split_column="time")


# -- what is refused ---------------------------------------------------------------------------


def rewritten(path: Path, **changed: Any) -> Path:
    pq.write_table(pa.table({**columns(), **changed}), path, row_group_size=70)
    return path


def test_labels_are_looked_at_before_the_run(folder: Path, valid: Path, tmp_path: Path) -> None:
    wrong = rewritten(tmp_path / "wrong.parquet", label=np.full(ROWS, 3.0))
    with pytest.raises(DataError, match=r"`label` must be 0 or 1.*row 0"):
        run(wrong, stream=True)
    absent = rewritten(tmp_path / "absent.parquet", label=np.full(ROWS, np.nan))
    with pytest.raises(DataError, match=r"`label` must be observed.*got '300 rows without'"):
        run(absent, stream=True)
    with pytest.raises(DataError, match="no label of the validation data is observed"):
        run(folder, absent, stream=True)
    ones = rewritten(tmp_path / "ones.parquet", label=np.ones(ROWS))
    with pytest.raises(DataError, match="the monitor 'auc' is undefined on the validation data"):
        run(folder, ones, stream=True, metrics=["auc"])
    negative = rewritten(tmp_path / "negative.parquet", weight=np.full(ROWS, -1.0))
    with pytest.raises(DataError, match="weight column 'weight', row 0"):
        run(negative, stream=True, weight_column="weight")
    assert not (tmp_path / "nextrec_logs").exists()
    late = np.full(ROWS, np.nan)
    late[-1] = 1
    run(rewritten(tmp_path / "late.parquet", label=late), stream=True, epochs=1)


def test_empty_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table(columns()).slice(0, 0), tmp_path / "empty.parquet")
    fitted = model()
    for call in (fitted.fit, fitted.evaluate):
        with pytest.raises(DataError, match="the data is empty"):
            call(tmp_path / "empty.parquet", stream=True)
    with pytest.raises(DataError, match="the data is empty"):
        fitted.predict(tmp_path / "empty.parquet")


# -- interruption ------------------------------------------------------------------------------


class At(Callback):
    """Does something after a step."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    def on_step_end(self, trainer: Any) -> None:
        if trainer.state.step == self.step:
            self.action()


def test_a_deleted_file_is_named_and_the_run_goes_on_when_it_is_back(folder: Path) -> None:
    options = {"stream": True, "buffer_rows": 32, "checkpoint_steps": 2}
    expected = run(folder, **options)
    parts = sorted(folder.iterdir())
    moved = folder.parent / "away"

    def remove() -> None:
        moved.mkdir()
        for path in parts:
            path.rename(moved / path.name)

    broken = model()
    with pytest.raises(DataError, match=r"part-\d.parquet.*deleted|No such file"):
        broken.fit(folder, **OPTIONS, **options, callbacks=[At(11, remove)])
    assert read_state(broken.checkpoint_path)[1]["train"]["step"] >= 10
    for path in parts:
        (moved / path.name).rename(path)
    resumed = model()
    resumed.fit(folder, **OPTIONS, **options, resume=broken.session_path)
    assert differing(weights(resumed), expected) == []


def test_resuming_refuses_other_data(folder: Path) -> None:
    first = model()
    first.fit(folder, **OPTIONS, stream=True, buffer_rows=64)
    again = {**OPTIONS, "epochs": 3, "resume": first.session_path, "stream": True}
    with pytest.raises(CheckpointError, match="buffer_rows was 64, is 96"):
        model().fit(folder, **again, buffer_rows=96)
    with pytest.raises(CheckpointError, match="buffer_rows was 64, is None"):
        model().fit(folder, **{**again, "stream": False})
    part = folder / "part-2.parquet"
    before = part.read_bytes()
    table = pq.read_table(part)
    prices = table["price"].to_numpy().copy()
    prices[50] += 1
    place = table.column_names.index("price")
    pq.write_table(table.set_column(place, "price", pa.array(prices)), part, row_group_size=70)
    with pytest.raises(CheckpointError, match="content of the data"):
        model().fit(folder, **again, buffer_rows=64)
    part.write_bytes(before)  # the same content, later
    model().fit(folder, **again, buffer_rows=64)


# -- processors --------------------------------------------------------------------------------


def untouched() -> pd.DataFrame:
    """Raw data that is the same when it is written as text and read again."""
    return raw().assign(price=raw()["price"].astype(float).round(3))


def fitted_processor() -> DataProcessor:
    processor = DataProcessor()
    processor.add_numeric_feature("price")
    processor.add_sparse_feature("user", column="name")
    processor.add_sequence_feature("history", max_len=5)
    processor.add_target("label")
    return processor.fit(untouched())


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_nextrecs_own_processor_on_the_fly(tmp_path: Path, ending: str) -> None:
    processor = fitted_processor()
    data, path = untouched(), tmp_path / f"raw.{ending}"
    if ending == "csv":
        texts = data["history"].map(lambda items: ",".join(map(str, items)))
        data.assign(history=texts).to_csv(path, index=False)
    else:
        data.to_parquet(path, row_group_size=70)
    ready = processor.transform(data, return_dict=False)
    options = {"shuffle": False, "metrics": ["auc", "gauc"], "validation_split": 0.2}

    def build() -> nextrec.BaseModel:
        features = processor.features(embedding_dim=4)
        kinds = features.dense, features.sparse, features.sequence
        return nextrec.DeepFM(*kinds, mlp_params={"dims": [8]}, seed=1, id_columns="user_id")

    plain, loaded, streamed = build(), build(), build()
    expected = run(ready, of=plain, **options)
    assert differing(run(path, of=loaded, processor=processor, **options), expected) == []
    run(path, of=streamed, processor=processor, stream=True, **options)
    measured = streamed.evaluate(path, ["auc", "gauc"], stream=True)
    assert measured == streamed.evaluate(data, ["auc", "gauc"])
    assert measured == streamed.evaluate(ready, ["auc", "gauc"], processor=False)
    predicted = streamed.predict(path)
    assert predicted["user_id"].tolist() == data["user_id"].tolist()
    scores = streamed.predict(ready, processor=False)["label_pred"]
    np.testing.assert_allclose(predicted["label_pred"], scores, rtol=1e-6)
    unlabelled = data.drop(columns="label")
    np.testing.assert_allclose(streamed.predict(unlabelled)["label_pred"], scores, rtol=1e-6)
    again = nextrec.load(streamed.save(tmp_path / "bundle"))
    np.testing.assert_array_equal(again.predict(path)["label_pred"], predicted["label_pred"])


class Shifted:
    """A processor of a user's own: user names become ids."""

    def __init__(self, is_fitted: bool = True) -> None:
        self.is_fitted = is_fitted

    def transform(self, data: Any, return_dict: bool = True) -> Any:
        assert return_dict is False
        frame = pd.DataFrame(data)
        return frame.assign(user=frame["name"].str[1:].astype(int))


def raw(rows: int = ROWS) -> pd.DataFrame:
    frame = pd.DataFrame(columns(rows))
    return frame.assign(name="n" + frame["user"].astype(str)).drop(columns="user")


def test_a_processor_of_ones_own(tmp_path: Path) -> None:
    raw().to_parquet(tmp_path / "raw.parquet", row_group_size=70)
    plain = model()
    expected = run(pd.DataFrame(columns()), of=plain, shuffle=False)
    for data, stream in ((raw(), None), (tmp_path / "raw.parquet", None), (raw(), True)):
        fitted = model()
        processor = Shifted()
        got = run(data, of=fitted, processor=processor, stream=stream, shuffle=False)
        assert differing(got, expected) == []
        assert fitted.processor is processor
        assert fitted.evaluate(data) == pytest.approx(plain.evaluate(columns()), rel=1e-6)
        predicted = fitted.predict(data, return_dataframe=False)
        np.testing.assert_allclose(predicted, plain.predict(columns(), return_dataframe=False))
        assert fitted.evaluate(columns(), processor=False) == fitted.evaluate(data)
        with pytest.raises(DataError, match="'user'"):
            fitted.predict(data, processor=False)


def test_a_processor_is_never_applied_to_batches(folder: Path) -> None:
    fitted = model()
    loader = loaders(folder).train
    fitted.fit(loader, **OPTIONS, processor=Shifted())  # it only becomes the model's own
    measured = fitted.evaluate(folder, ["auc"], processor=False)
    assert fitted.evaluate(loader, ["auc"]) == measured
    with pytest.raises(ConfigError, match="evaluate: `processor` must be said where"):
        fitted.evaluate(loader, processor=Shifted())
    with pytest.raises(ConfigError, match="predict: `processor` must be said where"):
        fitted.predict(loader, processor=Shifted())


def test_what_is_no_processor(folder: Path) -> None:
    with pytest.raises(NotFittedError, match="Shifted must be fitted"):
        model().fit(folder, processor=Shifted(is_fitted=False))
    for call in (model().fit, model().evaluate, model().predict):
        with pytest.raises(ConfigError, match=r"`processor` must be a DataProcessor.*got 3"):
            call(folder, processor=3)
