"""CSV files as one table, with types that hold for every row of every file.

Files are cut into blocks of lines, which are parsed on several threads. The first pass over them
learns the types of the columns that will be read (see ``csv_types.py``), counts the rows of each
block and finds bad lines; later passes read any block by itself. A compressed file has no such
places: it is decompressed in order, and its blocks are parsed on threads all the same.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from nextrec.data import csv_blocks
from nextrec.data.csv_blocks import Place
from nextrec.data.csv_file import CsvFile
from nextrec.data.csv_parser import BadLine
from nextrec.data.csv_stream import Forward
from nextrec.data.csv_types import kind, narrow, narrow_piece, settled, wider
from nextrec.data.files import THREADS, Job, OnBad, Source, Unit, reading, require_columns
from nextrec.data.locations import Location, locate, open_stream
from nextrec.data.prefetch import in_order
from nextrec.errors import DataError

__all__ = ["CsvFiles", "narrow", "narrow_piece", "wider"]

BLOCK_BYTES = 4 << 20
"""Text parsed at a time; a line may be ``csv_blocks.LONGEST`` times as long."""

SAMPLE_BYTES = 1 << 16

log = logging.getLogger("nextrec")


@dataclass
class _Learned:
    """What the first pass over the files found."""

    types: dict[str, pa.DataType]
    places: list[list[Place]]
    """The blocks of each file."""
    rows: list[list[int]]
    """The rows of each block."""


class CsvFiles(Source):
    """CSV files as one table.

    Blank lines are no rows. An empty field is missing, an empty field in quotes is empty text.

    Args:
        paths: the files; each may have the columns in its own order.
        on_bad: what happens at a line with a wrong number of fields, with bytes that are not UTF-8
            in a column that is read, or with a quote that is never closed: ``"error"``, or
            ``"skip"`` to leave the line out.
        delimiter: between fields; ``None``: a tab in ``.tsv`` files, otherwise a comma.
        column_names: for files without a header line.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str] | Location],
        on_bad: OnBad = "error",
        delimiter: str | None = None,
        column_names: Sequence[str] | None = None,
    ) -> None:
        self.paths = [locate(path) for path in paths]
        self.files = [CsvFile(path, on_bad, delimiter, column_names) for path in self.paths]
        self.on_bad = on_bad
        self.skipped: dict[str, int] = {}
        """Lines that the last first pass left out, by file."""
        self._learned: dict[tuple[tuple[str, ...], frozenset[str]], _Learned] = {}

    def names(self) -> list[str]:
        """Column names: those given, or of the first file's header."""
        return list(self.files[0].head.names)

    def counts(self, columns: Sequence[str]) -> list[int]:
        """Rows of each file; found in the pass that also learns the types of ``columns``."""
        return [sum(rows) for rows in self._learn(columns, ()).rows]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of the named columns."""
        pieces: list[dict[str, pa.Array]] = []
        types = self._learn(columns, (), pieces).types
        whole = pa.schema(types).empty_table()
        if pieces and all(_widens(piece[name].type, types[name])
                          for piece in pieces for name in types):  # fmt: skip
            arrays = {
                name: pa.chunked_array([piece[name].cast(to, safe=False) for piece in pieces], to)
                for name, to in types.items()
            }
            return pa.table(arrays).select(list(columns))
        # Learned before, or text in a column that looked like numbers at first.
        tables = in_order((job for _, job in self.jobs(columns)), THREADS, 2 * THREADS)
        return pa.concat_tables([whole, *tables])

    def scan(
        self, columns: Sequence[str], batch_rows: int, files: Iterable[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most ``batch_rows``, after one pass that learns the types."""
        units = self.units(columns)
        if files is not None:
            by_file: dict[int, list[Unit]] = {}
            for unit in units:
                by_file.setdefault(unit.file, []).append(unit)
            units = [unit for number in files for unit in by_file.get(number, [])]
        jobs = (job for _, job in self.jobs(columns, units))
        for table in in_order(jobs, THREADS, 2 * THREADS):
            yield from table.to_batches(max_chunksize=batch_rows)

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        """Blocks of lines; those of a compressed file are one group."""
        learned = self._learn(columns, text)
        units: list[Unit] = []
        first_row = 0
        for number, file in enumerate(self.files):
            first_unit = len(units)
            for place, rows in enumerate(learned.rows[number]):
                if rows:
                    group = first_unit if file.compressed else len(units)
                    units.append(Unit(number, place, rows, first_row, group))
                    first_row += rows
        return units

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        """Jobs that parse one block each; those of plain files also read it."""
        learned = self._learn(columns, text)
        with ExitStack() as stack:
            streams: dict[int, Forward] = {}
            for unit in self.units(columns, text) if units is None else units:
                file, place = self.files[unit.file], learned.places[unit.file][unit.place]
                block = None
                if file.compressed:
                    with reading(file.path, "csv"):
                        if unit.file not in streams:
                            file.check()
                            stream = stack.enter_context(open_stream(file.path))
                            streams[unit.file] = Forward(stream)
                        block = streams[unit.file].take(place)
                yield unit, partial(self._read_unit, unit, place, block, columns, learned.types)

    def _read_unit(
        self,
        unit: Unit,
        place: Place,
        block: bytes | None,
        columns: Sequence[str],
        types: dict[str, pa.DataType],
    ) -> pa.Table:
        file = self.files[unit.file]
        block = file.block_at(place) if block is None else block
        arrays, _ = file.parse(place, block, columns, partial(file.parser.typed, types=types))
        if len(arrays[0]) != unit.rows:
            raise DataError(
                f"{str(file.path)!r} changed while it was being read: the block from line "
                f"{place.line} on has {len(arrays[0])} row(s) now, and had {unit.rows}."
            )
        return pa.table(arrays, names=list(types)).select(list(columns))

    def _learn(
        self,
        columns: Sequence[str],
        text: Collection[str],
        pieces: list[dict[str, pa.Array]] | None = None,
    ) -> _Learned:
        """The types of columns, and the blocks; once for the same columns.

        Args:
            pieces: takes the columns of each block, unless they were learned before.
        """
        key = tuple(columns), frozenset(text)
        if key in self._learned:
            return self._learned[key]
        for file in self.files:
            require_columns(columns, file.head.names, repr(str(file.path)))
        types = {name: pa.string() if name in text else pa.null() for name in columns}
        learned = _Learned(types, [[] for _ in self.files], [[] for _ in self.files])
        bad: dict[int, list[BadLine]] = {}
        jobs = self._studies(types, read_all=pieces is not None or self.on_bad == "skip")
        for number, place, arrays, kinds, found in in_order(jobs, THREADS, 2 * THREADS):
            learned.places[number].append(place)
            learned.rows[number].append(len(next(iter(arrays.values()))))
            for name, each in kinds.items():
                types[name] = wider(types[name], each)
            if found:
                bad.setdefault(number, []).extend(found)
            if pieces is not None:
                pieces.append(arrays)
        self._report(bad)
        types.update({name: settled(to) for name, to in types.items()})
        self._learned[key] = learned
        return learned

    def _studies(
        self, types: dict[str, pa.DataType], read_all: bool
    ) -> Iterator[Callable[[], Any]]:
        """Jobs of the first pass, one a block.

        Args:
            types: those found so far. What is text already stays text, and is read no more.
            read_all: read it nevertheless.
        """
        for number, file in enumerate(self.files):
            for place, block in file.blocks(BLOCK_BYTES):
                if number == place.start - file.head.start == 0 and len(block) > SAMPLE_BYTES:
                    self._look_ahead(file, block, types)
                known = {name: settled(to) for name, to in types.items()}
                open_ = {n: to for n, to in known.items() if read_all or not pa.types.is_string(to)}
                guesses = open_ or dict(list(known.items())[:1])  # one counts the rows
                yield partial(self._study, number, place, block, guesses)

    @staticmethod
    def _look_ahead(file: CsvFile, block: bytes, types: dict[str, pa.DataType]) -> None:
        """Learn types from the first few rows: numbers are then read as such from the start."""
        sample = io.BytesIO(block[:SAMPLE_BYTES])
        place, rows = next(csv_blocks.blocks(sample.read, 0, 1, file.delimiter, SAMPLE_BYTES))
        if place.unclosed or not rows.endswith((b"\n", b"\r")):
            return  # no whole row
        try:
            arrays = file.parser.narrowed(rows, types)
        except pa.ArrowInvalid:
            return  # it will be reported with its block
        for name, array in zip(types, arrays, strict=True):
            types[name] = wider(types[name], kind(array))

    def _study(
        self, number: int, place: Place, block: bytes, guesses: dict[str, pa.DataType]
    ) -> tuple[int, Place, dict[str, pa.Array], dict[str, pa.DataType], list[BadLine]]:
        file = self.files[number]
        read = partial(file.parser.narrowed, guesses=guesses)
        arrays, bad = file.parse(place, block, list(guesses), read)
        by_name = dict(zip(guesses, arrays, strict=True))
        return number, place, by_name, {name: kind(each) for name, each in by_name.items()}, bad

    def _report(self, bad: dict[int, list[BadLine]]) -> None:
        found = {str(self.paths[number]): lines for number, lines in sorted(bad.items())}
        skipped = {path: len(lines) for path, lines in found.items()}
        if skipped and skipped != self.skipped:
            listed = ", ".join(
                f"{len(lines)} of {path!r} (the first: line {lines[0].line}, {lines[0].reason})"
                for path, lines in found.items()
            )
            log.warning("skipped %d bad line(s): %s", sum(skipped.values()), listed)
        self.skipped.clear()
        self.skipped.update(skipped)


def _widens(one: pa.DataType, to: pa.DataType) -> bool:
    """Whether values narrowed to one type are, cast to the other, what their text would be in it.

    What looks missing in a column of numbers may be a word of a column of text.
    """
    if one == to or pa.types.is_null(one):
        return bool(one == to or not pa.types.is_string(to))
    return bool(pa.types.is_integer(one) and pa.types.is_floating(to))
