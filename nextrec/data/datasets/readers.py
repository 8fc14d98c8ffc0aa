"""From the files of data sets to Arrow tables with the described columns.

Text is read as it is written and then takes the type that its description says, so a wrong value
is told with its file, row, column and what it was; nothing is guessed and no digit is lost.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from nextrec.data.datasets.describe import Column, Kind
from nextrec.data.files import reading, require_columns
from nextrec.data.lists import first_true, is_text
from nextrec.errors import DataError, invalid

TYPES: dict[Kind, pa.DataType] = {
    "int": pa.int64(),
    "real": pa.float64(),
    "text": pa.string(),
    "list": pa.list_(pa.int64()),
}
MUST_BE = {
    "int": "an integer",
    "real": "a number",
    "text": "text",
    "list": "a list of integers",
}
WRITTEN = {
    "int": r"^[+-]?\d+$",
    "real": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
}
"""How a number is written; what Arrow also takes (hexadecimal, inf, nan) is no number here."""
REQUIRED_ROLES = ("user", "item", "label")
"""Columns without which a row says nothing."""


def read_table(
    path: Path, columns: Sequence[Column], delimiter: str = ",", missing: Sequence[str] = ()
) -> pa.Table:
    """A Parquet file, or a delimited text file with a header, by its suffix."""
    if path.suffix in (".parquet", ".pq"):
        return _read_parquet(path, columns)
    return read_headed(path, columns, delimiter, missing)


def _read_parquet(path: Path, columns: Sequence[Column]) -> pa.Table:
    with reading(path, "parquet"):
        names = pq.read_schema(path).names
    found = _matching(path, names, columns)
    with reading(path, "parquet"):
        table = pq.read_table(path, columns=list(found))
    return as_described(table.select(list(found)), list(found.values()), path)


def read_headed(
    path: Path, columns: Sequence[Column], delimiter: str = ",", missing: Sequence[str] = ()
) -> pa.Table:
    """A delimited text file whose first line names its columns."""
    found = _matching(path, header_of(path, delimiter), columns)
    parse = pa.csv.ParseOptions(delimiter=delimiter)
    text = _read_text(path, str(path), list(found), pa.csv.ReadOptions(), parse, missing)
    return as_described(text, list(found.values()), path, first_line=2)


def read_headless(
    path: Path,
    columns: Sequence[Column],
    delimiter: str,
    strip: bool = False,
    missing: Sequence[str] = (),
    skip_rows: int = 0,
) -> pa.Table:
    """A delimited text file without a header; its columns are the described ones, in order.

    ``delimiter`` may be several characters, as in ``1::1193::5``. Nothing is quoted. Text that is
    not UTF-8 is taken for Latin-1, which the older MovieLens files are in.
    """
    names = [column.name for column in columns]
    read = pa.csv.ReadOptions(column_names=names, skip_rows=skip_rows)
    one = delimiter if len(delimiter) == 1 else "\x1f"
    parse = pa.csv.ParseOptions(delimiter=one, quote_char=False)
    with reading(path, "text"), pa.input_stream(path, compression="detect") as stream:
        content = stream.read()
    if not content.isascii():
        content = _as_utf8(content)
    if delimiter == " ":
        content = re.sub(rb" +(?=\r?(\n|$))", b"", content)
    if len(delimiter) > 1:
        content = content.replace(delimiter.encode(), b"\x1f")
    text = _read_text(path, content, names, read, parse, missing)
    if strip:
        stripped = [pc.utf8_trim_whitespace(column) for column in text.columns]
        gaps = pa.array(["", *missing])
        stripped = [
            pc.if_else(pc.is_in(column, gaps), pa.scalar(None, pa.string()), column)
            for column in stripped
        ]
        text = pa.table(stripped, names=names)
    return as_described(text, columns, path, first_line=1 + skip_rows)


def header_of(path: Path, delimiter: str = ",") -> list[str]:
    """The first line's fields."""
    with reading(path, "csv"), pa.input_stream(path, compression="detect") as stream:
        lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        names = next(csv.reader(lines, delimiter=delimiter), None)
    if not names:
        raise DataError(f"{str(path)!r} can't be read as csv: it is empty.")
    return names


def _as_utf8(content: bytes) -> bytes:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1").encode("utf-8")
    return content


def _matching(path: Path, names: Sequence[str], columns: Sequence[Column]) -> dict[str, Column]:
    """The file's name of each described column."""
    found = {}
    for column in columns:
        name = next((each for each in (column.name, *column.also) if each in names), None)
        if name is not None:
            found[name] = column
    absent = [column for column in columns if column not in found.values()]
    require_columns([each.name for each in absent if not each.optional], names, repr(str(path)))
    return found


