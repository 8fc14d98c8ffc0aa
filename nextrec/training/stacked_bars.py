"""Shares of a whole as horizontal bars, one a row, in the style of :mod:`nextrec.training.svg`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nextrec.training.svg import CHARACTER, COLORS, text

ROW, GAP, TOP, WIDTH = 26, 10, 6, 380
LEAST_WIDTH = 16
"""A segment narrower than this shows no number; its title still tells it."""


def stacked_bars(rows: Mapping[str, Sequence[float]], part: str, alt: str) -> str:
    """Bars whose segments are shares, as an ``<svg>`` element.

    Segments are numbered from 1 and parted by their outlines: colours repeat, and need not be told
    apart.

    Args:
        rows: name -> shares with sum 1; rows may differ in number.
        part: what a segment is, such as ``"expert"``.
        alt: says in words what the chart shows.
    """
    left = 12 + CHARACTER * max(map(len, rows))
    left = min(left, WIDTH / 2)
    height = TOP + len(rows) * (ROW + GAP)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{text(alt)}">'
    ]
    for number, (name, shares) in enumerate(rows.items()):
        top = TOP + number * (ROW + GAP)
        parts.append(
            f'<text x="{left - 8:.1f}" y="{top + ROW / 2 + 4:.1f}" text-anchor="end">'
            f"{text(name)}</text>"
        )
        start = left
        for index, share in enumerate(shares):
            width = share * (WIDTH - left)
            parts.append(
                _segment(start, top, width, index, f"{name}: {part} {index + 1} {share:.1%}")
            )
            start += width
    return "".join([*parts, "</svg>"])


def _segment(start: float, top: float, width: float, index: int, note: str) -> str:
    color = index % COLORS
    box = (
        f'<rect class="area s{color} f{color}" x="{start:.1f}" y="{top}" width="{width:.1f}" '
        f'height="{ROW}"><title>{text(note)}</title></rect>'
    )
    if width < LEAST_WIDTH:
        return box
    middle = f'x="{start + width / 2:.1f}" y="{top + ROW / 2 + 4:.1f}"'
    return f'{box}<text {middle} text-anchor="middle">{index + 1}</text>'
