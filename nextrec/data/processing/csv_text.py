"""Columns that CSV has no form for, as text that the readers of NextRec take back.

Letters: N rows, M items of all rows.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from nextrec.data.lists import is_list, is_text
from nextrec.errors import DataError

TEXT = pa.large_string()
_ZERO = pa.array([0], pa.int64())
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\0": "\\x00"}


def lists_as_text(table: pa.Table) -> pa.Table:
    """Lists as text: of numbers as ``1,2``, of text quoted as Python does, ``['x,y', 'z']``.

    A list of numbers that lacks an item is written in brackets too: ``[1, None]``.

    Raises:
        DataError: a list has items that have no text.
    """
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if is_list(column.type):
            pieces = [_as_text(name, chunk) for chunk in column.chunks]
            column = pa.chunked_array(pieces, type=TEXT)
        elif is_text(column.type) and not pa.types.is_string(column.type):
            column = column.cast(TEXT)
        columns[name] = column
    return pa.table(columns)


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """The types in which the columns of a table are written as CSV.

    Raises:
        DataError: a column has a type that CSV has no form for.
    """
    text = lists_as_text(schema.empty_table()).schema
    for field in text:
        try:
            pa.csv.write_csv(pa.schema([field]).empty_table(), pa.BufferOutputStream())
        except pa.ArrowException as error:
            raise _no_form(field.name, field.type) from error
    return text


def _no_form(name: str, data_type: pa.DataType) -> DataError:
    return DataError(
        f"transform: column {name!r} is of type {data_type}, which CSV has no form for; write "
        "Parquet (`save_format='parquet'`), or leave the column out."
    )


def _as_text(name: str, lists: pa.Array) -> pa.Array:
    """The text of each list ``(N,)``; a missing list is missing."""
    kind = lists.type.value_type
    if pa.types.is_nested(kind):
        raise _no_form(name, lists.type)
    if pa.types.is_fixed_size_list(lists.type):
        lists = lists.cast(pa.list_(kind))
    if pa.types.is_dictionary(kind):
        lists, kind = lists.cast(pa.list_(kind.value_type)), kind.value_type
    lengths = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int64())
    offsets = pa.concat_arrays([_ZERO, pc.cumulative_sum(lengths)])
    try:
        items = lists.flatten().cast(TEXT)  # (M,)
    except pa.ArrowException as error:
        raise _no_form(name, lists.type) from error
    if is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        items, bracketed = _quoted(items), pa.repeat(True, len(lists))
    else:
        bracketed = _lack_items(items, offsets)
    whole = pa.LargeListArray.from_arrays(offsets, pc.fill_null(items, "None"))
    separator = pc.if_else(bracketed, pa.scalar(", ", TEXT), pa.scalar(",", TEXT))
    joined = pc.binary_join(whole, separator)
    enclosed = pc.binary_join_element_wise(
        pa.scalar("[", TEXT), joined, pa.scalar("]", TEXT), pa.scalar("", TEXT)
    )
    text = pc.if_else(bracketed, enclosed, joined)
    return pc.if_else(lists.is_null(), pa.scalar(None, TEXT), text)


def _lack_items(items: pa.Array, offsets: pa.Array) -> pa.Array:
    """Whether any item of each list is missing ``(N,)``."""
    totals = pa.concat_arrays([_ZERO, pc.cumulative_sum(items.is_null().cast(pa.int64()))])
    before = totals.take(offsets)
    return pc.greater(before[1:], before[:-1])


def _quoted(items: pa.Array) -> pa.Array:
    for sign, escape in _ESCAPES.items():
        if pc.any(pc.match_substring(items, sign)).as_py():
            items = pc.replace_substring(items, sign, escape)
    quote = pa.scalar("'", TEXT)
    return pc.binary_join_element_wise(quote, items, quote, pa.scalar("", TEXT))
