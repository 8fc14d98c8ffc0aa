"""Multi-task models on Census-Income and Adult, beside single-task models and torch-rechub's.

    python benchmarks/multi_task.py --data FOLDER [--sets census adult] [--models MMOE ...]
                                    [--seeds 1 2 3] [--rechub PYTHON]
                                    [--out benchmarks/results/multi_task.json]

FOLDER holds census-income.test.gz, the half of Census-Income (KDD) that UCI calls test, and
adult.parquet. Each set is cut at random 6:2:2 with seed 2024; numbers are standardised and
categories are numbered on the training part. Targets: income above 50,000 and never married
(marital status itself is no feature). All models: width 8, experts (or bottom) of one layer of 64,
towers of one layer of 32, Adam 1e-3, batch 1,024, at most 40 epochs, the best one by the mean of
both validation AUCs, patience 4. `single task` is one network a target of the same depth and
widths, its best epoch by its own AUC. With --rechub, a Python that has torch-rechub, that
package's SharedBottom, MMOE and PLE are trained with the same settings on the same coded parts
through its own trainer (which knows only the first target's AUC for its best epoch).

What the models with roles get: sex is the domain (PEPNet, STAR, M2M), education and occupation are
PEPNet's prior, and POSO's gates see the bucketed age.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe

import nextrec
from nextrec.data.datasets import load_adult, load_census_income
from nextrec.models.zoo import find_model, load_zoo

TARGETS = ["income", "never_married"]
SETTINGS: dict[str, Any] = {
    "width": 8,
    "experts": [64],
    "tower": [32],
    "num_experts": 8,
    "batch_size": 1024,
    "lr": 1e-3,
    "epochs": 40,
    "patience": 4,
    "threads": 1,
}
SPLIT_SEED = 2024
RECHUB = ["SharedBottom", "MMOE", "PLE"]
PEER = Path(__file__).resolve().parent / "peers" / "rechub_multi_task.py"


def read(name: str, folder: Path) -> tuple[pd.DataFrame, list[str], list[str]]:
    """A set's rows, numeric and categorical columns."""
    load, table = {"census": (load_census_income, "test"), "adult": (load_adult, "all")}[name]
    dataset = load(folder)
    frame = dataset.frame(table)
    columns = dataset.description.columns_of(table, list(frame.columns))
    roles = {column.name: column.role for column in columns}
    numeric = [each for each in frame if roles[each] == "numeric"]
    categorical = [each for each in frame if roles[each] == "categorical"]
    frame["age_group"] = (frame["age"] // 5).astype(int).astype(str)
    return frame, numeric, [*categorical, "age_group"]


def coded(name: str, source: Path, folder: Path) -> dict[str, Any]:
    """Write the three parts as numbers and ids, the same for every package; returns the facts."""
    frame, numeric, categorical = read(name, source)
    processor = nextrec.DataProcessor()
    for column in numeric:
        processor.add_numeric_feature(column, scaler="standard")
    for column in categorical:
        processor.add_sparse_feature(column, encode_method="label")
    places = np.random.default_rng(SPLIT_SEED).permutation(len(frame))
    train, valid = int(0.6 * len(frame)), int(0.8 * len(frame))
    cuts = {"train": places[:train], "valid": places[train:valid], "test": places[valid:]}
    processor.fit(frame.iloc[cuts["train"]])
    for part, rows in cuts.items():
        chosen = frame.iloc[rows]
        ready = processor.transform(chosen[[*numeric, *categorical]], return_dict=False)
        parts = [each.reset_index(drop=True) for each in (ready, chosen[TARGETS])]
        pd.concat(parts, axis=1).to_parquet(folder / f"{part}.parquet")
    sizes = processor.get_vocab_sizes()
    facts = {
        "dense": numeric,
        "sparse": {column: int(sizes[column]) for column in categorical},
        "targets": TARGETS,
        "settings": SETTINGS,
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    return facts


# -- our models --------------------------------------------------------------------------------


def arguments(name: str, facts: dict[str, Any], targets: list[str]) -> dict[str, Any]:
    """Constructor arguments of a model: the same features, widths and depths for all."""
    width, hidden = SETTINGS["width"], {"dims": SETTINGS["experts"]}
    dense = [nextrec.DenseFeature(column) for column in facts["dense"]]
    sparse = {
        column: nextrec.SparseFeature(column, size, embedding_dim=width)
        for column, size in facts["sparse"].items()
    }
    towers = [{"dims": SETTINGS["tower"]} for _ in targets]
    experts = SETTINGS["num_experts"]
    own: dict[str, Any] = {
        "ShareBottom": {"bottom_params": hidden},
        "MMOE": {"expert_params": hidden, "num_experts": experts},
        "PLE": {
            "shared_expert_params": hidden,
            "specific_expert_params": hidden,
            "num_shared_experts": 2,
            "num_specific_experts": 2,
            "num_levels": 1,
        },
        "HMoE": {"expert_params": hidden, "num_experts": experts},
        "HoME": {"expert_params": hidden},
        "STEM": {"expert_params": hidden},
        "SNRTrans": {"expert_params": hidden},
        "CrossStitch": {"network_params": hidden},
        "AITM": {"bottom_params": hidden, "calibrator_weight": 0.0},
        "M2M": {"expert_params": hidden, "num_experts": experts},
        "POSO": {
            "architecture": "mmoe",
            "num_experts": experts,
            "expert_hidden_dims": SETTINGS["experts"],
        },
    }.get(name, {})
    takes = find_model(name)
    deep = {"dims": [*SETTINGS["experts"], *SETTINGS["tower"]]}
    if name in ("DNN", "APG", "STAR"):
        own["mlp_params"] = deep
    else:
        # A model without a part of its own before the towers gets the whole depth in them.
        own["tower_params_list"] = towers if own else [deep for _ in targets]
    if name == "POSO":
        own |= {"main_dense_features": dense, "main_sparse_features": [*sparse.values()]}
        return {**own, "pc_sparse_features": [sparse["age_group"]], "target": targets}
    if not takes.groups:
        return {**own, "dense_features": dense, "sparse_features": [*sparse.values()]} | {
            "target": targets
        }
    second = takes.groups[1]
    own |= {"main_dense_features": dense, "main_sparse_features": [*sparse.values()]}
    own[f"{second}_sparse_features"] = [sparse["sex"]]
    if "prior" in takes.groups:
        occupation = next(each for each in sparse if "occupation" in each)
        own["prior_sparse_features"] = [sparse["education"], sparse[occupation]]
    return {**own, "target": targets}


def train(name: str, folder: Path, facts: dict[str, Any], targets: list[str], seed: int) -> dict:
    """Test AUC of each target at the best epoch."""
    model = find_model(name)(**arguments(name, facts, targets), seed=seed)
    model.compile(optimizer="adam", optimizer_params={"lr": SETTINGS["lr"]})
    parts = {each: str(folder / f"{each}.parquet") for each in ("train", "valid", "test")}
    model.fit(
        parts["train"],
        parts["valid"],
        metrics=["auc"],
        monitor="auc",
        epochs=SETTINGS["epochs"],
        early_stop_patience=SETTINGS["patience"],
        batch_size=SETTINGS["batch_size"],
        seed=seed,
        report=False,
        progress=False,
        verbosity=0,
    )
    values = model.evaluate(parts["test"], ["auc"])
    scores = {
        f"auc_{each}": values["auc" if len(targets) == 1 else f"auc_{each}"] for each in targets
    }
    speed = statistics.median(epoch["rows_per_second"] for epoch in model.history)
    return {**scores, "epochs": len(model.history), "rows_per_second": round(speed)}


def run(name: str, folder: Path, facts: dict[str, Any], seed: int, rechub: str | None) -> dict:
    if name.startswith("torch-rechub "):
        command = [str(rechub), str(PEER), str(folder), name.split()[1], str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])
    if name != "single task":
        return {"seed": seed, **train(name, folder, facts, TARGETS, seed)}
    alone = [train("DNN", folder, facts, [target], seed) for target in TARGETS]
    scores = {key: value for each in alone for key, value in each.items() if key.startswith("auc")}
    return {"seed": seed, **scores, "epochs": sum(each["epochs"] for each in alone)}


# -- all of them -------------------------------------------------------------------------------


def names() -> list[str]:
    """Multi-task models of the zoo, in its order."""
    zoo = load_zoo()
    return [name for name in zoo if ".multi_task." in zoo[name].__module__]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=["census", "adult"])
    parser.add_argument("--models", nargs="*", help="default: all, single task and torch-rechub's")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--rechub", help="Python of an environment that has torch-rechub")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    peers = [f"torch-rechub {each}" for each in RECHUB] if options.rechub else []
    chosen = options.models or ["single task", *peers, *names()]
    result: dict[str, Any] = {"machine": describe(), "settings": SETTINGS, "sets": {}}
    if options.out and options.out.exists():
        result["sets"] = json.loads(options.out.read_text())["sets"]
    for each in options.sets:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            facts = coded(each, options.data, folder)
            runs = result["sets"].setdefault(each, {})
            for name in chosen:
                kept = runs.setdefault(name, [])
                for seed in options.seeds:
                    if all(done["seed"] != seed for done in kept):
                        kept.append(run(name, folder, facts, seed, options.rechub))
                        if options.out:  # each result as it comes
                            options.out.write_text(json.dumps(result, indent=1) + "\n")
                show(each, name, kept)


def show(dataset: str, name: str, runs: list[dict]) -> None:
    told = ""
    for target in TARGETS:
        column = [each[f"auc_{target}"] for each in runs]
        told += f"  {target} {statistics.mean(column):.5f} +- {statistics.pstdev(column):.5f}"
    print(f"{dataset:<8}{name:<26}{told}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("NEXTREC_LOG_DIR", folder)
        main()
