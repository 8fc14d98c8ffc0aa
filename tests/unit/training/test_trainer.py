from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from nextrec.data.loaders import BatchLoader
from nextrec.data.store import PackedStore
from nextrec.errors import CheckpointError, TrainingError
from nextrec.features import DenseFeature, FeatureSet, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.optim import HybridOptimizer, RowTable, build_optimizer, build_scheduler
from nextrec.training.callbacks import Callback
from nextrec.training.checkpoint import read_state, write_state
from nextrec.training.trainer import Trainer, TrainOptions, length_of, row_gradients

ROWS, CPU = 30, torch.device("cpu")
FEATURES = FeatureSet([DenseFeature("x", input_dim=2)], [SparseFeature("item", 9, embedding_dim=3)])


class Net(nn.Module):
    """A linear map of numbers and an embedding, and whatever a test plants."""

    def __init__(self, auxiliary: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = EmbeddingLayer(FEATURES)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(5, 1)
        self.auxiliary = auxiliary

    def training_outputs(self, x: Any) -> Any:
        logits = self.head(self.dropout(self.embedding.flat(x)))
        return {"logits": logits, "penalty": logits.square().mean()} if self.auxiliary else logits


class Squares(nn.Module):
    """Mean squared error; the n-th call may be spoilt."""

    def __init__(self, nan_at: int | None = None) -> None:
        super().__init__()
        self.nan_at, self.calls = nan_at, 0

    def forward(self, outputs: Any, labels: Tensor, weights: Tensor | None) -> Tensor:
        self.calls += 1
        logits = outputs if isinstance(outputs, Tensor) else outputs["logits"]
        assert logits.dtype == torch.float32
        loss = (logits - labels).square().mean()
        if not isinstance(outputs, Tensor):
            loss = loss + outputs["penalty"]
        return loss * float("nan") if self.calls == self.nan_at else loss


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(ROWS, 2)).astype(np.float32),
        "item": rng.integers(0, 9, ROWS),
        "y": rng.normal(size=ROWS).astype(np.float32),
    }


def loader(batch_size: int = 8, **options: Any) -> BatchLoader:
    return BatchLoader(PackedStore.from_data(columns(), FEATURES, ["y"]), batch_size, **options)


def trainer(
    net: Net | None = None,
    optimizer: Any = "sgd",
    *,
    epochs: int = 1,
    loss: nn.Module | None = None,
    cls: type[Trainer] = Trainer,
    scheduler: str | None = None,
    lr: float = 0.05,
    options: dict[str, Any] | None = None,
    **rest: Any,
) -> Trainer:
    net = net or Net()
    tables = net.embedding.embed_dict
    pairs = [(each, RowTable(tables.weight(each))) for each in tables.storages.values()]
    row_mode: Any = lambda: row_gradients(pairs)  # noqa: E731
    if isinstance(optimizer, str):
        exclude = [table.weight for _, table in pairs]
        groups = {"dense": [p for p in net.parameters() if all(p is not w for w in exclude)]}
        row_tables = [table for _, table in pairs]
        optimizer = build_optimizer(optimizer, {"lr": lr}, groups=groups, row_tables=row_tables)
    else:
        row_mode = nullcontext
    handle = None
    if scheduler is not None:
        params = {"gamma": 0.5} if scheduler == "exponential" else {}
        handle = build_scheduler(scheduler, optimizer, params, epochs=epochs, steps_per_epoch=4)
    return cls(
        net,
        loss or Squares(),
        optimizer,
        TrainOptions(epochs=epochs, **(options or {})),
        prepare=lambda raw: raw,
        row_mode=row_mode,
        autocast=nullcontext,
        device=CPU,
        scheduler=handle,
        **rest,
    )


def by_hand(net: Net, optimizer: torch.optim.Optimizer, epochs: int, norm: float | None) -> None:
    data = {name: torch.from_numpy(values) for name, values in columns().items()}
    net.train()
    for _ in range(epochs):
        for start in range(0, ROWS, 8):
            batch = {name: values[start : start + 8] for name, values in data.items()}
            optimizer.zero_grad()
            Squares()(net.training_outputs(batch), batch["y"][:, None], None).backward()
            if norm is not None:
                nn.utils.clip_grad_norm_(net.parameters(), norm)
            optimizer.step()


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


