"""Write the measured tables into README.md from ``benchmarks/results``.

python benchmarks/readme.py            # rewrite the tables
python benchmarks/readme.py --check    # fail when they are not those of the results
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def models() -> str:
    """Name, paper (the module docstring's first line) and result of every model."""
    measured = {row["model"]: row for row in load("quality")["rows"]}
    rows = []
    for path in sorted((ROOT / "nextrec" / "models").glob("*/*.py")):
        tree = ast.parse(path.read_text())
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        for name in classes:
            if name in measured:
                doc = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
                paper = doc[doc.index("(") + 1 : doc.rindex(")")]
                link = f"[{name}]({path.relative_to(ROOT).as_posix()})"
                kind = path.parent.name.replace("_", "-")
                rows.append([link, kind, paper, *scores(measured[name])])
    base = measured["bias baseline"]
    rows.append(["mean ratings of user and movie", "baseline", "", *scores(base)])
    return table(["model", "kind", "paper", "AUC", "GAUC", "log loss"], rows)


def scores(row: dict) -> list[str]:
    return [
        f"{row[key]:.4f}" + (f" ± {row[f'{key}_std']:.4f}" if f"{key}_std" in row else "")
        for key in ("auc", "gauc", "logloss")
    ]


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
    "training": training,
    "data": data,
    "memory": memory,
    "machine": machine,
}


def rendered(text: str) -> str:
    for name, make in BLOCKS.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = before + start + make() + "\n" + rest[rest.index(end) :]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text()
    new = rendered(text)
    if options.check and new != text:
        sys.exit("README.md's tables are not those of benchmarks/results: run benchmarks/readme.py")
    if not options.check:
        readme.write_text(new)


if __name__ == "__main__":
    main()
