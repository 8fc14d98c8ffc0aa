"""Splitting rows that are never in memory together: each row's side is known by itself.

The methods are those of :func:`~nextrec.data.sampling.split`, as far as a stream allows them:

* ``random``: exactly the share of rows. Every thousand rows give their share, chosen by a hash of
  seed and row number.
* ``group``: a group is tested on when the hash of seed and value falls below the share, so the
  share of rows is met as nearly as many groups of similar size allow.
* ``time``: the same rows as in memory. The time to cut at is found by passes over that one column.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from nextrec.data.columns import plain
from nextrec.data.files import Job, Source, Unit
from nextrec.data.lists import first_true, is_list, is_text
from nextrec.data.prefetch import in_order
from nextrec.data.preparation import default_threads
from nextrec.data.sampling.times import times
from nextrec.data.transforms.hashing import hash_tokens
from nextrec.errors import ConfigError, DataError, invalid

STRATUM = 1000
"""Rows that give their exact share to a random split."""
DIGITS = 16
"""Bits of a time that one pass over the column settles."""

Tested = Callable[[pa.Table, int], np.ndarray]
"""Whether each row of a piece that starts at the numbered row is tested on ``(N,)``."""


@dataclass(frozen=True)
class RowChoice:
    """One side of a split."""

    tested: Tested
    tested_of: dict[tuple[int, int, int], int]
    """Rows to test on in each unit, by its file, place and size."""
    held: bool
    """The rows to test on, or the others."""
    columns: tuple[str, ...]
    """Columns that ``tested`` needs."""
    description: str
    """Equal descriptions choose equal rows of equal data."""

    def mask(self, table: pa.Table, first_row: int) -> np.ndarray:
        """Which rows of a piece are on this side ``(N,)``."""
        tested = self.tested(table, first_row)
        return tested if self.held else ~tested

    def counts(self, units: Sequence[Unit]) -> list[int]:
        """Rows of each unit on this side."""
        unknown = [unit for unit in units if _key(unit) not in self.tested_of]
        if unknown:
            raise DataError(
                f"the rows from row {unknown[0].first_row} on are not those that were split: the "
                "data changed, or which of its lines are bad depends on the columns that are read."
            )
        tested = [self.tested_of[_key(unit)] for unit in units]
        pairs = zip(units, tested, strict=True)
        return tested if self.held else [unit.rows - count for unit, count in pairs]


def _key(unit: Unit) -> tuple[int, int, int]:
    return unit.file, unit.place, unit.rows


def split_stream(
    source: Source,
    units: Sequence[Unit],
    fraction: float,
    method: str = "random",
    seed: int = 42,
    column: str | None = None,
    text: Collection[str] = (),
) -> tuple[RowChoice, RowChoice]:
    """The rows of a source to train on, and those to test on.

    Args:
        units: all of the source's.
        source: read once for ``group`` and up to five times for ``time``, only the column (and a
            first piece of it).
        fraction: share of rows to test on, in (0, 1).
        method: ``random``, ``group`` or ``time``.
        column: the groups, or the times: numbers, dates, timestamps or ISO 8601 text.
        text: columns that a CSV source will give as they are written.

    Raises:
        ConfigError: the method needs all rows at once.
        DataError: a value is missing or of a kind without order, or a side would be empty.
    """
    columns = () if column is None or method == "random" else (column,)
    rows = sum(unit.rows for unit in units)
    if method == "random":
        tested: Tested = partial(_random_tested, rows=rows, fraction=fraction, seed=seed)
    elif method == "group":
        assert column is not None
        tested = partial(_group_tested, column=column, fraction=fraction, seed=seed)
    elif method == "time":
        assert column is not None
        text = frozenset(text) - {column}  # times need types; a piece as written is cast to them
        kind = _kind_of_times(source, column, text)
        last = _last_trained(source, rows, column, kind, fraction, text)
        tested = partial(_tested_after, column=column, kind=kind, last=last)
    else:
        raise ConfigError(
            f"fit: `split_by` {method!r} needs all rows of a user at once, which a stream does not "
            "have. Split the files beforehand and give `valid_data`, or set stream=False."
        )
    counts = _count(source, units, columns, text, tested)
    total = sum(counts.values())
    if not 0 < total < rows:
        raise DataError(
            f"split by {method!r} leaves {rows - total} row(s) to train on and {total} to test "
            f"on, of {rows}; both sides need at least one."
        )
    told = f"{method} {fraction} {seed if method != 'time' else ''} {column}"
    train, test = (RowChoice(tested, counts, side, columns, told) for side in (False, True))
    return train, test


def _count(
    source: Source,
    units: Sequence[Unit],
    columns: Sequence[str],
    text: Collection[str],
    tested: Tested,
) -> dict[tuple[int, int, int], int]:
    """Rows to test on in each unit."""
    if not columns:  # which rows is decided by their numbers
        empty = ((unit, _rows_only(unit.rows)) for unit in units)
        return {_key(unit): int(tested(table, unit.first_row).sum()) for unit, table in empty}
    return {
        _key(unit): int(tested(table, unit.first_row).sum())
        for unit, table in _tables(source, columns, text)
    }


def _rows_only(rows: int) -> pa.Table:
    return pa.table({"row": pa.nulls(rows)})


def _tables(
    source: Source, columns: Sequence[str], text: Collection[str]
) -> Iterator[tuple[Unit, pa.Table]]:
    """Each unit with its rows, read ahead."""

    def read(unit: Unit, job: Job) -> tuple[Unit, pa.Table]:
        return unit, job()

    threads = default_threads()
    jobs = (partial(read, *each) for each in source.jobs(columns, None, text))
    return in_order(jobs, threads, 2 * threads)


def _share(rows: int, fraction: float) -> int:
    """Rows to test on, as :func:`~nextrec.data.sampling.split` counts them."""
    return rows - int(rows * (1 - fraction) + 1e-9)


# -- random ------------------------------------------------------------------------------------


def _random_tested(
    table: pa.Table, first_row: int, rows: int, fraction: float, seed: int
) -> np.ndarray:
    stop = first_row + table.num_rows
    first, last = first_row // STRATUM, -(-stop // STRATUM)
    numbers = np.arange(first * STRATUM, last * STRATUM).reshape(-1, STRATUM)  # (strata, STRATUM)
    keys = _mixed(numbers.astype(np.uint64), seed)
    keys[numbers >= rows] = np.iinfo(np.uint64).max  # beyond the end, and never chosen
    edges = [_share(min(edge * STRATUM, rows), fraction) for edge in range(first, last + 1)]
    ranks = keys.argsort(axis=1, kind="stable").argsort(axis=1)
    tested = (ranks < np.diff(edges)[:, None]).ravel()
    return tested[first_row - first * STRATUM :][: table.num_rows]


def _mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A hash of each number: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", OOPSLA 2014)."""
    start = np.uint64(xxhash.xxh64_intdigest(str(seed).encode()))
    x = numbers * np.uint64(0x9E3779B97F4A7C15) + start
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


