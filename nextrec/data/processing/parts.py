"""From files to files: numbered parts and a manifest, all there or none.

The parts are written into a hidden folder that takes the output's place when everything is on disk
(``folders.py``). ``_SUCCESS`` is the last file written: it lists the parts with their rows, the
columns with their types, and what was missing or unknown. A folder with it is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from nextrec._files import write_text
from nextrec.data.lists import is_list
from nextrec.data.processing.csv_text import csv_schema, lists_as_text
from nextrec.data.processing.folders import MANIFEST, new_folder
from nextrec.data.processing.rates import Rates
from nextrec.errors import DataError

__all__ = [
    "MANIFEST",
    "Part",
    "lists_as_text",
    "new_folder",
    "write_file",
    "write_manifest",
    "write_part",
]

MANIFEST_VERSION = 1
GROUP_ROWS = 131_072
"""Rows of a Parquet row group: what training reads, and shuffles, at a time."""


@dataclass(frozen=True)
class Part:
    """One file that was written."""

    name: str
    rows: int
    columns: dict[str, str]
    """Arrow types by column."""


def write_part(
    folder: Path, number: int, tables: Iterable[pa.Table], save_format: str
) -> Part | None:
    """Write the tables of one part, in order; ``None`` when they have no rows.

    Raises:
        DataError: a column changes its type from one table to the next.
    """
    name = f"part-{number:05d}.{save_format}"
    writer: Any = None
    schema: pa.Schema | None = None
    rows = 0
    try:
        for table in tables:
            if schema is None:
                schema = table.schema.remove_metadata()
                writer = _writer(folder / name, schema, save_format)
            writer.write(_like(schema, table), save_format)
            rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if schema is None:
        return None
    with open(folder / name, "rb") as file:
        os.fsync(file.fileno())
    return Part(name, rows, {field.name: str(field.type) for field in schema})


def write_file(path: Path, table: pa.Table, save_format: str) -> None:
    """Write one table as one file."""
    table = table.replace_schema_metadata()
    writer = _writer(path, table.schema, save_format)
    try:
        writer.write(table, save_format)
    finally:
        writer.close()


class _Writer:
    """Arrow's writers under one name."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def write(self, table: pa.Table, save_format: str) -> None:
        if save_format == "csv":
            self.writer.write_table(lists_as_text(table))
        else:
            self.writer.write_table(table, row_group_size=GROUP_ROWS)

    def close(self) -> None:
        self.writer.close()


def _writer(path: Path, schema: pa.Schema, save_format: str) -> _Writer:
    if save_format == "csv":
        return _Writer(pa.csv.CSVWriter(str(path), csv_schema(schema)))
    # A dictionary of numbers that hardly repeat costs time and makes the file larger.
    repeating = [
        f"{field.name}.list.element" if is_list(field.type) else field.name
        for field in schema
        if not pa.types.is_floating(field.type)
    ]
    return _Writer(
        pq.ParquetWriter(str(path), schema, compression="zstd", use_dictionary=repeating)
    )


def _like(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The table in the first one's types, which files of one data set may vary."""
    table = table.replace_schema_metadata()
    if table.schema == schema:
        return table
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(f"transform: a column changes its type within the data: {error}") from error


def write_manifest(folder: Path, parts: Sequence[Part], rates: Rates, version: str) -> None:
    """Write ``_SUCCESS``.

    Raises:
        DataError: the parts differ in their columns.
    """
    for part in parts[1:]:
        if part.columns != parts[0].columns:
            differing = sorted(
                name
                for name in {*part.columns, *parts[0].columns}
                if part.columns.get(name) != parts[0].columns.get(name)
            )
            raise DataError(
                f"transform: the columns {', '.join(differing)} have other types in "
                f"{part.name} than in {parts[0].name}; give the files of the data one schema."
            )
    manifest = {
        "format_version": MANIFEST_VERSION,
        "nextrec_version": version,
        "rows": sum(part.rows for part in parts),
        "columns": parts[0].columns if parts else {},
        "parts": [{"file": part.name, "rows": part.rows} for part in parts],
        "rates": rates.to_dict()["columns"],
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2))
