"""RecDataLoader: from described columns and data of any kind to a loader of batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader

from nextrec.data.batch import Schema
from nextrec.data.loaders import BatchLoader
from nextrec.data.preparation import is_own, require_fitted
from nextrec.data.row_datasets import FileDataset, TensorDictDataset, build_tensors_from_data
from nextrec.data.sources import frame_kind, open_source
from nextrec.data.store import PackedStore, prepare
from nextrec.data.stream import ChunkStream, StreamLoader
from nextrec.features import (
    DenseFeature,
    FeatureSet,
    FeatureSpecMixin,
    SequenceFeature,
    SparseFeature,
)

__all__ = [
    "BatchLoader",
    "FileDataset",
    "RecDataLoader",
    "StreamLoader",
    "TensorDictDataset",
    "build_tensors_from_data",
]


class RecDataLoader(FeatureSpecMixin):
    """Makes loaders for one set of columns.

    Args:
        dense_features, sparse_features, sequence_features: the columns that become features.
        target: label columns. They may all be absent from data that is only predicted.
        id_columns: columns carried along untouched, strings too.
        processor: fitted object with ``transform(data, return_dict=False)`` and ``is_fitted``.

    >>> from nextrec.features import SparseFeature
    >>> maker = RecDataLoader(sparse_features=[SparseFeature("item", vocab_size=9)], target="y")
    >>> loader = maker.create_dataloader({"item": [3, 1, 4], "y": [0, 1, 1]}, 2, shuffle=False)
    >>> [batch["labels"]["y"].tolist() for batch in loader]
    [[0.0, 1.0], [1.0]]
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        target: list[str] | str | None = None,
        id_columns: list[str] | str | None = None,
        processor: Any = None,
    ) -> None:
        self._set_feature_config(
            dense_features, sparse_features, sequence_features, target, id_columns
        )
        self.features = FeatureSet.of(self.all_features)
        self.processor = processor

    def create_dataloader(
        self,
        data: Any,
        batch_size: int = 32,
        shuffle: bool = True,
        load_full: bool = True,
        chunk_size: int = 10000,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        weight_column: str | None = None,
        buffer_rows: int | None = None,
        threads: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> DataLoader:
        """A loader of :class:`~nextrec.data.batch.Batch` for ``data``.

        Args:
            data: what :func:`~nextrec.data.sources.read_table_of` reads; a torch ``DataLoader``
                is returned as it is.
            batch_size: rows of every batch but perhaps the last.
            shuffle: new order each epoch.
            load_full: False: files and Arrow data sets are read while they are used, and rows
                are shuffled within a buffer (:class:`~nextrec.data.stream.StreamLoader`).
            chunk_size: rows of the buffer, when not loaded in full.
            seed: of the order; ``None``: the seed of ``torch.manual_seed``.
            drop_last: leave out a last batch that is not full.
            weight_column: column of sample weights.
            buffer_rows: ``chunk_size`` under its other name, which comes first.
            threads: how many read and transform ahead, when not loaded in full.
            rank, world_size: this process's number among those that share the rows.

        Raises:
            DataError: the data is empty, a column is missing or a value does not fit.
            NotFittedError: the processor was not fitted.
        """
        if isinstance(data, DataLoader):
            return data
        require_fitted(self.processor)
        kind = frame_kind(data)
        # A processor gets frames and dicts as they were given; the rest is opened only once.
        source = data if kind in ("pandas", "dict") else open_source(data)
        schema = self._schema(source, weight_column)
        options: dict[str, Any] = {
            "seed": seed,
            "drop_last": drop_last,
            "rank": rank,
            "world_size": world_size,
        }
        if not load_full and kind in ("files", "dataset"):
            stream = ChunkStream(source, schema, chunk_size, self.processor)
            return StreamLoader(
                stream, batch_size, shuffle, buffer_rows=buffer_rows, threads=threads, **options
            )
        store = PackedStore(prepare(source, schema, self.processor))
        return BatchLoader(store, batch_size, shuffle, **options)

    def _schema(self, source: Any, weight_column: str | None) -> Schema:
        # Data to predict has no labels; data with some labels is meant to have them all.
        available = open_source(source).names()
        has_labels = any(self._is_there(name, available) for name in self.target_columns)
        return Schema(
            self.features,
            tuple(self.target_columns),
            tuple(self.id_columns),
            weight_column,
            require_labels=has_labels,
        )

    def _is_there(self, target: str, available: Sequence[str]) -> bool:
        """Whether the data, or the processor from it, has the labels of a target."""
        if self.processor is None or not is_own(self.processor):
            return target in available
        return set(self.processor.inputs_of([target])) <= set(available)
