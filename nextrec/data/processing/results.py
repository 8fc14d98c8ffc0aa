"""What ``transform`` returns for data in memory: the kind of table that was given, or a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from nextrec.data.histories import pad_newest
from nextrec.data.sources import frame_kind, read_table_of
from nextrec.data.transforms.base import Transform


def as_dict(
    data: Any, outputs: Mapping[str, pa.Array], transforms: Mapping[str, Transform]
) -> dict[str, Any]:
    """A dict of arrays, as 0.3.1 gave: the columns of the data, the transformed ones replaced.

    Ids are int64 ``(N,)``, histories int64 ``(N, max_len)``, numbers float32 ``(N,)``.
    """
    made = {name: as_numpy(values, transforms[name]) for name, values in outputs.items()}
    return _with_given(data, made)


def as_frame(
    data: Any, outputs: Mapping[str, pa.Array], transforms: Mapping[str, Transform]
) -> Any:
    """A frame of the kind that was given: pandas for a dict or a list of rows.

    In pandas, histories are lists of ``max_len`` ids, as 0.3.1 gave them; elsewhere they are
    lists without padding.
    """
    kind = frame_kind(data)
    if kind == "polars":
        frame = data.collect() if isinstance(data, pl.LazyFrame) else data
        frame = frame.to_frame() if isinstance(frame, pl.Series) else frame
        return frame.with_columns(
            [pl.Series(name, pl.from_arrow(values)) for name, values in outputs.items()]
        )
    if kind in ("arrow", "dataset", "stream"):
        table = read_table_of(data)
        return pa.table({**{n: table.column(n) for n in table.column_names}, **outputs})
    made: dict[str, Any] = {}
    for name, values in outputs.items():
        array = as_numpy(values, transforms[name])
        made[name] = array.tolist() if array.ndim == 2 else array
    index = data.index if isinstance(data, (pd.DataFrame, pd.Series)) else None
    columns = {name: _plain(values) for name, values in _with_given(data, made).items()}
    return pd.DataFrame(columns, index=index)


def as_numpy(values: pa.Array, transform: Transform) -> np.ndarray:
    """One output column: ids int64, histories padded, labels with NaN where not observed."""
    if transform.role == "sequence":
        lengths = pa.compute.list_value_length(values).to_numpy(zero_copy_only=False)
        longest = transform.most  # type: ignore[attr-defined]
        items = values.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
        return pad_newest(items, lengths.astype(np.int64), longest, 0)
    if values.null_count and pa.types.is_integer(values.type):
        return values.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    array = values.to_numpy(zero_copy_only=False)
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def _with_given(data: Any, made: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the data in their order, those in ``made`` replaced, new ones at the end.

    What is replaced is not converted: of columns of text that would take longer than all else.
    """
    kind = frame_kind(data)
    columns: Any
    if kind == "records":
        names = dict.fromkeys(str(name) for row in data for name in row)
        columns = {name: np.array([row.get(name) for row in data], object) for name in names}
    elif kind == "pandas":
        columns = data.to_frame() if isinstance(data, pd.Series) else data
    elif kind == "dict":
        columns = data
    else:
        table = read_table_of(data)
        columns = {name: table.column(name) for name in table.column_names}
    kept = {
        str(name): made[str(name)] if str(name) in made else _as_array(columns[name])
        for name in columns
    }
    return {**kept, **made}


def _as_array(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, (pd.Series, pl.Series)):
        return values.to_numpy()
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        try:
            return values.to_numpy(zero_copy_only=False)
        except (pa.ArrowException, NotImplementedError):  # NumPy has no such type
            return np.array([*values.to_pylist(), None], dtype=object)[:-1]
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        ragged = np.empty(len(values), dtype=object)
        ragged[:] = list(values)
        return ragged


def _plain(values: Any) -> Any:
    return list(values) if isinstance(values, np.ndarray) and values.ndim > 1 else values