# -- the loop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [0.1, 1.0, None])
@pytest.mark.parametrize("rows", [True, False])
def test_a_step_is_that_of_a_loop_written_out(norm: float | None, rows: bool) -> None:
    expected, net = Net(), Net()
    by_hand(expected, torch.optim.SGD(expected.parameters(), lr=0.05), 2, norm)
    optimizer = "sgd" if rows else torch.optim.SGD(net.parameters(), lr=0.05)
    trainer(net, optimizer, epochs=2, options={"max_grad_norm": norm}).fit(loader())
    for a, b in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_record_of_an_epoch() -> None:
    run = trainer(lr=0.0, epochs=2)
    history = run.fit(loader(), lambda: {"auc": 0.5})
    data = {name: torch.from_numpy(values) for name, values in columns().items()}
    outputs = run.module.training_outputs(data)
    # The mean over all rows, though the last batch is smaller.
    assert history[0]["loss"] == pytest.approx(Squares()(outputs, data["y"][:, None], None).item())
    assert [(each["epoch"], each["step"], each["auc"]) for each in history] == [
        (1, 4, 0.5),
        (2, 8, 0.5),
    ]
    assert history[0]["rows_per_second"] == pytest.approx(ROWS / history[0]["seconds"])
    assert history is run.state.history
    assert (run.state.step_in_epoch, run.state.rows_in_epoch) == (0, ROWS)


def test_auxiliary_losses_are_trained() -> None:
    plain, with_penalty = trainer(), trainer(Net(auxiliary=True))
    assert with_penalty.fit(loader())[0]["loss"] > plain.fit(loader())[0]["loss"]
    assert not torch.equal(plain.module.head.weight, with_penalty.module.head.weight)


def test_penalties_are_those_of_the_formula() -> None:
    penalised, expected = Net(), Net()
    options = {"dense_l1": 0.01, "dense_l2": 0.02, "max_grad_norm": None}
    trainer(penalised, options=options).fit(loader(ROWS))
    data = {name: torch.from_numpy(values) for name, values in columns().items()}
    loss = Squares()(expected.training_outputs(data), data["y"][:, None], None)
    dense = [expected.head.weight, expected.head.bias]  # one group in this test
    loss = loss + sum(0.01 * w.abs().sum() + 0.02 * w.square().sum() for w in dense)
    loss.backward()
    torch.testing.assert_close(
        penalised.head.weight, expected.head.weight - 0.05 * expected.head.weight.grad
    )


def test_autocast_is_around_the_forward_pass_alone() -> None:
    run = trainer()
    run.autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    run.fit(loader())  # Squares asserts that logits are float32 again
    assert run.module.head.weight.dtype == torch.float32


def test_a_step_can_be_overridden() -> None:
    class Doubled(Trainer):
        def loss(self, batch: Any) -> Tensor:
            return 2 * super().loss(batch)

    once = trainer(lr=0.0).fit(loader())[0]["loss"]
    assert trainer(lr=0.0, cls=Doubled).fit(loader())[0]["loss"] == pytest.approx(2 * once)


def test_a_loader_without_a_batch() -> None:
    with pytest.raises(TrainingError, match="the training data gave no batch"):
        trainer().fit([])


