"""What a report shows of several tasks: whether they agree, and which experts they use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nextrec.training.gradient_cosines import RECORD_KEY
from nextrec.training.stacked_bars import stacked_bars
from nextrec.training.svg import COLORS, Axis, Line, Mark, chart


class Drawn(NamedTuple):
    """A chart and the same numbers as a table."""

    title: str
    svg: str
    head: list[str]
    rows: list[list[str]]


def cosine_charts(history: Sequence[Mapping[str, Any]]) -> list[Drawn]:
    """A chart for each two tasks: the cosine of their gradients by epoch, a line a part."""
    records = [record for record in history if record.get(RECORD_KEY)]
    epochs = [record.get("epoch", number) for number, record in enumerate(records, 1)]
    parts = list(dict.fromkeys(part for record in records for part in record[RECORD_KEY]))
    pairs = dict.fromkeys(
        pair for record in records for found in record[RECORD_KEY].values() for pair in found
    )
    drawn = []
    for pair in pairs:
        lines = {
            part: np.array(
                [record[RECORD_KEY].get(part, {}).get(pair, np.nan) for record in records]
            )
            for part in parts
        }
        lines = {part: values for part, values in lines.items() if np.isfinite(values).any()}
        drawn.append(_of_pair(pair, np.array(epochs, dtype=np.float64), lines))
    return drawn


def _of_pair(pair: str, epochs: np.ndarray, lines: Mapping[str, np.ndarray]) -> Drawn:
    marks: list[Mark] = []
    for number, (part, values) in enumerate(lines.items()):
        notes = [f"epoch {e:.0f}: {part} {v:.3f}" for e, v in zip(epochs, values, strict=True)]
        color, dashed = number % COLORS, number // COLORS % 2 == 1
        marks.append(Line(part, epochs, values, color, dashed=dashed, notes=notes))
    marks.append(Line("", epochs, np.zeros(len(epochs)), shape="guide"))
    told = "; ".join(f"{part} {_last(values):.3f}" for part, values in lines.items())
    alt = f"Cosine between the gradients of {pair} by epoch, at the end: {told}"
    head = ["Epoch", *lines]
    rows = [
        [f"{epoch:.0f}", *("" if math.isnan(v[i]) else f"{v[i]:.4f}" for v in lines.values())]
        for i, epoch in enumerate(epochs)
    ]
    title = f"Gradients of {pair}: cosine by part"
    svg = chart(marks, Axis("epoch", whole=True), Axis("cosine"), alt)
    return Drawn(title, svg, head, rows)


def _last(values: np.ndarray) -> float:
    return float(values[np.isfinite(values)][-1])


def expert_chart(gates: Mapping[str, Sequence[float]]) -> Drawn:
    """How much each mixture uses each of its experts, a bar a mixture."""
    most = max(map(len, gates.values()))
    told = "; ".join(
        f"{name}: " + ", ".join(f"{share:.0%}" for share in shares)
        for name, shares in gates.items()
    )
    head = ["Mixture", *(f"Expert {number + 1}" for number in range(most))]
    rows = [
        [name, *(f"{s:.4f}" for s in shares), *[""] * (most - len(shares))]
        for name, shares in gates.items()
    ]
    alt = f"Mean weight of each expert. {told}"
    return Drawn("Mean weight of each expert", stacked_bars(gates, "expert", alt), head, rows)
