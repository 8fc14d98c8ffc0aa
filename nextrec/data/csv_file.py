"""One CSV file: where its rows begin, its blocks of lines, and what is in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from nextrec.data import csv_blocks
from nextrec.data.csv_blocks import Place
from nextrec.data.csv_parser import BadLine, Parser, without
from nextrec.data.csv_stream import Forward, Head, read_head
from nextrec.data.files import OnBad, Unchanged, reading
from nextrec.data.locations import Location, is_compressed, open_input, open_stream
from nextrec.errors import DataError


class CsvFile:
    """A CSV file whose blocks can be parsed on any thread."""

    def __init__(
        self,
        path: Location,
        on_bad: OnBad,
        delimiter: str | None,
        column_names: Sequence[str] | None,
    ) -> None:
        self.path = path
        self.on_bad = on_bad
        tabs = ".tsv" in path.name.lower()
        self.delimiter = delimiter if delimiter is not None else "\t" if tabs else ","
        self.column_names = column_names
        self.compressed = is_compressed(path)
        self._unchanged = Unchanged(path)

    @cached_property
    def head(self) -> Head:
        """Names of the fields, and where the rows begin."""
        self.check()
        with reading(self.path, "csv"), open_stream(self.path) as stream:
            return read_head(stream, self.delimiter, self.column_names)

    @cached_property
    def parser(self) -> Parser:
        """Reads a block."""
        return Parser(self.head.names, self.delimiter)

    def check(self) -> None:
        """Raise a DataError when the file is gone or was replaced since it was first looked at."""
        with reading(self.path, "csv"):
            self._unchanged.check()

    def blocks(self, size: int) -> Iterator[tuple[Place, bytes]]:
        """All rows in blocks of about ``size`` bytes."""
        head = self.head
        self.check()
        with reading(self.path, "csv"), open_stream(self.path) as stream:
            rest = Forward(stream)
            rest.skip_to(head.start)
            yield from csv_blocks.blocks(rest.read, head.start, head.line, self.delimiter, size)

    def block_at(self, place: Place) -> bytes:
        """One block of a file that is not compressed."""
        self.check()
        with reading(self.path, "csv"), open_input(self.path) as file:
            file.seek(place.start)
            return file.read(place.size)

    def parse(
        self,
        place: Place,
        block: bytes,
        columns: Sequence[str],
        read: Callable[[bytes], list[pa.Array]],
    ) -> tuple[list[pa.Array], list[BadLine]]:
        """What ``read`` makes of a block; bad lines are an error, or are left out and returned.

        Args:
            columns: those that ``read`` reads.
        """
        with reading(self.path, "csv", f"from line {place.line} on"):
            try:
                if not place.unclosed:
                    return read(block), []
                raise pa.ArrowInvalid("a quote is never closed")  # Arrow would close it itself
            except pa.ArrowInvalid:
                bad = self.parser.bad_lines(block, place.line, columns, place.unclosed)
                if not bad:
                    raise
            if self.on_bad == "error":
                problem = bad[0].describe(block)
                raise DataError(f"{str(self.path)!r} can't be read as csv: {problem}.")
            return read(without(block, bad)), bad
