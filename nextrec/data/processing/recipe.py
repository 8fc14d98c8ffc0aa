"""The transforms of a processor as one function of a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import plain
from nextrec.data.csv_types import MISSING
from nextrec.data.files import require_columns
from nextrec.data.lists import is_text
from nextrec.data.processing.rates import Rates, rate_of
from nextrec.data.transforms.base import Transform


class Recipe:
    """Named transforms, and which columns each of them reads and writes.

    Args:
        transforms: by output column, in the order in which new columns are appended.
    """

    def __init__(self, transforms: Mapping[str, Transform]) -> None:
        self.transforms = dict(transforms)

    @property
    def targets(self) -> list[str]:
        """Output columns that are labels."""
        return [name for name, each in self.transforms.items() if each.role == "target"]

    @property
    def fit_columns(self) -> list[str]:
        """The input columns that fitting reads."""
        return _unique(name for each in self.transforms.values() for name in each.fit_inputs)

    @property
    def text_columns(self) -> frozenset[str]:
        """Input columns that CSV should deliver as they are written."""
        return frozenset(
            name
            for each in self.transforms.values()
            if each.as_written
            for name in (each.fit_inputs if each.role != "numeric" else each.inputs)
        )

    @property
    def has_folds(self) -> bool:
        """Whether rows that were fitted are transformed otherwise than others."""
        return any(each.fit_inputs != each.inputs for each in self.transforms.values())

    def inputs_of(self, names: Iterable[str], fitted: bool = False) -> list[str]:
        """Input columns that the columns ``names`` of a transformed table need.

        A name that no transform makes is a column that is carried along.

        Args:
            fitted: the data is the very data that was fitted.
        """

        def needed(name: str) -> tuple[str, ...]:
            transform = self.transforms.get(name)
            if transform is None:
                return (name,)
            return transform.fit_inputs if fitted else transform.inputs

        return _unique(each for name in names for each in needed(name))

    def runnable(self, available: Collection[str], fitted: bool = False) -> dict[str, Transform]:
        """The transforms that data with these columns gets.

        Labels may be absent, as in data to predict; any other absent input is an error.

        Args:
            fitted: the data is the very data that was fitted.
        """
        there = set(available)
        wanted = [
            name
            for each in self.transforms.values()
            if each.role != "target"
            for name in (each.fit_inputs if fitted else each.inputs)
        ]
        require_columns(wanted, list(available), "the data")
        return {
            name: each
            for name, each in self.transforms.items()
            if each.role != "target" or there.issuperset(each.inputs)
        }

    def apply(
        self,
        table: pa.Table,
        first_row: int = 0,
        fitted: bool = False,
        only: Collection[str] | None = None,
    ) -> tuple[dict[str, pa.Array], Rates]:
        """The output columns of a table, and what was missing or unknown in it.

        Args:
            first_row: number, in the whole data, of the table's first row.
            fitted: the data is the very data that was fitted.
            only: output columns to make; ``None``: all.
        """
        rates = Rates(table.num_rows)
        if only is None:
            chosen = self.runnable(table.column_names, fitted)
        else:
            chosen = {name: each for name, each in self.transforms.items() if name in only}
        ready = _Columns(table)
        outputs = {}
        for name, transform in chosen.items():
            inputs = transform.fit_inputs if fitted else transform.inputs
            columns = [ready.get(each, transform.as_written) for each in inputs]
            make = transform.apply_to_fitted if fitted else transform.apply
            output = make(columns, first_row)
            outputs[name] = output.values
            # Only of a sequence the output does not tell it: looking costs a pass over the column.
            lists = transform.role == "sequence"
            missing = missing_rows(columns[:1], transform.as_written) if lists else output.missing
            rates.add(name, rate_of(transform, output, table.num_rows, missing))
        return outputs, rates

    def transform_table(
        self,
        table: pa.Table,
        first_row: int = 0,
        fitted: bool = False,
        only: Collection[str] | None = None,
    ) -> tuple[pa.Table, Rates]:
        """The table with its configured columns replaced or added; the others are untouched."""
        outputs, rates = self.apply(table, first_row, fitted, only)
        return replaced(table, outputs), rates


def replaced(table: pa.Table, outputs: Mapping[str, pa.Array]) -> pa.Table:
    """The table with some columns replaced, new ones at the end."""
    columns = {name: table.column(name) for name in table.column_names}
    return pa.table({**columns, **outputs})


def arrays_of(table: pa.Table, inputs: Iterable[str], as_written: bool) -> list[pa.Array]:
    """Columns of a table as transforms take them."""
    ready = _Columns(table)
    return [ready.get(name, as_written) for name in inputs]


def missing_rows(columns: Sequence[pa.Array], as_written: bool) -> int:
    """Rows in which one of the columns has no value.

    Args:
        as_written: the columns hold tokens; in others, text such as ``NA`` is missing too.
    """
    lacking = [_lacking(column, as_written) for column in columns]
    found = [each for each in lacking if each is not None]
    return int(pc.sum(reduce(pc.or_, found)).as_py() or 0) if found else 0


def _lacking(column: pa.Array, as_written: bool) -> pa.Array | None:
    """Where a column has no value; ``None``: nowhere."""
    if pa.types.is_floating(column.type):
        return column.is_null(nan_is_null=True)
    lacking = column.is_null() if column.null_count else None
    if as_written or not is_text(column.type):
        return lacking
    words = pc.is_in(pc.utf8_trim_whitespace(column), pa.array(MISSING, column.type))
    return words if lacking is None else pc.or_(words, lacking)


class _Columns:
    """Columns of a table as single arrays, each made once."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.made: dict[tuple[str, bool], pa.Array] = {}

    def get(self, name: str, as_written: bool) -> pa.Array:
        """A column; ``as_written``: a dictionary-encoded one stays so."""
        column = self.table.column(name)
        keep = as_written and pa.types.is_dictionary(column.type)
        if (name, keep) not in self.made:
            self.made[name, keep] = _one_array(
                column.unify_dictionaries() if keep else plain(column)
            )
        return self.made[name, keep]


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        large = pa.large_string() if pa.types.is_string(column.type) else pa.large_binary()
        if column.nbytes >= 2**31:  # offsets of 32 bits can't reach that far
            column = column.cast(large)
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
