"""Small charts as SVG text: lines, steps, points, bands and bars on two labelled axes.

A chart is a list of marks in data units. Colours are CSS variables of :data:`CHART_STYLE`, so that
a page decides about light and dark; shapes and dashes tell marks apart without colour. Every value
that could come from a user passes :func:`text`.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

WIDTH, HEIGHT = 380, 264
LEFT, RIGHT, BOTTOM, TOP = 56, 12, 44, 12
LEGEND_ROW = 18
CHARACTER = 6.7
"""Mean width of a character of the legend."""

# Blue, vermilion, green, purple, ochre, slate: told apart with any common colour blindness.
CHART_STYLE = """
:root{--c0:#1f6fb2;--c1:#c8500a;--c2:#0a7d5c;--c3:#8d4a9e;--c4:#8a6d00;--c5:#5b6775;
--axis:#8a94a0;--grid:#e6e9ed;--ink:#1c2430;--muted:#5a6572;--panel:#ffffff}
@media (prefers-color-scheme:dark){:root{--c0:#6cb4ee;--c1:#f29a5b;--c2:#4cc9a0;--c3:#cf9be0;
--c4:#d9bd4f;--c5:#a9b4c0;--axis:#6b7683;--grid:#2b333d;--ink:#e8ebef;--muted:#a3adb8;
--panel:#1a2028}}
svg.chart{display:block;width:100%;height:auto;font:12.5px system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif}
svg.chart text{fill:var(--muted)}
svg.chart .grid{stroke:var(--grid)}
svg.chart .axis{stroke:var(--axis)}
svg.chart .line{fill:none;stroke-width:2;stroke-linejoin:round}
svg.chart .dashed{stroke-dasharray:6 4}
svg.chart .guide{fill:none;stroke:var(--axis);stroke-width:1.2;stroke-dasharray:3 4}
svg.chart .area{fill-opacity:.16;stroke-width:1.5}
svg.chart .band{fill-opacity:.16;stroke:none}
svg.chart .dot{stroke:var(--panel);stroke-width:1.2}
""" + "".join(
    f"svg.chart .s{i}{{stroke:var(--c{i})}} .f{i}{{fill:var(--c{i})}}\n" for i in range(6)
)
COLORS = 6


@dataclass(frozen=True)
class Axis:
    """One axis: its label and, where the data should not decide, its ends."""

    label: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    """Ticks at whole numbers only."""


@dataclass(frozen=True)
class Line:
    """Points joined by a line; NaN interrupts it."""

    label: str
    x: np.ndarray
    y: np.ndarray
    color: int = 0
    shape: Literal["line", "step", "guide"] = "line"
    """``step`` holds each y until the next x; ``guide`` is a thin dashed line of reference."""
    dashed: bool = False
    notes: Sequence[str] | None = None
    """One a point: draws dots that tell it under the pointer."""


@dataclass(frozen=True)
class Band:
    """The area between two curves over the same x."""

    label: str
    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    color: int = 0


@dataclass(frozen=True)
class Bars:
    """Heights ``(n,)`` over bins with edges ``(n + 1,)``, as one outlined area."""

    label: str
    edges: np.ndarray
    heights: np.ndarray
    color: int = 0
    dashed: bool = False


Mark = Line | Band | Bars


def text(value: object) -> str:
    """``value`` as text that is safe in HTML and XML, between tags and in attributes.

    >>> text("<b> & 'c'")
    '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return html.escape(
        re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", str(value))
    )


def chart(marks: Sequence[Mark], x: Axis, y: Axis, alt: str) -> str:
    """One chart as an ``<svg>`` element; ``alt`` says in words what it shows."""
    legend, rows = _legend(marks)
    top = TOP + LEGEND_ROW * rows
    xs = _scale(x, [m.edges if isinstance(m, Bars) else m.x for m in marks], LEFT, WIDTH - RIGHT)
    ys = _scale(y, [v for m in marks for v in _heights(m)], HEIGHT - BOTTOM, top)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(alt)}">',
        legend,
        *_axes(xs, ys, x, y),
        *(_draw(mark, xs, ys) for mark in marks),
        "</svg>",
    ]
    return "".join(parts)


def ticks(low: float, high: float, count: int = 5, whole: bool = False) -> np.ndarray:
    """Round numbers in ``[low, high]``, about ``count`` of them, 1, 2 or 5 times a power of ten.

    >>> ticks(0.0, 1.0).tolist()
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(1, 3, whole=True).tolist()
    [1.0, 2.0, 3.0]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((1, 2, 5, 10), key=lambda factor: abs(math.log(factor * power / rough))) * power
    step = max(float(round(step)), 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)) + 1)
    return np.round(np.arange(first, last + 1) * step, digits)


def tick_labels(values: np.ndarray) -> list[str]:
    """The shortest common form that keeps the numbers apart.

    >>> tick_labels(np.array([0.0, 0.5, 1.0])), tick_labels(np.array([0.0, 2_000_000.0]))
    (['0.0', '0.5', '1.0'], ['0', '2M'])
    """
    largest = float(np.abs(values).max(initial=0.0))
    units = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"), (0.0, 1.0, ""))
    unit, sign = next((unit, sign) for least, unit, sign in units if largest >= least)
    if largest and (largest < 1e-3 or largest >= 1e13):
        return [f"{value:.6g}" for value in values]
    for digits in range(10):
        labels = [f"{value / unit:.{digits}f}" for value in values]
        if np.allclose(np.array(labels, dtype=float) * unit, values, rtol=1e-9, atol=1e-9):
            break
    return [label if float(label) == 0 else label + sign for label in labels]


@dataclass(frozen=True)
class _Scale:
    """Data units -> pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        share = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _scale(axis: Axis, arrays: Iterable[np.ndarray], start: float, end: float) -> _Scale:
    """Ends from the axis or from the finite data, never of zero length."""
    values = np.concatenate(
        [np.asarray(a, dtype=np.float64).ravel() for a in arrays] or [np.empty(0)]
    )
    values = values[np.isfinite(values)]
    low = float(values.min(initial=np.inf)) if axis.low is None else axis.low
    high = float(values.max(initial=-np.inf)) if axis.high is None else axis.high
    low, high = (low, high) if low <= high else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = 0.5 if axis.whole else max(abs(low), abs(high)) * 0.05 or 0.5
        low, high = low - room, high + room
    else:
        room = 0.04 * (high - low)
        low = low if axis.low is not None else low - room
        high = high if axis.high is not None else high + room
    return _Scale(low, high, start, end)


