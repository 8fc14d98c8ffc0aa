"""Models trained with balanced tasks: by name, by row, killed and resumed, watched, reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nextrec
from nextrec.errors import CheckpointError, ConfigError, TrainingError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.loss.balancing import BALANCERS, FAMO, PCGrad, RandomWeights, TaskWeights
from nextrec.models import inputs
from nextrec.models.base import BaseModel
from nextrec.models.expert_use import expert_use
from nextrec.training.callbacks import Callback
from nextrec.training.gradient_cosines import GradientCosines

NAMES = list(BALANCERS)
TARGETS = ["click", "buy"]


class Shared(BaseModel):
    """A shared bottom with all that a step must leave alone: dropout, batch norm, an own loss."""

    def __init__(
        self,
        dense_features: Any = None,
        sparse_features: Any = None,
        sequence_features: Any = None,
        *,
        auxiliary: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.bottom = nn.Sequential(
            nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)
        )
        self.tower = nn.ModuleList(nn.Linear(8, task.size) for task in self.tasks)
        self.gate = nn.Linear(width, 3)
        self.auxiliary = auxiliary

    def gates(self, x: Any) -> dict[str, torch.Tensor]:
        return {"click": self.gate(self.embedding.flat(x)).softmax(1)}

    def logits(self, x: Any) -> torch.Tensor:
        flat = self.embedding.flat(x)
        hidden = self.bottom(flat) * self.gate(flat).softmax(1)[:, :1]
        return torch.cat([tower(hidden) for tower in self.tower], 1)

    def training_outputs(self, x: Any) -> Any:
        logits = self.logits(x)
        penalty = self.gate(self.embedding.flat(x)).square().mean()
        return {"logits": logits, "auxiliary": {"gate": penalty}} if self.auxiliary else logits


def table(rows: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    data: dict[str, np.ndarray] = {
        "user": rng.integers(0, 30, rows),
        "price": rng.normal(size=rows).astype("float32"),
    }
    data["click"] = (data["price"] + rng.normal(size=rows) > 0).astype("float32")
    buys = (data["user"] / 15 - 1 - data["price"] + rng.normal(size=rows) > 0).astype("float32")
    data["buy"] = np.where(rng.random(rows) < 0.3, np.nan, buys).astype("float32")
    return data


def model(target: Any = TARGETS, **options: Any) -> Shared:
    features = [DenseFeature("price")], [SparseFeature("user", 30, embedding_dim=4)]
    return Shared(*features, target=target, seed=1, **options)


def fit(each: BaseModel, **options: Any) -> BaseModel:
    settings = {"epochs": 2, "batch_size": 32, "seed": 3, "report": False, "verbosity": 0}
    return each.fit(table(), **{**settings, **options})


def weights(each: BaseModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in each.state_dict().items()}


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", NAMES)
def test_every_balancer_trains(name):
    trained = fit(model(loss_weights=name, auxiliary=True), epochs=4)
    losses = [record["loss"] for record in trained.history]
    assert losses[-1] < losses[0]
    assert all(value.isfinite().all() for value in trained.state_dict().values())
    other = fit(model(auxiliary=True), epochs=4)
    same = torch.equal(trained.bottom[0].weight, other.bottom[0].weight)
    assert same == (name == "equal")


@pytest.mark.parametrize("name", ["pcgrad", "gradnorm"])
def test_rows_train_as_dense_tables_do(name):
    """Adam by name keeps row gradients; torch's own is given the dense ones."""
    by_row = model(loss_weights=name, optimizer_params={"lr": 0.01})
    dense = model(loss_weights=name)
    dense.compile(torch.optim.Adam(dense.parameters(), lr=0.01), loss_weights=name)
    for each in (by_row, dense):
        # Behind batch norm a bias has no gradient but rounding, which Adam makes steps of.
        each.bottom[1] = nn.Identity()
        fit(each, max_grad_norm=0.5)
    for key, value in dense.state_dict().items():
        torch.testing.assert_close(by_row.state_dict()[key], value, rtol=1e-2, atol=1e-3)


class BrokenOff(Exception):  # noqa: N818
    pass


class StopAt(Callback):
    """Breaks a run off behind a checkpoint in the middle of an epoch."""

    def on_step_end(self, trainer: Any) -> None:
        if trainer.state.step == 18:
            raise BrokenOff