# -- by group ----------------------------------------------------------------------------------


def _group_tested(
    table: pa.Table, first_row: int, column: str, fraction: float, seed: int
) -> np.ndarray:
    values = _values(table, column, first_row)
    encoded = pc.dictionary_encode(values)
    hashes = hash_tokens(_as_text(encoded.dictionary), seed)
    # The upper 53 bits: a float holds them exactly.
    drawn = (hashes >> np.uint64(11)).astype(np.float64) / 2**53 < fraction
    return drawn[encoded.indices.to_numpy()]


def _as_text(values: pa.Array) -> pa.Array:
    """Values as text that is the same whatever width or kind of number a file has them in."""
    if pa.types.is_floating(values.type):
        reals = values.to_numpy()
        if (np.floor(reals) == reals).all() and (np.abs(reals) < 2**63).all():
            values = pa.array(reals.astype(np.int64))
    return values if is_text(values.type) else values.cast(pa.string())


# -- by time -----------------------------------------------------------------------------------


def _kind_of_times(source: Source, column: str, text: Collection[str]) -> pa.DataType:
    """The type to which the times of all units are cast: that of the first, but of full width."""
    unit, job = next(iter(source.jobs([column], None, text)))
    values = _values(job(), column, unit.first_row)
    kind = times("split", column, values, unit.first_row).type
    if pa.types.is_floating(kind):
        return pa.float64()
    return pa.int64() if pa.types.is_integer(kind) and not pa.types.is_uint64(kind) else kind


