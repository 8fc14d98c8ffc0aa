"""The same seed gives the same weights bit for bit, however closely a run is watched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import nextrec
from nextrec.data.data_utils import collate_fn
from nextrec.data.dataloader import TensorDictDataset, build_tensors_from_data
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.training.callbacks import Callback
from nextrec.training.checkpoint import read_state

ROWS = 160
TARGETS = ["label", "buy"]


def model(**options: Any) -> nextrec.BaseModel:
    """Rows that are rarely looked up, batch norm, dropout and two tasks."""
    tables = {"embedding_dim": 4, "init_params": {"std": 0.1}}
    return nextrec.ShareBottom(
        [DenseFeature("price")],
        [SparseFeature("user", 500, **tables), SparseFeature("item", 30, **tables)],
        [SequenceFeature("history", 30, 5, embedding_name="item", embedding_dim=4)],
        **{
            "bottom_params": {"dims": [8], "dropout": 0.3, "norm": "batch"},
            "target": TARGETS,
            "optimizer_params": {"lr": 0.01},
            "embedding_l2_reg": 1e-4,
            "seed": 1,
            **options,
        },
    )


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "user": rng.integers(0, 500, rows),
        "item": rng.integers(0, 30, rows),
        "price": rng.normal(size=rows).astype(np.float32),
        "history": [rng.integers(1, 30, size).tolist() for size in rng.integers(0, 5, rows)],
        "label": rng.integers(0, 2, rows).astype(np.float32),
        "buy": rng.integers(0, 2, rows).astype(np.float32),
        "user_id": rng.integers(0, 9, rows),
    }


def run(seed: int = 3, data: Any = None, **options: Any) -> dict[str, Tensor]:
    """Weights after the last epoch; those of the best one may differ."""
    fitted = model()
    data = columns() if data is None else data
    fitted.fit(data, **{"epochs": 3, "batch_size": 32, "seed": seed, "report": False, **options})
    weights, _ = read_state(fitted.checkpoint_path)
    return {name[6:]: each for name, each in weights.items() if name.startswith("model/")}


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


@pytest.fixture(scope="module")
def unwatched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXTREC_LOG_DIR", str(tmp_path_factory.mktemp("logs")))
        return run()


def test_the_seed_decides(unwatched: dict[str, Tensor]) -> None:
    torch.manual_seed(99)  # what ran before has no say
    np.random.seed(99)
    assert differing(run(), unwatched) == []
    assert "bottom.mlp.0.weight" in differing(run(seed=4), unwatched)


class Curious(Callback):
    """Looks at everything that it can reach, in the middle of an epoch too."""

    def on_step_end(self, trainer: Any) -> None:
        if trainer.state.step in (2, 7, 11):
            self.look(trainer.module)

    def on_epoch_end(self, trainer: Any, record: Any) -> None:
        self.look(trainer.module)

    def look(self, of: nextrec.BaseModel) -> None:
        was_training = of.training
        of.evaluate(columns(60, 2), metrics=["auc", "logloss"])
        of.predict(columns(60, 2))
        of.summary()
        of.save_model(of.session_path / "looked.model", verbose=False)
        assert of.training is was_training


WATCHING: dict[str, dict[str, Any]] = {
    "validation": {"valid_data": columns(70, 1)},
    "metrics": {"valid_data": columns(70, 1), "metrics": ["auc", "gauc", "ndcg@3"]},
    "small validation batches": {"valid_data": columns(70, 1), "eval_batch_size": 3},
    "training metrics": {"metrics": ["auc"], "train_metrics": True},
    "report": {"valid_data": columns(70, 1), "report": True},
    "checkpoints": {"checkpoint_steps": 1},
    "progress": {"progress": True},
    "quiet": {"progress": False, "verbosity": 0},
    "patience": {"valid_data": columns(70, 1), "early_stop_patience": 100},
    "callback": {"callbacks": [Curious()]},
}


@pytest.mark.parametrize("how", WATCHING)
def test_watching_changes_nothing(how: str, unwatched: dict[str, Tensor]) -> None:
    assert differing(run(**WATCHING[how]), unwatched) == []


def test_checkpoints_may_be_left_out(unwatched: dict[str, Tensor]) -> None:
    fitted = model()
    options = {"epochs": 3, "batch_size": 32, "seed": 3, "report": False, "checkpoint": False}
    fitted.fit(columns(), **options)
    assert differing(fitted.state_dict(), unwatched) == []
    assert not fitted.checkpoint_path.exists()
    assert fitted.best_path.exists()
    first = fitted.session_path
    fitted.fit(columns(), **options)
    assert fitted.session_path != first


def test_a_run_does_not_depend_on_the_kind_of_data(unwatched: dict[str, Tensor]) -> None:
    assert differing(run(data=pd.DataFrame(columns())), unwatched) == []


def test_ids_and_labels_of_other_kinds_change_nothing(unwatched: dict[str, Tensor]) -> None:
    data = {**columns(), "user_id": [f"u{i}" for i in range(ROWS)]}
    data = {**data, "label": data["label"].astype(bool), "buy": data["buy"].astype(int)}
    assert differing(run(data=data, valid_data=data, metrics=["auc"]), unwatched) == []


# -- the order of rows -------------------------------------------------------------------------


class Order(Callback):
    """The users of every batch, epoch by epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []

    def on_epoch_start(self, trainer: Any) -> None:
        self.epochs.append([])
        if not hasattr(trainer, "watched"):
            trainer.watched = True
            inner = trainer.step

            def step(batch: Any) -> Tensor:
                self.epochs[-1] += batch.features["user"].tolist()
                return inner(batch)

            trainer.step = step


