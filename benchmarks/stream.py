"""Streaming from Parquet: rows a second into shuffled batches, and memory against file size.

    python benchmarks/stream.py [--rows 2000000] [--batch 4096] [--out FILE.json]

Rates: 26 id columns, 13 numbers and a label (and beside them one or two histories of 50 items),
read, checked, packed and shuffled into batches; nothing is trained. The best of several epochs
counts. Memory: a small DeepFM is trained for one epoch on a file and on one 20 times as large, each
in a process of its own; what counts is the largest resident size of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ctr_data import DENSE, SPARSE, make
from machine import describe

VOCAB = 10_000
LENGTH = 50
GROUP = 65_536
PIECE = 262_144
TIMES = 20


def write(path: Path, rows: int, histories: int = 0) -> None:
    """A file of about so many rows, made and written piece by piece."""
    writer = None
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        table = make(count, VOCAB, seed=start)
        random = np.random.default_rng(start)
        for number in range(histories):
            items = pa.array(random.integers(1, VOCAB, count * LENGTH))
            offsets = np.arange(0, count * LENGTH + 1, LENGTH, dtype=np.int32)
            table = table.append_column(f"H{number}", pa.ListArray.from_arrays(offsets, items))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()


def rate(path: Path, histories: int, options: argparse.Namespace) -> float:
    """Rows a second of the fastest epoch."""
    from nextrec.data import RecDataLoader
    from nextrec.features import DenseFeature, SequenceFeature, SparseFeature

    maker = RecDataLoader(
        [DenseFeature(f"I{i}") for i in range(DENSE)],
        [SparseFeature(f"C{j}", VOCAB) for j in range(SPARSE)],
        [SequenceFeature(f"H{k}", VOCAB, max_len=LENGTH) for k in range(histories)],
        target="label",
    )
    loader = maker.create_dataloader(
        path, options.batch, load_full=False, buffer_rows=options.buffer, seed=0
    )
    times = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        rows = sum(len(batch) for batch in loader)
        times.append(time.perf_counter() - started)
    return rows / min(times)


def train(path: str, batch: int, buffer: int) -> None:
    """One epoch of a small DeepFM over the file, streamed; prints the peak of memory in bytes."""
    import nextrec
    from nextrec.features import DenseFeature, SparseFeature

    model = nextrec.DeepFM(
        [DenseFeature(f"I{i}") for i in range(DENSE)],
        [SparseFeature(f"C{j}", VOCAB, embedding_dim=8) for j in range(SPARSE)],
        mlp_params={"dims": [32]},
        session_id="stream",
    )
    quiet = {"verbosity": 0, "progress": False, "report": False}
    model.fit(path, stream=True, buffer_rows=buffer, batch_size=batch, **quiet)
    print(peak_of_this_process())


def peak_of_this_process() -> int:
    """Largest resident size in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts the parent's size at the start into ru_maxrss
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak(path: Path, options: argparse.Namespace) -> int:
    """Largest resident size of a process that trains on the file, in bytes."""
    command = [sys.executable, str(Path(__file__).resolve()), "--train", str(path)]
    command += ["--batch", str(options.batch), "--buffer", str(options.buffer)]
    done = subprocess.run(command, cwd=path.parent, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--small", type=int, default=524_288, help="rows of the smaller file")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--buffer", type=int, default=262_144)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["rates", "memory"])
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.batch, options.buffer)
        return
    report: dict[str, object] = {
        "machine": describe(),
        "settings": {key: getattr(options, key) for key in ("rows", "small", "batch", "buffer")},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "memory":
            report["rows_per_second"] = rates = {}
            for histories in (0, 1, 2):
                path = folder / f"rows-{histories}.parquet"
                write(path, options.rows // (1 + histories), histories)
                told = f"40 columns, {histories} histories of {LENGTH}"
                rates[told] = round(rate(path, histories, options))
                print(f"{told:40} {rates[told]:12,} rows/s", flush=True)
                path.unlink()
        if options.only != "rates":
            report["peak_bytes"] = peaks = {}
            for rows in (options.small, options.small * TIMES):
                path = folder / "train.parquet"
                write(path, rows)
                peaks[f"{rows} rows"] = peak(path, options)
                print(f"trained on {rows:>12,} rows {peaks[f'{rows} rows'] / 2**20:10,.0f} MiB")
            small, large = peaks.values()
            report["growth"] = large / small - 1
            print(f"growth {large / small - 1:+.1%}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
