"""The rows of one partition of a Spark DataFrame, in the executor that works on it.

Rows of a Spark DataFrame have no numbers: errors count them within their partition, and say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from nextrec.data.files import exact_chunks
from nextrec.errors import DataError


def partition_number() -> int:
    """Number of the partition that this process works on."""
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None, "only executors call this"
    return context.partitionId()


def numbered_tables(
    batches: Iterator[pa.RecordBatch], names: Sequence[str], chunk: int
) -> Iterator[tuple[int, pa.Table]]:
    """Tables of about ``chunk`` rows, each with the number of its first row in the partition."""
    first_row = 0
    for table in exact_chunks((_named(batch, names) for batch in batches), chunk):
        yield first_row, table
        first_row += table.num_rows


def _named(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The batch under the names the columns have for the user, its moments in UTC.

    Spark hands over moments in the time zone of its session. A processor must not depend on that.
    """
    columns = [
        column if column.type == in_utc(column.type) else column.cast(in_utc(column.type))
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def in_utc(data_type: pa.DataType) -> pa.DataType:
    """The type with the moments in UTC: the same instants, told on another clock."""
    if pa.types.is_timestamp(data_type) and data_type.tz is not None:
        return pa.timestamp(data_type.unit, "UTC")
    if pa.types.is_list(data_type):
        return pa.list_(in_utc(data_type.value_type))
    return data_type


@contextmanager
def within_partition(task: int) -> Iterator[None]:
    """Says of an error's row that it is counted within a partition."""
    try:
        yield
    except DataError as error:
        text = f"partition {task} of the Spark DataFrame (rows counted in it): {error}"
        raise DataError(text) from error