@pytest.mark.parametrize("name", [name for name in NAMES if name != "equal"])
def test_a_resumed_run_ends_with_the_same_bits(name):
    expected = weights(fit(model(loss_weights=name), epochs=4, checkpoint_steps=5))
    broken = model(loss_weights=name)
    with pytest.raises(BrokenOff):
        fit(broken, epochs=4, checkpoint_steps=5, callbacks=[StopAt()])
    resumed = fit(model(loss_weights=name), epochs=4, resume=broken.session_path)
    assert_equal(weights(resumed), expected)


def test_a_run_is_resumed_only_with_its_balancer_and_options():
    first = fit(model(loss_weights="cagrad", loss_weights_params={"c": 0.3}), epochs=1)
    for options in (
        {"loss_weights": "mgda"},
        {"loss_weights": "cagrad"},
        {"loss_weights": "equal"},
        {},
    ):
        with pytest.raises(CheckpointError, match="loss_weights"):
            fit(model(**options), epochs=2, resume=first.session_path)


@pytest.mark.parametrize("name", ["equal", "uncertainty", "nash_mtl", "famo"])
def test_a_saved_model_loads_whatever_it_was_trained_with(name, tmp_path):
    trained = fit(model(loss_weights=name))
    trained.save(tmp_path / "bundle")
    loaded = Shared.load(tmp_path / "bundle")
    assert_equal(weights(loaded), weights(trained))
    assert weights(model()).keys() == weights(trained).keys()


