"""Columns with several values a row: lists, arrays, single values and text, as one flat array.

The text that CSV files and databases hold for a list is read with Arrow's string kernels, never
row by row: ``[1, 2, 3]``, ``(1, 2)``, ``1,2,3``, ``1|2|3``, ``1;2;3``, ``1 2 3``; empty text is an
empty list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.errors import DataError, invalid


@dataclass(frozen=True)
class Origin:
    """Where a piece of a column comes from, so that an error can name feature, row and value."""

    owner: str
    """Who reads the column, for example ``SparseFeature 'item'``."""
    first_row: int
    """Number, in the whole data, of the row that the piece starts with."""
    ends: np.ndarray | None = None
    """For flattened lists: where each row's values end."""

    def flattened(self, lengths: np.ndarray) -> Origin:
        """The origin of the values of lists that have these lengths."""
        return Origin(self.owner, self.first_row, np.cumsum(lengths))

    def error(self, position: int, must_be: str, got: Any) -> DataError:
        """An error about the value at ``position`` of the piece."""
        if self.ends is not None:
            position = int(np.searchsorted(self.ends, position, side="right"))
        got = got.item() if isinstance(got, np.generic) else got
        where = f"{self.owner}, row {self.first_row + position}"
        return DataError(invalid(where, "value", must_be, got))


def first_true(mask: pa.Array | np.ndarray) -> int:
    """Position of the first true entry, -1 when there is none."""
    if isinstance(mask, np.ndarray):
        return int(mask.argmax()) if mask.any() else -1
    return int(pc.index(mask, pa.scalar(True)).as_py())


def refuse_missing(values: pa.Array, origin: Origin, must_be: str) -> None:
    """Raise when a value is missing, naming the first such row."""
    if values.null_count:
        raise origin.error(first_true(values.is_null()), must_be, None)


def is_text(data_type: pa.DataType) -> bool:
    """Whether the Arrow type is one of strings."""
    view = getattr(pa.types, "is_string_view", None)  # from pyarrow 16 on
    simple = pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
    return simple or bool(view and view(data_type))


def is_list(data_type: pa.DataType) -> bool:
    """Whether the Arrow type is one of lists."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(kind(data_type) for kind in kinds)


def flatten(values: pa.Array, origin: Origin, item: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """All values of all rows in one array, and how many each row has ``(N,)``.

    A missing row is an empty list. Text is split and cast to ``item``; values of list columns keep
    their own type. A column with one value a row is lists of one.
    """
    data_type = values.type
    if pa.types.is_null(data_type):
        return pa.array([], item), np.zeros(len(values), dtype=np.int64)
    if is_text(data_type):
        return _flatten_text(values, origin, item)
    if is_list(data_type):
        return _flatten_lists(values)
    if pa.types.is_floating(data_type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, data_type), values)
    return values.drop_null(), values.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)


def _flatten_lists(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    lengths = pc.fill_null(pc.list_value_length(values), 0)
    return values.flatten(), lengths.to_numpy(zero_copy_only=False).astype(np.int64)


def _flatten_text(text: pa.Array, origin: Origin, item: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    kind = "integers" if pa.types.is_integer(item) else "numbers"
    must_be = f"{kind} separated by commas, bars, semicolons or spaces"
    hexadecimal = first_true(pc.match_substring(text, "x"))  # which Arrow would read as a number
    if hexadecimal >= 0:
        raise origin.error(hexadecimal, must_be, text[hexadecimal].as_py())
    tokens, lengths = _flatten_lists(pc.split_pattern(_with_commas(text), ","))
    tokens = pc.utf8_trim_whitespace(tokens)
    try:
        return tokens.cast(item), lengths
    except pa.ArrowInvalid:
        wrong = _first_failure(tokens, lambda part: part.cast(item))
        row = int(np.searchsorted(np.cumsum(lengths), wrong, side="right"))
        raise origin.error(row, must_be, text[row].as_py()) from None


def _with_commas(text: pa.Array) -> pa.Array:
    """Every row's list as ``1,2,3``; an empty list becomes missing."""
    text = pc.utf8_trim_whitespace(text)
    for opening, closing in ("[]", "()"):
        enclosed = pc.and_(pc.starts_with(text, opening), pc.ends_with(text, closing))
        if first_true(enclosed) >= 0:
            inner = pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(text, 1, -1))
            if opening == "(":  # Python writes a tuple of one as (1,)
                inner = pc.utf8_rtrim(inner, ",")
            text = pc.if_else(enclosed, inner, text)
    for separator in "|;":
        if first_true(pc.match_substring(text, separator)) >= 0:
            text = pc.replace_substring(text, separator, ",")
    spaced = pc.and_not(pc.match_substring(text, " "), pc.match_substring(text, ","))
    if first_true(spaced) >= 0:
        text = pc.if_else(spaced, pc.replace_substring_regex(text, r"\s+", ","), text)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)


def _first_failure(values: pa.Array, check: Callable[[pa.Array], Any]) -> int:
    """Position of the first value for which ``check`` raises, by bisection."""
    start, stop = 0, len(values)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            check(values[start:middle])
            start = middle
        except pa.ArrowInvalid:
            stop = middle
    return start
