"""Every model on the bundled MovieLens-small task, beside what mean ratings say.

    python benchmarks/quality.py [--seeds 3] [--out benchmarks/results/quality.json]

The task of ``make quickstart``: rating >= 4, the last fifth of each user's ratings is the test set.
The number of epochs is chosen on the latest tenth of each user's training ratings (AUC, patience
2); the model is then trained for as long on all of them and measured once on the test set. The same
settings for every model: width 8, one hidden layer of 32, Adam 1e-3, batch 256, L2 1e-4 on the rows
looked up.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe

import nextrec
from nextrec.data.datasets import bias_baseline, movielens_small_ctr
from nextrec.metrics import auc, gauc, logloss
from nextrec.models.zoo import find_model, load_zoo

METRICS = ["auc", "gauc", "logloss"]
TOWER = {"dims": [32], "norm": "none"}
ACTIVITY_BUCKETS = 16


def with_activity(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Adds ``activity``, the bucketed log2 of how many ratings the user gave before (POSO's group),
    and ``loved``, a rating of 5 (the second target of multi-task models)."""
    events = pd.concat([train, test], keys=["train", "test"])
    before = events.groupby("user_id")["timestamp"].rank("min") - 1
    events["activity"] = np.minimum(np.log2(before + 1).astype(int) + 2, ACTIVITY_BUCKETS - 1)
    events["loved"] = (events["rating"] == 5).astype("float32")
    return events.loc["train"], events.loc["test"]


def arguments(name: str, schema) -> dict:
    features = schema.features(embedding_dim=8)
    for feature in features.embedded:
        feature.init_params = {"std": 0.01}
    lists = {"sparse_features": features.sparse, "sequence_features": features.sequence}
    common = {"embedding_l2_reg": 1e-4, "target": "label"}
    if name == "ShareBottom":
        return {
            **lists,
            **common,
            "bottom_params": TOWER,
            "tower_params_list": [TOWER, TOWER],
            "target": ["label", "loved"],
        }
    if name == "POSO":
        activity = nextrec.SparseFeature("activity", ACTIVITY_BUCKETS, embedding_dim=8)
        return {
            **{f"main_{kind}": values for kind, values in lists.items()},
            **common,
            "pc_sparse_features": [activity],
            "tower_params_list": [{"dims": [32]}],
        }
    takes = inspect.signature(find_model(name).__init__).parameters
    return {**lists, **common, **({"mlp_params": TOWER} if "mlp_params" in takes else {})}


def run(name: str, seed: int, train, test, schema) -> dict[str, float]:
    def build():
        return find_model(name)(**arguments(name, schema), seed=seed)

    settings = {"batch_size": 256, "seed": seed, "report": False, "progress": False, "verbosity": 0}
    tried = build().fit(
        train,
        metrics={"label": METRICS},
        validation_split=0.1,
        split_by="user_time",
        split_column="timestamp",
        epochs=20,
        early_stop_patience=2,
        **settings,
    )
    key = "auc" if len(tried.tasks) == 1 else "auc_label"
    best = max(tried.history, key=lambda epoch: epoch[key])["epoch"]
    model = build().fit(train, epochs=best, **settings)
    values = model.evaluate(test, {"label": METRICS}).values_by_target()["label"]
    return {**values, "epochs": best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="*", help="default: all; results of others are kept")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    train, test, schema = movielens_small_ctr(history_len=20)
    train, test = with_activity(train, test)
    labels, users, baseline = test["label"], test["user_id"], bias_baseline(train, test)
    known = json.loads(options.out.read_text())["rows"] if options.models and options.out else []
    floor = {
        "model": "bias baseline",
        "auc": auc(labels, baseline),
        "gauc": gauc(labels, baseline, users),
        "logloss": logloss(labels, baseline),
    }
    show(floor)
    kept = {row["model"]: row for row in known if row["model"] not in (options.models or ())}
    kept["bias baseline"] = floor
    for name in options.models or load_zoo():
        runs = [run(name, seed, train, test, schema) for seed in range(1, options.seeds + 1)]
        kept[name] = {"model": name, "seeds": options.seeds} | summary(runs)
        show(kept[name])
        if options.out:  # each result as it comes
            result = {"machine": describe(), "rows": list(kept.values())}
            options.out.write_text(json.dumps(result, indent=2) + "\n")


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    values = {}
    for key in runs[0]:
        column = [each[key] for each in runs]
        values[key] = round(statistics.mean(column), 5)
        values[f"{key}_std"] = round(statistics.pstdev(column), 5)
    return values


def show(row: dict) -> None:
    told = "  ".join(f"{key} {row[key]:.4f}" for key in METRICS)
    print(f"{row['model']:<16}{told}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("NEXTREC_LOG_DIR", folder)
        main()
