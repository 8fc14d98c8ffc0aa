"""Cutting a source into the pieces that threads and executors work on.

Units of a source (row groups, blocks of lines) may be tiny or large. A *piece* is a run of units
with about as many rows as one is asked to hold at a time; a *part* is a run of pieces that becomes
one output file. Both depend on the source alone, so every engine cuts alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from nextrec.data.files import Job, Source, Unit

PART_ROWS = 1_048_576
"""Rows from which on an output file is closed."""


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a source, read when they are wanted."""

    first_row: int
    rows: int
    read: Callable[[], pa.Table]


def group_units(units: Iterable[Unit], rows: int) -> Iterator[list[Unit]]:
    """Runs of consecutive units, each closed as soon as it has ``rows`` rows."""
    run: list[Unit] = []
    count = 0
    for unit in units:
        run.append(unit)
        count += unit.rows
        if count >= rows:
            yield run
            run, count = [], 0
    if run:
        yield run


def pieces(
    source: Source,
    columns: Sequence[str],
    text: Collection[str],
    rows: int,
    units: Sequence[Unit] | None = None,
) -> Iterator[Piece]:
    """The source, or some consecutive units of it, in pieces of at least ``rows`` rows."""
    units = source.units(columns, text) if units is None else units
    jobs = source.jobs(columns, units, text)
    for run in group_units(units, rows):
        mine = [job for _, (_, job) in zip(run, jobs, strict=False)]
        count = sum(unit.rows for unit in run)
        if count:
            yield Piece(run[0].first_row, count, _Joined(mine))


class _Joined:
    """Reads several units as one table."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    def __call__(self) -> pa.Table:
        tables = [job() for job in self.jobs]
        if len(tables) == 1:
            return tables[0]
        return pa.concat_tables(tables, promote_options="permissive")  # types may vary by file
