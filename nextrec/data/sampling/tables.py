"""Any kind of table in, the same kind out.

What comes as files, a data set, a stream or row dicts leaves as an Arrow table. Lists are Arrow's
in every kind: in pandas a column of ``ArrowDtype``, whose rows cost no object each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch

from nextrec.data.lists import is_list
from nextrec.data.sources import column_names, frame_kind, read_table_of
from nextrec.errors import ConfigError, invalid


def loaded(data: Any) -> Any:
    """The table in memory: a pandas or Polars frame, an Arrow table or a dict of columns."""
    kind = frame_kind(data)
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, (pd.Series, pl.Series)):
        return data.to_frame()
    return data if kind in ("pandas", "polars", "dict") else read_table_of(data)


def refuse_taken(owner: str, data: Any, new: Iterable[str]) -> None:
    """Raise when a column to add has the name of one that is there, or two have one name."""
    taken = set(column_names(data))
    for name in new:
        if name in taken:
            must_be = "a name that no other column has: choose another `prefix`"
            raise ConfigError(invalid(owner, "prefix", must_be, name))
        taken.add(name)


def with_columns(data: Any, columns: Mapping[str, pa.ChunkedArray]) -> Any:
    """A loaded table with columns added, or replaced where the name is there already."""
    if isinstance(data, pd.DataFrame):
        data = data.copy(deep=False)
        for name, column in columns.items():
            data[name] = _series(column).set_axis(data.index)
        return data
    if isinstance(data, pl.DataFrame):
        return data.with_columns([_polars(name, each) for name, each in columns.items()])
    if isinstance(data, pa.Table):
        for name, column in columns.items():
            place = data.schema.get_field_index(name)
            if place < 0:
                data = data.append_column(name, column)
            else:
                data = data.set_column(place, name, column)
        return data
    return {**data, **columns}


def _polars(name: str, column: pa.ChunkedArray) -> pl.Series:
    series = pl.from_arrow(column, rechunk=False)
    assert isinstance(series, pl.Series)
    return series.alias(name)


def _series(column: pa.ChunkedArray) -> pd.Series:
    if is_list(column.type):
        return pd.Series(column, dtype=pd.ArrowDtype(column.type))
    return column.to_pandas()


def take_rows(data: Any, rows: np.ndarray) -> Any:
    """The rows of a loaded table at these positions, in their order."""
    if isinstance(data, pd.DataFrame):
        return data.take(rows).reset_index(drop=True)
    if isinstance(data, pl.DataFrame):
        return data[rows]
    if isinstance(data, pa.Table):
        return data.take(pa.array(rows))
    return {name: _taken(values, rows) for name, values in data.items()}


def _taken(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, (list, tuple)):
        return type(values)(values[row] for row in rows)
    if isinstance(values, pd.Series):
        return values.take(rows).reset_index(drop=True)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.take(pa.array(rows))
    return values[torch.from_numpy(rows)] if isinstance(values, torch.Tensor) else values[rows]


def in_kind_of(data: Any, table: pa.Table) -> Any:
    """An Arrow table as the kind that a loaded table is."""
    if isinstance(data, pd.DataFrame):
        return pd.DataFrame({name: _series(table[name]) for name in table.column_names})
    if isinstance(data, pl.DataFrame):
        return pl.from_arrow(table)
    return (
        table
        if isinstance(data, pa.Table)
        else dict(zip(table.column_names, table.columns, strict=True))
    )
