"""The Frappe_x1 ladder: the configs of `examples/frappe`, beside what BARS published.

    python benchmarks/frappe.py --data FOLDER [--models deepfm fm] [--seeds 1 2 3]
                                [--precision bf16] [--out benchmarks/results/frappe.json]

FOLDER holds train.parquet, valid.parquet and test.parquet: a label and ten categorical columns.
Protocol of BARS: width 10, Adam 1e-3, batch 4,096, L2 of whole tables, learning rate times 0.1 and
stop after two epochs without a better validation AUC, test once at the best epoch. Validation and
test are BARS's files; the items of the training negatives are drawn anew (uniform over the apps
that the user never used), since BARS's training file could not be had: its numbers and ours stand
beside each other with that difference.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from experiments import METRICS, Results, run
from machine import describe

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "examples" / "frappe"
PUBLISHED = {
    "lr": (0.935584, 0.307643),
    "fm": (0.967108, 0.206515),
    "afm": (0.969733, 0.226424),
    "fmfm": (0.974947, 0.200439),
    "fwfm": (0.977585, 0.202971),
    "ffm": (0.978620, 0.186032),
    "nfm": (0.980409, 0.205795),
    "afn": (0.981099, 0.233090),
    "autoint": (0.983085, 0.163684),
    "fibinet": (0.983182, 0.194074),
    "masknet": (0.983683, 0.169580),
    "dcn": (0.983907, 0.152660),
    "dlrm": (0.983995, 0.144441),
    "pnn": (0.984122, 0.154003),
    "widedeep": (0.984124, 0.148974),
    "deepfm": (0.984243, 0.148174),
    "dcn_v2": (0.984478, 0.149149),
    "xdeepfm": (0.984507, 0.146604),
    "autoint_plus": (0.984812, 0.149007),
    "edcn": (0.985012, 0.154740),
    "final_net": (0.985744, 0.131070),
    "final_mlp": (0.986072, 0.148415),
}
"""Test AUC and log loss of one seed, from the logs of BARS (reczoo/BARS, ctr_prediction)."""
PUBLISHED |= {f"{name}_bars": PUBLISHED[name] for name in ("dcn_v2", "final_net", "final_mlp")}
FACTS = {
    "configs": "frappe",
    "protocol": "Frappe_x1, width 10, batch 4,096; training negatives re-drawn",
    "best_published": {"auc": 0.98626, "model": "QNN+DCNv2, width 16"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="*", help="configs by name; default: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    data = {
        part: (options.data / f"{part}.parquet").resolve() for part in ("train", "valid", "test")
    }
    published = {k: dict(zip(METRICS, v, strict=True)) for k, v in PUBLISHED.items()}
    facts = {**FACTS, "machine": describe(), "published": published}
    with tempfile.TemporaryDirectory() as folder:
        results = Results(options.out or Path(folder, "frappe.json"), facts)
        names = options.models or sorted(path.stem for path in CONFIGS.glob("*.yaml"))
        for name in names:
            key = name if options.precision == "fp32" else f"{name}, {options.precision}"
            for seed in options.seeds:
                if not results.has(key, seed):
                    sets = {"fit.precision": options.precision}
                    results.add(key, run(CONFIGS / f"{name}.yaml", data, seed, sets))
            results.show(key)


if __name__ == "__main__":
    main()
