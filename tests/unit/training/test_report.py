from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from nextrec.errors import DataError
from nextrec.tasks import Task, make_tasks
from nextrec.training.curves import (
    POINTS,
    calibration_curve,
    precision_recall_curve,
    quantile_bins,
    roc_curve,
    thin,
)
from nextrec.training.report import ReportData, write_report

BINARY = make_tasks("binary", ["click"])


def binary(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(rows), 2)  # with ties
    return (rng.random(rows) < scores).astype(float), scores


def page(tmp_path: Path, data: ReportData) -> ElementTree.Element:
    """The written page, which is well-formed XML as well as HTML."""
    written = write_report(tmp_path / "report.html", data).read_text(encoding="utf-8")
    assert written.startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(written)


def report(tmp_path: Path, tasks: tuple[Task, ...], predictions: Any, labels: Any) -> Any:
    data = ReportData("run", tasks=tasks, predictions=predictions, labels=labels)
    return page(tmp_path, data)


def words(root: ElementTree.Element) -> str:
    return " ".join("".join(root.itertext()).split())


def titles(root: ElementTree.Element) -> list[str]:
    return [words(element) for element in root.iter("h3")]


# -- the page ----------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    labels, scores = binary()
    history = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}]
    data = ReportData("run", {"model": "DeepFM"}, history, BINARY, scores, labels)
    written = write_report(tmp_path / "r.html", data).read_text(encoding="utf-8")
    for outside in (
        "http:",
        "https:",
        "//",
        "url(",
        "@import",
        "<script",
        "<link",
        "src=",
        "href=",
    ):
        assert outside not in written
    assert "prefers-color-scheme:dark" in written
    for svg in ElementTree.fromstring(written).iter("svg"):
        assert svg.attrib["role"] == "img"
        assert svg.attrib["aria-label"]


def test_html_tags_are_balanced(tmp_path: Path) -> None:
    labels, scores = binary()
    data = ReportData("run", {"a": 1}, [{"epoch": 1, "loss": 0.5}], BINARY, scores, labels)
    written = write_report(tmp_path / "r.html", data).read_text(encoding="utf-8")

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

    parser = Balance()
    parser.feed(written)
    parser.close()
    assert parser.open == []


def test_only_a_title_is_needed(tmp_path: Path) -> None:
    root = page(tmp_path, ReportData("run"))
    assert words(next(root.iter("h1"))) == "run"
    assert not list(root.iter("svg"))
    assert not list(root.iter("h2"))


def test_text_of_the_user_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = "<img src=x onerror=\"alert('1')\">&\x00"
    kept = evil.replace("\x00", "�")
    labels, scores = binary()
    root = page(
        tmp_path,
        ReportData(
            evil,
            {evil: evil},
            [{"epoch": 1, evil: 0.5, "reasons": {evil: evil}}],
            make_tasks("binary", [evil]),
            scores,
            labels,
        ),
    )
    assert not list(root.iter("img"))
    assert root.find("head/title").text == kept  # type: ignore[union-attr]
    assert [words(e) for tag in ("dt", "dd") for e in root.iter(tag)] == [kept, kept]
    assert kept in titles(root)


def test_facts_are_readable(tmp_path: Path) -> None:
    facts = {"rows": 1_600_000, "seconds": 12.3456789, "device": "cuda:0", "shuffled": True}
    root = page(tmp_path, ReportData("run", facts))
    assert [words(e) for e in root.iter("dt")] == list(facts)
    assert [words(e) for e in root.iter("dd")] == ["1,600,000", "12.3457", "cuda:0", "True"]


# -- metrics and curves ------------------------------------------------------------------------

HISTORY = [
    {"epoch": 1, "step": 10, "loss": 0.7, "lr": 0.1, "valid_loss": 0.65, "auc": 0.6},
    {"epoch": 2, "step": 20, "loss": 0.5, "lr": 0.1, "valid_loss": 0.55, "auc": 0.7},
    {
        "epoch": 3,
        "step": 30,
        "loss": 0.4,
        "lr": 0.1,
        "valid_loss": 0.6,
        "auc": math.nan,
        "reasons": {"auc": "all labels are 0"},
    },
]


