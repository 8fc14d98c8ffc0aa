"""torch-rechub's multi-task models through its own trainer, on parts that are coded already.

    python rechub_multi_task.py FOLDER MODEL SEED

Run by `benchmarks/multi_task.py` with the Python of an environment that has torch-rechub. FOLDER
holds train.parquet, valid.parquet and test.parquet and facts.json: the numeric columns, the
categorical ones with the size of their vocabulary, the targets and the settings. The last line that
is printed is one JSON object: the test AUC of each target, epochs and rows a second of an epoch.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE, PLE, SharedBottom
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

folder, name, seed = Path(sys.argv[1]).resolve(), sys.argv[2], int(sys.argv[3])
facts = json.loads((folder / "facts.json").read_text())
targets, settings = facts["targets"], facts["settings"]
parts = {part: pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "valid", "test")}
columns = [*facts["dense"], *facts["sparse"]]
x = {part: {c: frame[c].to_numpy() for c in columns} for part, frame in parts.items()}
y = {part: frame[targets].to_numpy("float32") for part, frame in parts.items()}

torch.manual_seed(seed)
torch.set_num_threads(settings["threads"])
features = [DenseFeature(c) for c in facts["dense"]]
features += [
    SparseFeature(c, vocab_size=size, embed_dim=settings["width"])
    for c, size in facts["sparse"].items()
]
kinds = ["classification"] * len(targets)
hidden = {"dims": settings["experts"]}
towers = [{"dims": settings["tower"]} for _ in targets]
if name == "MMOE":
    model = MMOE(features, kinds, settings["num_experts"], hidden, towers)
elif name == "PLE":
    model = PLE(features, kinds, 1, 2, 2, hidden, towers)
else:
    model = SharedBottom(features, kinds, hidden, towers)
loaders = DataGenerator(x["train"], y["train"]).generate_dataloader(
    x["valid"], y["valid"], x["test"], y["test"], batch_size=settings["batch_size"]
)
os.chdir(tempfile.mkdtemp())
trainer = MTLTrainer(
    model,
    kinds,
    optimizer_params={"lr": settings["lr"], "weight_decay": 0},
    n_epoch=settings["epochs"],
    earlystop_taskid=0,
    earlystop_patience=settings["patience"],
    model_path=".",
)
started = time.perf_counter()
log = trainer.fit(loaders[0], loaders[1])
seconds = time.perf_counter() - started
scores = trainer.evaluate(trainer.model, loaders[2])
epochs = len(log) if log is not None else settings["epochs"]
rate = epochs * len(parts["train"]) / seconds
print(
    json.dumps(
        {
            "seed": seed,
            **{f"auc_{target}": score for target, score in zip(targets, scores, strict=True)},
            "epochs": epochs,
            "rows_per_second": round(rate),
        }
    )
)
