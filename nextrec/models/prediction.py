"""Predictions as a frame, an array or a file, read and written piece by piece."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from nextrec._files import atomic_path
from nextrec.data.batch import Batch, Schema
from nextrec.data.columns import plain
from nextrec.data.files import SUFFIXES, Job, Source, Unit
from nextrec.data.prefetch import in_order
from nextrec.data.preparation import Preparation, default_threads
from nextrec.data.sources import frame_kind
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, DataError, invalid, unknown_option
from nextrec.models import inputs
from nextrec.models.evaluation import predictions
from nextrec.models.loading import processor_for, tell, watched

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

FORMATS = ("csv", "parquet")


def predict(
    model: BaseModel,
    data: Any,
    *,
    batch_size: int,
    save_path: str | os.PathLike[str] | None,
    save_format: str | None,
    include_ids: bool | None,
    return_dataframe: bool,
    chunk_rows: int,
    processor: Any = None,
) -> Any:
    """See :meth:`BaseModel.predict`."""
    if save_format is not None and save_format not in FORMATS:
        raise ConfigError(unknown_option("predict", "save_format", FORMATS, save_format))
    if not isinstance(chunk_rows, (int, np.integer)) or chunk_rows < 1:
        must_be = "an integer of at least 1"
        raise ConfigError(invalid("predict", "streaming_chunk_size", must_be, chunk_rows))
    with_ids = bool(model.id_columns) if include_ids is None else include_ids
    if with_ids and not model.id_columns:
        raise ConfigError("predict: `include_ids` needs a model with `id_columns`.")
    inputs.refuse_with_loader("predict", data, processor=processor)
    source = inputs.opened(data)
    own = watched(processor_for(model, processor, source, "predict"), "predict")
    pieces = _pieces(model, _parts(model, source, batch_size, chunk_rows, with_ids, own))
    if save_path is None:
        result = _returned(model, data, _joined(pieces), return_dataframe)
    else:
        result = _saved(model, data, pieces, save_path, save_format, return_dataframe)
    tell(own)
    return result


def _saved(
    model: BaseModel,
    data: Any,
    pieces: Iterator[pa.Table],
    save_path: str | os.PathLike[str],
    save_format: str | None,
    return_dataframe: bool,
) -> Any:
    """Write the pieces as they come; the path, or all of them in a frame."""
    kind = _kind(save_path, save_format)
    first = next(pieces)  # what is wrong with the data is found before anything is written
    path = model.output_path(
        save_path, f"{model.model_name}_predictions", f".{kind}", folder="predictions"
    )
    kept: list[pa.Table] = []
    with atomic_path(path) as temporary, _writer(temporary, kind, first.schema) as writer:
        for piece in chain([first], pieces):
            writer.write_table(_like(first.schema, piece))
            if return_dataframe:
                kept.append(piece)
    return _returned(model, data, _joined(kept), True) if return_dataframe else path


Part = tuple[Any, dict[str, Any] | None]
"""A loader, and the ids of its rows in the data's own types; ``None``: they are in its batches."""


def _pieces(model: BaseModel, parts: Iterable[Part]) -> Iterator[pa.Table]:
    """Tables of ids and predictions; at least one, or the data is refused as empty."""
    empty = True
    for loader, ids in parts:
        prepare = inputs.preparer(model, loader, require_labels=False)
        carried: list[dict[str, Any]] = []
        scores: list[np.ndarray] = []
        for batch, _, score in predictions(model, loader, prepare):
            if ids is None:
                carried.append(_ids_of(model, batch))
            scores.append(score.cpu().numpy())
        if scores:
            empty = False
            yield _table(model, _stacked(carried) if ids is None else ids, np.concatenate(scores))
    if empty:
        raise DataError("predict: the data is empty.")


def _parts(
    model: BaseModel,
    data: Any,
    batch_size: int,
    chunk_rows: int,
    with_ids: bool,
    processor: Any,
) -> Iterator[Part]:
    """The loader given, or one for each chunk of the data; the next are made while one is used."""
    if inputs.is_loader(data):
        yield data, None if with_ids else {}
        return
    schema = Schema(model.features, id_columns=tuple(model.id_columns) if with_ids else ())
    with closing(_units(data, schema, processor)) as units:
        for batch, ids in _gathered(units, min(batch_size, chunk_rows)):
            for start in range(0, len(batch), chunk_rows):
                part = batch.slice(start, start + chunk_rows)
                loader = inputs.make_loader(model, PackedStore(part), batch_size)
                chunk = ids.slice(start, chunk_rows)
                yield loader, {name: plain(chunk[name]) for name in ids.column_names}