def metric_rows(root: ElementTree.Element) -> dict[str, tuple[str, str]]:
    rows = [[words(cell) for cell in row.iter("td")] for row in next(root.iter("tbody")).iter("tr")]
    return {name: (value, note) for name, value, note in rows}


def test_metrics_of_the_last_epoch_with_reasons(tmp_path: Path) -> None:
    rows = metric_rows(page(tmp_path, ReportData("run", history=HISTORY)))
    assert rows == {
        "loss": ("0.40000", ""),
        "valid_loss": ("0.60000", ""),
        "auc": ("undefined", "all labels are 0"),
    }


def test_metrics_of_the_best_epoch(tmp_path: Path) -> None:
    root = page(tmp_path, ReportData("run", history=HISTORY, best_epoch=2))
    assert metric_rows(root)["auc"] == ("0.70000", "")
    assert "Metrics epoch 2" in words(root)
    assert "best epoch 2" in words(root)


def test_given_metrics_win(tmp_path: Path) -> None:
    values = {"auc": np.float32(0.5), "ndcg@10": math.nan, "mse": 1234567.0, "logloss": 1e-5}
    data = ReportData("run", history=HISTORY, metrics=values, reasons={"ndcg@10": "no users"})
    assert metric_rows(page(tmp_path, data)) == {
        "auc": ("0.50000", ""),
        "ndcg@10": ("undefined", "no users"),
        "mse": ("1.235e+06", ""),
        "logloss": ("1e-05", ""),
    }


def test_one_chart_a_metric_with_both_splits(tmp_path: Path) -> None:
    root = page(tmp_path, ReportData("run", history=HISTORY))
    assert titles(root) == ["loss", "auc"]
    loss, auc = root.iter("svg")
    assert loss.attrib["aria-label"] == (
        "loss by epoch: train from 0.70000 to 0.40000; valid from 0.65000 to 0.60000"
    )
    assert words(next(loss.iter("title"))) == "epoch 1: train 0.70000"
    assert auc.attrib["aria-label"] == "auc by epoch: valid from 0.60000 to undefined"
    assert len(list(auc.iter("circle"))) == 2


def test_a_metric_that_is_never_defined_is_told(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 0.5, "auc": math.nan}]
    root = page(tmp_path, ReportData("run", history=history, best_epoch=1))
    assert titles(root) == ["loss", "auc"]
    assert "Undefined in every epoch." in words(root)


def test_metrics_that_come_late_and_a_moving_learning_rate(tmp_path: Path) -> None:
    history = [{"epoch": 4, "loss": 0.5, "lr": 0.1}, {"epoch": 5, "loss": 0.4, "lr": 0.05, "f1": 1}]
    root = page(tmp_path, ReportData("run", history=history))
    assert titles(root) == ["loss", "f1", "learning rate"]
    assert "epoch 5: valid 1.00000" in words(root)


def test_many_metrics_fold_away(tmp_path: Path) -> None:
    record = {"epoch": 1, "loss": 0.5} | {f"auc_{i}": 0.5 for i in range(20)}
    root = page(tmp_path, ReportData("run", history=[record]))
    assert len(titles(root)) == 21
    folded = next(root.iter("details"))
    assert words(next(folded.iter("summary"))) == "13 more"
    assert len(list(folded.iter("svg"))) == 13


# -- targets -----------------------------------------------------------------------------------