def test_length_of() -> None:
    class Endless(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(())

    assert length_of([1, 2]) == 2
    assert length_of(DataLoader(Endless())) is None
    assert length_of(iter(())) is None


class Told(Callback):
    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *_: self.events.append(name[3:])
        return super().__getattribute__(name)


def test_events_come_in_order() -> None:
    told = Told()
    trainer(epochs=2, callbacks=[told]).fit(loader(16))
    epoch = ["epoch_start", "step_end", "step_end", "epoch_end"]
    assert told.events == ["fit_start", *epoch, *epoch, "fit_end"]


def test_the_scheduler_moves_with_epochs_or_steps() -> None:
    by_epoch = trainer(epochs=3, scheduler="exponential").fit(loader())
    assert [record["lr"] for record in by_epoch] == pytest.approx([0.05, 0.025, 0.0125])
    by_step = trainer(epochs=1, scheduler="warmup_linear").fit(loader())
    assert by_step[0]["lr"] == 0


def test_plateau_gets_the_monitor() -> None:
    run = trainer(epochs=15, scheduler="plateau", monitor="auc")
    rates = [record["lr"] for record in run.fit(loader(), lambda: {"auc": 0.5})]
    assert rates[0] == 0.05
    assert rates[-1] == pytest.approx(0.005)


# -- losses that are not finite ----------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_before_its_step() -> None:
    good, bad = trainer(epochs=2), trainer(epochs=2, loss=Squares(nan_at=6))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 6 \(epoch 2\)"):
        bad.fit(loader())
    assert bad.state.step == 5
    steps = iter(loader().batches())
    good.train_epoch(loader())
    with good.row_mode():
        good.step(next(steps))
    assert_same(good.module, bad.module)


def test_an_accelerator_is_asked_every_few_steps() -> None:
    run = trainer(loss=Squares(nan_at=2), options={"check_every": 3})
    run.device = torch.device("cuda")  # of the trainer alone: the data stays where it is
    with pytest.raises(TrainingError, match=r"the loss is nan at step 2 \(epoch 1\)"):
        run.fit(loader())
    assert run.state.step == 2  # found while the third was watched


def test_an_accelerator_is_asked_at_the_end_of_an_epoch() -> None:
    run = trainer(loss=Squares(nan_at=4))
    run.device = torch.device("cuda")
    with pytest.raises(TrainingError, match="step 4"):
        run.fit(loader())


# -- row mode ----------------------------------------------------------------------------------


def pair() -> tuple[EmbeddingLayer, Any, RowTable]:
    layer = EmbeddingLayer(FEATURES)
    storage = layer.embed_dict.storage_of("item")
    return layer, storage, RowTable(layer.embed_dict.weight(storage))


def test_row_gradients_end_with_their_block() -> None:
    layer, storage, table = pair()
    for error in (None, ValueError):
        try:
            with row_gradients([(storage, table)]):
                assert storage.reader is not None
                if error:
                    raise error
        except ValueError:
            pass
        assert storage.reader is None
    layer.flat({"item": torch.tensor([1]), "x": torch.zeros(1, 2)}).sum().backward()
    assert layer.embed_dict.weight(storage).grad is not None


def test_looking_in_row_mode_records_nothing() -> None:
    """Evaluation inside an epoch must not pile up lookups."""
    layer, storage, table = pair()
    x = {"item": torch.tensor([1, 2]), "x": torch.zeros(2, 2)}
    with row_gradients([(storage, table)]):
        with torch.no_grad():
            layer.flat(x)
        assert table._tape == []
        layer.flat(x).sum().backward()
        assert table.gradient()[0].tolist() == [1, 2]
        assert layer.embed_dict.weight(storage).grad is None


def test_rows_are_settled_when_an_epoch_breaks_off() -> None:
    class Stop(Callback):
        def on_step_end(self, run: Any) -> None:
            if run.state.step == 3:
                raise KeyboardInterrupt

    expected, net = Net(), Net()
    run = trainer(net, "adam", callbacks=[Stop()], options={"max_grad_norm": None})
    with pytest.raises(KeyboardInterrupt):
        run.fit(loader(2))
    optimizer = torch.optim.Adam(expected.parameters(), lr=0.05)
    data = {name: torch.from_numpy(values) for name, values in columns().items()}
    for start in (0, 2, 4):
        batch = {name: values[start : start + 2] for name, values in data.items()}
        optimizer.zero_grad()
        Squares()(expected.training_outputs(batch), batch["y"][:, None], None).backward()
        optimizer.step()
    for (name, a), b in zip(net.state_dict().items(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert isinstance(run.optimizer, HybridOptimizer)


# -- checkpoints -------------------------------------------------------------------------------


class Kill(Callback):
    """Saves and ends the run at a step, as a kill after a checkpoint would."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_step_end(self, run: Any) -> None:
        if run.state.step == self.step:
            run.save_checkpoint(self.path)
            raise InterruptedError


class Counting(Callback):
    def __init__(self) -> None:
        self.steps = 0

    def on_step_end(self, run: Any) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: Any) -> None:
        self.steps = state["steps"]


def own_loader() -> DataLoader:
    """Shuffled by torch's global stream, with nothing of ours in it."""
    store = PackedStore.from_data(columns(), FEATURES, ["y"])
    return DataLoader(store, batch_size=8, shuffle=True, collate_fn=lambda batches: batches[0])


@pytest.mark.parametrize("at", [1, 3, 4, 6, 12])
@pytest.mark.parametrize("own", [False, True])
def test_a_run_goes_on_where_it_was_killed(at: int, own: bool, tmp_path: Path) -> None:
    def build(*callbacks: Callback) -> Trainer:
        torch.manual_seed(7)
        return trainer(
            Net(dropout=0.5),
            "adam",
            epochs=3,
            scheduler="exponential",
            callbacks=[Counting(), *callbacks],
            fingerprint={"rows": ROWS},
        )

    def data() -> Any:
        return own_loader() if own else loader(shuffle=True, seed=3)

    path = tmp_path / "run.model"
    whole = build()
    whole.fit(data())
    killed = build(Kill(at, path))
    with pytest.raises(InterruptedError):
        killed.fit(data())
    resumed = build()
    resumed.load_checkpoint(path)
    history = resumed.fit(data())
    assert_same(resumed.module, whole.module)
    assert [each["loss"] for each in history] == [each["loss"] for each in whole.state.history]
    assert resumed.callbacks[0].steps == 12
    assert resumed.state.step == whole.state.step == 12


def test_other_runs_are_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run.model"
    saved = trainer(callbacks=[Counting(), Callback()], fingerprint={"rows": 30, "seed": 1})
    saved.save_checkpoint(path)

    def refused(run: Trainer) -> str:
        before = weights(run.module)
        with pytest.raises(CheckpointError) as caught:
            run.load_checkpoint(path)
        assert all(torch.equal(v, before[k]) for k, v in run.module.state_dict().items())
        return str(caught.value)

    same = {"callbacks": [Counting()], "fingerprint": {"rows": 30, "seed": 1}}
    trainer(**same).load_checkpoint(path)  # a callback without a state may be missing
    told = refused(trainer(**{**same, "fingerprint": {"rows": 31, "seed": 2}}))
    assert "rows was 30, is 31; seed was 1, is 2" in told
    told = refused(trainer(**{**same, "callbacks": []}))
    assert "callbacks was ['Counting'], is []" in told
    assert "scheduler was False, is True" in refused(trainer(scheduler="exponential", **same))
    wide = Net()
    wide.head = nn.Linear(5, 2)
    assert "head.weight has shape (1, 5), not (2, 5)" in refused(trainer(wide, **same))


def test_files_without_the_state_of_a_run(tmp_path: Path) -> None:
    path = write_state(tmp_path / "x.model", Net().state_dict(), {"kind": "model"})
    with pytest.raises(CheckpointError, match="nothing to resume"):
        trainer().load_checkpoint(path)
    write_state(path, {}, {"kind": "checkpoint", "train": {}})
    with pytest.raises(CheckpointError, match="lacks fingerprint, callbacks, parts"):
        trainer().load_checkpoint(path)
    run = trainer()
    run.save_checkpoint(path)
    tensors, meta = read_state(path)
    without = {name: each for name, each in tensors.items() if not name.startswith("rng/")}
    write_state(path, without, meta)
    with pytest.raises(CheckpointError, match=r"'rng/\d+' is missing"):
        trainer().load_checkpoint(path)


def test_a_checkpoint_holds_the_description(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    trainer(describe=lambda: {"class": "Net"}).save_checkpoint(path)
    assert read_state(path)[1]["model"] == {"class": "Net"}


def test_log_goes_to_the_package(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="nextrec"):
        trainer().log("hello")
    assert "hello" in caplog.text


def test_row_mode_is_a_context() -> None:
    assert isinstance(trainer().row_mode(), AbstractContextManager)
