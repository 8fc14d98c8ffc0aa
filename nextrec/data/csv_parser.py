"""One block of CSV text -> Arrow columns, and what is wrong with the lines that can't be.

Arrow splits the lines and converts. Where it refuses, the lines are looked at one by one, to say
which are bad, and why, or to leave them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from nextrec.data.csv_blocks import count_lines, line_end, outside, quoted
from nextrec.data.csv_odd import odd_fields
from nextrec.data.csv_types import cast_text, casts, narrow_piece

SHOWN = 80
"""Characters of a bad line that an error shows."""


@dataclass(frozen=True)
class BadLine:
    """A line that is no row of the table."""

    start: int
    """Position of its first byte in the block."""
    end: int
    line: int
    """Number of its first line in the file, from 1."""
    reason: str

    def describe(self, text: bytes) -> str:
        """Number, reason and text of the line."""
        shown = text[self.start : self.end].decode(errors="backslashreplace")
        shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
        return f"line {self.line}: {self.reason}: {shown!r}"


@dataclass
class Parser:
    """Reads blocks of the files that have the same fields.

    Numbers are converted while the lines are split, which is fastest; columns that turn out to
    have words for missing values, which Arrow would not convert, go by way of text.
    """

    names: tuple[str, ...]
    """Of all fields of a line."""
    delimiter: str
    worded: set[str] = field(default_factory=set)
    """Columns of numbers that have such words."""

    def typed(self, block: bytes, types: Mapping[str, pa.DataType]) -> list[pa.Array]:
        """Columns in types that are wide enough for them."""
        arrays = self._directly(block, types, set())  # the types were found with all odd fields
        return [
            array if array.type == to else cast_text(array, to)
            for array, to in zip(arrays, types.values(), strict=True)
        ]

    def narrowed(self, block: bytes, guesses: Mapping[str, pa.DataType]) -> list[pa.Array]:
        """Columns in the narrowest types, or in those guessed where these are wider.

        Args:
            guesses: the types found in other blocks; null: none yet. Text stays text.
        """
        places = odd_fields(block, self.delimiter, len(self.names))
        odd = {self.names[place] for place in places}
        arrays = self._directly(block, guesses, odd)
        # What reals may have made of long integers is looked up in the text.
        blurred = {
            name: pa.string()
            for name, array in zip(guesses, arrays, strict=True)
            if pa.types.is_floating(array.type) and _is_large(array)
        }
        if blurred:
            again = dict(zip(blurred, self._convert(block, blurred), strict=True))
            arrays = [again.get(name, array) for name, array in zip(guesses, arrays, strict=True)]
        return [
            narrow_piece(array) if pa.types.is_string(array.type) and array.type != guess else array
            for array, guess in zip(arrays, guesses.values(), strict=True)
        ]

    def _directly(
        self, block: bytes, types: Mapping[str, pa.DataType], odd: set[str]
    ) -> list[pa.Array]:
        """Columns as numbers where the types say so and it is possible, otherwise as text.

        Args:
            odd: columns that must be read as text, for Arrow would take names for numbers.
        """
        wanted = {
            name: to if _is_number(to) and name not in self.worded | odd else pa.string()
            for name, to in types.items()
        }
        try:
            arrays = self._convert(block, wanted)
        except pa.ArrowInvalid:
            if not any(map(_is_number, wanted.values())):
                raise
        else:
            if not any(map(_has_nan, arrays)):
                return arrays
        arrays = self._convert(block, dict.fromkeys(types, pa.string()))
        for array, (name, to) in zip(arrays, wanted.items(), strict=True):
            if _is_number(to) and not casts(array, to):
                self.worded.add(name)
        return arrays

    def _convert(self, block: bytes, types: Mapping[str, pa.DataType]) -> list[pa.Array]:
        if not block.strip(b"\r\n"):
            return [pa.array([], each) for each in types.values()]
        if not block.endswith((b"\n", b"\r")):
            block += b"\n"  # Arrow takes a last empty field behind a quoted one for quoted, too
        table = pa.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=list(self.names)
            ),
            pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(
                include_columns=list(types),
                column_types=dict(types),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        # The block is parsed as one, so a column has one chunk, or none without rows.
        columns = zip(table.columns, types.values(), strict=True)
        return [each.chunk(0) if each.num_chunks else pa.array([], to) for each, to in columns]

    def bad_lines(
        self, block: bytes, line: int, columns: Sequence[str], unclosed: bool
    ) -> list[BadLine]:
        """What is wrong with the lines of a block that begins with the numbered line.

        Bytes that are not UTF-8 are wrong in the named columns only: others are not read.
        """
        starts, ends, delimiters = outside(block, self.delimiter)
        expected = len(self.names)
        reasons = {
            int(row): f"{delimiters[row] + 1} field(s) instead of {expected}"
            for row in np.flatnonzero(delimiters + 1 != expected)
        }
        places = {self.names.index(name) for name in columns}
        for row in _undecodable(block, ends):
            if row not in reasons and self._spoiled(block[starts[row] : ends[row]], places):
                reasons[row] = "it is not UTF-8"
        if unclosed:
            reasons[len(starts) - 1] = "its quote is never closed"
        return [
            BadLine(int(starts[row]), int(ends[row]), line + count_lines(block[: starts[row]]), why)
            for row, why in sorted(reasons.items())
        ]

    def _spoiled(self, row: bytes, places: set[int]) -> bool:
        """Whether one of the numbered fields of a line is not UTF-8."""
        opens, closes = quoted(row, self.delimiter)
        content = np.frombuffer(row, np.uint8)
        signs = np.flatnonzero(content == ord(self.delimiter))
        if len(opens):
            field = np.searchsorted(opens, signs) - 1
            signs = signs[(field < 0) | (signs > closes[field])]
        bounds = [-1, *signs.tolist(), len(row)]
        fields = (row[bounds[n] + 1 : bounds[n + 1]] for n in sorted(places))
        return not all(_is_utf8(field) for field in fields)


def _is_number(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type))


def _has_nan(array: pa.Array) -> bool:
    """Whether reals have NaN, which is a word for a missing value."""
    return pa.types.is_floating(array.type) and bool(pc.any(pc.is_nan(array)).as_py())


def _is_large(reals: pa.Array) -> bool:
    """Whether reals are so large that they don't hold every integer."""
    bounds = pc.min_max(reals).as_py()
    return bounds["min"] is not None and max(-bounds["min"], bounds["max"]) >= 2**53


def _undecodable(block: bytes, ends: np.ndarray) -> list[int]:
    """Numbers of the lines that are not UTF-8."""
    if block.isascii() or _is_utf8(block):
        return []
    beyond = np.flatnonzero(np.frombuffer(block, np.uint8) >= 128)
    rows = np.unique(np.searchsorted(ends, beyond, side="right"))
    lines = np.append(0, ends)
    return [int(row) for row in rows if not _is_utf8(block[lines[row] : lines[row + 1]])]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def without(block: bytes, bad: Sequence[BadLine]) -> bytes:
    """The block without its bad lines."""
    kept = []
    position = 0
    for each in bad:
        kept.append(block[position : each.start])
        position = line_end(block, each.end)
    return b"".join([*kept, block[position:]])
