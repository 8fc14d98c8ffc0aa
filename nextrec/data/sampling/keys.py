"""Columns of events as numbers: who, what and when.

Letters: N events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import plain
from nextrec.data.lists import first_true, is_list, is_text
from nextrec.data.sampling.times import times
from nextrec.data.sources import read_table_of
from nextrec.errors import ConfigError, DataError, invalid

_TEXT_LIMIT = 2**31
"""Bytes that the offsets of Arrow's short strings can address."""


def check_count(owner: str, parameter: str, got: Any) -> None:
    """Raise unless it is an integer of at least 1."""
    if isinstance(got, bool) or not isinstance(got, (int, np.integer)) or got < 1:
        raise ConfigError(invalid(owner, parameter, "an integer of at least 1", got))


def names_of(columns: Sequence[str] | str | None) -> list[str]:
    """Names of columns; one name may be given by itself."""
    return [columns] if isinstance(columns, str) else list(columns or [])


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, without dictionary or extension encodings."""
    column = plain(column)
    short = pa.types.is_string(column.type) and column.nbytes < _TEXT_LIMIT
    if is_text(column.type) and not short:  # views have no kernels, short strings may overflow
        column = column.cast(pa.large_string())
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def key_columns(owner: str, data: Any, names: Sequence[str]) -> list[pa.Array]:
    """The named columns ``(N,)`` each, with one value a row and none missing.

    Raises:
        DataError: a column is absent, holds lists, or a value is missing: its row is named.
    """
    table = read_table_of(data, list(names))
    return [present(owner, name, one_array(table[name])) for name in names]


def present(owner: str, name: str, column: pa.Array) -> pa.Array:
    """The column itself; a missing value (NaN too) or a column of lists is an error."""
    if is_list(column.type) or pa.types.is_struct(column.type):
        raise DataError(invalid(owner, name, "a column of single values", str(column.type)))
    missing = first_true(column.is_null(nan_is_null=True))
    if missing >= 0:
        where = f"{owner}, row {missing}"
        raise DataError(invalid(where, name, "a value, not missing", None))
    return column


def one_a_row(owner: str, parameter: str, data: Any, rows: int, values: Any) -> pa.Array:
    """Values given as an array, or as the name of a column of ``data``: ``(N,)``, none missing."""
    if values is None or (isinstance(values, str) and isinstance(data, (int, np.integer))):
        must_be = "one value a row, or a column's name when `data` is a table"
        raise ConfigError(invalid(owner, parameter, must_be, values))
    named = isinstance(values, str)
    table = read_table_of(data, [values]) if named else read_table_of({parameter: values})
    column = one_array(table.column(0))
    if len(column) != rows:
        must_be = f"one value for each of the {rows} rows"
        raise DataError(invalid(owner, parameter, must_be, f"{len(column)} values"))
    return present(owner, parameter, column)


def mask_of(owner: str, parameter: str, data: Any, rows: int, values: Any) -> np.ndarray:
    """A mask ``(N,)``, given as booleans or as the name of a column of booleans."""
    column = _typed(one_a_row(owner, parameter, data, rows, values), pa.bool_())
    if not pa.types.is_boolean(column.type):
        must_be = "booleans, one a row, or the name of a column of booleans"
        raise DataError(invalid(owner, parameter, must_be, str(column.type)))
    return column.to_numpy(zero_copy_only=False)


def codes(values: pa.Array) -> np.ndarray:
    """Numbers of the different values, in order of appearance ``(N,)``."""
    return pc.dictionary_encode(values).indices.to_numpy().astype(np.int64)


def ranks(values: pa.Array) -> np.ndarray:
    """Numbers of the different values, in ascending order of value, from 0 ``(N,)``."""
    return pc.rank(values, tiebreaker="dense").to_numpy().astype(np.int64) - 1


def _typed(column: pa.Array, of_nothing: pa.DataType) -> pa.Array:
    """The column; one without any value, which Arrow gives no type, gets one."""
    return column.cast(of_nothing) if pa.types.is_null(column.type) else column


@dataclass(frozen=True)
class Moments:
    """When each event was, as numbers whose differences are exact."""

    values: np.ndarray
    """``(N,)`` float64, or int64 counted from the earliest event."""
    unit: str | None
    """``s``, ``ms``, ``us`` or ``ns`` of dates and timestamps; None: plain numbers."""


_SPAN = 2**62
"""Whole numbers of time units that may lie between two events: sums of two fit int64."""


def moments(owner: str, name: str, column: pa.Array) -> Moments:
    """A column of times (numbers, dates, timestamps or ISO text, none missing)."""
    unit, column = None, times(owner, name, column)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(column.type) else "ms"))
    if pa.types.is_timestamp(column.type):
        unit = column.type.unit
        column = column.cast(pa.int64())
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        infinite = first_true(~np.isfinite(values))
        if infinite >= 0:
            got = values[infinite].item()
            raise DataError(invalid(f"{owner}, row {infinite}", name, "a finite number", got))
        return Moments(values, unit)
    if not pa.types.is_integer(column.type):
        must_be = "a column of numbers, dates, timestamps or ISO 8601 text"
        raise DataError(invalid(owner, name, must_be, str(column.type)))
    raw = column.to_numpy()
    raw = raw if raw.dtype == np.uint64 else raw.astype(np.int64)
    earliest = raw.min() if len(raw) else raw.dtype.type(0)
    span = int(raw.max()) - int(earliest) if len(raw) else 0
    if span > _SPAN:
        raise DataError(invalid(owner, name, f"times at most {_SPAN} units apart", span))
    return Moments((raw - earliest).astype(np.int64), unit)  # unsigned times may be beyond int64
