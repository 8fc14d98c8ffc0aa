"""The engine of many machines: Spark runs the same transforms over pieces of the data.

Files are cut as the local engine cuts them, so every file that is written is the same to the last
row; a Spark DataFrame is worked on partition by partition. Fitting makes the states of each task in
the executors, merges them there in a few groups, and those on the driver, one at a time. Because
states merge exactly, what is learned is what one machine learns.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from nextrec import __version__
from nextrec.data.files import DataFile, Source, Unit, list_files, require_columns
from nextrec.data.processing import executors
from nextrec.data.processing.answers import ANSWER, Answers, merged, raise_error
from nextrec.data.processing.executors import MapInArrow
from nextrec.data.processing.fit import FitStates
from nextrec.data.processing.local import output_folder
from nextrec.data.processing.parts import Part, new_folder, write_manifest
from nextrec.data.processing.pieces import PART_ROWS, group_units
from nextrec.data.processing.rates import Rates
from nextrec.data.processing.recipe import Recipe
from nextrec.data.processing.shipping import (
    files_to_bytes,
    open_files,
    recipe_to_bytes,
    units_to_payload,
)
from nextrec.data.processing.spark_frames import (
    checked_columns,
    is_spark_frame,
    lazily_transformed,
    numbered_columns,
)
from nextrec.data.processing.spark_session import acting, session
from nextrec.data.transforms.base import Payload
from nextrec.data.transforms.payload import to_bytes
from nextrec.errors import (
    DataError,
    NextRecError,
)

MERGERS = 8
"""Most groups in which executors merge states before the driver does."""
TASKS = 256
"""Tasks of fitting files, unless these would be smaller than a chunk or larger than a part."""


def fit(recipe: Recipe, data: Any, chunk: int, threads: int) -> FitStates:
    """States of the whole data.

    Args:
        data: a Spark DataFrame, or paths that the driver and all executors see.
        chunk: rows that a task works on at a time.
        threads: not used: Spark decides how many tasks run at once.
    """
    described = recipe_to_bytes(recipe, learned=False)
    columns, text = recipe.fit_columns, recipe.text_columns
    if is_spark_frame(data):
        names = list(data.columns)
        require_columns(columns, names, "the data")
        frame = numbered_columns(data).select(*(f"c{names.index(name)}" for name in columns))
        answers = frame.mapInArrow(executors.fit_partition(described, columns, chunk), ANSWER)
        return _merged(recipe, described, answers, MERGERS)
    spark = session()
    files, source = _open(data)
    require_columns(columns, source.names(), "the data")
    units = source.units(columns, text)
    rows = sum(unit.rows for unit in units)
    runs = list(unsplit_groups(units, min(PART_ROWS, max(chunk, rows // TASKS))))
    shipped = files_to_bytes(files, source, columns, text)
    work = executors.fit_files(described, shipped, _plan(runs), chunk)
    answers = _over_tasks(spark, len(runs), work)
    return _merged(recipe, described, answers, min(MERGERS, -(-len(runs) // 4) or 1))


def transform_files(
    recipe: Recipe,
    data: Any,
    output_path: str | os.PathLike[str] | None,
    save_format: str,
    chunk: int,
    threads: int,
    fitted: bool,
) -> tuple[Any, Rates]:
    """Transform a Spark DataFrame, or files into files.

    Returns:
        A Spark DataFrame that is computed when it is used, and empty rates, as nothing was counted
        yet; with an ``output_path``, or of files: the paths of the parts, and the rates.
    """
    if is_spark_frame(data):
        if output_path is None:
            return lazily_transformed(recipe, data, chunk, fitted), Rates()
        writer = _frame_writer
    else:
        writer = _files_writer
    path = output_folder(data, output_path)
    write = writer(recipe, data, save_format, chunk, fitted)
    with new_folder(path) as folder:
        parts, rates = _collected(folder, write(str(folder.absolute())))
        write_manifest(folder, parts, rates, __version__)
    return [str((path / part.name).resolve()) for part in parts], rates


def _frame_writer(
    recipe: Recipe, data: Any, save_format: str, chunk: int, fitted: bool
) -> Callable[[str], Any]:
    """A function of a folder: the answers of tasks that write the frame into it."""
    described = recipe_to_bytes(recipe, learned=True)
    names = checked_columns(recipe, data, fitted)

    def write(folder: str) -> Any:
        work = executors.write_partition(described, names, chunk, fitted, folder, save_format)
        return numbered_columns(data).mapInArrow(work, ANSWER)

    return write


def _files_writer(
    recipe: Recipe, data: Any, save_format: str, chunk: int, fitted: bool
) -> Callable[[str], Any]:
    """A function of a folder: the answers of tasks that write one part each into it."""
    described = recipe_to_bytes(recipe, learned=True)
    spark = session()
    files, source = _open(data)
    columns, text = source.names(), recipe.text_columns
    recipe.runnable(columns, fitted)
    runs = list(group_units(source.units(columns, text), PART_ROWS))
    shipped, plan = files_to_bytes(files, source, columns, text), _plan(runs)

    def write(folder: str) -> Any:
        work = executors.write_files(described, shipped, plan, chunk, fitted, folder, save_format)
        return _over_tasks(spark, len(runs), work)

    return write


# -- tasks and their answers ---------------------------------------------------------------------


def _open(data: Any) -> tuple[list[DataFile], Source]:
    files = list_files(data)
    return files, open_files(files)


def unsplit_groups(units: Iterable[Unit], rows: int) -> Iterator[list[Unit]]:
    """Runs of units with about ``rows`` rows that keep a compressed file together.

    Its units can only be read from its beginning on, which more than one task would have to do.
    """
    run: list[Unit] = []
    for _, group in groupby(units, key=lambda unit: unit.group):
        run += group
        if sum(unit.rows for unit in run) >= rows:
            yield run
            run = []
    if run:
        yield run


def _plan(runs: Sequence[Sequence[Unit]]) -> bytes:
    return to_bytes({"tasks": [units_to_payload(run) for run in runs]})


def _over_tasks(spark: Any, count: int, work: MapInArrow) -> Any:
    """The answers of numbered tasks, each a partition."""
    return spark.range(0, count, 1, max(count, 1)).mapInArrow(work, ANSWER)


def _merged(recipe: Recipe, described: bytes, answers: Any, groups: int) -> FitStates:
    """The states of all tasks together, merged in groups by executors before the driver does.

    The second exchange has no work but one reason: rows that are iterated are computed partition
    by partition, and merging is to be done by all executors at once before that.
    """
    grouped = answers.repartition(groups, "task")
    merging = grouped.mapInArrow(executors.merge_answers(described), ANSWER)
    with acting():
        rows = merging.repartition("task").toLocalIterator(prefetchPartitions=True)
        states, error = merged(recipe, (tuple(row) for row in rows))
    if error is not None:
        raise_error(error)
    return states


def _collected(folder: Path, answers: Any) -> tuple[list[Part], Rates]:
    """The parts that tasks wrote, moved into the folder under their final names, and the rates."""
    joined = Answers()
    with acting():
        found = [joined.add(*row) for row in sorted(answers.collect(), key=lambda row: row["task"])]
    payloads: list[Payload] = [each for each in found if each is not None]
    for payload in payloads:
        raise_error(payload)
    rates, parts = Rates(), list[Part]()
    for payload in payloads:
        rates.merge(Rates.from_dict(payload["rates"]))
        for written in payload["parts"]:
            source = folder / written["path"]
            name = f"part-{len(parts):05d}{source.suffix}"
            _move(source, folder / name)
            parts.append(Part(name, written["rows"], written["columns"]))
    if not parts:
        raise DataError("the data is empty: it has no rows.")
    for attempt in [each for each in folder.iterdir() if each.is_dir()]:
        shutil.rmtree(attempt)
    return parts, rates


def _move(source: Path, to: Path) -> None:
    try:
        os.replace(source, to)
    except FileNotFoundError as error:
        raise NextRecError(
            f"transform: the driver does not see what an executor wrote into {str(to.parent)!r}: "
            "`output_path` must lie on a file system that the driver and all executors mount."
        ) from error
