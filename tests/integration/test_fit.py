"""``fit`` and ``evaluate``: what they take, what they leave in the model and in the session."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import nextrec
from nextrec.data.data_utils import collate_fn
from nextrec.data.dataloader import TensorDictDataset, build_tensors_from_data
from nextrec.errors import CheckpointError, ConfigError, TrainingError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.metrics import compute_gauc
from nextrec.models.fit_options import FitOptions
from nextrec.models.run_data import load_run_data
from nextrec.optim import SCHEDULERS
from nextrec.training.callbacks import Callback
from nextrec.training.checkpoint import read_state

ROWS = 200


def feature_lists() -> dict[str, Any]:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 20, embedding_dim=4),
            SparseFeature("item", 30, embedding_name="items", embedding_dim=4),
        ],
        "sequence_features": [
            SequenceFeature("history", 30, 5, embedding_name="items", embedding_dim=4)
        ],
    }


def model(cls: Any = nextrec.DeepFM, **options: Any) -> nextrec.BaseModel:
    deep = {"mlp_params": {"dims": [8]}} if cls is nextrec.DeepFM else {}
    return cls(**{**feature_lists(), **deep, "seed": 1, **options})


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Labels that follow from the price, and some of every other kind."""
    rng = np.random.default_rng(seed)
    price = rng.normal(size=rows).astype(np.float32)
    return {
        "user": rng.integers(0, 20, rows),
        "item": rng.integers(0, 30, rows),
        "price": price,
        "history": [rng.integers(1, 30, size).tolist() for size in rng.integers(0, 5, rows)],
        "label": (price + 0.5 * rng.normal(size=rows) > 0).astype(np.float32),
        "buy": (price > 0.5).astype(np.float32),
        "stars": (3 + price).astype(np.float32),
        "kind": np.digitize(price, [-0.5, 0.5]),
        "time": rng.permutation(rows),
        "row": np.arange(rows),
        "user_id": rng.integers(100, 115, rows),
    }


def inverted(data: dict[str, Any]) -> dict[str, Any]:
    """Validation labels of the opposite meaning: the more is learnt, the worse."""
    return {**data, "label": 1 - data["label"]}


def inputs(data: dict[str, Any]) -> dict[str, Tensor]:
    history = np.zeros((len(data["user"]), 5), dtype=np.int64)
    for row, items in enumerate(data["history"]):
        history[row, : len(items)] = items
    names = ("user", "item", "price")
    return {
        "history": torch.from_numpy(history),
        **{name: torch.from_numpy(np.asarray(data[name])) for name in names},
    }


