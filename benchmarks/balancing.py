"""Milliseconds per training step of every way to balance tasks, beside the plain sum.

ShareBottom over 26 fields of width 16 and 13 numbers, bottom 256-128, a tower of 64 a task, batch
4,096, Adam, T = 2 and 4 binary tasks; tables in row mode. A step is the trainer's own, from the
prepared batch to the update. Methods take turns in every round, so that a busy machine disturbs
all alike.

    python benchmarks/balancing.py [--out FILE] [--steps 20] [--threads 2] [--tasks 2 4]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from machine import describe

import nextrec
from nextrec.data.batch import Batch
from nextrec.features import DenseFeature, SparseFeature
from nextrec.loss.balancing import BALANCERS
from nextrec.models import inputs
from nextrec.training.trainer import Trainer, TrainOptions

FIELDS, NUMBERS, WIDTH, VOCAB, BATCH = 26, 13, 16, 10_000, 4096


def columns(tasks: int) -> dict[str, np.ndarray]:
    """One batch; the tasks are related, and each label is missing in a tenth of the rows."""
    rng = np.random.default_rng(0)
    data = {f"C{i}": rng.zipf(1.15, BATCH) % VOCAB for i in range(FIELDS)}
    data |= {f"I{i}": rng.normal(size=BATCH).astype(np.float32) for i in range(NUMBERS)}
    for task in range(tasks):
        score = data["I0"] + (task - 1) * data["I1"] + rng.normal(size=BATCH)
        label = (score > 0).astype(np.float32)
        data[f"y{task}"] = np.where(rng.random(BATCH) < 0.1, np.nan, label).astype(np.float32)
    return data


def step_of(name: str, tasks: int) -> Callable[[], object]:
    """A function that takes one step."""
    model = nextrec.ShareBottom(
        [DenseFeature(f"I{i}") for i in range(NUMBERS)],
        [SparseFeature(f"C{i}", VOCAB, embedding_dim=WIDTH) for i in range(FIELDS)],
        target=[f"y{task}" for task in range(tasks)],
        loss_weights=name,
        seed=0,
    )
    data = columns(tasks)
    loader = inputs.make_loader(model, inputs.make_store(model, data), BATCH)
    prepare = inputs.preparer(model, loader)
    autocast = partial(torch.autocast, "cpu", enabled=False)
    trainer = Trainer(
        model,
        model.objective,
        model.compiled.build(model),
        TrainOptions(epochs=1),
        prepare=prepare,
        row_mode=model.compiled.row_mode(),
        autocast=autocast,
        device=model.device,
        balancer=model.compiled.balancer,
    )
    batch: Batch = prepare(next(iter(loader)))
    model.train()

    def step() -> object:
        with trainer.row_mode():
            return trainer.step(batch)

    return step


def measure(tasks: int, steps: int) -> dict[str, dict[str, float]]:
    """Median and best milliseconds of each method, and its best over that of the plain sum."""
    taken = {name: step_of(name, tasks) for name in BALANCERS}
    times: dict[str, list[float]] = {name: [] for name in taken}
    for number in range(steps + 3):
        for name, step in taken.items():
            started = time.perf_counter()
            step()
            if number >= 3:  # the first ones warm up
                times[name].append(1e3 * (time.perf_counter() - started))
    least = min(times["equal"])
    return {
        name: {
            "median_ms": statistics.median(each),
            "min_ms": min(each),
            "times_equal": min(each) / least,
        }
        for name, each in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tasks", type=int, nargs="*", default=[2, 4])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    results = {str(tasks): measure(tasks, args.steps) for tasks in args.tasks}
    print("median (best) ms a step, and the best over the plain sum's")
    print(f"{'':14}" + "".join(f"{f'T = {tasks}':>26}" for tasks in results))
    for name in BALANCERS:
        cells = [
            f"{found[name]['median_ms']:.1f} ({found[name]['min_ms']:.1f}) "
            f"x{found[name]['times_equal']:.2f}"
            for found in results.values()
        ]
        print(f"{name:14}" + "".join(f"{cell:>26}" for cell in cells))
    if args.out:
        document = {
            "machine": describe(),
            "threads": args.threads,
            "steps": args.steps,
            "batch": BATCH,
            "ms": results,
        }
        Path(args.out).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
