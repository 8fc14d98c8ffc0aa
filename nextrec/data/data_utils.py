"""Helpers of 0.3.1 around files, dicts and evaluation candidates."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nextrec.data.batch import Batch
from nextrec.data.files import file_kind, find_files
from nextrec.data.sampling.candidates import build_eval_candidates
from nextrec.data.sources import exact_chunks, source_of_type
from nextrec.errors import ConfigError, DataError, invalid

__all__ = [
    "build_eval_candidates",
    "collate_fn",
    "default_output_dir",
    "get_column_data",
    "iter_file_chunks",
    "load_dataframes",
    "read_table",
    "resolve_file_paths",
    "split_dict_random",
]


def collate_fn(batch: list[Any]) -> Any:
    """Join what a torch ``DataLoader`` fetched into one batch.

    Dicts of single rows are stacked, column by column. A dict marked ``_already_batched`` and a
    :class:`~nextrec.data.batch.Batch` are whole batches: one passes through, several are joined.
    Tuples and lists are concatenated position by position. An empty list gives an empty dict form.
    """
    if not batch:
        return {"features": {}, "labels": None, "ids": None}
    first = batch[0]
    if isinstance(first, Batch):
        return first if len(batch) == 1 else Batch.concat(batch)
    if isinstance(first, dict):
        whole = bool(first.get("_already_batched"))
        if whole and len(batch) == 1:
            return {key: value for key, value in first.items() if key != "_already_batched"}
        return {part: _join_part(batch, part, whole) for part in ("features", "labels", "ids")}
    if isinstance(first, (tuple, list)):
        return tuple(_concatenate(list(values)) for values in zip(*batch, strict=True))
    must_be = "rows as dicts, tuples or lists, or batches"
    raise DataError(invalid("collate_fn", "batch", must_be, type(first).__name__))


def _join_part(rows: Sequence[dict[str, Any]], part: str, whole: bool) -> dict[str, Any] | None:
    first = rows[0].get(part)
    if first is None:
        return None
    join = _concatenate if whole else _stack
    return {name: join([row[part][name] for row in rows]) for name in first}


def _stack(values: list[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return torch.stack(values)
    stacked = np.asarray(values)
    return torch.from_numpy(stacked) if stacked.dtype.kind in "iufb" else stacked


def _concatenate(values: list[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return torch.cat(values)
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    return [item for value in values for item in value]


def get_column_data(data: Any, name: str) -> Any:
    """A column of a dict or frame, None when it has none; an attribute of anything else."""
    if isinstance(data, dict):
        return data.get(name)
    if isinstance(data, pd.DataFrame):
        return data[name].to_numpy() if name in data.columns else None
    if not hasattr(data, name):
        raise KeyError(name)
    return getattr(data, name)


def resolve_file_paths(path: str | os.PathLike[str]) -> tuple[list[str], str]:
    """Files that a path, folder or glob pattern means, and their kind: ``csv`` or ``parquet``."""
    paths = find_files(path)
    return [str(each) for each in paths], file_kind(str(paths[0]))


def iter_file_chunks(file_path: str, file_type: str, chunk_size: int) -> Iterator[pd.DataFrame]:
    """The rows of a file in frames of exactly ``chunk_size`` rows; the last may be shorter."""
    source = source_of_type([file_path], file_type)
    for table in exact_chunks(source.scan(source.names(), chunk_size), chunk_size):
        yield table.to_pandas()


def read_table(file_path: str, file_type: str) -> pd.DataFrame:
    """A whole file as a frame."""
    source = source_of_type([file_path], file_type)
    return source.read(source.names()).to_pandas()


def load_dataframes(file_paths: list[str], file_type: str) -> list[pd.DataFrame]:
    """Each file as a frame."""
    return [read_table(path, file_type) for path in file_paths]


def default_output_dir(path: str | os.PathLike[str]) -> Path:
    """Where transformed files go by default: a folder beside a file or folder.

    >>> default_output_dir("data/train.parquet").as_posix()
    'data/train_preprocessed'
    """
    path = Path(path)
    name = path.name if path.is_dir() else path.name.split(".")[0]
    return path.parent / f"{name}_preprocessed"


def split_dict_random(
    data_dict: dict[str, Any], test_size: float = 0.2, random_state: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the rows of a dict of columns at random; every column keeps its kind.

    Returns:
        ``round(N * (1 - test_size))`` rows to train on, and the others.
    """
    lengths = {name: len(values) for name, values in data_dict.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"columns must have one length; got {lengths}.")
    if not 0 < test_size < 1:
        must_be = "a number in (0, 1)"
        raise ConfigError(invalid("split_dict_random", "test_size", must_be, test_size))
    rows = next(iter(lengths.values()))
    order = np.random.default_rng(random_state).permutation(rows)
    cut = round(rows * (1 - test_size))
    train, test = (
        {name: _rows_of(values, part) for name, values in data_dict.items()}
        for part in (order[:cut], order[cut:])
    )
    return train, test


def _rows_of(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, (list, tuple)):
        return type(values)(values[row] for row in rows)
    if isinstance(values, pd.Series):
        return values.iloc[rows]
    return values[rows]
