"""POSO on users of little activity: AUC by how many ratings a user has given before.

    python benchmarks/cold_start.py --data FOLDER [--models DeepFM ...] [--seeds 1 2 3]
                                    [--out benchmarks/results/cold_start.json]

FOLDER holds MovieLens 1M. A tenth of the users is the test set and a tenth validation, so that none
of their ids was seen in training: what a model knows of them is their sign-up form (gender, age,
occupation) and the movies that they liked so far (the newest 20, averaged). Their first rating
comes with an empty history, their last with a full one. Target: a rating of 4 or 5; the second
target of the multi-task models is a 5.

`DNN`, `DeepFM` and `MMOE` get the activity (the bucketed log2 of the ratings given before) and the
sign-up form as inputs. `POSO` (a gated network) and `POSO MMOE` (gated experts) have the same
inputs and widths, and the activity and the form drive their gates as well. Each is trained with
Adam 1e-3 and batch 2,048, the best epoch by validation AUC is measured on the test users, in ten
equal parts of the test rows by activity.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from histories import events
from machine import describe

import nextrec
from nextrec.data.sampling import build_histories
from nextrec.metrics import auc
from nextrec.models.zoo import find_model

HISTORY, ACTIVITY, WIDTH = 20, 12, 16
SPLIT_SEED = 2024
HIDDEN = [128, 64]
FORM = ["gender", "age", "occupation"]
MODELS = ["DNN", "DeepFM", "POSO", "MMOE", "POSO MMOE"]


def parts(source: Path) -> dict[str, pd.DataFrame]:
    """Rows of the training, validation and test users."""
    rows = events(source)
    rows["loved"] = rows.pop("rating").eq(5).astype("float32")
    rows = build_histories(rows, "user", "movie", "order", HISTORY, only=rows["label"] == 1)
    seen = rows.groupby("user")["order"].rank("first").sub(1).astype(int)
    rows["seen"] = seen
    rows["activity"] = np.minimum(np.log2(seen + 1).astype(int), ACTIVITY - 1)
    users = np.random.default_rng(SPLIT_SEED).permutation(rows["user"].unique())
    cuts = np.split(users, [int(0.8 * len(users)), int(0.9 * len(users))])
    return {
        part: rows[rows["user"].isin(chosen)].reset_index(drop=True)
        for part, chosen in zip(("train", "valid", "test"), cuts, strict=True)
    }


def coded(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], Any]:
    """The parts as ids, and the features."""
    processor = nextrec.DataProcessor()
    for column in [*FORM, "activity", "genre"]:
        processor.add_sparse_feature(column)
    processor.add_sparse_feature("movie", vocabulary="movies")
    processor.add_sequence_feature("hist_movie", max_len=HISTORY, vocabulary="movies")
    processor.fit(frames["train"])
    kept = ["label", "loved", "seen"]
    ready = {}
    for part, frame in frames.items():
        columns = processor.transform(frame.drop(columns=["user", "order"]))
        ready[part] = {**columns, **{name: frame[name].to_numpy() for name in kept}}
    return ready, processor.features(embedding_dim=WIDTH)


def build(name: str, features: Any, seed: int) -> Any:
    """A model with the same features and widths as the others."""
    lists = {"sparse_features": features.sparse, "sequence_features": features.sequence}
    both = {"target": ["label", "loved"], "seed": seed, "embedding_l2_reg": 1e-5}
    if name.startswith("POSO"):
        gates = [each for each in features.sparse if each.name in (*FORM, "activity")]
        lists = {f"main_{kind}": each for kind, each in lists.items()} | {
            "pc_sparse_features": gates
        }
    if name == "POSO MMOE":
        return find_model("POSO")(
            **lists,
            architecture="mmoe",
            num_experts=4,
            expert_hidden_dims=HIDDEN,
            tower_params_list=[{"dims": [32]}] * 2,
            **both,
        )
    if name == "MMOE":
        return find_model("MMOE")(
            **lists,
            num_experts=4,
            expert_params={"dims": HIDDEN},
            tower_params_list=[{"dims": [32]}] * 2,
            **both,
        )
    one = {**both, "target": "label"}
    if name == "POSO":
        return find_model("POSO")(**lists, tower_params_list=[{"dims": HIDDEN}], **one)
    return find_model(name)(**lists, mlp_params={"dims": HIDDEN}, **one)


def run(name: str, seed: int, data: dict[str, dict], features: Any) -> dict:
    """AUC of a model on all test rows and on each tenth of them by activity."""
    model = build(name, features, seed)
    several = len(model.tasks) > 1
    model.fit(
        data["train"],
        data["valid"],
        metrics={"label": ["auc"]},
        monitor="auc_label" if several else "auc",
        epochs=30,
        early_stop_patience=3,
        batch_size=2048,
        seed=seed,
        report=False,
        progress=False,
        verbosity=0,
    )
    scores = model.predict(data["test"], return_dataframe=False).reshape(
        len(data["test"]["label"]), -1
    )
    labels, seen = data["test"]["label"], data["test"]["seen"]
    order = np.argsort(seen, kind="stable")
    tenths = np.array_split(order, 10)
    return {
        "seed": seed,
        "auc": auc(labels, scores[:, 0]),
        "by_activity": [auc(labels[rows], scores[rows, 0]) for rows in tenths],
        "epochs": len(model.history),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    frames = parts(options.data)
    data, features = coded(frames)
    seen = np.sort(frames["test"]["seen"].to_numpy())
    ends = [[int(each[0]), int(each[-1])] for each in np.array_split(seen, 10)]
    result: dict[str, Any] = {"machine": describe(), "ratings_before": ends, "runs": {}}
    if options.out and options.out.exists():
        result["runs"] = json.loads(options.out.read_text())["runs"]
    for seed in options.seeds:
        for name in options.models:
            runs = result["runs"].setdefault(name, [])
            if any(each["seed"] == seed for each in runs):
                continue
            runs.append(run(name, seed, data, features))
            told = " ".join(f"{value:.4f}" for value in runs[-1]["by_activity"])
            print(f"{name:<12}{seed}  {runs[-1]['auc']:.5f}  {told}", flush=True)
            if options.out:  # each result as it comes
                options.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, runs in result["runs"].items():
        print(f"{name:<12}{statistics.mean(each['auc'] for each in runs):.5f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("NEXTREC_LOG_DIR", folder)
        main()
