"""Numbers and paths as the commands print them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows of text with aligned columns.

    >>> print(columns([["metric", "test"], ["auc", "0.71"]]))
    metric  test
    auc     0.71
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def metric_rows(parts: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Metrics of several data sets side by side, under a line of their names."""
    keys = dict.fromkeys(key for values in parts.values() for key in values)
    rows = [["metric", *parts]]
    for key in keys:
        cells = [f"{values[key]:.6f}" if key in values else "-" for values in parts.values()]
        rows.append([key, *cells])
    return rows


def reason_lines(parts: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Why metrics are NaN, one line each."""
    return [
        f"{key} of {part} is undefined: {reason}"
        for part, reasons in parts.items()
        for key, reason in reasons.items()
    ]


def short_path(path: str | os.PathLike[str]) -> str:
    """The path from the working directory when it lies below it, else the whole one."""
    path, here = Path(path).absolute(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
