"""``nextrec evaluate``: metrics of a saved model on labelled data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import typer

from nextrec.cli.tables import columns, metric_rows, reason_lines
from nextrec.models.bundle import load


def evaluate(
    model: str,
    data: str,
    metrics: Sequence[str],
    user_id_column: str,
    weight_column: str | None,
    batch_size: int,
    device: str,
    as_json: bool,
) -> None:
    """Load, evaluate, print."""
    values = load(model, device=device).evaluate(
        data,
        metrics=list(metrics) or None,
        batch_size=batch_size,
        user_id_column=user_id_column,
        weight_column=weight_column,
    )
    if as_json:
        # JSON has no NaN: null, and the reason beside it.
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        typer.echo(json.dumps({"metrics": finite, "reasons": values.reasons}, indent=2))
        return
    typer.echo(columns(metric_rows({"value": values})))
    for line in reason_lines({"the data": values.reasons}):
        typer.echo(line)
