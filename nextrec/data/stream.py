"""Loading from files that need not fit in memory.

A source is read in units (Parquet row groups, blocks of CSV lines, slices of a table). A thread
reads, transforms, checks and packs one unit while batches of others are used. Where every row of an
epoch lies is known beforehand from the units' sizes, so an epoch can be taken up at any batch, and
a rank reads its own part only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa
from torch.utils.data import IterableDataset, get_worker_info

from nextrec.data.batch import Batch, Schema
from nextrec.data.files import Job, Unit
from nextrec.data.loaders import EpochLoader, batch_bounds, is_whole, require_rank
from nextrec.data.prefetch import in_order
from nextrec.data.preparation import Preparation, default_threads
from nextrec.data.sources import open_source
from nextrec.data.stream_split import RowChoice
from nextrec.errors import ConfigError, DataError, invalid

AHEAD = 64
"""Units that are ever read ahead."""
HEAD_ROWS = 4096


@dataclass(frozen=True)
class Span:
    """Consecutive rows of one unit, of those that the stream chose."""

    unit: Unit
    start: int
    stop: int


class ChunkStream(IterableDataset[Batch]):
    """A table that need not fit in memory, as chunks of exactly ``chunk_size`` rows in order.

    In worker processes of a torch ``DataLoader`` every chunk goes to one worker; chunks and their
    order are the same for any number of workers. A worker reads only units that it has rows of.

    Args:
        data: what :func:`~nextrec.data.sources.read_table_of` reads.
        schema: which columns become what.
        processor: fitted object that transforms each piece, see
            :class:`~nextrec.data.preparation.Preparation`. It must keep the rows.
        rows: which rows; ``None``: all.

    Raises:
        DataError: there is no row, or columns are missing.
    """

    def __init__(
        self,
        data: Any,
        schema: Schema,
        chunk_size: int = 10000,
        processor: Any = None,
        *,
        rows: RowChoice | None = None,
    ) -> None:
        if not is_whole(chunk_size) or chunk_size < 1:
            raise ConfigError(invalid("stream", "chunk_size", "a positive integer", chunk_size))
        self.source = open_source(data)
        self.schema = schema
        self.chunk_size = int(chunk_size)
        self.preparation = Preparation(schema, self.source.names(), processor)
        self.choice = rows
        self.columns = list(
            dict.fromkeys([*self.preparation.columns, *(rows.columns if rows else ())])
        )
        self.units = self.source.units(self.columns, self.preparation.text)
        counts = [unit.rows for unit in self.units] if rows is None else rows.counts(self.units)
        self.counts = np.array(counts, dtype=np.int64)
        """Rows of each unit, of those that were chosen."""
        self.rows = int(self.counts.sum())
        if not self.rows:
            raise DataError("the data is empty: it has no rows.")

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        order = self.order()
        starts = range(number * self.chunk_size, self.rows, workers * self.chunk_size)
        chunks = [order.spans(start, start + self.chunk_size) for start in starts]
        pieces = self.pieces([span for spans in chunks for span in spans])
        for spans in chunks:
            yield _joined([next(pieces) for _ in spans])

    def order(self, random: np.random.Generator | None = None) -> UnitOrder:
        """The units in their order; with ``random`` their groups in a random one."""
        places = np.arange(len(self.units))
        if random is not None:
            groups = np.array([unit.group for unit in self.units])
            starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
            parts = np.split(places, starts[1:])
            places = np.concatenate([parts[each] for each in random.permutation(len(parts))])
        return UnitOrder([self.units[place] for place in places], self.counts[places])

    def pieces(
        self, spans: Sequence[Span], threads: int = 0, ahead: int = 1
    ) -> Generator[Batch, None, None]:
        """The rows of each span; neighbours in one unit are read together.

        Args:
            threads: how many prepare units at once; 0: the caller's own.
            ahead: units that may be prepared, or in preparation, beside the one in use.
        """
        by_unit = {unit: list(each) for unit, each in groupby(spans, lambda span: span.unit)}
        jobs = self.source.jobs(self.columns, list(by_unit), self.preparation.text)
        work = (partial(self._prepared, job, by_unit[unit]) for unit, job in jobs)
        units = cast("Generator[list[Batch], None, None]", in_order(work, threads, ahead))
        with closing(units):  # which stops the threads, also when the epoch is broken off
            for batches in units:
                yield from batches

    def _prepared(self, job: Job, spans: Sequence[Span]) -> list[Batch]:
        table = job()
        unit = spans[0].unit
        if table.num_rows != unit.rows:
            raise DataError(
                f"the data changed while it was read: {unit.rows} rows from row {unit.first_row} "
                f"on became {table.num_rows}."
            )
        return [self._batch(table, span) for span in spans]

    def _batch(self, table: pa.Table, span: Span) -> Batch:
        first = span.unit.first_row
        prepare = self.preparation.whole
        if self.choice is None:
            return prepare(table.slice(span.start, span.stop - span.start), first + span.start)
        chosen = np.flatnonzero(self.choice.mask(table, first))[span.start : span.stop]
        start, rows = int(chosen[0]), int(chosen[-1] - chosen[0]) + 1
        part = table.select(self.preparation.columns).slice(start, rows)
        # Rows between the chosen ones are checked too, so that errors can count them.
        return prepare(part, first + start).take(chosen - start)

    @cached_property
    def head(self) -> Batch:
        """A few of the first rows: shows early what does not fit."""
        return next(self.pieces(self.order().spans(0, HEAD_ROWS)[:1]))


class UnitOrder:
    """Units in the order in which an epoch reads them.

    Args:
        units: all of them.
        counts: rows of each that count.
    """

    def __init__(self, units: Sequence[Unit], counts: np.ndarray) -> None:
        self.units = units
        self.stops = np.cumsum(counts)
        """Where each unit's rows end among all."""
        self.starts = self.stops - counts

    def spans(self, start: int, stop: int) -> list[Span]:
        """Where the rows from ``start`` to ``stop`` of the order lie."""
        first = int(np.searchsorted(self.stops, start, side="right"))
        last = int(np.searchsorted(self.starts, stop, side="left"))
        begins = np.maximum(start, self.starts[first:last]) - self.starts[first:last]
        ends = np.minimum(stop, self.stops[first:last]) - self.starts[first:last]
        rows = zip(self.units[first:last], begins.tolist(), ends.tolist(), strict=True)
        return [Span(unit, begin, end) for unit, begin, end in rows if end > begin]


