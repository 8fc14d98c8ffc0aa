"""A run as one HTML file: facts, metrics, curves, and how good the predictions are.

The file holds everything it shows. It needs no network and no script, follows the reader's light or
dark setting, and says each chart in words for those who don't see it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nextrec._files import write_text
from nextrec.errors import DataError
from nextrec.tasks import Task
from nextrec.training.curves import (
    calibration_curve,
    precision_recall_curve,
    quantile_bins,
    roc_curve,
    thin,
)
from nextrec.training.gradient_cosines import RECORD_KEY
from nextrec.training.svg import CHART_STYLE, COLORS, Axis, Band, Bars, Line, Mark, chart, text
from nextrec.training.task_charts import Drawn, cosine_charts, expert_chart

REGRESSION_BINS = 20
HISTOGRAM_BINS = 40
OPEN_CURVES = 8
"""Charts of the training's course that are shown at once; the others fold away."""

# Keys of an epoch's record that are no metrics.
_NO_NUMBERS = ("reasons", RECORD_KEY)
_BOOKKEEPING = ("epoch", "step", "lr", "seconds", "rows_per_second", *_NO_NUMBERS)


@dataclass
class ReportData:
    """What a report is made of; everything but the title may be absent."""

    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Name -> value, in the order to show: model, rows, parameters, device, times."""
    history: Sequence[Mapping[str, Any]] = ()
    """One record an epoch: ``epoch``, ``loss`` (training), ``valid_<name>`` or ``<name>``
    (validation), ``train_<name>``, and ``reasons`` for what is NaN."""
    tasks: tuple[Task, ...] = ()
    predictions: np.ndarray | None = None
    """``(N, K)`` probabilities or values, in the columns that the tasks own."""
    labels: np.ndarray | None = None
    """``(N, T)``; NaN is not observed."""
    metrics: Mapping[str, float] | None = None
    """Final metrics; ``None`` shows those of the best epoch, or of the last."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why it is NaN."""
    best_epoch: int | None = None
    gates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Mixture -> mean weight of each of its experts."""


def write_report(path: str | os.PathLike[str], data: ReportData) -> Path:
    """Write the report, whole or not at all.

    Raises:
        DataError: predictions or labels don't have the rows or columns that the tasks need.

    >>> import tempfile
    >>> page = write_report(Path(tempfile.mkdtemp(), "report.html"), ReportData("DeepFM"))
    >>> "<h1>DeepFM</h1>" in page.read_text(encoding="utf-8")
    True
    """
    sections = [_facts(data), _metrics(data), *_training(data), *_tasks(data), *_targets(data)]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{text(data.title)}</title><style>{_STYLE}{CHART_STYLE}</style></head>\n"
        f"<body><header><p>NextRec run report</p><h1>{text(data.title)}</h1></header><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )
    return write_text(path, page)


# -- facts and metrics -------------------------------------------------------------------------


def _facts(data: ReportData) -> str:
    rows = "".join(
        f"<div><dt>{text(name)}</dt><dd>{_fact(value)}</dd></div>"
        for name, value in data.facts.items()
    )
    return f'<section><h2>Run</h2><dl class="facts">{rows}</dl></section>' if rows else ""


def _fact(value: object) -> str:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return text(f"{value:.6g}" if isinstance(value, float) else value)


def _metrics(data: ReportData) -> str:
    values, reasons, of = data.metrics, data.reasons, ""
    if values is None:
        record = _final_record(data)
        values = {key: value for key, value in record.items() if key not in _BOOKKEEPING}
        reasons = {**record.get("reasons", {}), **reasons}
        of = f" <small>epoch {text(record.get('epoch', '?'))}</small>" if record else ""
    if not values:
        return ""
    rows = [(text(k), _number(v), text(reasons.get(k, ""))) for k, v in values.items()]
    table = _table(("Metric", "Value", "Note"), rows, numeric=(1,))
    return f"<section><h2>Metrics{of}</h2>{table}</section>"


def _final_record(data: ReportData) -> Mapping[str, Any]:
    """The record of the best epoch, or of the last, or an empty one."""
    for record in data.history:
        if data.best_epoch is not None and record.get("epoch") == data.best_epoch:
            return record
    return data.history[-1] if data.history else {}


def _number(value: Any) -> str:
    number = _as_float(value)
    if math.isnan(number):
        return "undefined"
    if number == 0 or 1e-3 <= abs(number) < 1e6:
        return f"{number:.5f}" if abs(number) < 100 else f"{number:,.2f}"
    return f"{number:.4g}"


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of ready HTML cells; numeric columns are aligned right."""
    style = ['class="number"' if i in numeric else "" for i in range(len(head))]
    top = "".join(f'<th scope="col" {style[i]}>{text(name)}</th>' for i, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td {style[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


# -- the course of training --------------------------------------------------------------------


def _training(data: ReportData) -> list[str]:
    if not data.history:
        return []
    curves = _curves(data.history)
    epochs = np.array([r.get("epoch", i) for i, r in enumerate(data.history, 1)], dtype=np.float64)
    charts = [_curve_card(name, epochs, curves[name], data.best_epoch) for name in curves]
    more = ""
    if len(charts) > OPEN_CURVES:
        rest = "".join(charts[OPEN_CURVES:])
        count = len(charts) - OPEN_CURVES
        more = f'<details><summary>{count} more</summary><div class="cards">{rest}</div></details>'
    shown = f'<div class="cards">{"".join(charts[:OPEN_CURVES])}</div>'
    keys = [key for record in data.history for key in record if key not in _NO_NUMBERS]
    columns = list(dict.fromkeys(keys))
    rows = [[_cell(record.get(key)) for key in columns] for record in data.history]
    table = _table(columns, rows, numeric=range(len(columns)))
    numbers = f"<details><summary>All numbers by epoch</summary>{table}</details>"
    return [f"<section><h2>Training</h2>{shown}{more}{numbers}</section>"]


def _cell(value: Any) -> str:
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return "" if value is None else _number(value)


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Metric -> split -> one value an epoch (NaN where absent); the loss comes first."""
    keys = dict.fromkeys(key for record in history for key in record if key not in _BOOKKEEPING)
    curves: dict[str, dict[str, list[float]]] = {"loss": {}}
    for key in keys:
        name, split = key, "train" if key == "loss" else "valid"
        for prefix in ("train", "valid"):
            if key.startswith(f"{prefix}_"):
                name, split = key.removeprefix(f"{prefix}_"), prefix
        curves.setdefault(name, {})[split] = [_as_float(r.get(key)) for r in history]
    rates = [_as_float(record.get("lr")) for record in history]
    if len(set(rates)) > 1:
        curves["learning rate"] = {"": rates}
    return {name: splits for name, splits in curves.items() if splits}


def _curve_card(
    name: str, epochs: np.ndarray, splits: Mapping[str, list[float]], best_epoch: int | None
) -> str:
    every = np.concatenate(list(splits.values()))
    finite = every[np.isfinite(every)]
    if not finite.size:
        return _card(name, '<p class="empty">Undefined in every epoch.</p>')
    marks: list[Mark] = []
    for split, values in sorted(splits.items()):
        told = zip(epochs, values, strict=True)
        notes = [f"epoch {epoch:.0f}: {split or name} {_number(value)}" for epoch, value in told]
        color, dashed = int(split == "valid"), split == "train"
        marks.append(Line(split, epochs, np.array(values), color, dashed=dashed, notes=notes))
    if best_epoch is not None:
        at = np.array([best_epoch, best_epoch], dtype=np.float64)
        span = np.array([finite.min(), finite.max()])
        marks.append(Line(f"best epoch {best_epoch}", at, span, shape="guide"))
    ends = [f"{s or name} from {_number(v[0])} to {_number(v[-1])}" for s, v in splits.items()]
    alt = f"{name} by epoch: {'; '.join(ends)}"
    return _card(name, chart(marks, Axis("epoch", whole=True), Axis(""), alt))


def _card(title: str, body: str, caption: str = "", more: str = "") -> str:
    told = f"<p>{text(caption)}</p>" if caption else ""
    return f"<figure><figcaption><h3>{text(title)}</h3></figcaption>{body}{told}{more}</figure>"


# -- the tasks beside each other ---------------------------------------------------------------


def _tasks(data: ReportData) -> list[str]:
    drawn = cosine_charts(data.history)
    if data.gates:
        drawn.append(expert_chart(data.gates))
    if not drawn:
        return []
    cards = "".join(_drawn_card(each) for each in drawn)
    return [f'<section><h2>Tasks</h2><div class="cards">{cards}</div></section>']


def _drawn_card(drawn: Drawn) -> str:
    rows = [[text(cell) for cell in row] for row in drawn.rows]
    table = _table(drawn.head, rows, numeric=range(1, len(drawn.head)))
    more = f"<details><summary>All numbers</summary>{table}</details>"
    return _card(drawn.title, drawn.svg, more=more)


# -- predictions, target by target -------------------------------------------------------------


def _targets(data: ReportData) -> list[str]:
    if data.predictions is None or data.labels is None or not data.tasks:
        return []
    predictions, labels = _columns(data.predictions), _columns(data.labels)
    columns = (sum(t.size for t in data.tasks), max(t.labels.stop for t in data.tasks))
    rows = len(predictions), len(labels)
    if rows[0] != rows[1] or (predictions.shape[1], labels.shape[1]) != columns:
        raise DataError(
            f"report: the tasks need predictions (N, {columns[0]}) and labels (N, {columns[1]}); "
            f"got {predictions.shape} and {labels.shape}."
        )
    sections = []
    for task in data.tasks:
        scores, truth = predictions[:, task.logits], labels[:, task.labels]
        if task.kind == "multiclass":
            sections.append(_multiclass(task.name, truth[:, 0], scores))
            continue
        draw = _regression if task.kind == "regression" else _binary
        for column, target in enumerate(task.targets):
            sections.append(draw(target, truth[:, column], scores[:, column]))
    return sections


def _columns(values: np.ndarray) -> np.ndarray:
    """``(N,)`` as ``(N, 1)``, in float64."""
    values = np.asarray(values, dtype=np.float64)
    return values.reshape(len(values), -1)


def _section(target: str, kind: str, cards: Sequence[str], rows: int, dropped: int) -> str:
    left_out = f", {dropped:,} without a label or a finite prediction left out" if dropped else ""
    body = f'<div class="cards">{"".join(cards)}</div>' if cards else ""
    return (
        f"<section><h2>{text(target)} <small>{kind}</small></h2>"
        f"<p>{rows:,} rows{left_out}.</p>{body}</section>"
    )


def _binary(target: str, labels: np.ndarray, scores: np.ndarray) -> str:
    seen = np.isfinite(labels) & np.isfinite(scores)
    hits, scores = labels[seen] > 0, scores[seen]
    cards = []
    if 0 < hits.sum() < len(hits):
        cards += [_roc_card(target, [("", hits, scores)]), _pr_card(target, hits, scores)]
    elif len(hits):
        which = "1" if hits[0] else "0"
        why = f"All {len(hits):,} labels are {which}: ROC and precision-recall are undefined."
        cards.append(_card("ROC and precision-recall", f'<p class="empty">{why}</p>'))
    if len(hits):
        names = ("label 0", "label 1")
        cards += [_calibration_card(target, hits, scores), _score_card(target, hits, scores, names)]
    return _section(target, "binary", cards, len(hits), len(seen) - len(hits))


def _multiclass(target: str, labels: np.ndarray, scores: np.ndarray) -> str:
    """One-versus-rest curves of the most frequent classes; calibration of the top class."""
    seen = np.isfinite(labels) & np.isfinite(scores).all(axis=1)
    classes, scores = labels[seen].astype(np.int64), scores[seen]
    cards = []
    if len(classes):
        counts = np.bincount(classes, minlength=scores.shape[1])
        common = np.argsort(-counts, kind="stable")[:COLORS]
        curves = [
            (f"class {c}", classes == c, scores[:, c])
            for c in common.tolist()
            if 0 < counts[c] < len(classes)
        ]
        if curves:
            cards.append(_roc_card(target, curves))
        top, right = scores.max(axis=1), scores.argmax(axis=1) == classes
        names = ("wrong class", "right class")
        cards += [_calibration_card(target, right, top), _score_card(target, right, top, names)]
    return _section(target, "multiclass", cards, len(classes), len(seen) - len(classes))


def _regression(target: str, labels: np.ndarray, predictions: np.ndarray) -> str:
    seen = np.isfinite(labels) & np.isfinite(predictions)
    labels, predictions = labels[seen], predictions[seen]
    cards = []
    if len(labels):
        cards += [_agreement_card(target, labels, predictions)]
        cards += [_residual_card(target, labels - predictions)]
    return _section(target, "regression", cards, len(labels), len(seen) - len(labels))


def _roc_card(target: str, curves: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    marks: list[Mark] = []
    for color, (name, hits, scores) in enumerate(curves):
        false_rate, true_rate, area = roc_curve(hits, scores)
        label = f"{name} AUC {area:.4f}".strip()
        marks.append(Line(label, *thin(false_rate, true_rate), color))
    ends = np.array([0.0, 1.0])
    told = ", ".join(mark.label for mark in marks)
    marks.append(Line("chance", ends, ends, shape="guide"))
    axes = Axis("false positive rate", 0, 1), Axis("true positive rate", 0, 1)
    return _card("ROC curve", chart(marks, *axes, f"ROC curve of {target}: {told}"))


def _pr_card(target: str, hits: np.ndarray, scores: np.ndarray) -> str:
    recall, precision, average = precision_recall_curve(hits, scores)
    share = float(hits.mean())
    marks = [
        Line(f"AP {average:.4f}", *thin(recall, precision), shape="step"),
        Line(f"chance {share:.4g}", np.array([0.0, 1.0]), np.full(2, share), shape="guide"),
    ]
    axes = Axis("recall", 0, 1), Axis("precision", 0, 1)
    alt = f"Precision-recall curve of {target}: average precision {average:.4f}"
    return _card("Precision and recall", chart(marks, *axes, alt))


def _calibration_card(target: str, hits: np.ndarray, scores: np.ndarray) -> str:
    predicted, observed, counts = calibration_curve(hits, scores)
    notes = [
        f"{n:,} rows: predicted {p:.4g}, observed {o:.4g}"
        for p, o, n in zip(predicted, observed, counts, strict=True)
    ]
    top = min(1.0, 1.08 * float(max(predicted.max(), observed.max()))) or 1.0
    ends = np.array([0.0, top])
    marks = [
        Line("model", predicted, observed, notes=notes),
        Line("perfect", ends, ends, shape="guide"),
    ]
    error = float(np.average(np.abs(predicted - observed), weights=counts))
    told = (
        f"Mean prediction {scores.mean():.4g}, observed {hits.mean():.4g}; "
        f"expected calibration error {error:.4g}."
    )
    bins = zip(counts.tolist(), predicted.tolist(), observed.tolist(), strict=True)
    rows = [(f"{n:,}", f"{p:.5f}", f"{o:.5f}") for n, p, o in bins]
    table = _table(("Rows", "Predicted", "Observed"), rows, numeric=(0, 1, 2))
    more = f"<details><summary>Bins with equal numbers of rows</summary>{table}</details>"
    axes = Axis("mean prediction", 0, top), Axis("observed rate", 0, top)
    body = chart(marks, *axes, f"Calibration of {target}. {told}")
    return _card("Calibration", body, told, more)


def _score_card(target: str, hits: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> str:
    edges = np.histogram_bin_edges(scores, HISTOGRAM_BINS)
    marks: list[Mark] = []
    for color, (name, rows) in enumerate(zip(names, (scores[~hits], scores[hits]), strict=True)):
        if len(rows):
            share = np.histogram(rows, edges)[0] / len(rows)
            label = f"{name} ({len(rows):,})"
            marks.append(Bars(label, edges, share, color, dashed=color == 0))
    axes = Axis("prediction"), Axis("share of the rows", 0)
    alt = f"Histogram of the predictions of {target}, {names[0]} and {names[1]} apart"
    return _card("Predictions by label", chart(marks, *axes, alt))


def _agreement_card(target: str, labels: np.ndarray, predictions: np.ndarray) -> str:
    """Bins with equal numbers of rows: mean prediction, mean label and the middle 80%."""
    bins = quantile_bins(predictions, REGRESSION_BINS)
    groups = np.split(labels[np.argsort(bins, kind="stable")], np.cumsum(np.bincount(bins))[:-1])
    groups = [group for group in groups if len(group)]
    predicted, observed, counts = calibration_curve(labels, predictions, REGRESSION_BINS)
    low, high = np.array([np.quantile(group, (0.1, 0.9)) for group in groups]).T
    notes = [
        f"{n:,} rows: predicted {p:.5g}, actual {o:.5g}"
        for p, o, n in zip(predicted, observed, counts, strict=True)
    ]
    ends = np.array([predicted.min(), predicted.max()])
    marks: list[Mark] = [
        Band("80% of the rows", predicted, low, high),
        Line("mean", predicted, observed, notes=notes),
        Line("perfect", ends, ends, shape="guide"),
    ]
    told = f"Mean prediction {predictions.mean():.5g}, mean label {labels.mean():.5g}."
    body = chart(marks, Axis("predicted"), Axis("actual"), f"Predicted and actual {target}. {told}")
    return _card("Predicted and actual", body, told)


def _residual_card(target: str, residuals: np.ndarray) -> str:
    low, high = np.quantile(residuals, (0.005, 0.995))
    heights, edges = np.histogram(residuals, HISTOGRAM_BINS, (low, high))
    outside = int(((residuals < low) | (residuals > high)).sum())
    root = math.sqrt(float((residuals**2).mean()))
    told = f"Mean {residuals.mean():.4g}, root mean square {root:.4g}."
    told += f" {outside:,} rows lie outside the chart." if outside else ""
    marks = [Bars("", edges, heights / len(residuals))]
    axes = Axis("label minus prediction"), Axis("share of the rows", 0)
    body = chart(marks, *axes, f"Histogram of the residuals of {target}. {told}")
    return _card("Residuals", body, told)


_STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8}
@media (prefers-color-scheme:dark){:root{--page:#12161c}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main{max-width:1440px;margin:0 auto;padding:0 20px}
header{padding-top:32px}
header p{margin:0;color:var(--muted);font-size:13px}
h1{margin:2px 0 0;font-size:26px;line-height:1.25;overflow-wrap:anywhere}
h2{margin:36px 0 10px;font-size:18px;overflow-wrap:anywhere}
h2 small{margin-left:6px;color:var(--muted);font-size:13px;font-weight:400}
h3{margin:0 0 8px;font-size:14px;font-weight:600;overflow-wrap:anywhere}
p{margin:0 0 10px;color:var(--muted);font-size:14px}
main{padding-bottom:48px}
figure,.facts,.scroll{background:var(--panel);border:1px solid var(--grid);border-radius:8px}
figure{margin:0;padding:14px 16px;min-width:0}
figure p{margin:8px 0 0;font-size:13px}
figure .scroll{border:0}
.cards{display:grid;gap:16px;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
.facts{display:grid;margin:0;padding:14px 16px;gap:12px 20px;
grid-template-columns:repeat(auto-fill,minmax(min(100%,170px),1fr))}
dt{color:var(--muted);font-size:12.5px}
dd{margin:0;font-weight:600;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;width:fit-content;max-width:100%}
table{border-collapse:collapse;font-size:14px}
th,td{padding:6px 16px;text-align:left;border-bottom:1px solid var(--grid)}
th{color:var(--muted);font-size:12.5px;font-weight:500;white-space:nowrap}
tr:last-child td{border-bottom:0}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{margin-top:12px}
summary{cursor:pointer;width:fit-content;color:var(--muted);font-size:13px}
details>.scroll,details>.cards{margin-top:10px}
@media print{body{background:none}figure{break-inside:avoid}}
"""
