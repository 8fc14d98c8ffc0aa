"""One pass over the data: everything that the checks need, in bounded memory.

Letters: N rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import plain
from nextrec.data.diagnosis.hashing import ContentSample, Hashes, combine, digest, hash_values, mix
from nextrec.data.files import Source
from nextrec.data.lists import is_text
from nextrec.data.profile import Profile
from nextrec.data.value_counts import ValueCounts
from nextrec.errors import DataError

SAMPLE_ROWS = 200_000
"""Rows that checks of columns against labels are made on; all of them when there are no more."""
BATCH_ROWS = 65_536
EXAMPLES = 5

Progress = Callable[[int], None]
"""Told the number of rows read so far."""


@dataclass(frozen=True)
class Plan:
    """What a pass looks for."""

    names: Sequence[str]
    """Columns that can be read."""
    share: float
    """Share of the rows in the sample."""
    compared: Sequence[str] = ()
    """Columns by which rows are looked for on both sides: those that both have."""
    pair: tuple[str, str] | None = None
    """User and item columns, whose pairs are looked for on both sides."""
    user: str | None = None
    target: str | None = None
    """Labels that are compared within each user."""
    time: str | None = None
    later_than: float | None = None
    """Rows whose time is above this are counted apart."""
    split: bool = False
    """Whether these rows are the ones to test on, so that their tokens are counted apart."""


@dataclass
class Side:
    """The rows of one side of a split."""

    rows: int = 0
    contents: ContentSample = field(default_factory=ContentSample)
    """Whole rows, with their numbers."""
    shared: ContentSample = field(default_factory=ContentSample)
    """The same by the columns that both sides have."""
    pairs: ContentSample = field(default_factory=ContentSample)
    """Pairs of user and item, with the numbers of their rows."""
    profiles: dict[str, Profile] = field(default_factory=dict)
    """What the columns hold on this side, where it is looked at apart."""
    counts: dict[str, ValueCounts] = field(default_factory=dict)
    """Tokens of this side, by column."""
    missing: dict[str, int] = field(default_factory=dict)
    sample: pa.Table | None = None


@dataclass
class Scan:
    """What a pass found."""

    plan: Plan
    profiles: dict[str, Profile]
    digests: dict[str, int]
    """A hash of each column's whole content."""
    earlier: Side = field(default_factory=Side)
    later: Side = field(default_factory=Side)
    users: ContentSample = field(default_factory=ContentSample)
    """Users by the hash of their id, with their labels."""
    user_times: ContentSample = field(default_factory=ContentSample)
    """The same with the times of their rows."""
    sample: pa.Table | None = None
    sample_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Row numbers of the sample."""
    rows: int = 0
    later_examples: list[int] = field(default_factory=list)
    """Row numbers of the first rows that are later than the plan's time."""

    @property
    def is_whole(self) -> bool:
        """Whether the sample is all rows."""
        return self.sample is not None and self.sample.num_rows == self.rows


def scan_source(source: Source, plan: Plan, progress: Progress | None = None) -> Scan:
    """Read every row once."""
    found = Scan(plan, {name: Profile(name) for name in plan.names}, dict.fromkeys(plan.names, 0))
    if plan.split:
        found.later.profiles = {name: Profile(name) for name in plan.names}
    kept: list[tuple[pa.Table, np.ndarray]] = []
    with ThreadPoolExecutor(pa.cpu_count()) as pool:  # Arrow's kernels release the lock
        for batch in source.scan(list(plan.names), BATCH_ROWS):
            if batch.num_rows:
                kept.append(_take(found, batch, pool))
                if progress is not None:
                    progress(found.rows)
    for profile in found.profiles.values():
        profile.finish()
    _keep_sample(found, kept)
    _divide(found)
    return found