class StreamLoader(EpochLoader):
    """Batches of exact size from data that is read while the batches are used.

    The order of an epoch depends on seed and epoch only, not on threads or timing. With ``shuffle``
    groups of units come in a random order (a group is one unit, or a compressed file), and the rows
    of each buffer in a random one: buffer ``k`` holds rows ``k * buffer_rows`` to
    ``(k + 1) * buffer_rows`` of what this rank reads, and is permuted by a generator of its own. So
    :meth:`batches` takes up an epoch anywhere without reading what lies before the buffer.

    Memory: two buffers and ``ahead + 1`` units, whatever the size of the data; ``ahead`` units
    have about the rows of a buffer (of a batch, without ``shuffle``), or are one a thread and one.
    While a unit is prepared its columns are in memory beside the packed rows.

    With ``world_size`` ranks each reads an equal, contiguous part of the units' order (a unit may
    be cut between two); every rank has the same number of batches, and together they have every
    row once. Row numbers in errors count through all files.

    Args:
        stream: what is read.
        batch_size: rows of a batch on one rank; the last one may be smaller.
        shuffle, seed, drop_last: as for :class:`~nextrec.data.loaders.BatchLoader`.
        buffer_rows: rows that are shuffled together, rounded up to whole batches; default: the
            stream's ``chunk_size``. A buffer should hold several units: rows of one unit are near
            each other in many files.
        rank, world_size: this process's number, and how many there are.
        threads: how many prepare units; 0: the caller's own. Default: two, or the one there is.

    Raises:
        ConfigError: an argument is out of range, or no batch would be left.
    """

    def __init__(
        self,
        stream: ChunkStream,
        batch_size: int = 32,
        shuffle: bool = False,
        *,
        buffer_rows: int | None = None,
        seed: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        threads: int | None = None,
    ) -> None:
        super().__init__(stream, batch_size, shuffle, seed, drop_last)
        require_rank("StreamLoader", rank, world_size)
        _require_count("buffer_rows", 1, buffer_rows)
        _require_count("threads", 0, threads)
        wanted = stream.chunk_size if buffer_rows is None else buffer_rows
        self.buffer_rows = -(-wanted // self.size) * self.size
        self.stream = stream
        self.rank = rank
        self.world_size = world_size
        self.threads = default_threads() if threads is None else threads
        if not stream.preparation.any_thread:
            self.threads = min(self.threads, 1)
        self._bounds = batch_bounds(
            "StreamLoader", stream.rows, self.size, rank, world_size, drop_last
        )

    @property
    def rows(self) -> int:
        """Rows of the whole data set, all ranks together."""
        return self.stream.rows

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches of the current epoch from number ``start`` on."""
        bounds = self._bounds[start:]
        if len(bounds) > 1:
            yield from self._shuffled(bounds) if self.shuffle else self._in_order(bounds)

    def _in_order(self, bounds: list[int]) -> Iterator[Batch]:
        sizes = np.diff(bounds).tolist()
        return _cut(self._pieces(self.stream.order(), bounds[0], bounds[-1], self.size), sizes)

    def _shuffled(self, bounds: list[int]) -> Iterator[Batch]:
        order = self.stream.order(self.random())
        first = bounds[0] // self.buffer_rows
        last = -(-bounds[-1] // self.buffer_rows)
        mine = len(range(self.rank, self.rows, self.world_size))
        edges = [min(number * self.buffer_rows, mine) for number in range(first, last + 1)]
        pieces = self._pieces(order, edges[0], edges[-1], self.buffer_rows)
        buffers = _cut(pieces, np.diff(edges).tolist())
        batches = deque(pairwise(bounds))
        for number, start in enumerate(edges[:-1], first):
            buffer = next(buffers)
            random = np.random.default_rng([self.seed, self.epoch, number + 1])
            places = random.permutation(len(buffer))
            while batches and batches[0][1] <= start + len(buffer):
                begin, end = batches.popleft()
                yield buffer.take(places[begin - start : end - start])
            del buffer  # before the next one is made

    def _pieces(self, order: UnitOrder, start: int, stop: int, in_use: int) -> Iterator[Batch]:
        """This rank's rows from ``start`` to ``stop``; about ``in_use`` are needed at a time."""
        share, more = divmod(self.rows, self.world_size)
        before = self.rank * share + min(self.rank, more)
        spans = order.spans(before + start, before + stop)
        needed = -(-in_use * len(self.stream.units) // self.rows)
        ahead = min(needed + self.threads, AHEAD) if self.threads else 1
        return self.stream.pieces(spans, self.threads, ahead)


def _cut(pieces: Iterator[Batch], sizes: Sequence[int]) -> Iterator[Batch]:
    """Batches of these sizes, in turn, from pieces of any size; holds no more than it needs."""
    waiting: list[Batch] = []
    rows = 0
    for size in sizes:
        while rows < size:
            waiting.append(next(pieces))
            rows += len(waiting[-1])
        rows -= size
        rest = []
        if rows:
            last = waiting.pop()
            cut = len(last) - rows
            rest = [last.slice(cut, len(last))]
            waiting += [last.slice(0, cut)] if cut else []
            del last
        whole, waiting = _joined(waiting), rest
        yield whole
        del whole


def _joined(pieces: list[Batch]) -> Batch:
    return pieces[0] if len(pieces) == 1 else Batch.concat(pieces)


def _require_count(parameter: str, least: int, value: Any) -> None:
    if value is not None and not (is_whole(value) and value >= least):
        must_be = f"an integer of at least {least}, or None"
        raise ConfigError(invalid("StreamLoader", parameter, must_be, value))