def _read_text(
    path: Path,
    source: str | bytes,
    names: list[str],
    read: pa.csv.ReadOptions,
    parse: pa.csv.ParseOptions,
    missing: Sequence[str],
) -> pa.Table:
    convert = pa.csv.ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(names, pa.string()),
        null_values=["", *missing],
        strings_can_be_null=True,
    )

    def parsed() -> pa.Table:
        opened = pa.BufferReader(source) if isinstance(source, bytes) else source
        return pa.csv.read_csv(opened, read, parse, convert)

    try:
        return parsed()
    except pa.ArrowInvalid:
        read.use_threads = False  # only then does the message have the row
        with reading(path, "text"):
            return parsed()


def as_described(
    table: pa.Table, columns: Sequence[Column], path: Path, first_line: int | None = None
) -> pa.Table:
    """Give columns their described names and types, or tell the first value that does not fit."""
    arrays = [
        _as_kind(values.combine_chunks(), column, path, first_line)
        for values, column in zip(table.columns, columns, strict=True)
    ]
    return pa.table(arrays, names=[column.name for column in columns])


def _as_kind(values: pa.Array, column: Column, path: Path, first_line: int | None) -> pa.Array:
    """A column in its described type, or a DataError with the first place that does not fit."""
    must_be = MUST_BE[column.kind]
    odd = -1
    if column.role in REQUIRED_ROLES and values.null_count:
        odd = first_true(values.is_null())
    elif column.kind in WRITTEN and is_text(values.type):
        odd = first_true(pc.invert(pc.match_substring_regex(values, WRITTEN[column.kind])))
    if odd >= 0:
        raise wrong_value(path, place(odd, first_line), column.name, must_be, values[odd].as_py())
    try:
        typed = values.cast(TYPES[column.kind])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{str(path)!r}: column {column.name!r} must hold {must_be} in each row: {error}"
        ) from error
    if column.allowed:
        odd = first_true(pc.invert(pc.is_in(typed, pa.array(column.allowed, typed.type))))
        if odd >= 0:
            must_be = "one of " + ", ".join(f"{each:g}" for each in column.allowed)
            got = typed[odd].as_py()
            raise wrong_value(path, place(odd, first_line), column.name, must_be, got)
    return typed


def place(position: int, first_line: int | None) -> str:
    """Where a value stands: its line in a text file, else its row from 0."""
    return f"row {position}" if first_line is None else f"line {first_line + position}"


def wrong_value(path: Path, where: str, column: str, must_be: str, got: object) -> DataError:
    """An error about one value of a file."""
    return DataError(invalid(f"{str(path)!r}, {where}", column, must_be, got))


def read_lists(path: Path, key: Column, items: Column) -> pa.Table:
    """Lines of a key and then the items of its list, with blanks between: ``1 31 7 12``."""
    with reading(path, "text"), pa.input_stream(path, compression="detect") as stream:
        lines = pc.split_pattern(pa.array([stream.read().decode()]), "\n").flatten()
    lines = pc.utf8_rtrim_whitespace(lines)
    if len(lines) and lines[-1].as_py() == "":
        lines = lines[:-1]
    odd = first_true(pc.invert(pc.match_substring_regex(lines, r"^\d+([ \t]+\d+)+$")))
    if odd >= 0 or not len(lines):
        got = lines[odd].as_py() if len(lines) else "an empty file"
        must_be = "a key and the integers of its list, with blanks between"
        raise wrong_value(path, place(max(odd, 0), 1), items.name, must_be, got)
    fields = pc.split_pattern_regex(lines, r"[ \t]+")
    numbers = fields.flatten().cast(pa.int64())
    starts = fields.offsets.to_numpy()
    is_item = np.ones(len(numbers), dtype=bool)
    is_item[starts[:-1]] = False
    ends = pa.array(starts - np.arange(len(starts)), pa.int32())
    lists = pa.ListArray.from_arrays(ends, numbers.filter(pa.array(is_item)))
    return pa.table([numbers.filter(pa.array(~is_item)), lists], names=[key.name, items.name])


def read_json_lines(path: Path, columns: Sequence[Column]) -> pa.Table:
    """One JSON object a line, of which the described fields are read."""
    fields = {
        next(iter(column.also), column.name): (column, TYPES[column.kind]) for column in columns
    }
    schema = pa.schema([(name, data_type) for name, (_, data_type) in fields.items()])
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    with reading(path, "JSON lines"), pa.input_stream(path, compression="detect") as stream:
        table = pa.json.read_json(stream, pa.json.ReadOptions(block_size=16 << 20), parse)
    found = [column for column, _ in fields.values()]
    return as_described(table.select(list(fields)), found, path, 1)