def test_binary_target(tmp_path: Path) -> None:
    labels, scores = binary()
    labels[:3] = np.nan
    scores[3] = np.nan
    root = report(tmp_path, BINARY, scores.astype(np.float32), labels)
    assert titles(root) == [
        "ROC curve",
        "Precision and recall",
        "Calibration",
        "Predictions by label",
    ]
    seen = np.arange(len(labels)) > 3
    auc = reference.roc_auc_score(labels[seen], scores[seen].astype(np.float32))
    assert f"AUC {auc:.4f}" in words(root)
    assert "396 rows, 4 without a label or a finite prediction left out." in words(root)
    counts = re.findall(r"label [01] \(([\d,]+)\)", words(root))
    assert [int(c) for c in counts] == [(labels == 0)[4:].sum(), (labels == 1)[4:].sum()]


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_only(label: float, tmp_path: Path) -> None:
    _, scores = binary()
    root = report(tmp_path, BINARY, scores, np.full(400, label))
    expected = f"All 400 labels are {label:.0f}: ROC and precision-recall are undefined."
    assert expected in words(root)
    assert titles(root)[1:] == ["Calibration", "Predictions by label"]


def test_no_label_at_all(tmp_path: Path) -> None:
    root = report(tmp_path, BINARY, np.ones(5), np.full(5, np.nan))
    assert "0 rows, 5 without a label" in words(root)
    assert not list(root.iter("svg"))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_predictions(value: float, tmp_path: Path) -> None:
    labels, _ = binary(50)
    root = report(tmp_path, BINARY, np.full(50, value), labels)
    assert "AUC 0.5000" in words(root)
    assert "nan" not in words(root)


def test_a_single_row(tmp_path: Path) -> None:
    assert len(titles(report(tmp_path, BINARY, np.array([0.2]), np.array([1.0])))) == 3
    tasks = make_tasks("regression", ["y"])
    assert len(titles(report(tmp_path, tasks, np.array([0.2]), np.array([1.0])))) == 2


def test_regression_target(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    actual = rng.normal(10, 3, 1000)
    predicted = actual + rng.normal(0.5, 1, 1000)
    actual[0] = np.nan
    root = report(tmp_path, make_tasks("regression", ["time"]), predicted, actual)
    assert titles(root) == ["Predicted and actual", "Residuals"]
    residual = (actual - predicted)[1:]
    assert f"Mean {residual.mean():.4g}" in words(root)
    assert f"root mean square {np.sqrt((residual**2).mean()):.4g}" in words(root)
    assert "10 rows lie outside the chart." in words(root)
    assert len(list(next(root.iter("svg")).iter("circle"))) == 20


def test_multiclass_target(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 600)
    scores = rng.dirichlet(np.ones(4), 600)
    scores[np.arange(600), labels] += 0.3
    scores /= scores.sum(axis=1, keepdims=True)
    root = report(tmp_path, make_tasks("multiclass", ["topic"], 4), scores, labels)
    text = words(root)
    for each in range(3):
        auc = reference.roc_auc_score(labels == each, scores[:, each])
        assert f"class {each} AUC {auc:.4f}" in text
    assert "class 3" not in text  # it has no row
    right = (scores.argmax(axis=1) == labels).sum()
    assert f"right class ({right})" in text


def test_several_tasks_read_their_own_columns(tmp_path: Path) -> None:
    first, a = binary(300, 3)
    second, b = binary(300, 4)
    tasks = make_tasks(["binary", "multiclass", "binary"], ["x", "topic", "y"], 2)
    topic = np.arange(300) % 2
    predictions = np.column_stack([a, 1 - topic, topic, b])
    root = report(tmp_path, tasks, predictions, np.column_stack([first, topic, second]))
    sections = {words(s.find("h2")).split()[0]: words(s) for s in root.iter("section")}
    assert list(sections) == ["x", "topic", "y"]
    assert f"AUC {reference.roc_auc_score(first, a):.4f}" in sections["x"]
    assert "class 0 AUC 1.0000" in sections["topic"]
    assert f"AUC {reference.roc_auc_score(second, b):.4f}" in sections["y"]


def test_multilabel_has_a_section_a_label(tmp_path: Path) -> None:
    first, a = binary(100, 3)
    second, b = binary(100, 4)
    tasks = make_tasks("multilabel", ["x", "y"])
    root = report(tmp_path, tasks, np.column_stack([a, b]), np.column_stack([first, second]))
    assert [words(h) for h in root.iter("h2")] == ["x binary", "y binary"]


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [(np.ones(3), np.ones(4)), (np.ones((3, 2)), np.ones(3)), (np.ones(3), np.ones((3, 2)))],
)
def test_shapes_that_do_not_fit(
    predictions: np.ndarray, labels: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"predictions \(N, 1\) and labels \(N, 1\)"):
        report(tmp_path, BINARY, predictions, labels)
    assert not list(tmp_path.iterdir())