def _tested_after(
    table: pa.Table, first_row: int, column: str, kind: pa.DataType, last: int
) -> np.ndarray:
    return _keys(table, first_row, column, kind) > np.uint64(last)


def _last_trained(
    source: Source,
    rows: int,
    column: str,
    kind: pa.DataType,
    fraction: float,
    text: Collection[str],
) -> int:
    """Key from which on rows are tested on: those of larger keys.

    The cut lies between the two different times that come nearest to the share; of two equally
    near the earlier one is taken. The time at the share is found digit by digit from the left:
    a pass counts the keys that begin with what is known by their next digit.
    """
    wanted = max(_share(rows, fraction), 1)
    key, later, same = 0, 0, rows  # digits known, rows with larger ones, rows with just these
    for shift in range(64 - DIGITS, -1, -DIGITS):
        counts = _digits(source, column, kind, text, key, shift)
        from_each_on = later + counts[::-1].cumsum()[::-1]
        digit = int(np.flatnonzero(from_each_on >= wanted)[-1])
        same = int(counts[digit])
        later = int(from_each_on[digit]) - same
        key = key << DIGITS | digit
    after_is_nearer = later > 0 and wanted - later < later + same - wanted
    is_first = later + same == rows  # which is trained on, or one side would be empty
    return key if after_is_nearer or is_first else key - 1


def _digits(
    source: Source,
    column: str,
    kind: pa.DataType,
    text: Collection[str],
    prefix: int,
    shift: int,
) -> np.ndarray:
    """How many of the keys that begin with ``prefix`` have each next digit ``(2**DIGITS,)``."""
    counts = np.zeros(1 << DIGITS, np.int64)
    for unit, table in _tables(source, [column], text):
        keys = _keys(table, unit.first_row, column, kind)
        if shift + DIGITS < 64:
            keys = keys[keys >> np.uint64(shift + DIGITS) == np.uint64(prefix)]
        digits = (keys >> np.uint64(shift)) & np.uint64((1 << DIGITS) - 1)
        counts += np.bincount(digits.astype(np.int64), minlength=1 << DIGITS)
    return counts


def _keys(table: pa.Table, first_row: int, column: str, kind: pa.DataType) -> np.ndarray:
    """Unsigned integers in the order of the times ``(N,)`` uint64."""
    values = times("split", column, _values(table, column, first_row), first_row, kind)
    if pa.types.is_floating(values.type):
        bits = (values.cast(pa.float64()).to_numpy() + 0.0).view(np.int64)  # -0.0 becomes 0.0
        # Negative numbers: all bits turn, as larger ones stand for smaller numbers.
        return np.where(bits < 0, ~bits, bits ^ np.int64(-(2**63))).view(np.uint64)
    if pa.types.is_decimal(values.type):
        must_be = "no decimals in a stream; convert them, or set stream=False"
        raise DataError(invalid("split", column, must_be, str(values.type)))
    if pa.types.is_uint64(values.type):
        return values.to_numpy()
    short = pa.types.is_date32(values.type) or pa.types.is_time32(values.type)
    width = pa.int32() if short else pa.int64()
    numbers = values.cast(width).to_numpy().astype(np.int64)
    return (numbers ^ np.int64(-(2**63))).view(np.uint64)


def _values(table: pa.Table, column: str, first_row: int) -> pa.Array:
    """The column in one piece, no value missing."""
    joined = plain(table.column(column)).combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = pa.concat_arrays(joined.chunks) if joined.num_chunks else pa.array([], joined.type)
    if is_list(joined.type) or pa.types.is_struct(joined.type):
        raise DataError(invalid("split", column, "a column of single values", str(joined.type)))
    missing = first_true(joined.is_null(nan_is_null=True))
    if missing >= 0:
        where = f"split, row {first_row + missing}"
        raise DataError(invalid(where, column, "a value, not missing", None))
    return joined
