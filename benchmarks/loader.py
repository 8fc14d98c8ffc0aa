"""Rows a second from data to batches: 26 sparse + 13 dense columns and a label.

    python benchmarks/loader.py [--rows 1000000] [--batch 4096] [--out FILE.json]

Measures one shuffled and one ordered epoch of an in-memory store, the time to build the store from
a pandas frame, from Parquet and from CSV, and one epoch streamed from Parquet. Nothing is trained;
the best of several repeats is reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ctr_data import DENSE, SPARSE, make

from nextrec.data import BatchLoader, PackedStore, RecDataLoader
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature

VOCAB = 10_000
LENGTH = 20


def best(function: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def consume(batches: Any) -> int:
    """Walk through an epoch, reading the blocks as a model would."""
    rows = 0
    for batch in batches:
        assert batch.features.sparse.is_contiguous()
        rows += len(batch)
    return rows


def tables(options: argparse.Namespace, folder: Path, results: dict[str, float]) -> None:
    """26 ids, 13 numbers and a label a row."""
    features = FeatureSet(
        [DenseFeature(f"I{i}") for i in range(DENSE)],
        [SparseFeature(f"C{j}", VOCAB) for j in range(SPARSE)],
    )
    frame = make(options.rows, VOCAB).to_pandas()
    parquet, csv = folder / "rows.parquet", folder / "rows.csv"
    frame.to_parquet(parquet, row_group_size=65_536)
    frame[: options.rows // 5].to_csv(csv, index=False)

    def build(data: Any) -> PackedStore:
        return PackedStore.from_data(data, features, ["label"], ["user_id"])

    def rate(name: str, function: Callable[[], Any], rows: int) -> None:
        results[name] = rows / best(function, options.repeats)

    rate("store from pandas", lambda: build(frame), options.rows)
    rate("store from Parquet", lambda: build(parquet), options.rows)
    rate("store from CSV", lambda: build(csv), options.rows // 5)
    store = build(frame)
    shuffled = BatchLoader(store, options.batch, shuffle=True, seed=0)
    rate("shuffled epoch", lambda: consume(shuffled), options.rows)
    ordered = BatchLoader(store, options.batch)
    rate("ordered epoch", lambda: consume(ordered), options.rows)
    maker = RecDataLoader(list(features.dense), list(features.sparse), None, "label", "user_id")
    streamed = maker.create_dataloader(
        parquet, options.batch, load_full=False, chunk_size=65_536, seed=0
    )
    rate("streamed epoch from Parquet", lambda: consume(streamed), options.rows)


def histories(options: argparse.Namespace, results: dict[str, float]) -> None:
    """One history of up to 20 items a row, as lists and as text."""
    rows = options.rows // 5
    features = FeatureSet(sequence=[SequenceFeature("hist", VOCAB, max_len=LENGTH)])
    lists = make(rows, VOCAB, history=2 * LENGTH).select(["hist"])
    texts = pd.DataFrame({"hist": [str(each) for each in lists["hist"].to_pylist()]})
    for name, data in (("lists", lists), ("text", texts)):
        seconds = best(lambda data=data: PackedStore.from_data(data, features), options.repeats)
        results[f"store from histories as {name}"] = rows / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        tables(options, Path(folder), results)
    histories(options, results)
    for name, value in results.items():
        print(f"{name:34} {value:14,.0f} rows/s")
    if options.out:
        versions = {"torch": torch.__version__, "numpy": np.__version__, "pandas": pd.__version__}
        settings = {"rows": options.rows, "batch": options.batch, "machine": platform.machine()}
        report = {"settings": settings | versions, "rows_per_second": results}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