def state(of: nextrec.BaseModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in of.state_dict().items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


class Recorder(Callback):
    """Keeps the weights after every epoch and the events in their order."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.events: list[str] = []
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.stop_after = stop_after

    def on_fit_start(self, trainer: Any) -> None:
        self.events.append("fit start")

    def on_epoch_start(self, trainer: Any) -> None:
        self.events.append("epoch start")

    def on_step_end(self, trainer: Any) -> None:
        self.events.append("step")
        self.rates.append(trainer.optimizer.param_groups[0]["lr"])

    def on_epoch_end(self, trainer: Any, record: Any) -> None:
        self.events.append(f"epoch end {sorted(set(record) & {'auc', 'valid_loss'})}")
        self.states.append(state(trainer.module))
        if trainer.state.epoch == self.stop_after:
            trainer.state.stop = True

    def on_fit_end(self, trainer: Any) -> None:
        self.events.append("fit end")


# -- what a run leaves -------------------------------------------------------------------------


VOID = ("meta", "br", "hr", "img", "link", "input", "circle", "line", "path", "rect", "polyline")
"""Tags without an end."""


class Tags(HTMLParser):
    """Open tags, which a well-formed page closes in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_session_history_and_report() -> None:
    fitted = model(session_id="shop/first", optimizer_params={"lr": 0.01})
    returned = fitted.fit(
        columns(), valid_data=columns(90, 1), metrics=["auc", "logloss"], epochs=3, batch_size=64
    )
    assert returned is fitted
    folder = fitted.session_path
    assert (folder.parent.name, folder.name) == ("shop", "first")
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "features_config.json",
        "metrics.jsonl",
        "first.log",
        "DeepFM_best.model",
        "DeepFM_checkpoint.model",
        "report.html",
    }
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert records == fitted.history
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [record["step"] for record in records] == [4, 8, 12]
    expected = {"epoch", "step", "loss", "lr", "seconds", "rows_per_second", "valid_loss"}
    assert set(records[0]) == expected | {"auc", "logloss"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["experiment_id"] == "shop/first"
    assert manifest["rows"] == ROWS
    assert manifest["fit"]["epochs"] == 3
    assert isinstance(manifest["fit"]["seed"], int)
    assert manifest["compile"]["optimizer_params"] == {"lr": 0.01}
    assert {"torch", "nextrec", "python"} <= set(manifest["versions"])
    config = json.loads((folder / "features_config.json").read_text())
    assert config["class"] == "DeepFM"
    assert "auc" in (folder / "first.log").read_text()
    tags = Tags()
    tags.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert tags.open == []
    assert {"html", "svg", "table"} <= tags.seen
    assert "http://" not in (folder / "report.html").read_text().replace("http://www.w3.org", "")


def test_no_report_where_none_is_wanted() -> None:
    fitted = model().fit(columns(), report=False)
    assert not (fitted.session_path / "report.html").exists()
    assert (fitted.session_path / "metrics.jsonl").exists()


def test_a_second_fit_gets_a_session_of_its_own() -> None:
    fitted = model(session_id="run")
    fitted.fit(columns(), seed=0, report=False)
    first = fitted.session_path
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    weights = state(fitted)
    fitted.fit(columns(), seed=0, report=False)
    assert (first.name, fitted.session_path.name) == ("run", "run-2")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert len(fitted.history) == 1
    assert not torch.equal(fitted.state_dict()["mlp.mlp.0.weight"], weights["mlp.mlp.0.weight"])


def test_the_seed_is_written_down_and_repeats_the_run() -> None:
    drawn = model().fit(columns(), epochs=2, report=False)
    manifest = json.loads((drawn.session_path / "manifest.json").read_text())
    again = model().fit(columns(), epochs=2, seed=manifest["fit"]["seed"], report=False)
    assert_same(state(drawn), state(again))


# -- the best epoch ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "mode", "pick"),
    [("auc", None, np.argmax), ("valid_loss", None, np.argmin), ("auc", "min", np.argmin)],
)
def test_the_model_ends_with_the_best_epoch(monitor: str, mode: Any, pick: Any) -> None:
    recorder = Recorder()
    fitted = model(optimizer_params={"lr": 0.05})
    fitted.fit(
        columns(),
        valid_data=inverted(columns(90, 1)),
        metrics=["logloss", "auc"],
        monitor=monitor,
        monitor_mode=mode,
        epochs=4,
        batch_size=64,
        callbacks=[recorder],
        report=False,
        seed=0,
    )
    values = [record[monitor] for record in fitted.history]
    best = int(pick(values))
    assert (best > 0) if mode == "min" else (best == 0)  # the data is made so
    assert_same(state(fitted), recorder.states[best])
    assert_same(read_state(fitted.best_path)[0], recorder.states[best])
    assert fitted.history[-1]["epoch"] == 4


def test_without_validation_the_last_weights_stay() -> None:
    recorder = Recorder()
    fitted = model().fit(columns(), epochs=3, callbacks=[recorder], report=False)
    assert_same(state(fitted), recorder.states[-1])
    assert_same(read_state(fitted.best_path)[0], recorder.states[-1])


@pytest.mark.parametrize("given_by", ["fit", "model"])
def test_early_stopping(given_by: str) -> None:
    patience = {"early_stop_patience": 2}
    fitted = model(optimizer_params={"lr": 0.05}, **(patience if given_by == "model" else {}))
    fitted.fit(
        columns(),
        valid_data=inverted(columns(90, 1)),
        metrics="auc",
        epochs=9,
        batch_size=64,
        report=False,
        seed=0,
        **(patience if given_by == "fit" else {}),
    )
    assert len(fitted.history) == 3  # the best one and two that are no better


def test_small_gains_do_not_count_with_min_delta() -> None:
    options = {"valid_data": columns(90, 1), "metrics": "auc", "epochs": 8, "batch_size": 64}
    options |= {"early_stop_patience": 2, "report": False, "seed": 0}
    patient = model().fit(columns(), **options)
    strict = model().fit(columns(), min_delta=0.9, **options)
    assert len(strict.history) == 3
    assert len(patient.history) > 3


# -- where the validation data comes from ------------------------------------------------------


