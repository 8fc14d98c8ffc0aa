"""From a piece of a table to a packed batch: which columns are read, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from inspect import signature
from typing import Any

import pyarrow as pa

from nextrec.data.batch import Batch, Schema, pack
from nextrec.data.files import require_columns
from nextrec.data.sources import open_source
from nextrec.errors import DataError, NotFittedError

TRANSFORMED = "what the processor returned"


class Preparation:
    """What one table needs to become batches of one schema, found once for all its pieces.

    A processor is one of two kinds. NextRec's own has ``transform_table(table, first_row)``, which
    takes Arrow tables on any thread; where it also takes ``only``, the columns to make, no more
    than the inputs of those are read. Any other gets all columns as a pandas frame in
    ``transform(frame, return_dict=False)``. Id columns that the table has stay as they are there.

    Args:
        schema: which columns become what.
        names: columns of the table.
        processor: fitted object that transforms each piece; ``None``: the table is ready.

    Raises:
        DataError: the table lacks columns (all are listed).
        NotFittedError: the processor's ``is_fitted`` is false.
    """

    def __init__(self, schema: Schema, names: Sequence[str], processor: Any = None) -> None:
        require_fitted(processor)
        self.columns: list[str]
        """What is read."""
        self.schema = schema
        self.processor = processor
        self.ids = [] if processor is None else [n for n in schema.id_columns if n in names]
        """Id columns that are not taken from what the processor returns."""
        self.any_thread = processor is None or is_own(processor)
        """Whether several threads may prepare pieces at once."""
        self.text: frozenset[str] = frozenset()
        """Columns that a source without types gives as they are written."""
        self.options: dict[str, Any] = {}
        """What ``transform_table`` is asked for."""
        if processor is None:
            self.columns = schema.columns(names)
        elif is_own(processor):
            wanted = self._wanted(names)
            needed = list(dict.fromkeys([*processor.inputs_of(wanted), *self.ids]))
            require_columns(needed, names, "the data")
            selects = "only" in signature(processor.transform_table).parameters
            self.options = {"only": wanted} if selects else {}
            self.columns = needed if selects else list(names)
            self.text = frozenset(processor.text_columns) & set(self.columns)
        else:
            self.columns = list(names)

    def _wanted(self, names: Sequence[str]) -> list[str]:
        schema, inputs_of = self.schema, self.processor.inputs_of
        wanted = list(schema.features.names)
        wanted += [schema.weight_column] if schema.weight_column else []
        wanted += [name for name in schema.id_columns if name not in self.ids]
        for name in schema.targets:
            # A label that may be absent is there when all that it is made of is there.
            if schema.require_labels or set(inputs_of([name])) <= set(names):
                wanted.append(name)
        return wanted

    def batch(self, table: pa.Table, first_row: int) -> Batch:
        """The rows of a piece with :attr:`columns`, transformed, checked and packed.

        Args:
            first_row: number, in the whole data, of the first row; errors count from it.
        """
        if self.processor is None:
            return pack(table, self.schema, first_row)
        if is_own(self.processor):
            made = self.processor.transform_table(table, first_row, **self.options)
            return self._packed(made, table, first_row)
        return self.given(table.to_pandas(), table, first_row)

    def given(self, data: Any, raw: pa.Table, first_row: int) -> Batch:
        """The same of a frame or dict that goes to ``processor.transform`` as it was given."""
        source = open_source(self.processor.transform(data, return_dict=False))
        names = self.schema.columns(source.names(), TRANSFORMED, without=self.ids)
        return self._packed(source.read(names), raw, first_row)

    def _packed(self, transformed: pa.Table, raw: pa.Table, first_row: int) -> Batch:
        names = self.schema.columns(transformed.column_names, TRANSFORMED, without=self.ids)
        ids = raw.select(self.ids) if self.ids else None
        return pack(transformed.select(names), self.schema, first_row, ids)

    def whole(self, table: pa.Table, first_row: int) -> Batch:
        """:meth:`batch`, where the processor must keep the rows."""
        batch = self.batch(table, first_row)
        if len(batch) != table.num_rows:
            raise DataError(
                f"the processor returned {len(batch)} rows for the {table.num_rows} from row "
                f"{first_row} on; a stream's processor must keep the rows."
            )
        return batch


def default_threads() -> int:
    """Threads that prepare pieces: two, or the one that there is."""
    return min(2, os.cpu_count() or 1)


def is_own(processor: Any) -> bool:
    """Whether a processor takes Arrow tables, as NextRec's own does."""
    return hasattr(processor, "transform_table")


def require_fitted(processor: Any) -> None:
    """Raise when a processor is given that was not fitted."""
    if processor is not None and not processor.is_fitted:
        raise NotFittedError(f"{type(processor).__name__} must be fitted before it transforms.")
