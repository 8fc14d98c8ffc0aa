"""What travels from the driver to the executors: recipes, and files that it has looked into.

Everything travels as a payload (see :mod:`nextrec.data.transforms.payload`): plain values and Arrow
arrays, never pickled objects, so both sides need the same NextRec and nothing else of each other.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from nextrec.data.csv_blocks import Place
from nextrec.data.csv_files import CsvFiles, _Learned
from nextrec.data.files import DataFile, Source, Unit, file_kind
from nextrec.data.locations import locate
from nextrec.data.parquet_files import ParquetFiles, _Footer
from nextrec.data.partitioned_files import PartitionedFiles
from nextrec.data.processing.recipe import Recipe
from nextrec.data.sources import source_of_type
from nextrec.data.transforms import TRANSFORMS
from nextrec.data.transforms.base import Payload
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import ConfigError

# -- recipes -------------------------------------------------------------------------------------


def recipe_to_bytes(recipe: Recipe, learned: bool) -> bytes:
    """A recipe by the kinds and settings of its transforms, with what they learned or without.

    Raises:
        ConfigError: a transform is of no registered kind: an executor could not rebuild it.
    """
    described = []
    for name, each in recipe.transforms.items():
        if each.kind not in TRANSFORMS or TRANSFORMS[each.kind] is not type(each):
            raise ConfigError(
                f"DataProcessor: {name!r} is a {type(each).__name__}, which is not registered in "
                f"`TRANSFORMS` under its kind {each.kind!r}: Spark's executors could not rebuild "
                "it. Use engine 'local' for transforms of your own."
            )
        described.append(
            {
                "kind": each.kind,
                "settings": each.settings(),
                "learned": each.learned() if learned else None,
            }
        )
    return to_bytes({"transforms": described})


def recipe_from_bytes(data: bytes) -> Recipe:
    """The recipe that :func:`recipe_to_bytes` wrote."""
    transforms = {}
    for described in from_bytes(data, "the recipe")["transforms"]:
        transform = TRANSFORMS[described["kind"]](**described["settings"])
        if described["learned"] is not None:
            transform.restore(described["learned"])
        transforms[transform.name] = transform
    return Recipe(transforms)


# -- open files ----------------------------------------------------------------------------------


def open_files(files: Sequence[DataFile]) -> Source:
    """The source of files that were found."""
    locations = [file.location for file in files]
    source = source_of_type(locations, file_kind(str(locations[0])))
    return PartitionedFiles(source, files) if files[0].keys else source


def files_to_bytes(
    files: Sequence[DataFile], source: Source, columns: Sequence[str], text: Collection[str]
) -> bytes:
    """Files, and what the driver learned of all of them together when it listed their units.

    An executor then looks only into the files that it reads, and yet gives every column the type
    that holds for all files.
    """
    inner, inside = _inside(source, columns)
    payload: Payload = {
        "run": uuid.uuid4().hex,  # executors outlive a run and keep what they opened by these bytes
        "files": [{"path": _absolute(file), "keys": file.keys} for file in files],
        "columns": list(columns),
        "text": sorted(text),
    }
    if isinstance(inner, CsvFiles):
        learned = inner._learn(inside, text)
        payload["schema"] = _schema_array(pa.schema(learned.types))
        payload["blocks"] = _blocks_to_payload(learned)
    elif isinstance(inner, ParquetFiles):
        payload["schema"] = _schema_array(inner._schema(inside))
    return to_bytes(payload)


def files_from_bytes(data: bytes) -> tuple[Source, list[str], frozenset[str]]:
    """The source, the columns to be read and those of text that :func:`files_to_bytes` wrote."""
    payload = from_bytes(data, "the files")
    files = [DataFile(locate(each["path"]), each["keys"]) for each in payload["files"]]
    source, columns, text = open_files(files), payload["columns"], frozenset(payload["text"])
    schema = pa.ipc.read_schema(pa.py_buffer(payload["schema"][0].as_py()))
    inner = source.inner if isinstance(source, PartitionedFiles) else source
    if isinstance(inner, ParquetFiles):
        inner._all_footers = [_Footer(schema, []) for _ in files]
    elif isinstance(inner, CsvFiles):
        _, inside = _inside(source, columns)
        types = dict(zip(schema.names, schema.types, strict=True))
        known = _blocks_from_payload(payload["blocks"], types, len(files))
        inner._learned[tuple(inside), text] = known
    return source, columns, text


def units_to_payload(units: Sequence[Unit]) -> list[list[int]]:
    """Units as lists of numbers."""
    return [[unit.file, unit.place, unit.rows, unit.first_row, unit.group] for unit in units]


def units_from_payload(numbers: Sequence[Sequence[int]]) -> list[Unit]:
    """The units that :func:`units_to_payload` wrote."""
    return [Unit(*each) for each in numbers]


def _inside(source: Source, columns: Sequence[str]) -> tuple[Source, list[str]]:
    """The source that reads the files themselves, and the columns that it reads."""
    if isinstance(source, PartitionedFiles):
        return source.inner, source._inside(columns)
    return source, list(columns)


def _absolute(file: DataFile) -> str:
    """A path that means the same in a process with another working folder."""
    is_local = isinstance(file.location, Path)
    return os.path.abspath(file.location) if is_local else str(file.location)  # type: ignore[arg-type]


def _schema_array(schema: pa.Schema) -> pa.Array:
    return pa.array([schema.remove_metadata().serialize().to_pybytes()], pa.large_binary())


def _blocks_to_payload(learned: _Learned) -> Payload:
    """The blocks of all CSV files as columns of numbers."""
    rows = [
        (number, place.start, place.size, place.line, place.unclosed, count)
        for number, (places, counts) in enumerate(zip(learned.places, learned.rows, strict=True))
        for place, count in zip(places, counts, strict=True)
    ]
    columns = np.array(rows, np.int64).reshape(-1, 6).T
    names = ("file", "start", "size", "line", "unclosed", "rows")
    return {name: pa.array(column) for name, column in zip(names, columns, strict=True)}


def _blocks_from_payload(
    blocks: Payload, types: dict[str, pa.DataType], num_files: int
) -> _Learned:
    learned = _Learned(types, [[] for _ in range(num_files)], [[] for _ in range(num_files)])
    columns = (column.to_pylist() for column in blocks.values())
    for number, start, size, line, unclosed, rows in zip(*columns, strict=True):
        learned.places[number].append(Place(start, size, line, bool(unclosed)))
        learned.rows[number].append(rows)
    return learned