def _units(
    data: Source, schema: Schema, processor: Any
) -> Generator[tuple[Batch, pa.Table], None, None]:
    """The units of a source, packed without ids, and their ids as they are."""
    preparation = Preparation(schema, data.names(), processor)

    def prepared(unit: Unit, job: Job) -> tuple[Batch, pa.Table]:
        table = job()
        batch = preparation.whole(table, unit.first_row)
        raw = [name for name in schema.id_columns if name in table.column_names]
        made = {name: batch.ids[name] for name in schema.id_columns if name not in raw}
        ids = pa.table({**{name: table[name] for name in raw}, **made})
        return replace(batch, ids={}), ids.select(schema.id_columns)

    columns, text = preparation.columns, preparation.text
    units = [unit for unit in data.units(columns, text) if unit.rows]
    work = (partial(prepared, *each) for each in data.jobs(columns, units, text))
    threads = default_threads() if preparation.any_thread else 1
    yield from in_order(work, threads, threads + 1)


def _gathered(
    units: Iterable[tuple[Batch, pa.Table]], rows: int
) -> Iterator[tuple[Batch, pa.Table]]:
    """Neighbours joined until they have at least so many rows: tiny ones would waste the model."""
    batches: list[Batch] = []
    ids: list[pa.Table] = []
    for batch, table in units:
        batches.append(batch)
        ids.append(table)
        if sum(map(len, batches)) >= rows:
            yield _joined_units(batches, ids)
            batches, ids = [], []
    if batches:
        yield _joined_units(batches, ids)


def _joined_units(batches: list[Batch], ids: list[pa.Table]) -> tuple[Batch, pa.Table]:
    if len(batches) == 1:
        return batches[0], ids[0]
    return Batch.concat(batches), _joined(ids)


def _ids_of(model: BaseModel, batch: Any) -> dict[str, Any]:
    missing = [name for name in model.id_columns if name not in (batch.ids or {})]
    if missing:
        raise DataError(f"predict: the batches carry no id column {missing[0]!r}.")
    return {name: batch.ids[name] for name in model.id_columns}


def _stacked(ids: list[dict[str, Any]]) -> dict[str, pa.Array]:
    return {
        name: pa.array(np.concatenate([np.asarray(each[name]) for each in ids])) for name in ids[0]
    }


def _joined(pieces: Iterable[pa.Table]) -> pa.Table:
    tables = list(pieces)
    with _telling_types():
        return pa.concat_tables(tables, promote_options="permissive")


def _like(schema: pa.Schema, piece: pa.Table) -> pa.Table:
    """The piece in the first one's types, which files of one data set may vary."""
    with _telling_types():
        return piece if piece.schema == schema else piece.cast(schema)


@contextmanager
def _telling_types() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        told = f"predict: an id column changes its type within the data: {error}"
        raise DataError(told) from error


def _table(model: BaseModel, ids: dict[str, Any], scores: np.ndarray) -> pa.Table:
    columns = dict(ids)
    for task in model.tasks:
        part = scores[:, task.logits]
        if task.kind == "multiclass":
            columns[f"{task.name}_pred"] = part.argmax(axis=1)
            columns |= {f"{task.name}_prob_{c}": part[:, c] for c in range(task.size)}
        else:
            columns |= {f"{name}_pred": part[:, i] for i, name in enumerate(task.targets)}
    return pa.table(columns)


def _returned(model: BaseModel, data: Any, table: pa.Table, as_frame: bool) -> Any:
    if not as_frame:
        names = [name for name in table.column_names if name not in model.id_columns]
        return np.stack([table[name].to_numpy() for name in names], axis=1)
    kind = "pandas" if inputs.is_loader(data) else frame_kind(data)
    if kind == "polars":
        import polars as pl

        return pl.from_arrow(table)
    if kind == "arrow":
        return table
    # Integers beside missing values stay integers: as floats, large ids would change.
    return table.to_pandas(integer_object_nulls=True)


def _kind(save_path: str | os.PathLike[str], save_format: str | None) -> str:
    """The format that the path's ending and ``save_format`` say, which must not differ."""
    name = os.fspath(save_path).lower()
    if "://" in name:
        must_be = "a path of a mounted file system: URLs are only read"
        raise ConfigError(invalid("predict", "save_path", must_be, save_path))
    if name.endswith(".gz"):
        raise ConfigError(invalid("predict", "save_path", "a .csv or .parquet file", save_path))
    said = next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)
    if said and save_format and said != save_format:
        must_be = f"{said!r}, as `save_path` {name!r} says"
        raise ConfigError(invalid("predict", "save_format", must_be, save_format))
    extension = Path(name).suffix
    if not (save_format or said) and extension[1:].isalpha():
        must_be = "'csv' or 'parquet' where `save_path` ends otherwise"
        raise ConfigError(invalid("predict", "save_format", must_be, save_format))
    return save_format or said or "csv"


class _CsvWriter:
    """The Parquet writer's interface over Arrow's CSV writer."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pa.csv.CSVWriter(str(path), schema)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def __enter__(self) -> _CsvWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _writer(path: Path, kind: str, schema: pa.Schema) -> Any:
    if kind == "parquet":
        return pa.parquet.ParquetWriter(str(path), schema, compression="zstd")
    return _CsvWriter(path, schema)