def split_rows(**options: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Row numbers of both parts as ``fit`` makes them."""
    data = columns()
    small = model(id_columns=["row"])
    chosen = FitOptions.of(metrics=["logloss"], shuffle=False, **options)
    parts = load_run_data(small, data, None, chosen, seed=3)
    kept, held = (loader.store.data.ids["row"] for loader in (parts.train, parts.valid))
    assert sorted([*kept, *held]) == list(range(ROWS))
    return np.asarray(kept), np.asarray(held), data


def test_split_at_random() -> None:
    _, held, _ = split_rows(validation_split=0.2)
    assert len(held) == 40
    assert not np.array_equal(held, np.arange(160, 200))


def test_split_by_group() -> None:
    column = {"split_by": "group", "split_column": "user"}
    kept, held, data = split_rows(validation_split=0.3, **column)
    assert not set(data["user"][kept]) & set(data["user"][held])
    assert 20 < len(held) < 100
    by_default, other, data = split_rows(validation_split=0.3, split_by="group")
    assert not set(data["user_id"][by_default]) & set(data["user_id"][other])


def test_split_by_time() -> None:
    kept, held, data = split_rows(validation_split=0.25, split_by="time", split_column="time")
    assert len(held) == 50
    assert data["time"][kept].max() < data["time"][held].min()


def test_split_by_the_time_of_each_user() -> None:
    kept, held, data = split_rows(
        validation_split=0.3, split_by="user_time", split_column="time", user_id_column="user"
    )
    for user in range(20):
        earlier = data["time"][kept][data["user"][kept] == user]
        later = data["time"][held][data["user"][held] == user]
        assert len(earlier)
        assert not len(later) or earlier.max() < later.min()


def test_valid_data_wins_over_a_split(caplog: pytest.LogCaptureFixture) -> None:
    options = {"metrics": ["auc"], "seed": 0, "report": False}
    valid = columns(90, 1)
    both = model().fit(columns(), valid_data=valid, validation_split=0.5, **options)
    assert "`validation_split` is not used" in caplog.text
    assert_same(state(both), state(model().fit(columns(), valid_data=valid, **options)))


# -- kinds of data -----------------------------------------------------------------------------


def as_torch_loader(data: dict[str, Any]) -> DataLoader:
    small = model()
    tensors = build_tensors_from_data(data, data, list(small.features), ["label"], [])
    return DataLoader(TensorDictDataset(tensors), batch_size=64, collate_fn=collate_fn)


def as_rec_loader(data: Any, **options: Any) -> Any:
    maker = nextrec.RecDataLoader(**feature_lists(), target="label", id_columns="user_id")
    return maker.create_dataloader(data, batch_size=64, **options)


def test_every_kind_of_data_trains_alike(tmp_path: Path) -> None:
    data = columns()
    frame = pd.DataFrame(data)
    folder = tmp_path / "parts"
    folder.mkdir()
    frame[:130].to_parquet(folder / "part-0.parquet")
    frame[130:].to_parquet(folder / "part-1.parquet")
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_csv(tmp_path / "data.csv.gz", index=False)
    kinds = {
        "dict": data,
        "pandas": frame,
        "polars": pl.DataFrame(data),
        "arrow": pl.DataFrame(data).to_arrow(),
        "stream": pl.DataFrame(data).to_arrow().to_reader(max_chunksize=50),
        "csv": str(tmp_path / "data.csv"),
        "gzip": tmp_path / "data.csv.gz",
        "folder": folder,
        "glob": str(folder / "*.parquet"),
        "list": sorted(folder.iterdir()),
        "torch loader": as_torch_loader(data),
        "loader": as_rec_loader(frame, shuffle=False),
        "streaming loader": as_rec_loader(str(folder), shuffle=False, load_full=False),
    }
    options = {"epochs": 2, "batch_size": 64, "shuffle": False, "seed": 0, "report": False}
    expected = state(model().fit(kinds.pop("dict"), **options))
    for kind, same in kinds.items():
        fitted = model().fit(same, **options)
        assert fitted.history[0]["step"] == 4, kind
        assert_same(state(fitted), expected)


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    """Also those of methods of torch's containers, with dots, and with the escape's own sign."""
    dense = ["items", "type", "price.usd", "%price", "training", "a b"]
    sparse = ["values", "keys", "user id", "forward"]
    fitted = nextrec.DCN(
        [DenseFeature(name, embedding_dim=2) for name in dense],
        [SparseFeature(name, 9) for name in sparse],
        seed=1,
    )
    data = {name: np.linspace(0, 1, 20) for name in dense}
    data |= {name: np.arange(20) % 9 for name in sparse}
    fitted.fit({**data, "label": np.arange(20) % 2}, report=False)
    loaded = nextrec.load(fitted.save(tmp_path / "bundle"))
    scores = [each.predict(data, return_dataframe=False) for each in (fitted, loaded)]
    assert np.array_equal(*scores)


def test_a_loader_with_the_seed_of_the_run_orders_rows_alike() -> None:
    own = model().fit(as_rec_loader(columns(), seed=5), epochs=2, seed=5, report=False)
    given = model().fit(columns(), epochs=2, batch_size=64, seed=5, report=False)
    assert_same(state(own), state(given))


def test_loaders_carry_what_gauc_needs() -> None:
    loader = as_rec_loader(columns(90, 1), shuffle=False)
    fitted = model().fit(columns(), valid_data=loader, metrics=["gauc"], report=False)
    assert fitted.history[0]["gauc"] == fitted.evaluate(columns(90, 1), ["gauc"])["gauc"]


def test_a_stream_can_be_split() -> None:
    table = pl.DataFrame(columns()).to_arrow()
    options = {"validation_split": 0.3, "metrics": ["auc"], "seed": 0, "report": False}
    options |= {"split_by": "time", "split_column": "time"}
    streamed = model().fit(table.to_reader(), **options)
    assert_same(state(streamed), state(model().fit(table, **options)))


# -- targets, tasks, weights -------------------------------------------------------------------


def first_loss(fitted: nextrec.BaseModel, data: dict[str, Any], **options: Any) -> float:
    """The loss of one step over all rows, before the weights move."""
    fitted.fit(data, batch_size=len(data["user"]), report=False, **options)
    return float(fitted.history[0]["loss"])


def logits_of(fresh: nextrec.BaseModel, data: dict[str, Any]) -> Tensor:
    return fresh.logits(inputs(data)).detach()


def test_labels_that_were_not_observed_do_not_count() -> None:
    data = columns()
    data["buy"] = np.where(np.arange(ROWS) % 3 == 0, np.nan, data["buy"])
    fresh = model(nextrec.DCN, target=["label", "buy"], loss_weights=[1.0, 2.0])
    logits = logits_of(fresh, data)
    seen = torch.from_numpy(~np.isnan(data["buy"]))
    label, buy = (torch.from_numpy(np.asarray(data[name], np.float32)) for name in ("label", "buy"))
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], label)
    expected += 2 * F.binary_cross_entropy_with_logits(logits[seen, 1], buy[seen])
    assert first_loss(fresh, data) == pytest.approx(expected.item(), rel=1e-5)
    values = fresh.evaluate(data, metrics={"label": ["auc"], "buy": ["auc", "logloss"]})
    assert list(values) == ["auc_label", "auc_buy", "logloss_buy"]
    observed = {
        name: [v for v, keep in zip(vs, seen, strict=True) if keep] for name, vs in data.items()
    }
    same = fresh.evaluate(observed, metrics={"buy": ["auc", "logloss"]})
    assert values["auc_buy"] == pytest.approx(same["auc_buy"])
    assert values["logloss_buy"] == pytest.approx(same["logloss_buy"])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["binary", "mixed"])
def test_the_validation_loss_does_not_depend_on_its_batches(kind: str, weighted: bool) -> None:
    """Batches count by what was observed in them, not by their rows."""
    tasks = TASKS["mixed"][0] if kind == "mixed" else {"target": ["label", "buy"]}
    data = {**columns(), "weight": np.linspace(0.1, 2, ROWS)}
    for number, name in enumerate(tasks["target"]):
        missing = np.arange(ROWS) % (5 + 2 * number) != 0
        data[name] = np.where(missing, np.nan, data[name])
    weights = {"weight_column": "weight"} if weighted else {}
    losses = []
    for size in (3, 64, 4096):
        fitted = model(nextrec.DCN, loss_weights=[1, 2, 3][: len(tasks["target"])], **tasks)
        full = {**columns(), "weight": np.ones(ROWS)}
        fitted.fit(full, valid_data=data, eval_batch_size=size, seed=0, report=False, **weights)
        losses.append(fitted.history[0]["valid_loss"])
    labels = torch.from_numpy(np.stack([data[name] for name in tasks["target"]], axis=1)).float()
    given = torch.from_numpy(data["weight"]).float() if weighted else None
    expected = fitted.objective(logits_of(fitted.eval(), data), labels, given)
    assert losses == pytest.approx([expected.item()] * 3, rel=1e-5)


def test_sample_weights() -> None:
    data = {**columns(), "weight": np.linspace(0, 2, ROWS).astype(np.float32)}
    fresh = model(nextrec.DCN)
    logits, weight = logits_of(fresh, data)[:, 0], torch.from_numpy(data["weight"])
    losses = F.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(data["label"]), reduction="none"
    )
    expected = (losses * weight).sum() / weight.sum()
    assert first_loss(fresh, data, weight_column="weight") == pytest.approx(expected.item(), 1e-5)


def test_rows_of_weight_zero_teach_nothing() -> None:
    data = columns()
    data["weight"] = (np.arange(ROWS) % 2).astype(np.float32)
    other = {**data, "label": np.where(data["weight"] > 0, data["label"], 1 - data["label"])}
    options = {"weight_column": "weight", "seed": 0, "report": False, "epochs": 2}
    pair = [model(nextrec.DCN).fit(each, **options) for each in (data, other)]
    assert_same(state(pair[0]), state(pair[1]))


def cross_entropy(logits: Tensor, data: dict[str, Any]) -> Tensor:
    return F.cross_entropy(logits, torch.from_numpy(data["kind"]))


def squares(logits: Tensor, data: dict[str, Any]) -> Tensor:
    return F.mse_loss(logits[:, 0], torch.from_numpy(data["stars"]))


def binary(logits: Tensor, data: dict[str, Any], name: str = "label") -> Tensor:
    return F.binary_cross_entropy_with_logits(logits[:, 0], torch.from_numpy(data[name]))


TASKS: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "regression": (
        {"task": "regression", "target": "stars"},
        squares,
        ["mse", "mae", "rmse", "r2", "mape"],
    ),
    "multiclass": (
        {"task": "multiclass", "target": "kind", "num_classes": 3},
        cross_entropy,
        ["accuracy", "logloss", "macro_f1"],
    ),
    "multilabel": (
        {"task": "multilabel", "target": ["label", "buy"]},
        lambda logits, data: (binary(logits[:, :1], data) + binary(logits[:, 1:], data, "buy")) / 2,
        ["auc", "hamming_loss", "subset_accuracy", "micro_f1", "macro_f1"],
    ),
    "mixed": (
        {
            "task": ["binary", "multiclass", "regression"],
            "target": ["label", "kind", "stars"],
            "num_classes": 3,
        },
        lambda logits, data: (
            binary(logits[:, :1], data)
            + cross_entropy(logits[:, 1:4], data)
            + squares(logits[:, 4:], data)
        ),
        ["auc_label", "gauc_label", "accuracy_kind", "mse_stars", "r2_stars"],
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_kinds_of_task(name: str) -> None:
    options, expected, metrics = TASKS[name]
    data = columns()
    fresh = model(nextrec.DCN, optimizer_params={"lr": 0.05}, **options)
    logits = logits_of(fresh, data)
    assert first_loss(fresh, data) == pytest.approx(expected(logits, data).item(), rel=1e-5)
    fresh.fit(data, valid_data=columns(90, 1), epochs=3, batch_size=50, report=True, seed=0)
    losses = [record["valid_loss"] for record in fresh.history]
    assert losses[-1] < losses[0]
    assert set(metrics) <= set(fresh.history[-1])
    assert np.isfinite([fresh.history[-1][metric] for metric in metrics]).all()
    assert (fresh.session_path / "report.html").stat().st_size > 1000


class OwnLoss(nn.Module):
    """Takes probabilities and labels of one task, as 0.3.1 gave them."""

    def forward(self, predictions: Tensor, labels: Tensor) -> Tensor:
        assert predictions.shape == labels.shape
        assert ((predictions > 0) & (predictions < 1)).all()
        return (predictions - labels).abs().mean()


def test_a_loss_of_ones_own() -> None:
    data = columns()
    fresh = model(nextrec.DCN, loss=OwnLoss())
    expected = (logits_of(fresh, data)[:, 0].sigmoid() - torch.from_numpy(data["label"])).abs()
    assert first_loss(fresh, data) == pytest.approx(expected.mean().item(), rel=1e-5)


# -- optimizers and schedulers -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["instance", "class"])
def test_an_optimizer_of_ones_own_follows_the_named_one(kind: str) -> None:
    options = {"epochs": 2, "batch_size": 50, "seed": 0, "report": False}
    named = model(nextrec.DCN, optimizer_params={"lr": 0.01}).fit(columns(), **options)
    own = model(nextrec.DCN)
    if kind == "class":
        own.compile(optimizer=torch.optim.Adam, optimizer_params={"lr": 0.01})
    else:
        own.compile(optimizer=torch.optim.Adam(own.parameters(), lr=0.01))
    own.fit(columns(), **options)
    scores = [each.predict(columns(), return_dataframe=False) for each in (own, named)]
    np.testing.assert_allclose(*scores, rtol=1e-3)
    assert named.history[-1]["loss"] == pytest.approx(own.history[-1]["loss"], rel=1e-4)


def test_parameters_that_the_optimizer_leaves_out_change_nothing() -> None:
    """Their gradients are never dropped, and must not shrink those of the others."""
    fitted = model(nextrec.DCN)
    start = state(fitted)
    fitted.compile(optimizer=torch.optim.SGD(fitted.head.parameters(), lr=0.1))
    fitted.fit(columns(), epochs=2, batch_size=50, shuffle=False, max_grad_norm=0.1, report=False)
    moved = [
        name for name, value in fitted.state_dict().items() if not torch.equal(value, start[name])
    ]
    assert moved == ["head.weight", "head.bias"]
    own = model(nextrec.DCN)
    optimizer = torch.optim.SGD(own.head.parameters(), lr=0.1)
    x, y = inputs(columns()), torch.from_numpy(columns()["label"])
    for _ in range(2):
        for at in range(0, ROWS, 50):
            own.zero_grad()
            logits = own.logits({name: values[at : at + 50] for name, values in x.items()})
            F.binary_cross_entropy_with_logits(logits[:, 0], y[at : at + 50]).backward()
            nn.utils.clip_grad_norm_(own.head.parameters(), 0.1)
            optimizer.step()
    torch.testing.assert_close(fitted.head.weight, own.head.weight)


SCHEDULE_OPTIONS: dict[str, dict[str, Any]] = {
    "step": {"step_size": 1},
    "multistep": {"milestones": [1, 2]},
    "exponential": {"gamma": 0.5},
    "cosine_restarts": {"T_0": 2},
}


class BreakOff(Callback):
    """Ends a run at the start of an epoch, as a failure would."""

    def __init__(self, at_epoch: int | None) -> None:
        self.at_epoch = at_epoch

    def on_epoch_start(self, trainer: Any) -> None:
        if trainer.state.epoch == self.at_epoch:
            raise InterruptedError


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_schedule_trains_and_is_resumed(name: str) -> None:
    compiled = {"scheduler": name, "scheduler_params": SCHEDULE_OPTIONS.get(name)}
    options = {"valid_data": columns(50, 1), "metrics": "auc", "batch_size": 100, "epochs": 3}
    options |= {"report": False, "seed": 0}
    whole, broken = (model(nextrec.DCN, **compiled) for _ in range(2))
    whole.fit(columns(), callbacks=[BreakOff(None)], **options)
    with pytest.raises(InterruptedError):
        broken.fit(columns(), callbacks=[BreakOff(2)], **options)
    again = model(nextrec.DCN, **compiled)
    again.fit(columns(), callbacks=[BreakOff(None)], **{**options, "resume": broken.session_path})
    rates = [[record["lr"] for record in each.history] for each in (whole, again)]
    assert len(rates[0]) == 3
    assert rates[0] == rates[1]
    assert_same(state(whole), state(again))


@pytest.mark.parametrize("name", ["step", "cosine", "plateau", "onecycle", "warmup_linear"])
def test_a_second_fit_begins_its_schedule_anew(name: str) -> None:
    fitted = model(nextrec.DCN, scheduler=name, scheduler_params=SCHEDULE_OPTIONS.get(name))
    rates = []
    for _ in range(2):
        recorder = Recorder()
        fitted.fit(
            columns(),
            valid_data=columns(50, 1),
            metrics="auc",
            epochs=2,
            batch_size=50,
            callbacks=[recorder],
            report=False,
        )
        rates.append(recorder.rates)
    assert rates[0] == rates[1]


def test_a_schedule_over_the_whole_run_can_not_be_lengthened() -> None:
    given = {"scheduler": "cosine", "scheduler_params": {"T_max": 4}}
    for options, refused in (({"scheduler": "cosine"}, True), (given, False)):
        fitted = model(nextrec.DCN, **options).fit(columns(), epochs=2, report=False)
        if refused:
            with pytest.raises(CheckpointError, match="epochs of the schedule was 2, is 3"):
                fitted.fit(columns(), epochs=3, resume=True, report=False)
        else:
            fitted.fit(columns(), epochs=3, resume=True, report=False)
            assert len(fitted.history) == 3


def test_resuming_a_stopped_run_says_so(caplog: pytest.LogCaptureFixture) -> None:
    fitted = model(nextrec.DCN)
    fitted.fit(columns(), epochs=3, callbacks=[Recorder(stop_after=1)], report=False)
    fitted.fit(columns(), epochs=3, resume=True, report=False)
    assert len(fitted.history) == 1
    assert "the run to resume had been stopped at epoch 1" in caplog.text


def test_a_schedule_by_epoch() -> None:
    fitted = model(scheduler="step", scheduler_params={"step_size": 1, "gamma": 0.1})
    fitted.fit(columns(), epochs=3, batch_size=50, report=False)
    rates = [record["lr"] for record in fitted.history]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])


def test_a_warm_up_by_step() -> None:
    recorder = Recorder()
    fitted = model(scheduler="warmup_linear", scheduler_params={"warmup_steps": 4})
    fitted.fit(columns(), epochs=2, batch_size=50, callbacks=[recorder], report=False)
    # The rate after each of the 8 steps is that of the next one.
    shares = [2 / 4, 3 / 4, 1, 1, 3 / 4, 2 / 4, 1 / 4, 0]
    assert recorder.rates == pytest.approx([1e-3 * share for share in shares])


def test_plateau_follows_the_monitor() -> None:
    options = {"scheduler": "plateau", "scheduler_params": {"patience": 0, "factor": 0.5}}
    fitted = model(optimizer_params={"lr": 0.02}, **options)
    common = {"metrics": ["auc"], "epochs": 4, "batch_size": 64, "report": False, "seed": 0}
    fitted.fit(columns(), valid_data=inverted(columns(90, 1)), **common)
    assert [record["lr"] for record in fitted.history] == pytest.approx([0.02, 0.02, 0.01, 0.005])


def test_a_scheduler_of_ones_own() -> None:
    halved = lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)  # noqa: E731
    fitted = model(scheduler=halved).fit(columns(), epochs=2, report=False)
    assert [record["lr"] for record in fitted.history] == [1e-3, 5e-4]


# -- callbacks, precision, failures ------------------------------------------------------------


def test_callbacks_are_told_in_order_and_may_stop() -> None:
    recorder = Recorder(stop_after=2)
    fitted = model()
    fitted.fit(
        columns(),
        valid_data=columns(50, 1),
        metrics="auc",
        epochs=5,
        batch_size=100,
        callbacks=[recorder],
        report=False,
    )
    epoch = ["epoch start", "step", "step", "epoch end ['auc', 'valid_loss']"]
    assert recorder.events == ["fit start", *epoch, *epoch, "fit end"]
    assert len(fitted.history) == 2


def test_bf16_trains_in_half_and_keeps_whole_weights() -> None:
    options = {"epochs": 3, "batch_size": 50, "seed": 0, "report": False}
    whole = model(optimizer_params={"lr": 0.01}).fit(columns(), **options)
    half = model(optimizer_params={"lr": 0.01}).fit(columns(), precision="bf16", **options)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert half.history[-1]["loss"] == pytest.approx(whole.history[-1]["loss"], rel=0.05)
    assert half.history[-1]["loss"] != whole.history[-1]["loss"]


class BadAt(nn.Module):
    """BCE that is NaN the n-th time."""

    logits = True

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        return loss * float("nan") if self.calls == self.at else loss


def test_a_loss_that_is_not_finite_stops_at_its_step() -> None:
    options = {"batch_size": 50, "seed": 0, "report": False}
    whole = model(nextrec.DCN, loss=BadAt(-1)).fit(columns(), epochs=1, **options)
    broken = model(nextrec.DCN, loss=BadAt(5))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 5 \(epoch 2\)"):
        broken.fit(columns(), epochs=3, **options)
    assert_same(state(broken), state(whole))
    assert broken.history == [{**broken.history[0], "epoch": 1, "step": 4}]
    assert not broken.best_path.exists()
    assert broken.training


def test_rows_are_up_to_date_when_a_run_breaks_off() -> None:
    """Adam moves rows that were not looked up, also those that were owed when it stopped."""
    named, dense = model(nextrec.DCN, loss=BadAt(4)), model(nextrec.DCN, loss=BadAt(4))
    dense.compile(optimizer=torch.optim.Adam, loss=BadAt(4))
    data = {name: values[:40] for name, values in columns().items()}
    for each in (named, dense):
        with pytest.raises(TrainingError, match="step 4"):
            each.fit(data, batch_size=10, shuffle=False, report=False)
    table = "embedding.embed_dict.user.weight"
    torch.testing.assert_close(
        named.state_dict()[table], dense.state_dict()[table], rtol=1e-4, atol=1e-6
    )


def test_a_run_after_a_failed_one() -> None:
    fitted = model(nextrec.DCN, loss=BadAt(3), session_id="run")
    with pytest.raises(TrainingError):
        fitted.fit(columns(), batch_size=50, report=False)
    fitted.compile()
    fitted.fit(columns(), batch_size=50, report=False)
    assert fitted.history[0]["step"] == 4


# -- evaluate ----------------------------------------------------------------------------------


def test_evaluate_computes_what_is_asked() -> None:
    fresh = model(target=["label", "buy"])
    data = columns()
    values = fresh.evaluate(data, metrics={"label": ["logloss"], "buy": ["auc"]})
    assert list(values) == ["logloss_label", "auc_buy"]
    fresh.fit(data, valid_data=data, metrics={"label": "auc"}, report=False)
    assert list(fresh.evaluate(data, metrics=["accuracy"])) == ["accuracy_label", "accuracy_buy"]
    assert list(fresh.evaluate(data, metrics="ks")) == ["ks_label", "ks_buy"]
    assert "auc_label" in fresh.evaluate(data)


def test_evaluate_against_the_definitions() -> None:
    data = columns()
    fresh = model().eval()
    scores = fresh(inputs(data)).detach().numpy()
    values = fresh.evaluate(data, metrics=["auc", "logloss", "gauc"], batch_size=37)
    pairs = np.sign(scores[data["label"] == 1][:, None] - scores[data["label"] == 0])
    assert values["auc"] == pytest.approx((pairs.mean() + 1) / 2)
    hit = np.where(data["label"] == 1, scores, 1 - scores).astype(np.float64)
    assert values["logloss"] == pytest.approx(-np.log(hit).mean(), rel=1e-5)
    assert values["gauc"] == pytest.approx(compute_gauc(data["label"], scores, data["user_id"]))
    given = fresh.evaluate(data, metrics=["gauc"], user_ids=data["item"])
    by_column = fresh.evaluate(data, metrics=["gauc"], user_id_column="item")
    assert given["gauc"] == by_column["gauc"] != values["gauc"]


def test_gauc_needs_its_column_only_where_it_was_asked_for() -> None:
    data = {name: values for name, values in columns().items() if name != "user_id"}
    with pytest.raises(ConfigError, match=r"gauc need the column.*Did you mean 'user'"):
        model().evaluate(data, metrics=["auc", "gauc"])
    for values in (model().evaluate(data), model().evaluate(data, metrics=[])):
        assert "auc" in values
        assert "gauc" not in values
    fitted = model().fit(data, valid_data=data, metrics=[], report=False)
    assert "gauc" not in fitted.history[0]
    text = {**data, "user_id": [f"u{user}" for user in data["user"]]}
    assert "gauc" in model().fit(text, valid_data=text, report=False).history[0]


def test_metrics_of_the_training_data() -> None:
    options = {"report": False, "seed": 0}
    named = model().fit(columns(), metrics=["auc", "pcoc"], **options)
    assert {"train_auc", "train_pcoc"} <= set(named.history[0])
    assert named.history[0]["train_auc"] == named.evaluate(columns(), ["auc"])["auc"]
    both = model().fit(
        columns(), valid_data=columns(50, 1), metrics=["auc"], train_metrics=True, **options
    )
    assert {"auc", "train_auc", "valid_loss"} <= set(both.history[0])
    silent = model().fit(columns(), **options)
    assert not [key for key in silent.history[0] if "auc" in key]


def test_an_undefined_metric_is_null_with_its_reason() -> None:
    ones = {**columns(60, 1), "label": np.ones(60, np.float32)}
    options = {"metrics": ["logloss", "auc"], "monitor": "logloss", "report": False}
    fitted = model().fit(columns(), valid_data=ones, **options)
    line = json.loads((fitted.session_path / "metrics.jsonl").read_text())
    assert line["auc"] is None
    assert "one class" in line["reasons"]["auc"]
    assert np.isnan(fitted.history[0]["auc"])
