"""Delimited text of any size: read in pieces, counted without parsing, or handed to training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from nextrec.data.csv_files import CsvFiles
from nextrec.data.datasets.describe import Column
from nextrec.data.datasets.readers import as_described
from nextrec.data.files import Source, reading
from nextrec.errors import ConfigError, DataError, invalid

BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class TextFiles:
    """Files with the same columns, whose rows are read when they are asked for."""

    paths: tuple[Path, ...]
    columns: tuple[Column, ...]
    """In the order of the file."""
    delimiter: str
    header: bool
    derive: Callable[[pd.DataFrame], pd.DataFrame] | None = field(default=None, compare=False)
    """Adds to a frame what is made from its columns."""

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    @property
    def text_columns(self) -> list[str]:
        """Columns whose values are names even where they look like numbers."""
        return [column.name for column in self.columns if column.kind == "text"]

    def source(self) -> Source:
        """The files as a source, for streaming: what ``fit`` and the processor take as data."""
        names = None if self.header else self.names
        return CsvFiles(self.paths, delimiter=self.delimiter, column_names=names)

    def read(self, rows: int | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The first rows, or all, as a frame.

        Args:
            rows: how many; ``None``: all.
            columns: names of those to read; ``None``: all, and what is derived from them.

        Raises:
            ConfigError: ``rows`` is below 0.
            DataError: a line has too few or too many fields, or a value does not fit its column.
        """
        if rows is not None and rows < 0:
            raise ConfigError(invalid("read", "rows", "an integer of at least 0, or None", rows))
        tables = []
        left = rows
        for path in self.paths:
            table = self._read_file(path, left)
            tables.append(table)
            left = None if left is None else left - table.num_rows
            if left == 0:
                break
        frame = pa.concat_tables(tables).to_pandas()
        if self.derive is not None:
            frame = self.derive(frame)
        return frame if columns is None else frame[list(columns)]

    def _read_file(self, path: Path, rows: int | None) -> pa.Table:
        names = self.names
        read = pa.csv.ReadOptions(
            column_names=names,
            skip_rows=int(self.header),
            block_size=BLOCK_BYTES,
            use_threads=False,
        )
        parse = pa.csv.ParseOptions(delimiter=self.delimiter, quote_char=False)
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        )
        batches, count = [], 0
        with reading(path, "text"), pa.csv.open_csv(path, read, parse, convert) as reader:
            for batch in reader:
                batches.append(batch)
                count += batch.num_rows
                if rows is not None and count >= rows:
                    break
            schema = reader.schema
        table = pa.Table.from_batches(batches, schema)
        table = table if rows is None else table.slice(0, rows)
        return as_described(table, self.columns, path, 1 + int(self.header))

    def count_rows(self) -> int:
        """Rows of all files, from their line ends."""
        return sum(count_lines(path) - int(self.header) for path in self.paths)

    @property
    def size(self) -> int:
        """Bytes of all files as they are stored."""
        return sum(path.stat().st_size for path in self.paths)

    def look(self) -> None:
        """Read the start of every file, so that one of another layout is refused at once."""
        for path in self.paths:
            if self._read_file(path, 100).num_rows == 0:
                raise DataError(f"{str(path)!r} holds no rows.")


def count_lines(path: Path) -> int:
    """Lines of a text file, compressed or not; a last line needs no end."""
    ends, last = 0, b"\n"
    with reading(path, "text"), pa.input_stream(path, compression="detect") as stream:
        while block := stream.read(BLOCK_BYTES):
            ends += block.count(b"\n")
            last = block[-1:]
    return ends + (last != b"\n")


def first_line(path: Path) -> str:
    """The first line of a text file, compressed or not."""
    with reading(path, "text"), pa.input_stream(path, compression="detect") as stream:
        start = stream.read(1 << 16)
        return start.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8-sig")
