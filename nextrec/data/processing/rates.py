"""How much of the data was missing or unknown, column by column.

Rows are missing: a row without a value, or without a list. Tokens are unknown: those that the
vocabulary does not have, in lists the items. So a column has two totals.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nextrec.data.transforms.base import Output, Transform

logger = logging.getLogger("nextrec")

LEAST = 30
"""Shares of fewer rows or tokens are not told: single requests would fill the log."""


@dataclass
class Rate:
    """Counts of one output column."""

    rows: int = 0
    missing: int = 0
    """Rows without a value."""
    tokens: int = 0
    """Values (items, of a sequence) that were looked up."""
    unknown: int = 0
    """Those that the vocabulary does not have."""

    @property
    def missing_share(self) -> float:
        """Share of rows; NaN when there was none."""
        return self.missing / self.rows if self.rows else float("nan")

    @property
    def unknown_share(self) -> float:
        """Share of tokens; NaN when there was none."""
        return self.unknown / self.tokens if self.tokens else float("nan")

    def add(self, other: Rate) -> None:
        """Count what another piece counted."""
        self.rows += other.rows
        self.missing += other.missing
        self.tokens += other.tokens
        self.unknown += other.unknown


@dataclass
class Rates:
    """Rates of all output columns of one data set."""

    rows: int = 0
    columns: dict[str, Rate] = field(default_factory=dict)

    def add(self, name: str, rate: Rate) -> None:
        """Count one piece of a column."""
        self.columns.setdefault(name, Rate()).add(rate)

    def merge(self, other: Rates) -> None:
        """Count what another piece of the data counted."""
        self.rows += other.rows
        for name, rate in other.columns.items():
            self.add(name, rate)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        columns = {name: asdict(rate) for name, rate in self.columns.items()}
        return {"rows": self.rows, "columns": columns}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rates:
        """Rates from :meth:`to_dict`."""
        columns = {name: Rate(**counts) for name, counts in values["columns"].items()}
        return cls(values["rows"], columns)


def rate_of(transform: Transform, output: Output, rows: int, missing_rows: int) -> Rate:
    """What one piece of an output column counts.

    Args:
        missing_rows: rows without an input, which a sequence does not tell.
    """
    if transform.role == "sequence":
        return Rate(rows, missing_rows, output.total, output.unknown + output.missing)
    return Rate(rows, output.missing, rows - output.missing, output.unknown)


def warn_of(
    rates: Rates, fitted: Rates, targets: Iterable[str], most: float, what: str = ""
) -> list[str]:
    """Log the columns whose shares exceed what fitting saw by more than ``most``.

    Args:
        what: the table that was transformed, as the log calls it.

    Returns:
        The warnings, one a column and kind. Labels may be missing and are left out.
    """
    told = []
    skipped = set(targets)
    for name, rate in rates.columns.items():
        before = fitted.columns.get(name, Rate())
        for kind, count in (("unknown", rate.tokens), ("missing", rate.rows)):
            share, then = getattr(rate, f"{kind}_share"), getattr(before, f"{kind}_share")
            then = 0.0 if then != then else then
            if name not in skipped and count >= LEAST and share > then + most:
                told.append(
                    f"column {name!r}: {share:.1%} {kind} in {count:,} "
                    f"{'tokens' if kind == 'unknown' else 'rows'}"
                    f" ({then:.1%} when the processor was fitted)"
                )
    for line in told:
        logger.warning("DataProcessor%s: %s", f", {what}" if what else "", line)
    return told
