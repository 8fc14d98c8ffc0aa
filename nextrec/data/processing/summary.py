"""What a processor knows, as a table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nextrec.data.processing.rates import Rate, Rates
from nextrec.data.transforms.base import Transform

COLUMNS = (
    "column",
    "role",
    "transform",
    "inputs",
    "vocabulary",
    "missing in fit",
    "missing",
    "unknown",
)


def summary_frame(
    transforms: Mapping[str, Transform], fitted: bool, fit_rates: Rates, rates: Rates
) -> pd.DataFrame:
    """One row an output column; ``missing`` and ``unknown`` are shares of the last transform."""
    rows = []
    for name, each in transforms.items():
        then, now = fit_rates.columns.get(name, Rate()), rates.columns.get(name, Rate())
        vocabulary = each.vocab_size if fitted else None
        rows.append(
            (
                name,
                each.role,
                each.describe(),
                ", ".join(each.inputs),
                pd.NA if vocabulary is None else vocabulary,
                then.missing_share,
                now.missing_share,
                now.unknown_share if vocabulary is not None else float("nan"),
            )
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"vocabulary": "Int64"})


def summary_text(frame: pd.DataFrame) -> str:
    """The table as text: counts with separators, shares in percent, ``-`` where there is none."""
    shares = ("missing in fit", "missing", "unknown")

    def cell(column: str, value: object) -> str:
        if pd.isna(value):  # type: ignore[call-overload]
            return "-"
        if column in shares:
            return f"{value:.2%}"
        return f"{value:,}" if column == "vocabulary" else str(value)

    lines = [list(frame.columns)]
    for row in frame.itertuples(index=False):
        lines.append(
            [cell(column, value) for column, value in zip(frame.columns, row, strict=True)]
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(frame.columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