def _heights(mark: Mark) -> tuple[np.ndarray, ...]:
    if isinstance(mark, Band):
        return mark.low, mark.high
    return (mark.heights,) if isinstance(mark, Bars) else (mark.y,)


def _axes(xs: _Scale, ys: _Scale, x: Axis, y: Axis) -> list[str]:
    parts = []
    across, up = ticks(xs.low, xs.high, 5, x.whole), ticks(ys.low, ys.high, 4, y.whole)
    for place, label in zip(ys(up), tick_labels(up), strict=True):
        parts.append(f'<path class="grid" d="M{xs.start} {place:.1f}H{xs.end}"/>')
        parts.append(
            f'<text x="{xs.start - 7}" y="{place + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for place, label in zip(xs(across), tick_labels(across), strict=True):
        parts.append(f'<path class="axis" d="M{place:.1f} {ys.start}v4"/>')
        parts.append(
            f'<text x="{place:.1f}" y="{ys.start + 17}" text-anchor="middle">{label}</text>'
        )
    middle, height = (xs.start + xs.end) / 2, (ys.start + ys.end) / 2
    parts.append(f'<path class="axis" d="M{xs.start} {ys.start}H{xs.end}"/>')
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{text(x.label)}</text>')
    parts.append(
        f'<text transform="translate(13 {height}) rotate(-90)" text-anchor="middle">'
        f"{text(y.label)}</text>"
    )
    return parts


def _draw(mark: Mark, xs: _Scale, ys: _Scale) -> str:
    if isinstance(mark, Band):
        x = np.concatenate([mark.x, mark.x[::-1]])
        y = np.concatenate([mark.low, mark.high[::-1]])
        return f'<path class="band f{mark.color}" d="{_path(xs(x), ys(y))}Z"/>'
    dashed = " dashed" if mark.dashed else ""
    if isinstance(mark, Bars):
        x = np.repeat(mark.edges, 2)
        y = np.concatenate([[0.0], np.repeat(mark.heights, 2), [0.0]])
        style = f"area s{mark.color} f{mark.color}{dashed}"
        return f'<path class="{style}" d="{_path(xs(x), ys(y))}Z"/>'
    if mark.shape == "guide":
        return f'<path class="guide" d="{_path(xs(mark.x), ys(mark.y))}"/>'
    x, y = mark.x, mark.y
    if mark.shape == "step":
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    line = f'<path class="line s{mark.color}{dashed}" d="{_path(xs(x), ys(y))}"/>'
    return line + _dots(mark, xs, ys)


def _dots(line: Line, xs: _Scale, ys: _Scale) -> str:
    if line.notes is None:
        return ""
    return "".join(
        f'<circle class="dot f{line.color}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">'
        f"<title>{text(note)}</title></circle>"
        for x, y, note in zip(xs(line.x), ys(line.y), line.notes, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    )


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """Move to the first point of every unbroken run, then lines."""
    finite = np.isfinite(x) & np.isfinite(y)
    starts = finite & ~np.concatenate([[False], finite[:-1]])
    points = zip(x[finite].tolist(), y[finite].tolist(), starts[finite].tolist(), strict=True)
    return "".join(f"{'M' if start else 'L'}{a:.1f} {b:.1f}" for a, b, start in points)


def _legend(marks: Sequence[Mark]) -> tuple[str, int]:
    """Swatches and labels in rows above the plot, and the number of rows."""
    parts, left, row = [], float(LEFT), 0
    for mark in marks:
        if not mark.label:
            continue
        width = 28 + CHARACTER * len(mark.label) + 14
        if left > LEFT and left + width > WIDTH:
            left, row = float(LEFT), row + 1
        base = TOP + LEGEND_ROW * row
        parts.append(_swatch(mark, left, base))
        parts.append(f'<text x="{left + 28:.0f}" y="{base + 4}">{text(mark.label)}</text>')
        left += width
    return "".join(parts), row + 1 if parts else 0


def _swatch(mark: Mark, left: float, middle: float) -> str:
    if isinstance(mark, Line):
        dashed = " dashed" if mark.dashed else ""
        style = "guide" if mark.shape == "guide" else f"line s{mark.color}{dashed}"
        return f'<path class="{style}" d="M{left:.0f} {middle}h22"/>'
    style = f"band f{mark.color}"
    if isinstance(mark, Bars):
        style = f"area s{mark.color} f{mark.color}{' dashed' if mark.dashed else ''}"
    return f'<rect class="{style}" x="{left:.0f}" y="{middle - 5}" width="22" height="10"/>'
