"""The forecast of memory against models that were built and trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.models.base import BaseModel
from nextrec.models.forecast import forecast, readable
from nextrec.optim import OPTIMIZERS

ROWS = 96


def features(vocab: int, width: int, **options: Any) -> FeatureSet:
    return FeatureSet(
        [DenseFeature("price"), DenseFeature("image", input_dim=3)],
        [
            SparseFeature("user", vocab, embedding_dim=width, **options),
            SparseFeature("item", 50, embedding_dim=width, embedding_name="items"),
        ],
        [SequenceFeature("liked", 70, 5, embedding_dim=width, embedding_name="items")],
    )


def lists(chosen: FeatureSet, prefix: str = "") -> dict[str, Any]:
    kinds = ("dense", "sparse", "sequence")
    return {f"{prefix}{kind}_features": list(getattr(chosen, kind)) for kind in kinds}


def rows(vocab: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "price": rng.normal(size=ROWS),
        "image": rng.normal(size=(ROWS, 3)),
        "user": rng.integers(0, vocab, ROWS),
        "item": rng.integers(0, 50, ROWS),
        "liked": rng.integers(0, 70, (ROWS, 5)),
        "click": rng.integers(0, 2, ROWS).astype(float),
        "buy": rng.integers(0, 2, ROWS).astype(float),
    }


def size_of(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))


def trained_bytes(model: BaseModel, data: dict[str, np.ndarray]) -> tuple[int, int]:
    """Parameters and optimizer state after a few steps."""
    model.fit(data, batch_size=32, epochs=2)
    optimizer: Any = model.compiled.instance
    if hasattr(optimizer, "tensors_and_meta"):
        state = size_of(optimizer.tensors_and_meta()[0].values())
    else:
        state = sum(size_of(each.values()) for each in optimizer.state.values())
    return size_of([*model.parameters(), *model.buffers()]), state


CONFIGS = {
    "DeepFM adam": ("DeepFM", 300, 8, "adam", {}, {"mlp_params": {"dims": [32]}}),
    "DeepFM adamw": ("DeepFM", 5000, 16, "adamw", {}, {}),
    "DeepFM, tables frozen": ("DeepFM", 400, 8, "adam", {}, {"frozen": True}),
    "DCN sgd": ("DCN", 2000, 4, "sgd", {}, {}),
    "DCN momentum": ("DCN", 2000, 4, "sgd", {"momentum": 0.9}, {}),
    "DCNv2 adagrad": ("DCNv2", 900, 16, "adagrad", {}, {"architecture": "stacked"}),
    "DCNv2 low rank": ("DCNv2", 100, 32, "rmsprop", {}, {"low_rank": 4, "num_experts": 3}),
    "DCNv2 rowwise": ("DCNv2", 20_000, 8, "rowwise_adagrad", {}, {}),
    "whole tables": (
        "DCN",
        3000,
        8,
        "adam",
        {},
        {"embedding_l2_reg": 0.1, "embedding_reg_scope": "table"},
    ),
    "DIN lazy": ("DIN", 3000, 8, "lazy_adam", {}, {}),
    "ShareBottom": ("ShareBottom", 3000, 8, "adam", {}, {"target": ["click", "buy"]}),
    "POSO": ("POSO", 1500, 16, "adamw", {}, {"target": ["click", "buy"]}),
    "a class": ("DCN", 1000, 8, torch.optim.Adam, {"amsgrad": True}, {}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_bytes_are_those_of_training(name):
    model, vocab, width, optimizer, options, params = CONFIGS[name]
    params = {"target": ["click"], **params}
    chosen = features(vocab, width, trainable=not params.pop("frozen", False))
    arguments: dict[str, Any] = lists(chosen)
    if model == "POSO":
        arguments = {**lists(FeatureSet.of(chosen), "main_")}
        arguments["main_sparse_features"] = list(chosen.sparse[1:])
        arguments["pc_sparse_features"] = list(chosen.sparse[:1])
    told = forecast(model, arguments, params, optimizer=optimizer, optimizer_params=options)
    built = getattr(nextrec, model)(
        **arguments, **params, optimizer=optimizer, optimizer_params=options
    )
    parameters, state = trained_bytes(built, rows(vocab))
    assert told.parameters == parameters
    # What is shared by all rows grows by a few numbers a step.
    assert told.optimizer_state == pytest.approx(state, rel=0.01, abs=512)
    assert told.tables
    assert told.activations


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_of_the_registry(optimizer):
    chosen = features(500, 8)
    told = forecast("DCN", chosen, {"target": ["click"]}, optimizer=optimizer)
    built = nextrec.DCN(**lists(chosen), target=["click"], optimizer=optimizer)
    parameters, state = trained_bytes(built, rows(500))
    assert told.parameters == parameters
    assert told.optimizer_state == pytest.approx(state, rel=0.01, abs=512)


def test_tables_are_listed_with_their_state():
    told = forecast("DCN", features(1000, 8), {"target": "click"})
    user, items = told.tables
    assert (user.name, user.rows, user.width, user.bytes) == ("user", 1000, 8, 32_000)
    assert (items.name, items.rows) == ("items", 70)
    assert user.state_bytes == 1000 * (2 * 8 * 4 + 4)  # two moments and the last step
    frozen = forecast("DCN", features(1000, 8, trainable=False), {"target": "click"})
    assert frozen.tables[0].state_bytes == 0


def test_data_is_what_the_store_takes():
    from nextrec.data.store import PackedStore

    chosen = features(1000, 8)
    store = PackedStore.from_data(rows(1000), chosen, ["click"])
    told = forecast("DCN", chosen, {"target": "click"}, rows=ROWS)
    assert told.data == store.nbytes


def test_activations_grow_with_the_batch():
    small, large = (
        forecast("DeepFM", features(100, 8), {"target": "click"}, batch_size=size).activations
        for size in (1000, 4000)
    )
    assert small is not None
    assert large == pytest.approx(4 * small, rel=0.01)


def test_what_does_not_fit_any_memory_is_told_at_once():
    huge = FeatureSet(sparse=[SparseFeature("id", 10**11, embedding_dim=64)])
    told = forecast("DCN", huge, {"target": "click"})
    assert told.table_bytes == 10**11 * 64 * 4
    assert "TiB" in told.to_text()
    assert json.loads(json.dumps(told.to_dict()))["total"] == told.total


def test_sums_agree():
    told = forecast("DeepFM", features(100, 8), {"target": "click"}, rows=10)
    assert told.checkpoint == told.parameters + told.optimizer_state
    assert told.data is not None
    assert told.activations is not None
    step = told.gradients + told.activations
    assert told.total == told.checkpoint + step + told.data


def test_a_model_that_looks_at_values():
    class BaseLooking(BaseModel):
        def __init__(self, *args: Any, looks_at: str, **options: Any) -> None:
            super().__init__(*args, **options)
            self.looks_at = looks_at
            self.weight = torch.nn.Parameter(torch.ones(3))
            if looks_at == "weights" and self.weight.sum().item() > 0:
                self.weight.data.mul_(2)

        def logits(self, x: Any) -> torch.Tensor:
            return x["price"] if x["price"].sum().item() else x["image"]

    chosen = FeatureSet([DenseFeature("price")])
    with pytest.raises(ConfigError, match="can't be forecast, because its constructor looks at"):
        forecast(BaseLooking, chosen, {"looks_at": "weights"})
    told = forecast(BaseLooking, chosen, {"looks_at": "batch"})
    assert told.activations is None
    assert told.parameters == 12
    assert told.why_no_activations in told.to_text()


def test_what_the_constructor_refuses_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'deepfm'"):
        forecast("DepFM", features(10, 8))
    with pytest.raises(ConfigError, match="`optimizer` must be one of"):
        forecast("DCN", features(10, 8), optimizer="adm")
    with pytest.raises(ConfigError, match="`optimizer` must be a name or"):
        forecast("DCN", features(10, 8), optimizer=torch.optim.SGD([torch.zeros(1)], lr=1))  # type: ignore[arg-type]


def test_sizes_are_readable():
    assert [readable(size) for size in (0, 1023, 1024, 5 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.00 KiB",
        "5.00 TiB",
    ]


MEASURED = """
import gc, json, os, sys
import numpy as np, torch, nextrec
from nextrec.features import FeatureSet, SparseFeature
from nextrec.models.forecast import forecast
torch.set_num_threads(1)
optimizer, width, batch = sys.argv[1], int(sys.argv[2]), 16384

def table(vocab): return [SparseFeature("id", vocab, embedding_dim=width)]

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def train(vocab, rows):
    model = nextrec.DCN(sparse_features=table(vocab), target="y", optimizer=optimizer)
    data = {"id": np.arange(rows) % vocab, "y": (np.arange(rows) % 2).astype(np.float32)}
    model.fit(data, batch_size=batch, shuffle=False)
    return model

vocab = 200 * 2**20 // (4 * width)
kept = train(100, 4 * batch)  # what every first run takes is there before
told = forecast("DCN", FeatureSet(sparse=table(vocab)), {"target": "y"}, optimizer=optimizer,
                batch_size=batch, rows=vocab)
before = resident()
kept = train(vocab, vocab)  # every row once
print(json.dumps({"grown": resident() - before, "told": told.total}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of pages")
@pytest.mark.parametrize(("optimizer", "width"), [("adam", 64), ("rowwise_adagrad", 32)])
def test_the_process_grows_as_told(optimizer, width, tmp_path):
    command = [sys.executable, "-c", MEASURED, optimizer, str(width)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    assert measured["told"] == pytest.approx(measured["grown"], rel=0.15)
