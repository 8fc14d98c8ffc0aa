"""Write the measured tables of README.md and docs/benchmarks.md from ``benchmarks/results``.

python benchmarks/readme.py            # rewrite the tables
python benchmarks/readme.py --check    # fail when they are not those of the results
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import yaml

from nextrec.models.zoo import load_zoo

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def model_classes() -> dict[str, tuple[Path, str]]:
    """File and paper (the module docstring's first line, in parentheses) of every model."""
    found, zoo = {}, load_zoo()
    for name in zoo:
        module = sys.modules[zoo[name].__module__]
        doc = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        found[name] = (Path(str(module.__file__)), doc[doc.index("(") + 1 : doc.rindex(")")])
    return dict(sorted(found.items(), key=lambda item: (item[1][0].parent.name, item[1][0].name)))


def models() -> str:
    """Name, paper and measured numbers of every model."""
    quality = {row["model"]: row for row in load("quality")["rows"]}
    speed = {row["model"]: row["rows_per_second"] for row in load("zoo")["rows"]}
    frappe = {name: summary("frappe", config) for config, name in configured("frappe").items()}
    rows = []
    for name, (path, paper) in model_classes().items():
        link = f"[{name}]({path.relative_to(ROOT).as_posix()})"
        kind = path.parent.name.replace("_", "-")
        small = mean(quality[name], "auc") if name in quality else ""
        large = mean(frappe[name], "auc") if name in frappe else ""
        rate = f"{speed[name]:,}" if name in speed else ""
        rows.append([link, kind, paper, small, large, rate])
    base = quality["bias baseline"]
    rows.append(["mean ratings of user and movie", "baseline", "", mean(base, "auc"), "", ""])
    head = ["model", "kind", "paper", "AUC, MovieLens-small", "AUC, Frappe", "rows/s in `fit`"]
    return table(head, rows)


def configured(folder: str) -> dict[str, str]:
    """Config -> model of the runs of a benchmark; of several configs, the best on validation."""
    runs, best = load(folder)["runs"], {}
    for name in runs:
        model = model_of(folder, name)
        if "," not in name:
            auc = statistics.mean(run["valid_auc"] for run in runs[name])
            if model not in best or auc > best[model][1]:
                best[model] = (name, auc)
    return {config: model for model, (config, _) in best.items()}


def model_of(folder: str, config: str) -> str:
    place = {"movielens_ctr": "movielens_1m"}.get(folder, folder)
    path = ROOT / "examples" / place / f"{config.split(',')[0]}.yaml"
    return yaml.safe_load(path.read_text())["model"]["name"]


def summary(folder: str, config: str) -> dict[str, float]:
    """Mean, deviation and number of a config's runs."""
    runs = load(folder)["runs"][config]
    values: dict[str, float] = {"seeds": len(runs)}
    for key in (k for k in ("auc", "gauc", "logloss") if k in runs[0]):
        column = [run[key] for run in runs]
        values |= {key: statistics.mean(column), f"{key}_std": statistics.pstdev(column)}
    return values


def mean(values: dict[str, float], key: str, digits: int = 4) -> str:
    deviation = f" ± {values[f'{key}_std']:.{digits}f}" if f"{key}_std" in values else ""
    return f"{values[key]:.{digits}f}{deviation}"


def ladder(folder: str, metrics: list[str]) -> str:
    """Runs of a benchmark by AUC, beside what was published."""
    content = load(folder)
    published = content.get("published", {})
    rows = []
    for name in sorted(content["runs"], key=lambda each: summary(folder, each)["auc"]):
        ours, theirs = summary(folder, name), published.get(name.split(",")[0])
        link = f"[{name}](../examples/{content['configs']}/{name.split(',')[0]}.yaml)"
        beside = [] if not published else ["" if theirs is None else f"{theirs['auc']:.5f}"]
        told = [mean(ours, metric, 5) for metric in metrics]
        rows.append([link, model_of(folder, name), str(ours["seeds"]), *told, *beside])
    head = ["config", "model", "runs", *(f"test {m}" for m in metrics)]
    return table([*head, *(["published AUC"] if published else [])], rows)


def frappe() -> str:
    return ladder("frappe", ["auc", "logloss"])


def movielens_ctr() -> str:
    return ladder("movielens_ctr", ["auc", "logloss"])


def histories() -> str:
    return ladder("histories", ["auc", "gauc", "logloss"])


def zoo() -> str:
    """Speed of every ranking model."""
    rows = [
        [
            row["model"],
            f"{row['rows_per_second']:,}",
            f"{row['bare']:,}",
            f"{row['of_bare']:.2f}",
            f"{row['dense_parameters']:,}",
        ]
        for row in sorted(load("zoo")["rows"], key=lambda row: -row["rows_per_second"])
    ]
    return table(["model", "rows/s in `fit`", "bare loop", "of bare", "dense parameters"], rows)


def training() -> str:
    rows = [
        [
            row["loop"],
            f"{row['vocab']:,}",
            row["precision"],
            f"{row['rows_per_s']:,.0f}",
            f"{row['step_ms']:.1f}",
            f"{row['of_bare']:.2f}",
        ]
        for row in load("train")["rows"]
    ]
    return table(
        ["loop", "ids a field", "precision", "rows/s", "ms a step", "of the bare loop"], rows
    )


def data() -> str:
    """Rows (events) a second of the data path, and the memory of a stream."""
    processor, stream = load("processor"), load("stream")
    events, loader = load("events"), load("loader")
    rates = processor["rows_per_second"]
    streamed = stream["rows_per_second"]
    fitted = "fit + transform, 26 text categories + 13 numbers"
    rows = [
        [f"{fitted}, pandas frame", rates["frame"], "processor"],
        [f"{fitted}, Arrow table", rates["Arrow table"], "processor"],
        [f"{fitted}, Parquet to Parquet", rates["Parquet to Parquet"], "processor"],
        ["the same columns by hand in Polars, in memory", rates["Polars by hand"], "processor"],
        ["fit + transform, histories of 50 items", rates["histories of 50"], "processor"],
        *[
            [f"stream of Parquet into shuffled batches, {label}", value, "stream"]
            for label, value in zip(
                ("40 columns", "and a history of 50", "and two histories of 50"),
                streamed.values(),
                strict=True,
            )
        ],
        [
            "shuffled batches from memory, 39 columns",
            loader["rows_per_second"]["shuffled epoch"],
            "loader",
        ],
        ["`build_histories`, 50 newest", events["per_second"]["histories, pandas"], "events"],
    ]
    lines = [[what, f"{value:,.0f}", name] for what, value, name in rows]
    return table(["what", "rows/s", "`make bench BENCH=`"], lines)


def memory() -> str:
    peaks = load("stream")["peak_bytes"]
    (few, small), (many, large) = peaks.items()
    few, many = (f"{int(each.split()[0]):,}" for each in (few, many))
    return (
        f"Peak memory of a process that trains a DeepFM on a stream: {small / 2**20:,.0f} MiB on "
        f"{few} rows, {large / 2**20:,.0f} MiB on {many} (`make bench BENCH=stream`)."
    )


def machine() -> str:
    facts = load("train")["machine"]
    return (
        f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, torch {facts['torch']}"
    )


BLOCKS = {
    "models": models,
    "frappe": frappe,
    "movielens_ctr": movielens_ctr,
    "histories": histories,
    "zoo": zoo,
    "training": training,
    "data": data,
    "memory": memory,
    "machine": machine,
}


def rendered(text: str) -> str:
    for name, make in BLOCKS.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        if start in text:
            before, _, rest = text.partition(start)
            text = before + start + make() + "\n" + rest[rest.index(end) :]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
        text = page.read_text()
        new = rendered(text)
        if options.check and new != text:
            sys.exit(
                f"{page.name}'s tables are not those of benchmarks/results: run "
                "benchmarks/readme.py"
            )
        if not options.check:
            page.write_text(new)


if __name__ == "__main__":
    main()
