"""The data sets of 0.3.1, for code that builds a torch ``DataLoader`` itself.

They speak dicts: ``{"features": {name: tensor}, "labels": {target: tensor} or None, "ids": {name:
tensor or array} or None}``. A dict that holds a whole batch is marked ``_already_batched``, and
:func:`~nextrec.data.data_utils.collate_fn` passes it through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset

from nextrec.data.batch import Batch, Schema, pack
from nextrec.data.preparation import require_fitted
from nextrec.data.sources import column_names, open_source, source_of_type
from nextrec.data.stream import ChunkStream
from nextrec.errors import DataError
from nextrec.features import (
    DenseFeature,
    Feature,
    FeatureSet,
    FeatureSpecMixin,
    SequenceFeature,
    SparseFeature,
)


class TensorDictDataset(Dataset[dict[str, Any]]):
    """Rows of a dict of tensors. A torch ``DataLoader`` fetches whole batches from it.

    Args:
        tensors: dict with ``features``, and perhaps ``labels`` and ``ids``; every column must
            have the same number of rows.
    """

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.features = tensors["features"]
        self.labels = tensors.get("labels")
        self.ids = tensors.get("ids")
        columns = {
            f"{part} {name!r}": len(values)
            for part in ("features", "labels", "ids")
            for name, values in (tensors.get(part) or {}).items()
        }
        if not self.features:
            raise DataError("TensorDictDataset needs at least one feature; got none.")
        first, self.length = next(iter(columns.items()))
        for name, rows in columns.items():
            if rows != self.length:
                raise DataError(
                    f"columns must have one length: {first} has {self.length} rows, "
                    f"{name} has {rows}."
                )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows(index)

    def __getitems__(self, index: Sequence[int]) -> list[dict[str, Any]]:
        """One batch, marked as such: what a torch ``DataLoader`` asks for."""
        return [{**self._rows(np.asarray(index)), "_already_batched": True}]

    def _rows(self, index: Any) -> dict[str, Any]:
        def select(columns: dict[str, Any] | None) -> dict[str, Any] | None:
            return {name: values[index] for name, values in columns.items()} if columns else None

        return {
            "features": select(self.features),
            "labels": select(self.labels),
            "ids": select(self.ids),
        }


class FileDataset(FeatureSpecMixin, IterableDataset[dict[str, Any]]):
    """Files as one dict of tensors per chunk of exactly ``chunk_size`` rows, in order.

    In worker processes every chunk goes to one worker, so no row comes twice.

    Args:
        file_paths: files of the kind ``file_type``, ``"csv"`` or ``"parquet"``.
        target_columns: labels; they may all be absent.
        processor: fitted object that transforms each chunk.
    """

    def __init__(
        self,
        file_paths: list[str],
        dense_features: list[DenseFeature],
        sparse_features: list[SparseFeature],
        sequence_features: list[SequenceFeature],
        target_columns: list[str],
        id_columns: list[str] | None = None,
        chunk_size: int = 10000,
        file_type: str = "csv",
        processor: Any = None,
    ) -> None:
        require_fitted(processor)
        self._set_feature_config(
            dense_features, sparse_features, sequence_features, target_columns, id_columns
        )
        self.file_paths = file_paths
        self.chunk_size = chunk_size
        self.file_type = file_type
        self.processor = processor
        self.source = source_of_type(file_paths, file_type)
        names = self.source.names()
        self.schema = Schema(
            FeatureSet.of(self.all_features),
            tuple(self.target_columns),
            tuple(self.id_columns),
            require_labels=any(name in names for name in self.target_columns),
        )
        self.stream = ChunkStream(self.source, self.schema, chunk_size, processor)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.stream:
            yield {**as_tensors(batch), "_already_batched": True}


def build_tensors_from_data(
    data: Any,
    raw_data: Any,
    features: Sequence[Feature],
    target_columns: list[str],
    id_columns: list[str],
) -> dict[str, Any]:
    """Columns as a dict of tensors, checked against the features.

    Args:
        data: any table with features and labels; label columns that are absent are skipped.
        raw_data: any table from which id columns are taken first.

    Returns:
        ``{"features": {name: tensor}, "labels": {target: tensor} or None, "ids": {name: tensor, or
        array where the ids are not numbers} or None}``.
    """
    raw = open_source(data if raw_data is None else raw_data)
    untouched = [name for name in id_columns if name in raw.names()]
    here = [name for name in target_columns if name in column_names(data)]
    schema = Schema(FeatureSet.of(features), tuple(here), tuple(id_columns))
    source = open_source(data)
    table = source.read(schema.columns(source.names(), without=untouched))
    return as_tensors(pack(table, schema, ids_from=raw.read(untouched) if untouched else None))


def as_tensors(batch: Batch) -> dict[str, Any]:
    """A batch as the dict of 0.3.1; a dense feature of one number is ``(B,)`` there."""
    features = {}
    for name, values in batch.features.items():
        single = values.dtype == torch.float32 and values.shape[1] == 1
        features[name] = (values.squeeze(1) if single else values).contiguous()
    ids = {name: as_tensor(values) for name, values in batch.slice(0, len(batch)).ids.items()}
    return {"features": features, "labels": batch["labels"], "ids": ids or None}


def as_tensor(values: np.ndarray) -> Any:
    """Numbers as a tensor; what torch has no type for stays an array."""
    return torch.tensor(values) if values.dtype.kind in "iufb" else values
