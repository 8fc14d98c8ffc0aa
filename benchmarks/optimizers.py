"""Milliseconds per step of every row rule, beside torch's dense and sparse Adam.

A step is what an embedding table costs in training: look up 26 fields x 4,096 rows of width 16,
take a given gradient of the looked-up rows back, update. Ids are Zipf-distributed (exponent 1.15,
wrapped at the field's size). Tables have 10k, 100k and 1M ids a field.

    python benchmarks/optimizers.py [--out FILE] [--steps 30] [--threads 2] [--rows 260000 ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from torch import Tensor, nn
from torch.nn import functional as F

from nextrec.optim import OPTIMIZERS, RowOptimizer, RowTable

FIELDS, BATCH, WIDTH = 26, 4096, 16
ROWS = (260_000, 2_600_000, 26_000_000)
DENSE_UP_TO = 2_600_000
LR = 1e-3

Step = Callable[[Tensor, Tensor], None]


def batches(num_rows: int, steps: int) -> Iterator[Tensor]:
    """Row numbers ``(B, F)`` of every step."""
    rng = np.random.default_rng(7)
    size = num_rows // FIELDS
    for _ in range(steps):
        ids = (rng.zipf(1.15, (BATCH, FIELDS)) - 1) % size
        yield torch.from_numpy(ids + np.arange(FIELDS) * size)


def new_weight(num_rows: int) -> nn.Parameter:
    return nn.Parameter(torch.full((num_rows, WIDTH), 0.01))


def row_step(name: str, num_rows: int, **options: Any) -> Step:
    rule = OPTIMIZERS[name].rule
    table = RowTable(new_weight(num_rows))
    optimizer = RowOptimizer([table], rule({**rule.defaults, "lr": LR, **options}))

    def step(rows: Tensor, grad: Tensor) -> None:
        table.lookup(rows).backward(grad)
        optimizer.step()

    return step


def torch_step(optimizer: torch.optim.Optimizer, weight: nn.Parameter, sparse: bool) -> Step:
    def step(rows: Tensor, grad: Tensor) -> None:
        optimizer.zero_grad()
        F.embedding(rows, weight, sparse=sparse).backward(grad)
        optimizer.step()

    return step


def sparse_adam(num_rows: int) -> Step:
    weight = new_weight(num_rows)
    return torch_step(torch.optim.SparseAdam([weight], lr=LR), weight, sparse=True)


def dense_adam(num_rows: int) -> Step:
    weight = new_weight(num_rows)
    return torch_step(torch.optim.Adam([weight], lr=LR, fused=True), weight, sparse=False)


CASES: dict[str, Callable[[int], Step]] = {
    **{name: lambda rows, name=name: row_step(name, rows) for name in OPTIMIZERS},
    "sgd, momentum 0.9": lambda rows: row_step("sgd", rows, momentum=0.9),
    "torch SparseAdam": sparse_adam,
    "torch Adam, dense, fused": dense_adam,
}


def measure(step: Step, num_rows: int, steps: int) -> dict[str, float]:
    """Median and best milliseconds after a warm-up; a busy machine disturbs the best least."""
    warm = 5
    grad = torch.randn(BATCH, FIELDS, WIDTH, generator=torch.Generator().manual_seed(0))
    times = []
    for rows in batches(num_rows, warm + steps):
        own = grad.clone()
        started = time.perf_counter()
        step(rows, own)
        times.append(1e3 * (time.perf_counter() - started))
    return {"median_ms": statistics.median(times[warm:]), "min_ms": min(times[warm:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, nargs="*", default=list(ROWS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    results: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{FIELDS * BATCH:,} lookups of width {WIDTH}; median (best) ms a step")
    print(f"{'':26}" + "".join(f"{rows:>20,}" for rows in args.rows))
    for name, make in CASES.items():
        cells = []
        for rows in args.rows:
            if "dense" in name and rows > DENSE_UP_TO:
                cells.append("-")
                continue
            found = measure(make(rows), rows, args.steps)
            results.setdefault(name, {})[str(rows)] = found
            cells.append(f"{found['median_ms']:.1f} ({found['min_ms']:.1f})")
        print(f"{name:26}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    overhead = {
        rows: results["adam"][rows]["min_ms"] / results["lazy_adam"][rows]["min_ms"] - 1
        for rows in results["adam"]
    }
    print("adam over lazy_adam: " + ", ".join(f"{share:+.0%}" for share in overhead.values()))
    if args.out:
        document = {
            "machine": describe(),
            "threads": args.threads,
            "steps": args.steps,
            "ms": results,
            "adam_over_lazy_adam": overhead,
        }
        Path(args.out).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
