"""What an examination found, and how it is told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from nextrec.data.profile import MAX_DISTINCT, Profile

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""An error makes results wrong, a warning probably costs quality, an info is good to know."""


@dataclass(frozen=True)
class Finding:
    """One thing about the data that someone should know."""

    severity: Severity
    kind: str
    """A fixed word for the sort of finding, such as ``constant``."""
    column: str | None
    """The column; ``None`` for rows or the whole."""
    message: str
    """What was seen, with numbers."""
    advice: str
    """What to do about it."""
    values: dict[str, Any] = field(default_factory=dict)
    """The numbers and examples by name."""


@dataclass(frozen=True)
class Diagnosis:
    """The result of :func:`~nextrec.data.diagnosis.examine`."""

    rows: int
    test_rows: int | None
    schema: tuple[Profile, ...]
    """What each column holds."""
    targets: tuple[str, ...]
    roles: dict[str, str]
    """``time``, ``user`` and ``item`` -> column, where they are known."""
    findings: tuple[Finding, ...]
    """The most severe first, then by column."""
    tables: dict[str, list[list[str]]]
    """Title -> rows of text, the first one the names."""
    notes: tuple[str, ...]
    """What was counted on a sample, and what could not be looked at."""

    def worst(self) -> Severity | None:
        """The highest severity among the findings."""
        found = {each.severity for each in self.findings}
        return next((each for each in SEVERITIES if each in found), None)

    def of(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [each for each in self.findings if each.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "rows": self.rows,
            "test_rows": self.test_rows,
            "targets": list(self.targets),
            "roles": dict(self.roles),
            "schema": [_plain_profile(profile) for profile in self.schema],
            "findings": [plain(dataclasses.asdict(each)) for each in self.findings],
            "tables": self.tables,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """The report: counts, schema, findings, tables, notes."""
        tested = "" if self.test_rows is None else f", {self.test_rows:,} rows to test on"
        parts = [f"{self.rows:,} rows, {len(self.schema)} columns{tested}"]
        parts.append("Columns\n" + aligned(schema_rows(self.schema)))
        parts.append(self._findings_text())
        parts += [f"{title}\n{aligned(rows)}" for title, rows in self.tables.items()]
        if self.notes:
            parts.append("Notes\n" + "\n".join(f"  {note}" for note in self.notes))
        return "\n\n".join(parts)

    def _findings_text(self) -> str:
        if not self.findings:
            return "Findings\n  none"
        counts = [
            f"{sum(each.severity == severity for each in self.findings)} {severity}"
            for severity in SEVERITIES
        ]
        lines = [f"Findings ({', '.join(counts)})"]
        for each in self.findings:
            where = "" if each.column is None else f" {each.column}:"
            lines.append(f"  {each.severity:<8}{each.kind}:{where} {each.message}")
            lines.append(f"          -> {each.advice}")
        return "\n".join(lines)


def plain(value: Any) -> Any:
    """A value as JSON knows it: no NaN, everything unusual as text."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The most severe first; equally severe ones stay in order."""
    return tuple(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))


def share(part: float, whole: float) -> str:
    """A share as a percentage that is never rounded to nothing or to all.

    >>> share(1, 3), share(1, 10_000_000), share(0, 5), share(999_999, 1_000_000)
    ('33.3 %', '<0.01 %', '0 %', '>99.9 %')
    """
    if part == 0:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "<0.01 %"
    if part != whole and percent > 99.9:
        return ">99.9 %"
    return f"{percent:.3g} %"


def short(value: object, width: int = 40) -> str:
    """A value as text that fits on a line."""
    text = value if isinstance(value, str) else repr(value)
    text = text.replace("\n", "\\n")
    return text if len(text) <= width else text[: width - 3] + "..."


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text with aligned columns, indented."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(("  " + "  ".join(row)).rstrip() for row in cells)


def schema_rows(schema: Sequence[Profile]) -> list[list[str]]:
    """A line for each column, under a line of names."""
    rows = [["column", "holds", "type", "missing", "different", "range", "lengths"]]
    for each in schema:
        lists = each.kind in ("ids", "vector")
        rows.append(
            [
                each.name,
                each.kind,
                ", ".join(each.types) or "-",
                share(each.missing, each.rows) if each.missing else "",
                _different(each),
                _span(each) if each.lowest <= each.highest else "",
                f"{each.shortest} to {each.longest}" if lists and each.longest else "",
            ]
        )
    return rows


def _different(profile: Profile) -> str:
    if profile.distinct is not None:
        return f"{profile.distinct:,}"
    counted = profile.kind in ("integer", "flag", "text", "time", "ids")
    counted |= profile.kind == "real" and profile.whole
    return f"over {MAX_DISTINCT:,}" if counted else ""


def _span(profile: Profile) -> str:
    form = (
        ".0f" if profile.whole and max(abs(profile.lowest), abs(profile.highest)) < 1e16 else ".4g"
    )
    return f"{profile.lowest:{form}} to {profile.highest:{form}}"


def _plain_profile(profile: Profile) -> dict[str, Any]:
    """A profile as JSON values; a range that no value set is None."""
    seen = profile.lowest <= profile.highest
    return {
        "name": profile.name,
        "kind": profile.kind,
        "types": list(profile.types),
        "rows": profile.rows,
        "missing": profile.missing,
        "distinct": profile.distinct,
        "lowest": profile.lowest if seen else None,
        "highest": profile.highest if seen else None,
        "longest": profile.longest,
    }
