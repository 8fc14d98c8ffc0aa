"""How long metrics take on one large table.

    python benchmarks/metrics.py --rows 1000000 --users 20000 --out metrics.json

Each function is timed alone (it checks its input, numbers the groups and sorts), then all of them
in one evaluator (one sort), then the accumulators of a stream, batch by batch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nextrec import metrics
from nextrec.tasks import make_tasks

PLAIN = ("auc", "ks", "pr_auc", "logloss", "f1", "mse", "pcoc", "ne", "ece")
AT_K = ("precision", "recall", "hitrate", "mrr", "ndcg", "map")
TIES = {"distinct": None, "100 levels": 100, "constant": 0}


def table(rows: int, users: int, levels: int | None) -> tuple[np.ndarray, ...]:
    """Labels, float32 scores and user ids; ``levels`` of scores make ties."""
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < 0.1).astype(np.float32)
    scores = (0.2 * labels + 0.8 * rng.random(rows)).astype(np.float32)
    if levels is not None:
        scores = (np.round(scores * levels) / max(levels, 1)).astype(np.float32)
    return labels, scores, rng.integers(0, users, rows)


def best_of(repeat: int, function: Callable[[], Any]) -> float:
    """Least seconds of some runs: the others were disturbed."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def functions(k: int) -> dict[str, Callable[..., float]]:
    """Metric name -> function of labels, scores and users."""
    found: dict[str, Callable[..., float]] = {}
    for name in PLAIN:
        found[name] = _without_users(getattr(metrics, name))
    found["gauc"] = metrics.gauc
    for name in AT_K:
        found[f"{name}@{k}"] = partial(getattr(metrics, f"{name}_at_k"), k=k)
    return found


def _without_users(function: Callable[..., float]) -> Callable[..., float]:
    return lambda labels, scores, users: function(labels, scores)


def evaluated(names: list[str], data: tuple[np.ndarray, ...], batch: int, streaming: bool) -> Any:
    """All of them in one evaluator, fed in batches."""
    tasks = make_tasks("binary", ["click"])
    evaluator = metrics.Evaluator(metrics.resolve_metrics(names, tasks), tasks, streaming)
    labels, scores, users = data
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        evaluator.update(scores[part], labels[part], users[part])
    return evaluator.compute()


def runs_on(
    data: tuple[np.ndarray, ...], found: dict[str, Callable[..., float]], batch: int
) -> dict[str, Callable[[], Any]]:
    """What is timed on one table."""
    grouped = [name for name in found if name not in PLAIN]
    streamed = [name for name in PLAIN if metrics.can_stream(name)]
    return {
        **{name: partial(function, *data) for name, function in found.items()},
        "gauc and all @k, one evaluator": lambda: evaluated(grouped, data, batch, False),
        "all, one evaluator": lambda: evaluated(list(found), data, batch, False),
        f"{', '.join(streamed)}: stream": lambda: evaluated(streamed, data, batch, True),
    }


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One record a measurement."""
    records = []
    for ties, levels in TIES.items():
        data = table(arguments.rows, arguments.users, levels)
        for name, run in runs_on(data, functions(arguments.k), arguments.batch).items():
            seconds = best_of(arguments.repeat, run)
            records.append({"metric": name, "scores": ties, "seconds": round(seconds, 4)})
    return records


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    records = measure(arguments)
    names = list(dict.fromkeys(record["metric"] for record in records))
    seconds = {(record["metric"], record["scores"]): record["seconds"] for record in records}
    print(f"{arguments.rows:,} rows, {arguments.users:,} users: seconds by kind of scores")
    print(f"{'':60}" + "".join(f"{ties:>12}" for ties in TIES))
    for name in names:
        print(f"{name:60}" + "".join(f"{seconds[name, ties]:12.3f}" for ties in TIES))
    if arguments.out:
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "numpy": np.__version__}
        options = {"rows": arguments.rows, "users": arguments.users, "batch": arguments.batch}
        result = {**options, **machine, "results": records}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
