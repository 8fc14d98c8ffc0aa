"""Attention to the candidate against mean pooling: the configs of `examples/histories`.

    python benchmarks/histories.py --data FOLDER [--models din ...] [--seeds 1 2 3]
                                   [--out benchmarks/results/histories.json]

FOLDER holds MovieLens 1M. As in DIN's paper a rating of 4 or 5 is positive, a lower one negative,
and a row sees the movies that its user rated 4 or 5 before it (the newest 50) and their first
genres. The last tenth of each user's ratings is the test set, the tenth before it validation, and
the 50 ratings before that are the training set (histories reach back over all). All configs have
the same features, widths, tower and optimizer; `mean_pooling` averages the histories, the others
look at them through the candidate. The best epoch by validation AUC is measured once on the test
set; GAUC is by user.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from experiments import Results, run
from machine import describe

from nextrec.data.datasets import load_movielens_1m
from nextrec.data.sampling import build_histories, split3

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "examples" / "histories"
MAX_LEN = 50
TRAIN_ROWS = 50
"""Newest ratings of a user that train: all of them would take hours on two cores."""
FACTS = {
    "configs": "histories",
    "protocol": "MovieLens 1M, rating >= 4, 50 liked movies before, split by each user's time, "
    "50 training ratings a user",
}


def events(source: Path) -> pd.DataFrame:
    """Ratings in each user's order, with who, what and the label."""
    tables = load_movielens_1m(source)
    ratings, users, movies = (tables.frame(name) for name in ("ratings", "users", "movies"))
    rows = ratings.merge(users, on="user_id").merge(movies, on="movie_id")
    return pd.DataFrame(
        {
            "label": (rows["rating"] >= 4).astype("float32"),
            "rating": rows["rating"],
            "user": rows["user_id"],
            "gender": rows["gender"],
            "age": rows["age"],
            "occupation": rows["occupation"],
            "movie": rows["movie_id"],
            "genre": rows["genres"].str[0].fillna("none"),
            "order": rows["chrono_pos"] if "chrono_pos" in rows else rows["timestamp"],
        }
    )


def write_parts(source: Path, folder: Path) -> dict[str, Path]:
    """Training, validation and test rows as Parquet."""
    rows = events(source).drop(columns="rating")
    rows = build_histories(
        rows, "user", "movie", "order", MAX_LEN, columns=["genre"], only=rows["label"] == 1
    )
    paths = {}
    parts = split3(rows, method="user_time", values=rows["order"], groups=rows["user"])
    for part, places in zip(("train", "valid", "test"), parts, strict=True):
        paths[part] = folder / f"{part}.parquet"
        chosen = rows.iloc[places]
        if part == "train":
            age = chosen.groupby("user")["order"].rank("first", ascending=False)
            chosen = chosen[age <= TRAIN_ROWS]
        table = pa.Table.from_pandas(chosen, preserve_index=False)
        # pandas could not read back the types that it notes beside lists.
        pq.write_table(table.replace_schema_metadata(), paths[part])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="*", help="configs by name; default: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = options.models or sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        path = options.out or Path(folder, "histories.json")
        results = Results(path, {**FACTS, "machine": describe()})
        data = write_parts(options.data, Path(folder))
        for seed in options.seeds:
            for name in names:
                if not results.has(name, seed):
                    results.add(name, run(CONFIGS / f"{name}.yaml", data, seed, {}, "user"))
                    results.show(name)


if __name__ == "__main__":
    main()
