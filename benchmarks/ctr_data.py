"""Criteo-shaped clicks: 13 dense columns, 26 Zipf-distributed id columns, labels of a logistic
teacher, so that models have something to learn.

    python benchmarks/ctr_data.py OUT.parquet --rows 102400 --vocab 10000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DENSE, SPARSE = 13, 26


def make(rows: int, vocab: int, seed: int = 7, history: int = 0) -> pa.Table:
    """``I0..``, ``C0..``, ``user_id``, ``label``; with ``history`` also ``cand`` and ``hist``."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array | np.ndarray] = {}
    logit = np.full(rows, -1.1)
    for i in range(DENSE):
        values = rng.random(rows, dtype=np.float32)
        columns[f"I{i}"] = values
        logit += rng.normal(0, 0.4) * (values - 0.5)
    for j in range(SPARSE):
        ids = (rng.zipf(1.15, size=rows) - 1) % vocab
        columns[f"C{j}"] = ids.astype(np.int64)
        logit += rng.normal(0, 0.35, size=vocab)[ids]
    if history:
        lengths = rng.integers(1, history + 1, size=rows)
        items = (rng.zipf(1.15, size=lengths.sum()) % (vocab - 1)) + 1
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        columns["hist"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(items))
        columns["cand"] = (rng.zipf(1.15, size=rows) % (vocab - 1)) + 1
        logit += rng.normal(0, 0.35, size=vocab)[columns["cand"]]
    columns["user_id"] = rng.integers(0, max(rows // 50, 1), size=rows)
    clicks = rng.random(rows) < 1 / (1 + np.exp(-logit))
    columns["label"] = clicks.astype(np.float32)
    return pa.table(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=102_400)
    parser.add_argument("--vocab", type=int, default=10_000)
    parser.add_argument("--history", type=int, default=0)
    options = parser.parse_args()
    table = make(options.rows, options.vocab, history=options.history)
    pq.write_table(table, options.out, row_group_size=65_536)


if __name__ == "__main__":
    main()
