from __future__ import annotations

from xml.etree import ElementTree

from nextrec.training.report import ReportData, write_report
from nextrec.training.task_charts import cosine_charts, expert_chart

HISTORY = [
    {"epoch": 1, "loss": 1.0},
    {
        "epoch": 2,
        "loss": 0.9,
        "gradient_cosines": {"embedding": {"a, b": 0.5, "a, c": -0.25}, "experts": {"a, b": 0.1}},
    },
    {"epoch": 3, "loss": 0.8, "gradient_cosines": {"embedding": {"a, b": 0.25}}},
]


def test_a_chart_for_each_pair_with_a_line_for_each_part():
    first, second = cosine_charts(HISTORY)
    assert first.title == "Gradients of a, b: cosine by part"
    assert first.head == ["Epoch", "embedding", "experts"]
    assert first.rows == [["2", "0.5000", "0.1000"], ["3", "0.2500", ""]]
    assert second.head == ["Epoch", "embedding"]
    assert second.rows == [["2", "-0.2500"], ["3", ""]]
    root = ElementTree.fromstring(first.svg)
    assert "at the end: embedding 0.250; experts 0.100" in str(root.get("aria-label"))
    assert cosine_charts(HISTORY[:1]) == []


def test_experts_as_bars_and_as_a_table():
    drawn = expert_chart({"click": [0.75, 0.25], "level 1, shared": [0.2, 0.3, 0.5]})
    assert drawn.head == ["Mixture", "Expert 1", "Expert 2", "Expert 3"]
    assert drawn.rows[0] == ["click", "0.7500", "0.2500", ""]
    assert "level 1, shared: 20%, 30%, 50%" in drawn.svg


def test_the_report_has_a_section_of_tasks_only_where_there_is_something(tmp_path):
    path = write_report(tmp_path / "r.html", ReportData("M", history=HISTORY, gates={"<a>": [1.0]}))
    page = path.read_text(encoding="utf-8")
    assert "<h2>Tasks</h2>" in page
    assert "&lt;a&gt;" in page
    assert "gradient_cosines" not in page
    plain = write_report(tmp_path / "p.html", ReportData("M", history=HISTORY[:1]))
    assert "<h2>Tasks" not in plain.read_text(encoding="utf-8")
