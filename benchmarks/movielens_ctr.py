"""MovieLens 1M as click prediction with AutoInt's labels: the configs of `examples/movielens_1m`.

    python benchmarks/movielens_ctr.py --data FOLDER [--models deepfm ...] [--splits 0 1 2]
                                       [--out benchmarks/results/movielens_ctr.json]

FOLDER holds MovieLens 1M (`nextrec data show movielens_1m`). Ratings of 4 and 5 are positive, of 1
and 2 negative, those of 3 are dropped: 739,012 rows, cut at random 8:1:1. The published splits have
no stated seed, so each split is drawn by a seed of its own, which is the model's too, and the mean
over them is told. The best epoch by validation AUC is measured once on the test set.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from experiments import METRICS, Results, run
from machine import describe

from nextrec.data.datasets import movielens_1m_ctr

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "examples" / "movielens_1m"
COLUMNS = ["label", "user", "gender", "age", "occupation", "movie", "decade", "genres"]
PUBLISHED = {
    "dcn_v3": (0.907562, 0.301453),
}
"""Test AUC and log loss by the logs of its authors (salmon1802/FCN)."""
FACTS = {
    "configs": "movielens_1m",
    "protocol": "MovieLens 1M, AutoInt's labels, random 8:1:1, width 16, batch 4,096",
    "best_published": {"auc": 0.909169, "logloss": 0.295782, "model": "QNN+DCNv2"},
}


def write_parts(source: Path, seed: int, folder: Path) -> dict[str, Path]:
    """The three parts of a split as Parquet."""
    paths = {}
    for part, rows in zip(("train", "valid", "test"), movielens_1m_ctr(source, seed), strict=False):
        paths[part] = folder / f"{part}.parquet"
        rows[COLUMNS].to_parquet(paths[part])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="*", help="configs by name; default: all")
    parser.add_argument("--splits", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    published = {k: dict(zip(METRICS, v, strict=True)) for k, v in PUBLISHED.items()}
    names = options.models or sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        path = options.out or Path(folder, "movielens_ctr.json")
        results = Results(path, {**FACTS, "machine": describe(), "published": published})
        for seed in options.splits:
            data = None
            for name in names:
                if results.has(name, seed):
                    continue
                data = data or write_parts(options.data, seed, Path(folder))
                results.add(name, run(CONFIGS / f"{name}.yaml", data, seed, {}))
                results.show(name)


if __name__ == "__main__":
    main()
