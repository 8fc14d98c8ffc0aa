"""The bytes of a CSV file: its header line, and reading on from a position."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from nextrec.data.csv_blocks import Place, count_lines, line_end, outside

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Head:
    """What stands before the rows of a file."""

    names: tuple[str, ...]
    start: int
    """Position where the rows begin."""
    line: int
    """Number of the line they begin with, from 1."""


class Forward:
    """Reads a stream in order, from one place to a later one."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self.stream = stream
        self.position = 0

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end; decompressors give less at a time."""
        parts = []
        while size and (part := self.stream.read(size)):
            parts.append(part)
            size -= len(part)
            self.position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip_to(self, position: int) -> None:
        """Read up to a position and forget it."""
        while self.position < position and self.read(min(position - self.position, 1 << 20)):
            pass

    def take(self, place: Place) -> bytes:
        """The bytes of a place that lies behind those read before."""
        assert self.position <= place.start, "units of a compressed file must be read in order"
        self.skip_to(place.start)
        return self.read(place.size)


def read_head(
    stream: pa.NativeFile, delimiter: str, column_names: Sequence[str] | None = None
) -> Head:
    """Find names and rows; with ``column_names`` the file has no header line.

    Raises:
        EOFError: there is no header line.
        UnicodeError: it is not UTF-8.
    """
    source = Forward(stream)
    text = source.read(HEAD_BYTES)
    mark = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    if column_names is not None:
        return Head(tuple(column_names), mark, 1)
    text = text[mark:]
    while True:
        starts, ends, _ = outside(text, delimiter)
        behind = line_end(text, int(ends[0])) if len(ends) else len(text)
        if behind < len(text):
            break
        more = source.read(max(len(text), HEAD_BYTES))
        if not more:
            break
        text += more
    if not len(starts):
        raise EOFError("it is empty, without a header line.")
    header = io.StringIO(text[starts[0] : ends[0]].decode(), newline="")
    names = next(csv.reader(header, delimiter=delimiter))
    return Head(tuple(names), mark + behind, 1 + count_lines(text[:behind]))
