"""A loaded data set: its tables, what their columns mean, and how its counts compare."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from nextrec.data.datasets.describe import Count, DatasetDescription, Schema
from nextrec.data.datasets.folder import missing_tables
from nextrec.data.datasets.streams import TextFiles
from nextrec.errors import ConfigError, DataError, unknown_option

Check = Literal["strict", "warn", "off"]
CHECKS = ("strict", "warn", "off")
Table = pd.DataFrame | TextFiles

COUNTED_BYTES = 256 << 20
"""Streamed files up to this size are counted whenever they are loaded; it takes a moment."""

logger = logging.getLogger("nextrec")


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a loader returns; ``data["ratings"]`` is a table."""

    description: DatasetDescription
    tables: Mapping[str, Table]
    """Frames; of a set that may not fit in memory, files that are read when asked."""
    differences: tuple[str, ...] = ()
    """How the counts differ from the published ones, as far as they were checked."""

    def __getitem__(self, table: str) -> Table:
        if table not in self.tables:
            raise ConfigError(unknown_option(self.description.name, "table", self.tables, table))
        return self.tables[table]

    def frame(self, table: str) -> pd.DataFrame:
        """A table in memory; one that is streamed is read whole."""
        found = self[table]
        return found.read() if isinstance(found, TextFiles) else found

    @property
    def schema(self) -> Schema:
        """Roles of the columns of the first table."""
        return self.schema_of(next(iter(self.tables)))

    def schema_of(self, table: str) -> Schema:
        """Roles of a table's columns."""
        found = self[table]
        names = found.names if isinstance(found, TextFiles) else list(found.columns)
        return Schema.of(self.description.columns_of(table, names))

    def __repr__(self) -> str:
        parts = [
            f"{name}={'files' if isinstance(table, TextFiles) else len(table)}"
            for name, table in self.tables.items()
        ]
        return f"Dataset({self.description.name}: {', '.join(parts)})"


def check_option(check: str) -> None:
    """Refuse an unknown value of ``check``."""
    if check not in CHECKS:
        raise ConfigError(unknown_option("load", "check", CHECKS, check))


def checked(
    description: DatasetDescription, tables: Mapping[str, Table], check: Check = "warn"
) -> Dataset:
    """The data set, after its counts were compared as ``check`` says.

    ``"strict"`` compares everything and raises on a difference; ``"warn"`` logs differences, and
    does not count large files that are streamed; ``"off"`` compares nothing.

    Raises:
        DataError: a count differs and ``check`` is ``"strict"``.
    """
    check_option(check)
    if check == "off":
        return Dataset(description, tables)
    found = count(description, tables, streamed=check == "strict")
    differences = tuple(compare(description, tables, found))
    if differences and check == "strict":
        raise DataError(
            f"{description.name} differs from what was published: {'; '.join(differences)}. "
            'A subset loads with check="warn".'
        )
    if differences:
        logger.warning(
            "%s is not the whole published set: %s", description.name, "; ".join(differences)
        )
    return Dataset(description, tables, differences)


def count(
    description: DatasetDescription, tables: Mapping[str, Table], streamed: bool = True
) -> dict[str, int]:
    """The described counts of the tables that are there, by label.

    Args:
        streamed: count also the rows of large files that are streamed, in one pass over them.
    """
    found = {}
    for each in description.counts:
        table = tables.get(each.table)
        if table is None:
            continue
        if isinstance(table, TextFiles):
            if streamed or table.size <= COUNTED_BYTES:
                found[each.label] = table.count_rows()
        else:
            found[each.label] = _counted(table, each)
    return found


def _counted(table: pd.DataFrame, what: Count) -> int:
    if what.of == "rows" or what.column is None:
        return len(table)
    values = table[what.column]
    if what.of == "sum":
        return int(values.sum())
    if len(values) and isinstance(values.iloc[0], np.ndarray):
        values = pd.Series(np.concatenate(values.to_numpy()))
    return int(values.nunique())


def compare(
    description: DatasetDescription, tables: Mapping[str, Table], found: Mapping[str, int]
) -> list[str]:
    """Every difference between the counts found and those published, in words."""
    differences = [f"no table {name!r}" for name in missing_tables(description, tables)]
    for each in description.counts:
        if each.label in found and found[each.label] != each.number:
            differences.append(f"{each.label} {found[each.label]:,}, published {each.number:,}")
    return differences
