"""Rows a second of DataProcessor: fit and transform of 26 string categories and 13 numbers.

    python benchmarks/processor.py [--rows 1000000] [--vocab 10000] [--out FILE.json]

Measured in one process, alternating: fit + transform of a frame in memory, of Parquet files into
Parquet files, of histories of 50 items, and the same columns by hand in Polars (unique, join,
mean, std), which writes no unknown ids, checks nothing and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from machine import describe

from nextrec.data.preprocessor import DataProcessor

SPARSE = [f"C{j}" for j in range(26)]
DENSE = [f"I{i}" for i in range(13)]


def make(rows: int, vocab: int, seed: int = 0) -> pa.Table:
    """Categories as text of eight characters, Zipf-like, and skewed numbers with gaps."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    names = np.array([f"{n * 2654435761 % 2**32:08x}" for n in range(vocab)])
    for name in SPARSE:
        ranks = np.minimum(random.pareto(0.6, rows) * 3, vocab - 1).astype(np.int64)
        columns[name] = pa.array(names[ranks])
    for name in DENSE:
        values = random.lognormal(size=rows)
        columns[name] = pa.array(values, mask=random.random(rows) < 0.1)
    return pa.table(columns)


def processor_of(scaler: str = "standard") -> DataProcessor:
    processor = DataProcessor()
    for name in SPARSE:
        processor.add_sparse_feature(name)
    for name in DENSE:
        processor.add_numeric_feature(name, scaler=scaler)
    return processor


def by_hand(frame: pl.DataFrame) -> pl.DataFrame:
    """The same encoding as an expression a column."""
    vocabularies = [frame[name].unique().sort() for name in SPARSE]
    encoded = [
        frame[name].replace_strict(tokens, pl.int_range(2, len(tokens) + 2, eager=True)).alias(name)
        for name, tokens in zip(SPARSE, vocabularies, strict=True)
    ]
    numbers = [
        ((pl.col(name).fill_null(pl.col(name).mean()) - pl.col(name).mean()) / pl.col(name).std())
        .cast(pl.Float32)
        .alias(name)
        for name in DENSE
    ]
    return pl.DataFrame(encoded).with_columns(frame.select(numbers))


def best(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds of the fastest run of each, run in turn."""
    times: dict[str, float] = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name] = min(times[name], time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--vocab", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = options.rows
    table = make(rows, options.vocab)
    frame, polars = table.to_pandas(), pl.from_arrow(table)
    random = np.random.default_rng(1)
    few = rows // 5
    items = pa.array(random.integers(0, options.vocab, few * 50))
    offsets = pa.array(np.arange(few + 1, dtype=np.int32) * 50)
    histories = pa.table({"h": pa.ListArray.from_arrays(offsets, items)})

    def sequences() -> None:
        processor = DataProcessor()
        processor.add_sequence_feature("h", max_len=50)
        processor.fit(histories)
        processor.transform_table(histories)

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.parquet"
        pq.write_table(table, raw, row_group_size=131_072)
        seconds = best(
            {
                "frame": lambda: processor_of().fit_transform(frame),
                "Arrow table": lambda: processor_of().fit_transform(table, return_dict=False),
                "robust scaler": lambda: processor_of("robust").fit_transform(
                    table, return_dict=False
                ),
                "Parquet to Parquet": lambda: processor_of().fit_transform(
                    raw, output_path=Path(folder) / "out"
                ),
                "Polars by hand": lambda: by_hand(polars),
                "histories of 50": sequences,
            },
            options.repeats,
        )
    result = {
        "rows": rows,
        "vocabulary": options.vocab,
        "machine": describe(),
        "rows_per_second": {
            name: (few if name == "histories of 50" else rows) / each
            for name, each in seconds.items()
        },
    }
    for name, each in result["rows_per_second"].items():
        print(f"{name:20} {each:12,.0f} rows/s")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
