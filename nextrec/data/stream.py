"""Loading from files that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import IterableDataset, get_worker_info

from nextrec.data.batch import Batch, Schema
from nextrec.data.loaders import EpochLoader
from nextrec.data.sources import ArrowSource, exact_chunks, open_source
from nextrec.data.store import prepare, require_fitted
from nextrec.errors import ConfigError, DataError, invalid


class ChunkStream(IterableDataset[Batch]):
    """Chunks of exactly ``chunk_size`` rows of a table that need not fit in memory.

    Chunks end with their file. In worker processes of a torch ``DataLoader`` every chunk goes to
    one worker, and the chunks are the same for any number of workers.

    Args:
        data: what :func:`~nextrec.data.sources.read_table_of` reads.
        schema: which columns become what.
        processor: fitted object that transforms each chunk, see
            :func:`~nextrec.data.store.prepare`.
    """

    def __init__(
        self, data: Any, schema: Schema, chunk_size: int = 10000, processor: Any = None
    ) -> None:
        require_fitted(processor)
        if not isinstance(chunk_size, (int, np.integer)) or chunk_size < 1:
            raise ConfigError(invalid("stream", "chunk_size", "a positive integer", chunk_size))
        self.source = open_source(data)
        self.schema = schema
        self.chunk_size = int(chunk_size)
        self.processor = processor
        names = self.source.names()
        self.columns = names if processor is not None else schema.columns(names)
        self.counts = self.source.counts(self.columns)
        self.rows = sum(self.counts)
        if not self.rows:
            raise DataError("the data is empty: it has no rows.")

    def chunks(self, random: np.random.Generator | None = None) -> Iterator[Batch]:
        """The chunks, file by file, the files in random order when ``random`` is given."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        first_rows = np.cumsum([0, *self.counts])
        files = range(len(self.counts))
        place = 0
        for file in files if random is None else random.permutation(len(files)):
            row = int(first_rows[file])
            batches = self.source.scan(self.columns, self.chunk_size, [file])
            for table in exact_chunks(batches, self.chunk_size):
                if place % workers == number:
                    yield self._prepared(table, row)
                row += table.num_rows
                place += 1

    def _prepared(self, table: pa.Table, row: int) -> Batch:
        chunk = prepare(ArrowSource(table), self.schema, self.processor, row)
        if len(chunk) != table.num_rows:
            raise DataError(
                f"the processor returned {len(chunk)} rows for the {table.num_rows} from row "
                f"{row} on; a stream's processor must keep the rows."
            )
        return chunk

    def __iter__(self) -> Iterator[Batch]:
        return self.chunks()


class StreamLoader(EpochLoader):
    """Batches of exact size from files that are read while the batches are used.

    Chunks of ``chunk_size`` rows are read, checked and packed; batches are cut from them, and what
    is left of one chunk begins the next batch. With ``shuffle`` the files come in a new order each
    epoch, and rows are shuffled within a buffer of at least ``max(chunk_size, batch_size)`` rows.
    About two buffers are in memory at a time. Row numbers in errors count through all files.

    Rows are counted when the loader is made: from the footers of Parquet files, and in the one
    pass over CSV files that learns their types.

    Args:
        stream: the chunks.
        batch_size: rows of a batch; the last one may be smaller.
        shuffle, seed, drop_last: as for :class:`BatchLoader`.
    """

    def __init__(
        self,
        stream: ChunkStream,
        batch_size: int = 32,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
    ) -> None:
        super().__init__(stream, batch_size, shuffle, seed, drop_last)
        self.stream = stream
        if not len(self):
            raise ConfigError(
                f"StreamLoader: drop_last leaves no batch of {batch_size} in {stream.rows} row(s)."
            )

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return self.stream.rows

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches of the current epoch from number ``start`` on; those before are read too."""
        return islice(self._all_batches(), start, None)

    def _all_batches(self) -> Iterator[Batch]:
        random = self.random() if self.shuffle else None
        least = max(self.stream.chunk_size, self.size)
        waiting: list[Batch] = []
        for chunk in self.stream.chunks(random):
            waiting.append(chunk)
            if sum(map(len, waiting)) >= least:
                pool = _pooled(waiting, random)
                whole = len(pool) // self.size * self.size
                yield from self._cut(pool, whole)
                waiting = [pool.slice(whole, len(pool))] if whole < len(pool) else []
        if waiting:
            pool = _pooled(waiting, random)
            whole = len(pool) // self.size * self.size
            yield from self._cut(pool, whole if self.drop_last else len(pool))

    def _cut(self, pool: Batch, stop: int) -> Iterator[Batch]:
        for start in range(0, stop, self.size):
            yield pool.slice(start, min(start + self.size, stop))

    def __len__(self) -> int:
        return self.rows // self.size if self.drop_last else -(-self.rows // self.size)


def _pooled(pieces: list[Batch], random: np.random.Generator | None) -> Batch:
    """The rows of all pieces, shuffled when ``random`` is given."""
    pool = pieces[0] if len(pieces) == 1 else Batch.concat(pieces)
    return pool if random is None else pool.take(random.permutation(len(pool)))
