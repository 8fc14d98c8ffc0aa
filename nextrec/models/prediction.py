"""Predictions as a frame, an array or a file, read and written piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from nextrec._files import atomic_path
from nextrec.data.batch import Schema, pack
from nextrec.data.sources import column_names, frame_kind, scan
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, DataError, unknown_option
from nextrec.models import inputs
from nextrec.models.evaluation import predictions
from nextrec.training.session import resolve_save_path

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
) -> Any:
    """See :meth:`BaseModel.predict`."""
    if save_format is not None and save_format not in FORMATS:
        raise ConfigError(unknown_option("predict", "save_format", FORMATS, save_format))
    with_ids = bool(model.id_columns) if include_ids is None else include_ids
    if with_ids and not model.id_columns:
        raise ConfigError("predict: `include_ids` needs a model with `id_columns`.")
    pieces = _pieces(model, data, batch_size, chunk_rows, with_ids)
    if save_path is None:
        return _returned(model, data, pa.concat_tables(list(pieces)), return_dataframe)
    path, kind = _destination(model, save_path, save_format)
    kept: list[pa.Table] = []
    with atomic_path(path) as temporary, ExitStack() as stack:
        writer = None
        for piece in pieces:
            if writer is None:
                writer = stack.enter_context(_writer(temporary, kind, piece.schema))
            writer.write_table(piece)
            if return_dataframe:
                kept.append(piece)
        stack.close()
    if not return_dataframe:
        return path
    return _returned(model, data, pa.concat_tables(kept), True)


def _pieces(
    model: BaseModel, data: Any, batch_size: int, chunk_rows: int, with_ids: bool
) -> Iterator[pa.Table]:
    """Tables of ids and predictions; at least one, or the data is refused as empty."""
    empty = True
    for loader in _loaders(model, data, batch_size, chunk_rows, with_ids):
        prepare = inputs.preparer(model, loader, require_labels=False)
        ids: list[dict[str, Any]] = []
        scores: list[np.ndarray] = []
        for batch, _, score in predictions(model, loader, prepare):
            ids.append(_ids_of(model, batch) if with_ids else {})
            scores.append(score.cpu().numpy())
        if scores:
            empty = False
            yield _table(model, ids, np.concatenate(scores))
    if empty:
        raise DataError("predict: the data is empty.")


def _loaders(
    model: BaseModel, data: Any, batch_size: int, chunk_rows: int, with_ids: bool
) -> Iterator[Any]:
    """The loader given, or one for each chunk of the data."""
    if inputs.is_loader(data):
        yield data
        return
    ids = tuple(model.id_columns) if with_ids else ()
    schema = Schema(model.features, id_columns=ids)
    columns = schema.columns(column_names(data))
    first_row = 0
    for chunk in scan(data, columns, chunk_rows):
        if chunk.num_rows:
            store = PackedStore(pack(pa.Table.from_batches([chunk]), schema, first_row))
            yield inputs.make_loader(model, store, batch_size)
            first_row += chunk.num_rows


def _ids_of(model: BaseModel, batch: Any) -> dict[str, Any]:
    missing = [name for name in model.id_columns if name not in (batch.ids or {})]
    if missing:
        raise DataError(f"predict: the batches carry no id column {missing[0]!r}.")
    return {name: batch.ids[name] for name in model.id_columns}


def _table(model: BaseModel, ids: list[dict[str, Any]], scores: np.ndarray) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in ids[0]:
        columns[name] = pa.array(np.concatenate([np.asarray(each[name]) for each in ids]))
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
    return table if kind == "arrow" else table.to_pandas()


def _destination(
    model: BaseModel, save_path: str | os.PathLike[str], save_format: str | None
) -> tuple[Path, str]:
    ending = Path(save_path).suffix.lstrip(".").lower()
    kind = save_format or (ending if ending in FORMATS else "csv")
    default = model.claim_session().predictions_dir
    path = resolve_save_path(save_path, default, f"{model.model_name}_predictions", f".{kind}")
    return Path(path), kind


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
