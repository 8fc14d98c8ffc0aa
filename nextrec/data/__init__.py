"""From tables and files to batches of tensors.

``RecDataLoader`` makes loaders from described columns; ``PackedStore`` and ``BatchLoader`` are what
it makes them of; ``split`` chooses the rows to test on. Anything tabular goes in: see
:func:`~nextrec.data.sources.read_table_of`.
"""

from nextrec.data import data_utils
from nextrec.data.batch import Batch, FeatureBatch, Layout, Schema, as_batch
from nextrec.data.data_utils import (
    build_eval_candidates,
    collate_fn,
    default_output_dir,
    get_column_data,
    iter_file_chunks,
    load_dataframes,
    read_table,
    resolve_file_paths,
    split_dict_random,
)
from nextrec.data.dataloader import RecDataLoader
from nextrec.data.loaders import BatchLoader
from nextrec.data.preprocessor import DataProcessor
from nextrec.data.row_datasets import FileDataset, TensorDictDataset, build_tensors_from_data
from nextrec.data.sampling import (
    add_negatives,
    build_histories,
    build_sequences,
    check_split,
    in_batch_negatives,
    sample_negatives,
    sample_unseen,
    split,
    split3,
)
from nextrec.data.sources import column_names, frame_kind, open_source, read_table_of, scan
from nextrec.data.store import PackedStore
from nextrec.data.stream import StreamLoader
from nextrec.features import FeatureSpecMixin

__all__ = [
    "Batch",
    "BatchLoader",
    "DataProcessor",
    "FeatureBatch",
    "FeatureSpecMixin",
    "FileDataset",
    "Layout",
    "PackedStore",
    "RecDataLoader",
    "Schema",
    "StreamLoader",
    "TensorDictDataset",
    "add_negatives",
    "as_batch",
    "build_eval_candidates",
    "build_histories",
    "build_sequences",
    "build_tensors_from_data",
    "check_split",
    "collate_fn",
    "column_names",
    "data_utils",
    "default_output_dir",
    "frame_kind",
    "get_column_data",
    "in_batch_negatives",
    "iter_file_chunks",
    "load_dataframes",
    "open_source",
    "read_table",
    "read_table_of",
    "resolve_file_paths",
    "sample_negatives",
    "sample_unseen",
    "scan",
    "split",
    "split3",
    "split_dict_random",
]
