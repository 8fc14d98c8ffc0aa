"""``nextrec data``: the public data sets, what their folders must hold, and whether one does."""

from __future__ import annotations

import textwrap

import pandas as pd
import typer

from nextrec.cli.tables import columns
from nextrec.data.datasets import (
    DATASETS,
    DatasetDescription,
    TextFiles,
    compare,
    count,
    describe,
    load,
)
from nextrec.errors import DataError

WIDTH = 96


def show_list() -> None:
    """Print a line for every data set."""
    rows = [["name", "rows", "task", "what", "licence"]]
    for name in sorted(DATASETS):
        each = describe(name)
        rows.append([name, _rows(each), each.task, each.what, each.licence])
    typer.echo(columns(rows))


def show_one(name: str) -> None:
    """Print one description whole: files, columns, counts, notes, citation."""
    each = describe(name)
    parts = [
        f"{each.name}: {each.what}",
        columns(
            [
                ["Rows", _rows(each)],
                ["Task", each.task],
                ["Licence", each.licence],
                ["Source", each.source],
            ]
        ),
        _filled("Cite: " + each.citation),
        _layouts(each),
        *_tables(each),
    ]
    if each.counts:
        rows = [[count.label, f"{count.number:,}"] for count in each.counts]
        parts.append("Published counts\n" + columns(rows, "  "))
    if each.notes:
        parts.append("Notes\n" + "\n".join(_filled(note, "  ") for note in each.notes))
    typer.echo("\n\n".join(parts))


def check(name: str, folder: str, category: str | None, strict: bool) -> None:
    """Load a data set, count everything and print it beside what was published.

    Raises:
        DataError: a file is absent or broken, or ``strict`` and a count differs.
    """
    options = {} if category is None else {"category": category}
    data = load(name, folder, check="off", **options)
    found = count(data.description, data.tables)
    published = {each.label: each.number for each in data.description.counts}
    rows = [["count", "found", "published"]]
    for label, number in found.items():
        rows.append([label, f"{number:,}", f"{published[label]:,}"])
    described = {label.partition(":")[0] for label in found}
    for table in data.tables:
        if table not in described:
            rows.append([f"{table}: rows", f"{_length(data.tables[table]):,}", "-"])
    typer.echo(columns(rows))
    differences = compare(data.description, data.tables, found)
    if not differences:
        known = "nothing differs from the published counts" if found else "no count is published"
        typer.echo(f"{data.description.name}: {known}.")
        return
    told = f"{data.description.name} is not the whole published set: {'; '.join(differences)}."
    if strict:
        raise DataError(told)
    typer.echo(told)


def _length(table: pd.DataFrame | TextFiles) -> int:
    return table.count_rows() if isinstance(table, TextFiles) else len(table)


def _rows(description: DatasetDescription) -> str:
    return "by category" if description.rows is None else f"{description.rows:,}"


def _layouts(description: DatasetDescription) -> str:
    told = [", ".join(layout) for layout in description.layouts]
    return "Tables of a whole folder: " + "; or ".join(told)


def _tables(description: DatasetDescription) -> list[str]:
    """Each table's files, and columns where they are not those of the table before."""
    parts, before = [], None
    for table in description.tables:
        lines = [
            f"Table {table.name}",
            _filled("files: " + " or ".join(table.files), "  "),
            _filled("layout: " + table.layout, "  "),
        ]
        if table.columns == before:
            lines.append("  columns: as above")
        else:
            rows = [[each.name, each.role, each.meaning] for each in table.columns]
            lines.append(columns(rows, "  "))
        before = table.columns
        parts.append("\n".join(lines))
    return parts


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
