"""Every ranking model through `fit()` beside a bare loop of the same network.

    python benchmarks/zoo.py [--models DeepFM ...] [--repeats 3] [--precision bf16]
                             [--out benchmarks/results/zoo.json]

13 dense and 26 id columns of 100,000 ids (10,000 for FFM and ONN), width 16, batch 4,096; a tower,
where a model has one, of 400-400-400 without normalisation; a history of up to 50 items and its
candidate for the models that read one. The bare loop has the model's own network and nothing else:
packed ids, a gather of each lookup's rows, forward, backward, Adam for the dense part and row-wise
Adagrad on the rows touched. `fit` trains with Adam. Runs alternate in one process a model; speed is
that of the median step.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from ctr_data import DENSE, SPARSE, make
from machine import describe
from torch import Tensor

import nextrec
from nextrec.data.batch import Batch, Schema, pack
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.tables import EmbeddingTables, Storage
from nextrec.models.zoo import load_zoo
from nextrec.training.callbacks import Callback

BATCH, VOCAB, WIDTH, HISTORY = 4096, 100_000, 16, 50
TOWER = {"dims": [400, 400, 400], "norm": "none"}
FIELD_AWARE = {"FFM", "ONN"}
"""A table row of theirs holds a vector for every other field; they get a tenth of the ids."""
READS_HISTORIES = {"OneTrans"}
"""Models without a candidate that are nothing without a sequence."""


def ranking_models() -> dict[str, type]:
    zoo = load_zoo()
    return {n: zoo[n] for n in zoo if zoo[n].__module__.startswith("nextrec.models.ranking.")}


def ids_of(name: str) -> int:
    """Ids a column."""
    return VOCAB // 10 if name in FIELD_AWARE else VOCAB


def build(name: str) -> nextrec.BaseModel:
    cls = ranking_models()[name]
    takes = inspect.signature(cls.__init__).parameters
    features = FeatureSet(
        [DenseFeature(f"I{i}") for i in range(DENSE)],
        [SparseFeature(f"C{j}", ids_of(name), embedding_dim=WIDTH) for j in range(SPARSE)],
    )
    if "behavior_feature_name" in takes or name in READS_HISTORIES:
        candidate = SparseFeature("cand", VOCAB, "items", embedding_dim=WIDTH)
        history = SequenceFeature("hist", VOCAB, HISTORY, "items", embedding_dim=WIDTH)
        features = FeatureSet(features.dense, [*features.sparse, candidate], [history])
    own = {"mlp_params": TOWER} if "mlp_params" in takes else {}
    return cls(**features.as_arguments(), **own, seed=1)


class Clock(Callback):
    """When each step ended."""

    def on_epoch_start(self, trainer: Any) -> None:
        """The epoch begins."""
        self.times = [time.perf_counter()]

    def on_step_end(self, trainer: Any) -> None:
        """A step ended."""
        self.times.append(time.perf_counter())


class Rows:
    """Reads a storage by copies of rows, and updates those rows by row-wise Adagrad."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach()
        self.sums = torch.zeros(len(weight))
        self.read: list[tuple[Tensor, Tensor]] = []

    def __call__(self, rows: Tensor) -> Tensor:
        if not torch.is_grad_enabled():  # a search that trains nothing
            return self.weight[rows]
        leaf = self.weight[rows].requires_grad_()
        self.read.append((rows, leaf))
        return leaf

    def step(self) -> None:
        used = [(rows, leaf) for rows, leaf in self.read if leaf.grad is not None]
        self.read = []
        rows = torch.cat([each.reshape(-1) for each, _ in used])
        grads = torch.cat([leaf.grad.reshape(-1, leaf.shape[-1]) for _, leaf in used])
        unique, inverse = torch.unique(rows, return_inverse=True)
        merged = torch.zeros(len(unique), grads.shape[1]).index_add_(0, inverse, grads)
        self.sums[unique] += merged.square().mean(1)
        self.weight[unique] -= 0.01 * merged / (self.sums[unique].sqrt().unsqueeze(1) + 1e-10)


def bare(name: str, data: Batch, bf16: bool) -> list[float]:
    """One epoch of the network in a loop that knows nothing else; when each step ended."""
    model = build(name).train()
    storages: list[tuple[Storage, Rows]] = []
    tables: set[int] = set()
    for module in model.modules():
        if isinstance(module, EmbeddingTables):
            for storage in module.storages.values():
                storages.append((storage, Rows(module.weight(storage))))
                tables.add(id(module.weight(storage)))
    for storage, reader in storages:
        storage.reader = reader
    dense = [p for p in model.parameters() if id(p) not in tables]
    optimizer = torch.optim.Adam(dense, lr=1e-3, fused=True)
    order = np.random.default_rng(0).permutation(len(data))
    times = [time.perf_counter()]
    for start in range(0, len(data), BATCH):
        batch = data.take(order[start : start + BATCH])
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = model.training_outputs(batch.features)
        optimizer.zero_grad()
        model.objective(outputs, batch.labels).backward()
        optimizer.step()
        for _, reader in storages:
            if reader.read:
                reader.step()
        times.append(time.perf_counter())
    return times


def fitted(name: str, table: pa.Table, precision: str) -> list[float]:
    clock = Clock()
    model = build(name)
    settings = {"progress": False, "report": False, "checkpoint": False, "verbosity": 0}
    model.fit(table, batch_size=BATCH, callbacks=[clock], precision=precision, seed=1, **settings)
    return clock.times


def rows_per_second(times: list[float]) -> float:
    """Of the median step, without the first, which pays for memory touched for the first time."""
    return BATCH / statistics.median(b - a for a, b in list(pairwise(times))[1:])


def measure(name: str, rows: int, repeats: int, precision: str) -> dict[str, Any]:
    table = make(rows, ids_of(name), history=HISTORY)
    model = build(name)
    data = pack(table, Schema(model.features, ("label",)))
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NEXTREC_LOG_DIR"] = folder
        for _ in range(repeats):
            alone = rows_per_second(bare(name, data, precision == "bf16"))
            runs.append((rows_per_second(fitted(name, table, precision)), alone))
    parameters = sum(p.numel() for n, p in model.named_parameters() if "embed_dict" not in n)
    return {
        "model": name,
        "precision": precision,
        "rows_per_second": round(statistics.median(fit for fit, _ in runs)),
        "bare": round(statistics.median(alone for _, alone in runs)),
        "of_bare": round(statistics.median(fit / alone for fit, alone in runs), 3),
        "dense_parameters": parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", help="default: all; results of others are kept")
    parser.add_argument("--rows", type=int, default=8 * BATCH)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.rows, options.repeats, options.precision)))
        return
    print("{:<14}{:>10}{:>10}{:>10}".format("model", "rows/s", "bare", "of bare"))
    kept = {}
    if options.models and options.out and options.out.exists():
        kept = {row["model"]: row for row in json.loads(options.out.read_text())["rows"]}
    for name in options.models or ranking_models():
        command = [sys.executable, __file__, "--child", name, "--rows", str(options.rows)]
        command += ["--repeats", str(options.repeats), "--precision", options.precision]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}:\n{done.stderr[-2000:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        kept[name] = row
        print(
            f"{name:<14}{row['rows_per_second']:>10,}{row['bare']:>10,}{row['of_bare']:>10.2f}",
            flush=True,
        )
        if options.out:  # each result as it comes
            result = {
                "machine": describe(),
                "threads": torch.get_num_threads(),
                "rows": list(kept.values()),
            }
            options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