@pytest.mark.parametrize("name", ["equal", "pcgrad", "famo"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_watching_the_gradients_changes_no_bit(name, optimizer):
    options = {"loss_weights": name, "optimizer": optimizer, "auxiliary": True}
    plain = fit(model(**options))
    watched = fit(model(**options), callbacks=[GradientCosines(every=2)])
    assert_equal(weights(watched), weights(plain))
    losses = [record["loss"] for record in plain.history]
    assert [record["loss"] for record in watched.history] == losses


def test_cosines_are_those_of_the_gradients():
    """One batch an epoch; after the last one the weights are the model's own."""
    data = table()
    trained = model(optimizer="sgd", optimizer_params={"lr": 0.1})
    trained.bottom[3].p = 0.0
    trained.fit(
        data, batch_size=400, epochs=2, seed=0, report=False, verbosity=0, shuffle=False,
        callbacks=[GradientCosines(every=1)],
    )  # fmt: skip
    found = [record["gradient_cosines"] for record in trained.history]
    assert [list(each) for each in found] == [["all shared", "embedding", "bottom", "gate"]] * 2
    batch = next(iter(inputs.make_loader(trained, inputs.make_store(trained, data), 400)))
    trained.train()
    losses = trained.objective.task_losses(trained.logits(batch.features), batch.labels)
    bottom = list(trained.bottom.parameters())
    grads = [torch.autograd.grad(loss, bottom, retain_graph=True) for loss in losses]
    flat = [torch.cat([grad.flatten() for grad in each]) for each in grads]
    expected = torch.cosine_similarity(*flat, dim=0).item()
    assert found[-1]["bottom"]["click, buy"] == pytest.approx(expected, abs=1e-4)
    assert -1 <= found[0]["all shared"]["click, buy"] <= 1


def test_cosines_are_in_the_metrics_file_and_go_on_after_a_break():
    def callbacks() -> list[Callback]:
        return [GradientCosines(every=2)]

    expected = fit(model(), epochs=3, checkpoint_steps=5, callbacks=callbacks())
    broken = model()
    with pytest.raises(BrokenOff):
        fit(broken, epochs=3, checkpoint_steps=5, callbacks=[*callbacks(), StopAt()])
    resumed = fit(model(), epochs=3, resume=broken.session_path, callbacks=callbacks())
    key = "gradient_cosines"
    assert [r[key] for r in resumed.history] == [r[key] for r in expected.history]
    lines = (resumed.session_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert all(f'"{key}"' in line for line in lines)


def test_the_report_shows_cosines_and_experts():
    shown = model()
    shown.fit(
        table(), valid_data=table(seed=1), epochs=2, batch_size=64, verbosity=0,
        callbacks=[GradientCosines(every=2)],
    )  # fmt: skip
    page = (shown.session_path / "report.html").read_text(encoding="utf-8")
    assert "Gradients of click, buy: cosine by part" in page
    assert "Mean weight of each expert. click: " in page
    assert "click: expert 3" in page
    plain = nextrec.DeepFM([DenseFeature("price")], [SparseFeature("user", 30, embedding_dim=4)],
                           target=["click"])  # fmt: skip
    plain.fit(table(), valid_data=table(seed=1), verbosity=0)
    page = (plain.session_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Tasks" not in page


def test_the_report_shows_no_gates_that_share_nothing_out(monkeypatch):
    """Scales of units (PEPNet) and switches (SNR-Trans) are no shares of a whole."""
    scales = {"unit": torch.rand(400, 3) * 2, "signed": torch.tensor([[1.5, -0.5]]).repeat(400, 1)}
    plain = Shared.gates

    def gates(self: Shared, x: Any) -> dict[str, torch.Tensor]:
        found = plain(self, x)
        return found | {name: each[: len(found["click"])] for name, each in scales.items()}

    monkeypatch.setattr(Shared, "gates", gates)
    shown = model()
    shown.fit(table(), valid_data=table(seed=1), batch_size=64, verbosity=0)
    page = (shown.session_path / "report.html").read_text(encoding="utf-8")
    assert "Mean weight of each expert. click: " in page
    assert "unit: " not in page
    assert "signed: " not in page


def test_dwa_learns_from_epochs_of_a_loop_of_ones_own():
    trained = model(loss_weights="dwa")
    loader = inputs.make_loader(trained, inputs.make_store(trained, table()), 100)
    for _ in range(2):
        trained.train_epoch(loader)
    state = trained.compiled.balancer.state
    assert state["last"].isfinite().all()
    assert state["before_last"].isfinite().all()


def test_cosines_of_a_broken_run_are_not_in_the_next_one():
    watching = GradientCosines(every=1)
    broken = model()
    with pytest.raises(BrokenOff):
        fit(broken, callbacks=[watching, StopAt()])
    fresh = fit(model(), epochs=1, callbacks=[GradientCosines(every=1)])
    again = fit(model(), epochs=1, callbacks=[watching])
    assert again.history[0]["gradient_cosines"] == fresh.history[0]["gradient_cosines"]


@pytest.mark.parametrize("name", ["mgda", "imtl", "nash_mtl", "famo", "rlw", "gradnorm", "dwa"])
def test_batches_without_a_label_of_one_task_or_of_any(name):
    data = table()
    data["buy"][:200] = np.nan
    data["click"][150:200] = np.nan
    trained = model(loss_weights=name)
    trained.fit(data, batch_size=25, epochs=2, shuffle=False, report=False, verbosity=0)
    assert all(value.isfinite().all() for value in trained.state_dict().values())


@pytest.mark.parametrize("name", ["cagrad", "uncertainty", "famo"])
def test_bf16_penalties_schedules_and_mixed_tasks(name):
    data = table()
    data["stay"] = np.abs(data["price"]) + data["user"].astype("float32") / 30
    data["kind"] = (data["user"] % 3).astype("float32")
    mixed = model(
        [*TARGETS, "stay", "kind"],
        task=["binary", "binary", "regression", "multiclass"],
        num_classes=3,
        loss_weights=name,
        embedding_l2_reg=1e-4,
        dense_l1_reg=1e-4,
        scheduler="cosine",
    )
    mixed.fit(data, batch_size=50, epochs=3, precision="bf16", report=False, verbosity=0, seed=0)
    losses = [record["loss"] for record in mixed.history]
    assert losses[-1] < losses[0]


def test_a_number_a_list_and_a_loop_of_ones_own_are_as_before():
    assert model(loss_weights=[1.0, 2.0]).compiled.balancer is None
    assert model(loss_weights="equal").compiled.balancer is None
    named = model(loss_weights="pcgrad")
    assert isinstance(named.compiled.balancer, PCGrad)
    assert named.objective.loss_weights is None
    loader = nextrec.data.RecDataLoader(
        [DenseFeature("price")],
        [SparseFeature("user", 30, embedding_dim=4)],
        target=TARGETS,
    )
    assert named.train_epoch(loader.create_dataloader(table(), batch_size=100)) > 0


def test_an_objective_of_a_models_own_keeps_its_other_losses(monkeypatch):
    """DCNv3's objective adds the losses of two branches, which only some parameters reach."""
    features = [SparseFeature(name, 30, embedding_dim=4) for name in ("user", "again")]
    data = {**table(), "again": table()["user"][::-1].copy()}
    options = {"batch_size": 50, "seed": 0, "report": False, "verbosity": 0}
    monkeypatch.setattr(PCGrad, "combine", lambda self, gram: np.ones(len(gram)))  # the plain sum
    rates = {"optimizer": "sgd", "optimizer_params": {"lr": 0.5}}
    found = []
    for name in ("equal", "pcgrad"):
        each = nextrec.DCNv3([], features, target=TARGETS, loss_weights=name, seed=1, **rates)
        found.append(each.fit(data, epochs=2, **options))
    for key, value in weights(found[0]).items():
        torch.testing.assert_close(found[1].state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_wrong_names_are_refused_by_compile():
    with pytest.raises(ConfigError, match="Did you mean 'pcgrad'"):
        model(loss_weights="pc_grad")
    with pytest.raises(ConfigError, match="nothing to balance"):
        model("click", loss_weights="pcgrad")
    with pytest.raises(ConfigError, match="needs two"):
        fit(model("click"), callbacks=[GradientCosines()])
    with pytest.raises(ConfigError, match="`every` must be an integer"):
        GradientCosines(every=0)


@pytest.mark.parametrize("name", ["pcgrad", "nash_mtl", "famo"])
def test_a_loss_that_is_not_finite_stops_the_run(name):
    broken = model(loss_weights=name, optimizer="sgd", optimizer_params={"lr": 1e30})
    broken.bottom[1] = nn.Identity()
    with pytest.raises(TrainingError, match="at step"):
        fit(broken, epochs=5, max_grad_norm=None)


def test_famo_looks_again_at_the_same_dropout_and_moves_nothing(monkeypatch):
    """With a rate of nearly 0 the step changes nothing, so neither may the losses."""
    changes = []
    after = FAMO.after_update

    def watched(self: FAMO, losses: torch.Tensor, seen: torch.Tensor) -> None:
        changes.append((losses + 1e-8).log() - self.state["logs"])
        after(self, losses, seen)

    monkeypatch.setattr(FAMO, "after_update", watched)
    still = {"optimizer": "sgd", "optimizer_params": {"lr": 1e-12}}
    looked, plain = (fit(model(loss_weights=name, **still)) for name in ("famo", "equal"))
    assert torch.stack(changes).abs().max() < 1e-5
    for name, buffer in looked.named_buffers():  # running means, counters
        torch.testing.assert_close(buffer, plain.get_buffer(name))
    losses = [record["loss"] for record in plain.history]
    assert [record["loss"] for record in looked.history] == pytest.approx(losses)


@pytest.mark.parametrize("name", ["rlw", "pcgrad"])
def test_other_losses_are_added_with_their_weight(name, monkeypatch):
    """Where the balancer gives plain weights, training is that of no balancer."""
    plain = TaskWeights(torch.ones(2), torch.ones(2))
    for each in (RandomWeights, PCGrad):
        monkeypatch.setattr(each, "_weigh", lambda *args: plain)
    still = {"optimizer": "sgd", "optimizer_params": {"lr": 0.3}, "auxiliary": True}
    found, expected = (fit(model(loss_weights=each, **still)) for each in (name, None))
    for key, value in weights(expected).items():
        torch.testing.assert_close(found.state_dict()[key], value, rtol=1e-3, atol=1e-5)


def test_expert_use_is_the_mean_over_all_rows_in_evaluation_mode(monkeypatch):
    data, each = table(rows=300), model()
    loader = inputs.make_loader(each, inputs.make_store(each, data), 64)
    modes: list[bool] = []
    plain = Shared.gates

    def gates(self: Shared, x: Any) -> dict[str, torch.Tensor]:
        modes.append(self.training)
        return plain(self, x)

    each.train()
    with torch.no_grad():
        whole = next(iter(inputs.make_loader(each, inputs.make_store(each, data), 300)))
        expected = each.gates(whole.features)["click"].mean(0)
    monkeypatch.setattr(Shared, "gates", gates)
    found = expert_use(each, loader, inputs.preparer(each, loader))
    assert found["click"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert each.training
    assert modes == [False] * 5
