from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.training.svg import (
    HEIGHT,
    WIDTH,
    Axis,
    Band,
    Bars,
    Line,
    Mark,
    chart,
    text,
    tick_labels,
    ticks,
)

X = np.array([0.0, 1.0, 2.0, 3.0])


def draw(*marks: Mark, x: Axis | None = None, y: Axis | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(chart(marks, x or Axis("x"), y or Axis("y"), "a chart"))


def path(root: ElementTree.Element, style: str, index: int = -1) -> str:
    """The drawn path of a style; the first ones may be swatches of the legend."""
    return [p for p in root.iter("path") if style in p.attrib["class"]][index].attrib["d"]


def points(d: str) -> np.ndarray:
    return np.array([float(n) for n in re.findall(r"-?[\d.]+", d)]).reshape(-1, 2)


def test_a_chart_has_axes_ticks_legend_and_words() -> None:
    root = draw(Line("train", X, X**2), Line("valid", X, X, 1), x=Axis("epoch"), y=Axis("loss"))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "a chart"
    words = [element.text for element in root.iter("text")]
    assert {"train", "valid", "epoch", "loss", "0", "8"} <= set(words)
    assert root.attrib["viewBox"] == f"0 0 {WIDTH} {HEIGHT}"


def test_points_lie_where_the_axes_say() -> None:
    root = draw(Line("", X, 10 * X), x=Axis("x", 0, 3), y=Axis("y", 0, 30))
    drawn = points(path(root, "line s0"))
    share = np.array([0, 1 / 3, 2 / 3, 1])
    left, right = drawn[0, 0], drawn[-1, 0]
    assert np.allclose(drawn[:, 0], left + share * (right - left), atol=0.06)
    bottom, top = drawn[0, 1], drawn[-1, 1]
    assert bottom > top
    assert np.allclose(drawn[:, 1], bottom + share * (top - bottom), atol=0.06)
    axis = path(root, "axis")
    assert axis == f"M{left:.0f} {bottom:.0f}H{right:.0f}"


def test_nan_interrupts_a_line() -> None:
    root = draw(Line("", X, np.array([1.0, np.nan, 2.0, 3.0])))
    d = path(root, "line s0")
    assert d.count("M") == 2
    assert d.count("L") == 1


def test_dots_tell_their_value_and_skip_nan() -> None:
    notes = ["one", "<two>", "three", "four"]
    root = draw(Line("", X, np.array([1.0, 2.0, np.nan, 3.0]), notes=notes))
    titles = [dot.find("title").text for dot in root.iter("circle")]  # type: ignore[union-attr]
    assert titles == ["one", "<two>", "four"]


def test_a_step_holds_its_value() -> None:
    root = draw(Line("", X[:3], np.array([1.0, 2.0, 4.0]), shape="step"))
    drawn = points(path(root, "line s0"))
    assert len(drawn) == 5
    assert np.array_equal(drawn[0::2][:, 1][:-1], drawn[1::2][:, 1])  # across, at one height
    assert np.array_equal(drawn[1::2][:, 0], drawn[2::2][:, 0])  # then straight up


def test_bars_stand_on_zero() -> None:
    root = draw(Bars("", np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0])), y=Axis("y", 0))
    drawn = points(path(root, "area s0"))
    ground = float(path(root, "axis").split()[1].split("H")[0])
    heights = ground - drawn[:, 1]
    assert len(drawn) == 6
    assert heights[0] == heights[-1] == 0
    assert np.isclose(heights[3] / heights[1], 3, atol=0.02)


def test_a_band_is_closed() -> None:
    d = path(draw(Band("", X, X - 1, X + 1)), "band")
    assert d.endswith("Z")
    assert len(points(d)) == 8


@pytest.mark.parametrize(
    "y",
    [[np.nan] * 4, [2.0] * 4, [0.0] * 4, [-1e-9, 0, 1e-9, 2e-9], [1e12, 2e12, np.inf, 3e12]],
    ids=["nan", "constant", "zero", "tiny", "huge"],
)
def test_hard_values_give_a_chart_without_nan(y: list[float]) -> None:
    svg = chart([Line("a", X, np.array(y))], Axis("x"), Axis("y"), "alt")
    ElementTree.fromstring(svg)
    assert "nan" not in svg
    assert "inf" not in svg


def test_empty_marks_give_a_chart() -> None:
    none = np.empty(0)
    draw(Line("a", none, none))
    draw()


def test_everything_typed_by_a_user_is_escaped() -> None:
    evil = "<script>alert('&\"')</script>\x00\x1b"
    root = draw(Line(evil, X, X), Bars(evil, X, X[1:]), x=Axis(evil), y=Axis(evil))
    assert not list(root.iter("script"))
    assert [t.text for t in root.iter("text")].count("<script>alert('&\"')</script>��") == 4
    svg = chart([], Axis("x"), Axis("y"), evil)
    assert ElementTree.fromstring(svg).attrib["aria-label"].startswith("<script>")


@given(st.text())
def test_escaped_text_is_well_formed_and_keeps_its_words(value: str) -> None:
    root = ElementTree.fromstring(f'<a b="{text(value)}">{text(value)}</a>')
    kept = re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", value)
    assert (root.text or "") == kept.replace("\r\n", "\n").replace("\r", "\n")


def test_long_legends_wrap_inside_the_chart() -> None:
    marks = [Line(f"a label of some length {i}", X, X + i, i) for i in range(5)]
    root = draw(*marks)
    rows = [t for t in root.iter("text") if (t.text or "").startswith("a label")]
    assert len({row.attrib["y"] for row in rows}) > 1
    drawn = points(path(root, "line s4"))
    assert max(float(row.attrib["y"]) for row in rows) < drawn[:, 1].min()


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-6, 1e9),
    st.integers(2, 8),
)
def test_ticks_are_few_round_and_inside(low: float, length: float, count: int) -> None:
    high = low + length
    if high - low < 1e-9 * max(abs(low), abs(high)):
        return
    values = ticks(low, high, count)
    slack = 1e-6 * length
    assert np.all((values >= low - slack) & (values <= high + slack))
    assert 1 <= len(values) <= 2 * count + 2
    steps = np.diff(values)
    if len(steps):
        rounding = 4 * np.spacing(max(abs(low), abs(high)))  # of the ticks themselves
        assert np.allclose(steps, steps[0], rtol=1e-6, atol=rounding)
        lead = float(f"{steps[0]:.6e}".split("e")[0])
        assert round(lead, 4) in (1, 2, 5, 10)


@pytest.mark.parametrize("epochs", [1, 2, 3, 12, 100])
def test_whole_ticks(epochs: int) -> None:
    values = ticks(1, max(epochs, 1.5), whole=True)
    assert np.array_equal(values, np.round(values))
    assert len(set(values.tolist())) == len(values)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([0, 5, 10], ["0", "5", "10"]),
        ([0, 20_000, 40_000], ["0", "20k", "40k"]),
        ([0, 500_000, 1_000_000], ["0.0", "0.5M", "1.0M"]),
        ([0, 0.0002, 0.0004], ["0", "0.0002", "0.0004"]),
        ([-2, 0, 2], ["-2", "0", "2"]),
        ([0.69310, 0.69315], ["0.69310", "0.69315"]),
    ],
)
def test_tick_labels(values: list[float], labels: list[str]) -> None:
    assert tick_labels(np.array(values, dtype=float)) == labels
