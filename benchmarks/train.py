"""DeepFM through ``fit()`` beside a loop written by hand for that network.

    python benchmarks/train.py [--rows 102400] [--repeats 5] [--out benchmarks/results/train.json]

13 dense and 26 id columns, width 16, MLP 400-400-400, batch 4,096, Adam; one epoch a run, runs in
alternation. Speed is that of the median step; the first step, which pays for memory that is touched
for the first time, stands beside it. Each run is a process of its own, so that none inherits
another's memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import torch
from ctr_data import make
from machine import describe

BATCH = 4096
VOCABULARIES = (10_000, 100_000, 1_000_000)


def run_fit(path: Path, vocab: int, optimizer: str, precision: str) -> dict[str, float]:
    import nextrec
    from nextrec.training.callbacks import Callback

    class Clock(Callback):
        """When each step ended."""

        def on_epoch_start(self, trainer):
            self.times = [time.perf_counter()]

        def on_step_end(self, trainer):
            self.times.append(time.perf_counter())

    table = pq.read_table(path)
    model = nextrec.DeepFM(
        [nextrec.DenseFeature(f"I{i}") for i in range(13)],
        [nextrec.SparseFeature(f"C{j}", vocab, embedding_dim=16) for j in range(26)],
        mlp_params={"dims": [400, 400, 400], "norm": "none"},
        optimizer=optimizer,
        seed=1,
    )
    clock = Clock()
    started = time.perf_counter()
    model.fit(
        table,
        batch_size=BATCH,
        callbacks=[clock],
        precision=precision,
        progress=False,
        report=False,
        checkpoint=False,
        seed=1,
    )
    seconds = time.perf_counter() - started
    return {**speed(clock.times), "seconds": seconds, "loss": model.history[-1]["loss"]}


def run_bare(path: Path, vocab: int, precision: str) -> dict[str, float]:
    from bare_loop import run

    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    started = time.perf_counter()
    times, loss = run(columns, vocab, BATCH, precision == "bf16")
    return {**speed(times), "seconds": time.perf_counter() - started, "loss": loss}


def speed(times: list[float]) -> dict[str, float]:
    """Median step and the first one, which pays for memory that is touched for the first time."""
    steps = [after - before for before, after in pairwise(times)]
    median = statistics.median(steps[1:])
    return {
        "rows_per_s": BATCH / median,
        "step_ms": 1000 * median,
        "first_step_ms": 1000 * steps[0],
    }


def child(kind: str, path: Path, vocab: int, precision: str) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, str(path), str(vocab), precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=102_400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--vocabularies", type=int, nargs="*", default=VOCABULARIES)
    parser.add_argument("--optimizers", nargs="*", default=["adam", "rowwise_adagrad"])
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, path, vocab, precision = options.child
        if kind == "bare":
            print(json.dumps(run_bare(Path(path), int(vocab), precision)))
        else:
            with tempfile.TemporaryDirectory() as folder:
                import os

                os.environ["NEXTREC_LOG_DIR"] = folder
                print(json.dumps(run_fit(Path(path), int(vocab), kind, precision)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for vocab in options.vocabularies:
            path = Path(folder, f"{vocab}.parquet")
            pq.write_table(make(options.rows, vocab), path)
            for precision in options.precisions:
                rows += compare(path, vocab, precision, options)
                print_table(rows)
                if options.out:  # each result as it comes
                    result = {"machine": describe(), "threads": torch.get_num_threads()}
                    options.out.write_text(json.dumps({**result, "rows": rows}, indent=2) + "\n")
            path.unlink()


def compare(path: Path, vocab: int, precision: str, options) -> list[dict]:
    kinds = ["bare", *options.optimizers]
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(options.repeats):
        for kind in kinds:
            runs[kind].append(child(kind, path, vocab, precision))
    rows = []
    for kind in kinds:
        median = {key: statistics.median(r[key] for r in runs[kind]) for key in runs[kind][0]}
        ratios = [
            mine["rows_per_s"] / bare["rows_per_s"]
            for mine, bare in zip(runs[kind], runs["bare"], strict=True)
        ]
        rows.append(
            {
                "loop": "bare" if kind == "bare" else f"fit, {kind}",
                "vocab": vocab,
                "precision": precision,
                **{key: round(value, 3) for key, value in median.items()},
                "of_bare": round(statistics.median(ratios), 3),
            }
        )
    return rows


def print_table(rows: list[dict]) -> None:
    head = ("loop", "ids a field", "precision", "rows/s", "ms a step", "of bare")
    print("{:<22}{:>12}{:>11}{:>9}{:>11}{:>9}".format(*head), flush=True)
    for row in rows:
        print(
            f"{row['loop']:<22}{row['vocab']:>12,}{row['precision']:>11}"
            f"{row['rows_per_s']:>9,.0f}{row['step_ms']:>11.1f}{row['of_bare']:>9.2f}"
        )


if __name__ == "__main__":
    main()
