"""The engine of one machine: threads over the pieces of a source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from nextrec import __version__
from nextrec._files import atomic_path
from nextrec.data.data_utils import default_output_dir
from nextrec.data.files import Source, Unit, require_columns
from nextrec.data.locations import URL
from nextrec.data.prefetch import in_order
from nextrec.data.processing.fit import FitStates, fit_local
from nextrec.data.processing.folders import writing
from nextrec.data.processing.parts import (
    Part,
    new_folder,
    write_file,
    write_manifest,
    write_part,
)
from nextrec.data.processing.pieces import PART_ROWS, Piece, group_units, pieces
from nextrec.data.processing.rates import Rates
from nextrec.data.processing.recipe import Recipe
from nextrec.data.sources import open_source, read_table_of
from nextrec.errors import ConfigError, DataError, invalid

SMALL = 20_000
"""Rows up to which starting threads costs more than they save."""


def fit(recipe: Recipe, data: Any, chunk: int, threads: int) -> FitStates:
    """States of the whole data."""
    source = open_source(data)
    columns = recipe.fit_columns
    require_columns(columns, source.names(), "the data")
    text = recipe.text_columns
    units = source.units(columns, text)
    if sum(unit.rows for unit in units) <= SMALL:
        threads = 0
    return fit_local(recipe, pieces(source, columns, text, chunk, units), threads)


def transform_memory(
    recipe: Recipe, data: Any, chunk: int, threads: int, fitted: bool
) -> tuple[dict[str, pa.Array], Rates]:
    """The output columns of data in memory."""
    source = open_source(data)
    chosen = recipe.runnable(source.names(), fitted)
    columns = [*dict.fromkeys(
        name for each in chosen.values() for name in (each.fit_inputs if fitted else each.inputs)
    )]  # fmt: skip
    table = source.read(columns)
    rows = table.num_rows
    parts = [table.slice(start, chunk) for start in range(0, rows, chunk)] or [table]
    jobs = [
        lambda part=part, start=start: recipe.apply(part, start, fitted)
        for start, part in zip(range(0, max(rows, 1), chunk), parts, strict=True)
    ]
    made = list(in_order(jobs, threads if rows > SMALL else 0, ahead=threads + 1))
    rates = Rates()
    for _, each in made:
        rates.merge(each)
    if len(made) == 1:
        return made[0][0], rates
    return {name: pa.concat_arrays([each[name] for each, _ in made]) for name in made[0][0]}, rates


def write_result(
    data: Any,
    outputs: Mapping[str, pa.Array],
    output_path: str | os.PathLike[str],
    save_format: str | None,
) -> Path:
    """Write transformed data of memory: to the file that the path names, or into that folder."""
    path = _mounted(output_path)
    if path.suffix in (".csv", ".parquet"):
        said = path.suffix[1:]
        if save_format not in (None, said):
            must_be = f"{said!r}, as `output_path` {path.name!r} says"
            raise ConfigError(invalid("transform", "save_format", must_be, save_format))
    else:
        said = save_format or "parquet"
        path = path / f"transformed_data.{said}"
    raw = read_table_of(data)
    carried = {name: raw.column(name) for name in raw.column_names}
    with writing(path), atomic_path(path) as temporary:
        write_file(temporary, pa.table({**carried, **outputs}), said)
    return path


def transform_files(
    recipe: Recipe,
    data: Any,
    output_path: str | os.PathLike[str] | None,
    save_format: str,
    chunk: int,
    threads: int,
    fitted: bool,
) -> tuple[list[str], Rates]:
    """Transform files into files."""
    source = open_source(data)
    columns = source.names()
    recipe.runnable(columns, fitted)
    units = source.units(columns, recipe.text_columns)
    rates = Rates()
    written: list[Part] = []
    path = output_folder(data, output_path)
    with new_folder(path) as folder:
        for number, run in enumerate(group_units(units, PART_ROWS)):
            tables = transformed(recipe, source, columns, run, chunk, threads, fitted, rates)
            part = write_part(folder, number, tables, save_format)
            if part is not None:
                written.append(part)
        if not written:
            raise DataError("the data is empty: it has no rows.")
        write_manifest(folder, written, rates, __version__)
    return [str((path / part.name).resolve()) for part in written], rates


def transformed(
    recipe: Recipe,
    source: Source,
    columns: Sequence[str],
    units: Sequence[Unit],
    chunk: int,
    threads: int,
    fitted: bool,
    rates: Rates,
) -> Iterator[pa.Table]:
    """The transformed tables of some units, in order; ``rates`` counts along."""

    def job(piece: Piece) -> tuple[pa.Table, Rates]:
        return recipe.transform_table(piece.read(), piece.first_row, fitted)

    found = pieces(source, columns, recipe.text_columns, chunk, units)
    jobs = ((lambda piece=piece: job(piece)) for piece in found)
    for table, counted in in_order(jobs, threads, ahead=threads + 1):
        rates.merge(counted)
        yield table


def _refuse_input(data: Any, path: Path) -> None:
    """Refuse an output that would replace the very files that are read."""
    output = os.path.realpath(path)
    paths = [data] if isinstance(data, (str, os.PathLike)) else data
    for each in paths if isinstance(paths, (list, tuple)) else ():
        text = os.path.expanduser(os.fspath(each))
        place = os.path.realpath(text)
        if not URL.match(text) and (place == output or place.startswith(output + os.sep)):
            must_be = f"another folder than that of the data, {text!r}"
            raise ConfigError(invalid("transform", "output_path", must_be, str(path)))


def output_folder(data: Any, output_path: str | os.PathLike[str] | None) -> Path:
    """Where the parts go: ``output_path``, by default a folder beside the data."""
    if output_path is not None:
        path = _mounted(output_path)
        if path.suffix in (".csv", ".parquet"):
            must_be = "a folder for the parts: the data is files"
            raise ConfigError(invalid("transform", "output_path", must_be, str(output_path)))
        _refuse_input(data, path)
        return path
    if isinstance(data, Source):
        must_be = "given for a source that was opened before"
        raise ConfigError(invalid("transform", "output_path", must_be, None))
    first = data if isinstance(data, (str, os.PathLike)) else data[0]
    text = os.fspath(first)
    if "://" in text or any(sign in text for sign in "*?["):
        must_be = "given for files that a pattern or a URL means"
        raise ConfigError(invalid("transform", "output_path", must_be, None))
    return default_output_dir(text)


def _mounted(output_path: str | os.PathLike[str]) -> Path:
    """A path to write to; a URL would become a folder of that name."""
    text = os.path.expanduser(os.fspath(output_path))
    if URL.match(text):
        must_be = "a path of a mounted file system: URLs are only read"
        raise ConfigError(invalid("transform", "output_path", must_be, text))
    return Path(text)