def orders(seed: int, epochs: int = 2, **options: Any) -> list[list[int]]:
    order = Order()
    data = {**columns(), "user": np.arange(ROWS)}
    options = {"batch_size": 32, "seed": seed, "callbacks": [order], "report": False, **options}
    model().fit(data, epochs=epochs, **options)
    return order.epochs


def test_the_order_depends_on_seed_and_epoch() -> None:
    first, second = orders(seed=1)
    assert sorted(first) == sorted(second) == list(range(ROWS))
    assert first != second
    assert orders(seed=1) == [first, second]
    assert orders(seed=2)[0] not in (first, second)
    assert orders(seed=1, epochs=1) == [first]
    assert orders(seed=1, shuffle=False) == [list(range(ROWS))] * 2


def test_drop_last_leaves_out_what_is_not_full() -> None:
    assert [len(epoch) for epoch in orders(seed=1, batch_size=50, drop_last=True)] == [150, 150]


# -- loaders of the user's own -----------------------------------------------------------------


def torch_loader(generator_seed: int | None = None) -> DataLoader:
    tensors = build_tensors_from_data(columns(), columns(), list(model().features), TARGETS, [])
    generator = None
    if generator_seed is not None:
        generator = torch.Generator().manual_seed(generator_seed)
    return DataLoader(
        TensorDictDataset(tensors),
        batch_size=32,
        shuffle=True,
        collate_fn=collate_fn,
        generator=generator,
    )


def test_a_torch_loader_follows_the_seed_of_the_run() -> None:
    first = run(data=torch_loader())
    assert differing(run(data=torch_loader()), first) == []
    assert differing(run(data=torch_loader(), seed=9), first)


@pytest.mark.parametrize("generator_seed", [None, 5])
def test_watching_does_not_move_a_torch_loader(generator_seed: int | None) -> None:
    first = run(data=torch_loader(generator_seed))
    for watching in ({"metrics": ["auc"]}, {"valid_data": torch_loader(), "metrics": ["auc"]}):
        assert differing(run(data=torch_loader(generator_seed), **watching), first) == []


# -- building ----------------------------------------------------------------------------------


def test_building_from_a_seed_leaves_the_global_stream() -> None:
    before = torch.get_rng_state()
    first, second = model(), model()
    assert torch.equal(before, torch.get_rng_state())
    assert differing(first.state_dict(), second.state_dict()) == []
    assert differing(model(seed=2).state_dict(), first.state_dict())


def test_loading_leaves_the_global_stream(tmp_path: Any) -> None:
    path = model().save(tmp_path / "bundle")
    before = torch.get_rng_state()
    nextrec.load(path)
    assert torch.equal(before, torch.get_rng_state())