def _take(
    found: Scan, batch: pa.RecordBatch, pool: ThreadPoolExecutor
) -> tuple[pa.Table, np.ndarray]:
    """Count one batch, and return the rows that go into the sample."""
    plan, first = found.plan, found.rows
    numbers = np.arange(first, first + batch.num_rows)
    columns = {
        name: plain(pa.chunked_array([column])).chunk(0)
        for name, column in zip(plan.names, batch.columns, strict=True)
    }
    late = _late(plan, columns, numbers)

    def look(name: str) -> Hashes:
        column = columns[name]
        found.profiles[name].take(column)
        hashes = hash_values(column)
        found.digests[name] = (found.digests[name] + digest(hashes, first)) % 2**64
        if late is not None and plan.split:
            found.later.profiles[name].take(column.filter(pa.array(late)))
        return hashes

    hashes = dict(zip(plan.names, pool.map(look, plan.names), strict=True))
    sides = [(found.earlier, np.ones(len(numbers), bool) if late is None else ~late)]
    if late is not None:
        sides.append((found.later, late))
        room = EXAMPLES - len(found.later_examples)
        found.later_examples += numbers[late][:room].tolist()
    contents = combine([hashes[name] for name in plan.names], len(numbers))
    shared = combine([hashes[name] for name in plan.compared], len(numbers))
    for side, rows in sides:
        side.rows += int(rows.sum())
        side.contents.take(contents[rows], numbers[rows])
        if plan.compared:
            side.shared.take(shared[rows], numbers[rows])
        if plan.pair is not None:
            pairs = combine([hashes[name] for name in plan.pair], len(numbers))
            side.pairs.take(pairs[rows], numbers[rows])
    if plan.user is not None and plan.target is not None:
        observed = columns[plan.target].is_valid().to_numpy(zero_copy_only=False)
        # As integers, which a payload of row numbers is too; only equality counts.
        labels = hashes[plan.target].view(np.int64)
        found.users.take(mix(hashes[plan.user])[observed], labels[observed])
    if plan.user is not None and plan.time is not None:
        times = as_numbers(columns[plan.time], plan.time, first)
        found.user_times.take(mix(hashes[plan.user]), times)
    found.rows += len(numbers)
    chosen = mix(numbers) < np.uint64(min(plan.share * 2.0**64, 2.0**64 - 2**12))
    table = pa.table(columns).filter(pa.array(chosen))
    return table, numbers[chosen]


def _divide(found: Scan) -> None:
    """Tokens and missing values of each side; the earlier side's are what the later leaves."""
    if not found.plan.split:
        found.earlier.profiles = found.profiles
    for name, whole in found.profiles.items():
        later = found.later.profiles.get(name)
        counts, missing = whole.counts, whole.missing
        if later is not None:
            found.later.counts[name], found.later.missing[name] = later.counts, later.missing
            counts, missing = counts.minus(later.counts), missing - later.missing
        found.earlier.counts[name], found.earlier.missing[name] = counts, missing


def _late(plan: Plan, columns: dict[str, pa.Array], numbers: np.ndarray) -> np.ndarray | None:
    if plan.later_than is None or plan.time is None:
        return None
    times = as_numbers(columns[plan.time], plan.time, int(numbers[0]))
    with np.errstate(invalid="ignore"):
        return np.asarray(times > plan.later_than)


def _keep_sample(found: Scan, kept: list[tuple[pa.Table, np.ndarray]]) -> None:
    if not kept:
        empty = {name: pa.nulls(0) for name in found.plan.names}
        found.sample = found.earlier.sample = pa.table(empty)
        return
    readable = [n for n, each in found.profiles.items() if each.kind != "mixed"]
    tables = [table.select(readable) for table, _ in kept]
    found.sample = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    found.sample_rows = np.concatenate([numbers for _, numbers in kept])
    found.earlier.sample = found.sample
    plan = found.plan
    if plan.split and plan.time is not None:
        times = as_numbers(column_of(found.sample, plan.time), plan.time, 0)
        late = pa.array(times > plan.later_than)
        found.later.sample = found.sample.filter(late)
        found.earlier.sample = found.sample.filter(pc.invert(late))


def column_of(table: pa.Table, name: str) -> pa.Array:
    """One column of a table as one array."""
    column = table.column(name).combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def batches_of(source: Source, name: str) -> Iterator[pa.Array]:
    """The pieces of one column."""
    for batch in source.scan([name], BATCH_ROWS):
        yield plain(pa.chunked_array([batch.column(0)])).chunk(0)


def as_numbers(values: pa.Array, name: str, first_row: int) -> np.ndarray:
    """Numbers, flags and times as float64 ``(N,)``, NaN where missing; ISO text as a time.

    Raises:
        DataError: the column holds something else.
    """
    data_type = values.type
    if pa.types.is_null(data_type):
        return np.full(len(values), np.nan)
    if is_text(data_type):
        try:
            values = values.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            raise DataError(
                f"column {name!r}, near row {first_row}: times must be numbers, dates or ISO text "
                f"such as 2024-01-31 12:00; got {short_example(values)}."
            ) from None
        data_type = values.type
    if pa.types.is_temporal(data_type):
        values = values.cast(pa.int32() if data_type.bit_width == 32 else pa.int64())
    elif pa.types.is_decimal(data_type) or pa.types.is_boolean(data_type):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(data_type) or pa.types.is_floating(data_type)):
        raise DataError(f"column {name!r}: times must be numbers or dates; got {data_type}.")
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isinf(numbers), np.nan, numbers)


def short_example(values: pa.Array) -> str:
    """The first value that is there, as it is written in messages."""
    present = values.drop_null()
    return repr(present[0].as_py()) if len(present) else "no value"
