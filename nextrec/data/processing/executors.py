"""What runs in Spark's executors: functions from Arrow batches to Arrow batches.

Each function of this module makes one for ``DataFrame.mapInArrow``. What it needs is bytes (see
:mod:`nextrec.data.processing.shipping`), rebuilt in the executor. An error of ours is an answer
like any other; the driver raises it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from nextrec.data.files import Source
from nextrec.data.processing.answers import AnswerRow, answering, merged
from nextrec.data.processing.fit import FitStates
from nextrec.data.processing.local import transformed
from nextrec.data.processing.partitions import (
    numbered_tables,
    partition_number,
    within_partition,
)
from nextrec.data.processing.parts import write_part
from nextrec.data.processing.pieces import PART_ROWS, pieces
from nextrec.data.processing.rates import Rates
from nextrec.data.processing.recipe import Recipe
from nextrec.data.processing.shipping import (
    files_from_bytes,
    recipe_from_bytes,
    units_from_payload,
)
from nextrec.data.transforms.base import Payload
from nextrec.data.transforms.payload import from_bytes
from nextrec.errors import NextRecError

Batches: TypeAlias = Iterator[pa.RecordBatch]
MapInArrow: TypeAlias = Callable[[Batches], Batches]


# -- Spark DataFrames ----------------------------------------------------------------------------


def fit_partition(recipe: bytes, names: Sequence[str], chunk: int) -> MapInArrow:
    """Rows of a partition -> the states that have seen them."""

    def run(batches: Batches) -> Batches:
        task = partition_number()
        return answering(
            task, lambda: _fitted(_recipe(recipe), numbered_tables(batches, names, chunk), task)
        )

    return run


def _fitted(recipe: Recipe, tables: Iterable[tuple[int, pa.Table]], task: int) -> Payload | None:
    states = FitStates(recipe)
    for first_row, table in tables:
        with within_partition(task):
            states.update(table, first_row)
    return states.dump() if states.rates.rows else None


def transform_partition(
    recipe: bytes, names: Sequence[str], chunk: int, fitted: bool
) -> MapInArrow:
    """Rows of a partition -> the transformed rows."""

    def run(batches: Batches) -> Batches:
        task, ready, rates = partition_number(), _recipe(recipe), Rates()
        for table in _transformed(
            ready, numbered_tables(batches, names, chunk), task, fitted, rates
        ):
            yield from table.combine_chunks().to_batches()

    return run


def write_partition(
    recipe: bytes, names: Sequence[str], chunk: int, fitted: bool, folder: str, save_format: str
) -> MapInArrow:
    """Rows of a partition -> files of transformed rows, and their description."""

    def run(batches: Batches) -> Batches:
        task = partition_number()

        def work() -> Payload:
            rates = Rates()
            rows = numbered_tables(batches, names, chunk)
            tables = _transformed(_recipe(recipe), rows, task, fitted, rates)
            runs = _in_parts(tables)
            return _written(Path(folder), enumerate(runs), save_format, rates)

        return answering(task, work)

    return run


def _transformed(
    recipe: Recipe, rows: Iterable[tuple[int, pa.Table]], task: int, fitted: bool, rates: Rates
) -> Iterator[pa.Table]:
    for first_row, table in rows:
        with within_partition(task):
            made, counted = recipe.transform_table(table, first_row, fitted)
        rates.merge(counted)
        yield made


def _in_parts(tables: Iterator[pa.Table]) -> Iterator[Iterator[pa.Table]]:
    """Runs of tables, each of at least ``PART_ROWS`` rows but for the last; read one by one."""

    def one_part(first: pa.Table) -> Iterator[pa.Table]:
        count = 0
        for table in chain([first], tables):
            yield table
            count += table.num_rows
            if count >= PART_ROWS:
                return

    for first in tables:
        yield one_part(first)


# -- files ---------------------------------------------------------------------------------------


def fit_files(recipe: bytes, files: bytes, tasks: bytes, chunk: int) -> MapInArrow:
    """Numbers of tasks -> the states that have seen the rows of the tasks' units."""

    def work(task: int) -> Payload:
        source, columns, text = _files(files)
        units = units_from_payload(_plan(tasks)[task])
        states = FitStates(_recipe(recipe))
        for piece in pieces(source, columns, text, chunk, units):
            states.update(piece.read(), piece.first_row)
        return states.dump()

    return partial(_each_task, work)


def write_files(
    recipe: bytes,
    files: bytes,
    tasks: bytes,
    chunk: int,
    fitted: bool,
    folder: str,
    save_format: str,
) -> MapInArrow:
    """Numbers of tasks -> one file of transformed rows each, and its description."""

    def work(task: int) -> Payload:
        source, columns, _ = _files(files)
        units = units_from_payload(_plan(tasks)[task])
        rates = Rates()
        tables = transformed(_recipe(recipe), source, columns, units, chunk, 0, fitted, rates)
        return _written(Path(folder), [(task, tables)], save_format, rates)

    return partial(_each_task, work)


def _each_task(work: Callable[[int], Payload], batches: Batches) -> Batches:
    """The answers of the tasks whose numbers the batches hold."""
    for batch in batches:
        for task in batch.column(0).to_pylist():
            yield from answering(task, partial(work, task))


@lru_cache(maxsize=2)
def _files(files: bytes) -> tuple[Source, list[str], frozenset[str]]:
    return files_from_bytes(files)


@lru_cache(maxsize=2)
def _plan(tasks: bytes) -> list[list[list[int]]]:
    return from_bytes(tasks, "the tasks")["tasks"]


@lru_cache(maxsize=2)
def _recipe(recipe: bytes) -> Recipe:
    """The recipe, rebuilt once in a process that works on several tasks."""
    return recipe_from_bytes(recipe)


# -- both ----------------------------------------------------------------------------------------


def merge_answers(recipe: bytes) -> MapInArrow:
    """Answers with states -> one answer with their merger, or the error of the first task."""

    def run(batches: Batches) -> Batches:
        def work() -> Payload | None:
            rows = (row for batch in batches for row in _rows_of(batch))
            states, error = merged(_recipe(recipe), rows)
            if error is not None:
                return error
            return states.dump() if states.rates.rows else None

        return answering(partition_number(), work)

    return run


def _rows_of(batch: pa.RecordBatch) -> Iterator[AnswerRow]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _written(
    folder: Path,
    parts: Iterable[tuple[int, Iterator[pa.Table]]],
    save_format: str,
    rates: Rates,
) -> Payload:
    """Write parts into a folder of this attempt's own: Spark may run a task more than once."""
    if not folder.is_dir():
        raise NextRecError(
            f"transform: an executor does not see {str(folder.parent)!r}: `output_path` must lie "
            "on a file system that the driver and all executors mount."
        )
    mine = folder / uuid.uuid4().hex
    mine.mkdir()
    written = []
    for number, tables in parts:
        part = write_part(mine, number, tables, save_format)
        if part is not None:
            path = f"{mine.name}/{part.name}"
            written.append({"path": path, "rows": part.rows, "columns": part.columns})
    return {"parts": written, "rates": rates.to_dict()}
