"""Which columns of a table mean what, and filling packed blocks with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.blocks import Layout
from nextrec.data.columns import (
    NUMBER_TEXT,
    dense_values,
    label_values,
    sparse_values,
    weight_values,
)
from nextrec.data.files import require_columns
from nextrec.data.histories import sequence_values
from nextrec.data.lists import first_true, is_text
from nextrec.errors import DataError, FeatureError
from nextrec.features import FeatureSet

FEATURE_BLOCKS = {"sparse": np.int64, "sequence": np.int64, "dense": np.float32}
PACK_ROWS = 8192
"""Rows converted at a time: all their columns fit the processor's cache while they are packed."""


@dataclass(frozen=True)
class Schema:
    """Which columns of the data become features, labels, ids and weights."""

    features: FeatureSet
    targets: tuple[str, ...] = ()
    id_columns: tuple[str, ...] = ()
    weight_column: str | None = None
    require_labels: bool = True
    """False: target columns may be absent. One that is absent beside others is all NaN."""
    check_labels: Callable[[np.ndarray, int], None] | None = None
    """Called with labels ``(B, T)`` and the number of their first row, to judge them by task."""

    def __post_init__(self) -> None:
        if not len(self.features):
            raise FeatureError("a data set needs at least one feature; got none.")

    def columns(
        self, available: Sequence[str], where: str = "the data", without: Sequence[str] = ()
    ) -> list[str]:
        """The columns to read; a DataError lists all that are missing.

        Id columns in ``without`` are found elsewhere.
        """
        wanted = [*self.features.names, *(each for each in self.id_columns if each not in without)]
        wanted += [self.weight_column] if self.weight_column else []
        wanted += [name for name in self.targets if self.require_labels or name in available]
        require_columns(wanted, available, where)
        return list(dict.fromkeys(wanted))


def fill_blocks(table: pa.Table, schema: Schema, first_row: int) -> dict[str, np.ndarray]:
    """The feature blocks, ``labels`` and ``weights`` of a table, as far as it has them.

    Rows are converted in small pieces, all columns of a piece at a time: a block is row by row,
    and writing it column by column would touch all its memory once for each column.
    """
    has_labels = any(name in table.column_names for name in schema.targets)
    arrays = _allocate(table.num_rows, schema, has_labels)
    _refuse_text(table, schema, first_row)
    start = 0
    for part in table.to_batches(max_chunksize=PACK_ROWS):
        stop = start + part.num_rows
        columns = dict(zip(part.schema.names, part.columns, strict=True))
        rows = {block: array[start:stop] for block, array in arrays.items()}
        _fill_features(rows, columns, schema.features, first_row + start)
        _fill_labels(rows, columns, schema, first_row + start)
        start = stop
    return arrays


def _allocate(rows: int, schema: Schema, has_labels: bool) -> dict[str, np.ndarray]:
    layout = Layout.of(schema.features)
    arrays: dict[str, np.ndarray] = {
        block: np.empty((rows, layout.width(block)), dtype=data_type)
        for block, data_type in FEATURE_BLOCKS.items()
        if layout.width(block)
    }
    if has_labels:
        arrays["labels"] = np.full((rows, len(schema.targets)), np.nan, np.float32)
    if schema.weight_column:
        arrays["weights"] = np.empty(rows, np.float32)
    return arrays


def _refuse_text(table: pa.Table, schema: Schema, first_row: int) -> None:
    """Raise for a column of numbers that is text, naming the row that makes it so.

    One word turns a whole CSV column into text; in most pieces every value looks right.
    """
    features = schema.features
    readers: dict[str, Callable[..., Any]] = {
        each.name: partial(sparse_values, feature=each) for each in features.sparse
    }
    single = [each for each in features.dense if each.input_dim == 1]
    readers |= {each.name: partial(dense_values, feature=each) for each in single}
    readers |= {name: partial(label_values, target=name) for name in schema.targets}
    if schema.weight_column:
        readers[schema.weight_column] = partial(weight_values, name=schema.weight_column)
    for name, read in readers.items():
        if name not in table.column_names or not is_text(table.column(name).type):
            continue
        row = 0
        for chunk in table.column(name).chunks:
            right = pc.fill_null(pc.match_substring_regex(chunk, NUMBER_TEXT), True)
            wrong = first_true(pc.invert(right))
            if wrong >= 0:
                read(chunk.slice(wrong, 1), first_row=first_row + row + wrong)
            row += len(chunk)
        if table.num_rows > table.column(name).null_count:
            raise DataError(
                f"column {name!r} must hold numbers, but is text. The values of the rows from "
                f"{first_row} to {first_row + table.num_rows - 1} could be numbers: parse them "
                "first; in a CSV file the value of another row is none."
            )


def _fill_features(
    rows: Mapping[str, np.ndarray],
    columns: Mapping[str, pa.Array],
    features: FeatureSet,
    first_row: int,
) -> None:
    for place, sparse in enumerate(features.sparse):
        rows["sparse"][:, place] = sparse_values(columns[sparse.name], sparse, first_row)
    start = 0
    for sequence in features.sequence:
        stop = start + sequence.max_len
        rows["sequence"][:, start:stop] = sequence_values(
            columns[sequence.name], sequence, first_row
        )
        start = stop
    start = 0
    for dense in features.dense:
        stop = start + dense.input_dim
        rows["dense"][:, start:stop] = dense_values(columns[dense.name], dense, first_row)
        start = stop


def _fill_labels(
    rows: Mapping[str, np.ndarray], columns: Mapping[str, pa.Array], schema: Schema, first_row: int
) -> None:
    if "labels" in rows:
        for place, name in enumerate(schema.targets):
            if name in columns:
                rows["labels"][:, place] = label_values(columns[name], name, first_row)
        if schema.check_labels is not None:
            schema.check_labels(rows["labels"], first_row)
    if schema.weight_column:
        weights = columns[schema.weight_column]
        rows["weights"][:] = weight_values(weights, schema.weight_column, first_row)
