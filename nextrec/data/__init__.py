"""From tables and files to batches of tensors.

``RecDataLoader`` makes loaders from described columns; ``PackedStore`` and ``BatchLoader`` are what
it makes them of; ``split`` chooses the rows to test on. Anything tabular goes in: see
:func:`~nextrec.data.sources.read_table_of`.

The names are looked up on first use, so that what reads tables only does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Batch": "nextrec.data.batch",
    "BatchLoader": "nextrec.data.loaders",
    "DataProcessor": "nextrec.data.preprocessor",
    "FeatureBatch": "nextrec.data.batch",
    "FeatureSpecMixin": "nextrec.features",
    "FileDataset": "nextrec.data.row_datasets",
    "Layout": "nextrec.data.batch",
    "PackedStore": "nextrec.data.store",
    "RecDataLoader": "nextrec.data.dataloader",
    "Schema": "nextrec.data.batch",
    "StreamLoader": "nextrec.data.stream",
    "TensorDictDataset": "nextrec.data.row_datasets",
    "add_negatives": "nextrec.data.sampling",
    "as_batch": "nextrec.data.batch",
    "build_eval_candidates": "nextrec.data.data_utils",
    "build_histories": "nextrec.data.sampling",
    "build_sequences": "nextrec.data.sampling",
    "build_tensors_from_data": "nextrec.data.row_datasets",
    "check_split": "nextrec.data.sampling",
    "collate_fn": "nextrec.data.data_utils",
    "column_names": "nextrec.data.sources",
    "default_output_dir": "nextrec.data.data_utils",
    "frame_kind": "nextrec.data.sources",
    "get_column_data": "nextrec.data.data_utils",
    "in_batch_negatives": "nextrec.data.sampling",
    "iter_file_chunks": "nextrec.data.data_utils",
    "load_dataframes": "nextrec.data.data_utils",
    "open_source": "nextrec.data.sources",
    "read_table": "nextrec.data.data_utils",
    "read_table_of": "nextrec.data.sources",
    "resolve_file_paths": "nextrec.data.data_utils",
    "sample_negatives": "nextrec.data.sampling",
    "sample_unseen": "nextrec.data.sampling",
    "scan": "nextrec.data.sources",
    "split": "nextrec.data.sampling",
    "split3": "nextrec.data.sampling",
    "split_dict_random": "nextrec.data.data_utils",
}
"""Each public name and the module that it is read from."""

__all__ = [*_HOMES, "data_utils"]

if TYPE_CHECKING:  # the same names, where type checkers and editors can follow them
    from nextrec.data import data_utils as data_utils
    from nextrec.data.batch import Batch as Batch
    from nextrec.data.batch import FeatureBatch as FeatureBatch
    from nextrec.data.batch import Layout as Layout
    from nextrec.data.batch import Schema as Schema
    from nextrec.data.batch import as_batch as as_batch
    from nextrec.data.data_utils import build_eval_candidates as build_eval_candidates
    from nextrec.data.data_utils import collate_fn as collate_fn
    from nextrec.data.data_utils import default_output_dir as default_output_dir
    from nextrec.data.data_utils import get_column_data as get_column_data
    from nextrec.data.data_utils import iter_file_chunks as iter_file_chunks
    from nextrec.data.data_utils import load_dataframes as load_dataframes
    from nextrec.data.data_utils import read_table as read_table
    from nextrec.data.data_utils import resolve_file_paths as resolve_file_paths
    from nextrec.data.data_utils import split_dict_random as split_dict_random
    from nextrec.data.dataloader import RecDataLoader as RecDataLoader
    from nextrec.data.loaders import BatchLoader as BatchLoader
    from nextrec.data.preprocessor import DataProcessor as DataProcessor
    from nextrec.data.row_datasets import FileDataset as FileDataset
    from nextrec.data.row_datasets import TensorDictDataset as TensorDictDataset
    from nextrec.data.row_datasets import build_tensors_from_data as build_tensors_from_data
    from nextrec.data.sampling import add_negatives as add_negatives
    from nextrec.data.sampling import build_histories as build_histories
    from nextrec.data.sampling import build_sequences as build_sequences
    from nextrec.data.sampling import check_split as check_split
    from nextrec.data.sampling import in_batch_negatives as in_batch_negatives
    from nextrec.data.sampling import sample_negatives as sample_negatives
    from nextrec.data.sampling import sample_unseen as sample_unseen
    from nextrec.data.sampling import split as split
    from nextrec.data.sampling import split3 as split3
    from nextrec.data.sources import column_names as column_names
    from nextrec.data.sources import frame_kind as frame_kind
    from nextrec.data.sources import open_source as open_source
    from nextrec.data.sources import read_table_of as read_table_of
    from nextrec.data.sources import scan as scan
    from nextrec.data.store import PackedStore as PackedStore
    from nextrec.data.stream import StreamLoader as StreamLoader
    from nextrec.features import FeatureSpecMixin as FeatureSpecMixin


def __getattr__(name: str) -> Any:
    if name == "data_utils":  # a module, which 0.3.1 had as an attribute
        return importlib.import_module("nextrec.data.data_utils")
    if name not in _HOMES:
        raise AttributeError(f"module 'nextrec.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
