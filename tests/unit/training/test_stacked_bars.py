from __future__ import annotations

from xml.etree import ElementTree

from nextrec.training.stacked_bars import stacked_bars

ROWS = {"click": [0.5, 0.25, 0.25], "a <b>": [0.01, 0.99]}


def test_segments_lie_side_by_side_in_proportion():
    root = ElementTree.fromstring(stacked_bars(ROWS, "expert", "What & why"))
    assert root.get("aria-label") == "What & why"
    boxes = [node for node in root if node.tag == "rect"]
    widths = [float(box.get("width", "")) for box in boxes]
    assert abs(widths[0] - 2 * widths[1]) < 0.2
    assert abs(sum(widths[:3]) - sum(widths[3:])) < 0.2
    starts = [float(box.get("x", "")) for box in boxes]
    for index in (0, 1, 3):
        assert abs(starts[index] + widths[index] - starts[index + 1]) < 0.2
    tops = [float(box.get("y", "")) for box in boxes]
    assert len(set(tops[:3])) == 1
    assert tops[3] > tops[0]


def test_every_share_is_told_and_wide_ones_are_numbered():
    svg = stacked_bars(ROWS, "expert", "")
    titles = [node.text for node in ElementTree.fromstring(svg).iter("title")]
    assert titles[:2] == ["click: expert 1 50.0%", "click: expert 2 25.0%"]
    assert titles[3:] == ["a <b>: expert 1 1.0%", "a <b>: expert 2 99.0%"]
    words = [node.text for node in ElementTree.fromstring(svg) if node.tag == "text"]
    assert words == ["click", "1", "2", "3", "a <b>", "2"]