# -- numbers against scikit-learn --------------------------------------------------------------

rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda i: i / 20)), min_size=2, max_size=60
).filter(lambda pairs: len({hit for hit, _ in pairs}) == 2)


@given(rows)
def test_roc_is_that_of_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    hits, scores = map(np.array, zip(*pairs, strict=True))
    x, y, area = roc_curve(hits, scores)
    expected_x, expected_y, _ = reference.roc_curve(hits, scores, drop_intermediate=False)
    np.testing.assert_allclose(x, expected_x)
    np.testing.assert_allclose(y, expected_y)
    assert math.isclose(area, reference.roc_auc_score(hits, scores), abs_tol=1e-12)


@given(rows)
def test_precision_recall_is_that_of_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    hits, scores = map(np.array, zip(*pairs, strict=True))
    recall, precision, average = precision_recall_curve(hits, scores)
    expected_precision, expected_recall, _ = reference.precision_recall_curve(hits, scores)
    np.testing.assert_allclose(recall, expected_recall)
    np.testing.assert_allclose(precision[:-1], expected_precision[:-1])
    expected = reference.average_precision_score(hits, scores)
    assert math.isclose(average, expected, abs_tol=1e-12)


def test_calibration_bins_hold_equal_numbers() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(1000)
    labels = rng.random(1000) < scores
    predicted, observed, counts = calibration_curve(labels, scores)
    assert counts.tolist() == [100] * 10
    order = np.argsort(scores)
    np.testing.assert_allclose(predicted, scores[order].reshape(10, 100).mean(axis=1))
    np.testing.assert_allclose(observed, labels[order].reshape(10, 100).mean(axis=1))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=50), st.integers(1, 12))
def test_bins_follow_the_order_and_never_part_equal_values(values: list[int], bins: int) -> None:
    scores = np.array(values, dtype=float)
    index = quantile_bins(scores, bins)
    assert index.min() >= 0
    assert index.max() < bins
    for low in range(7):
        assert len(set(index[scores == low].tolist())) <= 1
    order = np.argsort(scores, kind="stable")
    assert np.all(np.diff(index[order]) >= 0)
    _, _, counts = calibration_curve(scores, scores, bins)
    assert counts.sum() == len(scores)
    assert counts.min() > 0


def test_thinning_keeps_ends_and_shape() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(50_000)
    x, y, _ = roc_curve(rng.random(50_000) < scores, scores)
    few_x, few_y = thin(x, y)
    assert len(few_x) <= POINTS
    assert (few_x[0], few_y[0], few_x[-1], few_y[-1]) == (0, 0, 1, 1)
    some = slice(None, None, 25)
    far = np.abs(x[some, None] - few_x) + np.abs(y[some, None] - few_y)  # (2001, M)
    assert far.min(axis=1).max() <= 2 / (POINTS - 1)  # the curve's length is 2
    same_x, _ = thin(x[:POINTS], y[:POINTS])
    assert len(same_x) == POINTS


def test_thinning_a_curve_that_stands_still() -> None:
    x, y = thin(np.zeros(1000), np.zeros(1000))
    assert x[0] == x[-1] == y[0] == y[-1] == 0


def test_large_reports_stay_small(tmp_path: Path) -> None:
    labels, _ = binary(200_000)
    scores = np.random.default_rng(0).random(200_000)
    path = tmp_path / "r.html"
    write_report(path, ReportData("run", tasks=BINARY, predictions=scores, labels=labels))
    assert path.stat().st_size < 60_000
