"""How much of the data was missing or unknown, column by column."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nextrec.data.transforms.base import Output

logger = logging.getLogger("nextrec")


@dataclass
class Rate:
    """Counts of one output column; of a sequence, items are counted."""

    total: int = 0
    missing: int = 0
    unknown: int = 0

    @property
    def missing_share(self) -> float:
        """Share of rows (items) without a value; NaN when there was none at all."""
        return self.missing / self.total if self.total else float("nan")

    @property
    def unknown_share(self) -> float:
        """Share of rows (items) with a token that was not seen in fitting."""
        return self.unknown / self.total if self.total else float("nan")


@dataclass
class Rates:
    """Rates of all output columns of one transformed data set."""

    rows: int = 0
    columns: dict[str, Rate] = field(default_factory=dict)

    def add(self, name: str, output: Output) -> None:
        """Count one piece of a column."""
        rate = self.columns.setdefault(name, Rate())
        rate.total += output.total or len(output.values)
        rate.missing += output.missing
        rate.unknown += output.unknown

    def merge(self, other: Rates) -> None:
        """Count what another piece of the data counted."""
        self.rows += other.rows
        for name, theirs in other.columns.items():
            rate = self.columns.setdefault(name, Rate())
            rate.total += theirs.total
            rate.missing += theirs.missing
            rate.unknown += theirs.unknown

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        columns = {
            name: {"total": rate.total, "missing": rate.missing, "unknown": rate.unknown}
            for name, rate in self.columns.items()
        }
        return {"rows": self.rows, "columns": columns}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rates:
        """Rates from :meth:`to_dict`."""
        columns = {name: Rate(**counts) for name, counts in values["columns"].items()}
        return cls(values["rows"], columns)


def warn_of(rates: Rates, fitted: Rates, targets: Iterable[str], most: float) -> list[str]:
    """Log the columns whose shares exceed what fitting saw by more than ``most``.

    Returns:
        The warnings, one a column and kind. Labels may be missing and are left out.
    """
    told = []
    skipped = set(targets)
    for name, rate in rates.columns.items():
        before = fitted.columns.get(name, Rate())
        for kind in ("unknown", "missing"):
            share, then = getattr(rate, f"{kind}_share"), getattr(before, f"{kind}_share")
            then = 0.0 if then != then else then
            if name not in skipped and share > then + most:
                told.append(
                    f"column {name!r}: {share:.1%} {kind} in {rate.total:,} values"
                    f" ({then:.1%} when the processor was fitted)"
                )
    for line in told:
        logger.warning("DataProcessor: %s", line)
    return told
