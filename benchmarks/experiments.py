"""Train the configs of a folder, each with several seeds, and write each result as it comes.

What `frappe.py` and `movielens_ctr.py` share: a run is `nextrec train` on a config with its data
paths and seed replaced, in a process of its own; its best epoch by validation is then measured once
on the test set.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METRICS = ("auc", "logloss")
"""What the tables show; `run` tells all metrics of a config."""


def run(
    config: Path,
    data: Mapping[str, Path],
    seed: int,
    sets: Mapping[str, Any],
    groups: str | None = None,
) -> dict:
    """Metrics of the best epoch on validation and test data, epochs and seconds.

    Args:
        sets: other values of the config by path.
        groups: column of the users of GAUC.
    """
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, Any] = {f"data.{part}": str(path) for part, path in data.items()}
        values |= {"fit.seed": seed, **sets}
        command = [sys.executable, "-m", "nextrec", "train", str(config), "--session", "run"]
        for key, value in values.items():
            command += [
                "--set",
                f"{key}={json.dumps(value) if not isinstance(value, str) else value}",
            ]
        started = time.perf_counter()
        done = subprocess.run(
            command,
            env={**os.environ, "NEXTREC_LOG_DIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"{config.name}, seed {seed}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        seconds = time.perf_counter() - started
        return {
            "seed": seed,
            **measure(Path(folder, "run"), data["test"], groups),
            "seconds": round(seconds, 1),
        }


def measure(session: Path, test: Path, groups: str | None) -> dict:
    """Test metrics of a session's model, and what its epochs say."""
    import nextrec

    epochs = [json.loads(line) for line in (session / "metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in epochs if "valid_loss" in record]
    best = max(epochs, key=lambda record: record["auc"])
    model = nextrec.load(session / "bundle")
    metrics = [name for name in ("auc", "gauc", "logloss") if name in best]
    scores = model.evaluate(
        str(test), metrics=metrics, batch_size=8192, user_id_column=groups or "user_id"
    )
    return {
        **{name: scores[name] for name in metrics},
        **{f"valid_{name}": best[name] for name in metrics},
        "best_epoch": best["epoch"],
        "epochs": len(epochs),
        "rows_per_second": round(statistics.median(e["rows_per_second"] for e in epochs)),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


class Results:
    """The JSON file that holds every run; a run that is in it is not repeated."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path = path
        known = json.loads(path.read_text()) if path.exists() else {}
        self.content: dict[str, Any] = {**facts, "runs": known.get("runs", {})}

    def has(self, name: str, seed: int) -> bool:
        return any(each["seed"] == seed for each in self.content["runs"].get(name, ()))

    def add(self, name: str, result: dict) -> None:
        if self.path.exists():  # another process may have written meanwhile
            self.content["runs"] = json.loads(self.path.read_text())["runs"]
        self.content["runs"].setdefault(name, []).append(result)
        self.content["runs"] = dict(sorted(self.content["runs"].items()))
        self.path.write_text(json.dumps(self.content, indent=2) + "\n")

    def summary(self, name: str) -> dict[str, float]:
        """Mean and standard deviation over the seeds of each metric."""
        runs = self.content["runs"][name]
        values: dict[str, float] = {"seeds": len(runs)}
        for metric in (m for m in ("auc", "gauc", "logloss") if m in runs[0]):
            column = [each[metric] for each in runs]
            values[metric] = statistics.mean(column)
            values[f"{metric}_std"] = statistics.pstdev(column)
        return values

    def show(self, name: str) -> None:
        """One line of the table: ours, and what was published."""
        ours, theirs = self.summary(name), self.content.get("published", {}).get(name)
        metrics = [key for key in ours if key != "seeds" and not key.endswith("_std")]
        told = "  ".join(f"{m} {ours[m]:.5f} +- {ours[f'{m}_std']:.5f}" for m in metrics)
        beside = "" if theirs is None else "  published " + " ".join(map(str, theirs.values()))
        print(f"{name:<16}{ours['seeds']} seeds  {told}{beside}", flush=True)
