"""Reading CSV files, with types that hold for every row of every file.

CSV has no types. Fields are read as text, and a column takes the narrowest type that holds all its
values in all files: integer, real number, true/false, otherwise text. So a real number or a word in
the last row changes the type of the whole column, instead of breaking the read or being lost.
Arrow's CSV reader splits the lines: it is as fast as Polars', reads ``.gz``, and can stream.

An empty field is missing. The words in ``MISSING`` are missing in columns of numbers only: in a
column of text, ``NA`` may be a country.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from nextrec.data.files import Job, Source, Unit, reading, require_columns
from nextrec.errors import DataError

MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None", "\\N")
BLOCK_BYTES = 4 << 20
"""Text parsed at a time, and the longest line that can be read."""


class CsvFiles(Source):
    """CSV files with a header line as one table."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self._scanned: dict[tuple[str, ...], tuple[list[pa.DataType], list[int]]] = {}

    def names(self) -> list[str]:
        """Column names of the first file."""
        return _header(self.paths[0])

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file; found in the pass that also learns the types of ``columns``."""
        return self._learn(columns)[1]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""
        tables = []
        for path in self.paths:
            options = _options(path, columns)
            with reading(path, "csv"):
                tables.append(pa.csv.read_csv(path, **options))
        table = pa.concat_tables(tables)
        with ThreadPoolExecutor(pa.cpu_count()) as pool:  # Arrow's kernels release the lock
            narrowed = pool.map(narrow, [table.column(name) for name in columns])
            return pa.table(list(narrowed), names=list(columns))

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``, after one pass that learns the types."""
        types, _ = self._learn(columns)
        for number in range(len(self.paths)) if files is None else files:
            for batch in _text_batches(self.paths[number], columns):
                arrays = [cast_text(*pair) for pair in zip(batch.columns, types, strict=True)]
                typed = pa.RecordBatch.from_arrays(arrays, names=list(columns))
                for start in range(0, typed.num_rows, batch_rows):
                    yield typed.slice(start, batch_rows)

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """One a file."""
        counts = self.counts(columns)
        firsts = accumulate([0, *counts])
        return [
            Unit(number, 0, rows, first_row, number)
            for number, (rows, first_row) in enumerate(zip(counts, firsts, strict=False))
        ]

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Jobs that read one file each."""
        for unit in self.units(columns, text) if units is None else units:
            yield unit, partial(self._read_unit, unit, list(columns))

    def _read_unit(self, unit: Unit, columns: list[str]) -> pa.Table:
        return pa.Table.from_batches(self.scan(columns, unit.rows, [unit.file]))

    def _learn(self, columns: Sequence[str]) -> tuple[list[pa.DataType], list[int]]:
        key = tuple(columns)
        if key not in self._scanned:
            types: list[pa.DataType] = [pa.null()] * len(key)
            counts = []
            for path in self.paths:
                count = 0
                for batch in _text_batches(path, columns):
                    count += batch.num_rows
                    found = [narrow_piece(text).type for text in batch.columns]
                    types = [wider(*pair) for pair in zip(types, found, strict=True)]
                counts.append(count)
            self._scanned[key] = types, counts
        return self._scanned[key]


def _header(path: Path) -> list[str]:
    # utf-8-sig: a byte order mark is no part of the first name.
    with reading(path, "csv"), pa.input_stream(path, compression="detect") as stream:
        names = next(csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline="")), None)
    if names is None:
        raise DataError(f"{str(path)!r} can't be read as csv: it is empty, without a header line.")
    return names


def _layout() -> dict[str, object]:
    return {
        "read_options": pa.csv.ReadOptions(block_size=BLOCK_BYTES),
        # A quoted text may hold several lines.
        "parse_options": pa.csv.ParseOptions(newlines_in_values=True),
    }


def _options(path: Path, columns: Sequence[str]) -> dict[str, object]:
    require_columns(columns, _header(path), repr(str(path)))
    convert = pa.csv.ConvertOptions(
        include_columns=list(columns),
        column_types={name: pa.string() for name in columns},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return {**_layout(), "convert_options": convert}


def _text_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    options = _options(path, columns)
    with reading(path, "csv"), pa.csv.open_csv(path, **options) as reader:
        yield from reader


def narrow(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cast a text column to the narrowest type that holds all its values."""
    pieces = [narrow_piece(chunk) for chunk in text.chunks]
    found = pa.null()
    for piece in pieces:
        found = wider(found, piece.type)
    pairs = zip(pieces, text.chunks, strict=True)
    fitting = [each if each.type == found else cast_text(chunk, found) for each, chunk in pairs]
    return pa.chunked_array(fitting, type=found)


def narrow_piece(text: pa.Array) -> pa.Array:
    """Cast a piece of a text column to the narrowest type that holds its values.

    >>> narrow_piece(pa.array(["1", "2.5", "NA"])).type
    DataType(double)
    """
    numbers = _as_numbers(text)
    if numbers is None:
        cleaned = _without_missing(text)
        numbers = _as_numbers(cleaned)
    if numbers is not None:
        return pa.nulls(len(text)) if numbers.null_count == len(text) else numbers
    flags = _as_flags(cleaned)
    return text if flags is None else flags


def _as_numbers(text: pa.Array) -> pa.Array | None:
    """The text as integers or else reals without NaN; None when it is neither."""
    integers = _try_cast(text, pa.int64())
    if integers is not None:
        # Arrow reads 0x1f as 31; whoever writes that means a name.
        return None if pc.any(pc.starts_with(text, "0x")).as_py() else integers
    reals = _try_cast(text, pa.float64())
    if reals is None or pc.any(pc.is_nan(reals)).as_py() or _has_long_integer(text, reals):
        return None
    return reals


def _has_long_integer(text: pa.Array, reals: pa.Array) -> bool:
    """Whether a value is an integer that int64 can't hold: a name, which a float would blur."""
    largest = pc.max(pc.abs(reals)).as_py()
    if largest is None or largest < 2**63:
        return False
    integers = text.filter(pc.match_substring_regex(text, r"^-?\d+$"))
    return _try_cast(integers, pa.int64()) is None


def _as_flags(text: pa.Array) -> pa.Array | None:
    words = pa.array(["true", "false"])
    for part in (text[:32], text):
        lowered = pc.utf8_lower(part)
        if pc.any(pc.invert(pc.is_in(lowered.drop_null(), words))).as_py():
            return None
    return pc.equal(lowered, "true")


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both.

    >>> wider(pa.int64(), pa.float64()), wider(pa.int64(), pa.string())
    (DataType(double), DataType(string))
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.string()


def cast_text(text: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast text to a type that is wide enough for it."""
    if pa.types.is_string(to):
        return text
    if pa.types.is_null(to):
        return pa.nulls(len(text))
    quick = _try_cast(text, to)
    if quick is None or (pa.types.is_floating(to) and pc.any(pc.is_nan(quick)).as_py()):
        return _without_missing(text).cast(to)
    return quick


def _try_cast(text: pa.Array, to: pa.DataType) -> pa.Array | None:
    try:
        text[:32].cast(to)  # a failing cast describes every row that failed, which is slow
        return text.cast(to)
    except pa.ArrowInvalid:
        return None


def _without_missing(text: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(MISSING)), pa.scalar(None, text.type), text)
