"""Before the data is read: which columns mean what, and what the pass looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.diagnosis.hashing import mix
from nextrec.data.diagnosis.scan import (
    SAMPLE_ROWS,
    Plan,
    Progress,
    Scan,
    as_numbers,
    batches_of,
    column_of,
    scan_source,
)
from nextrec.data.files import Source
from nextrec.data.memory import ColumnSource
from nextrec.data.profile import ITEMS, LABELS, USERS
from nextrec.data.sources import open_source
from nextrec.errors import ConfigError, DataError, did_you_mean, invalid


@dataclass(frozen=True)
class Roles:
    """Columns with a meaning of their own."""

    targets: tuple[str, ...]
    time: str | None
    user: str | None
    item: str | None

    @property
    def pair(self) -> tuple[str, str] | None:
        """User and item, where both are known."""
        return None if self.user is None or self.item is None else (self.user, self.item)


def readable_columns(source: Source) -> tuple[list[str], list[tuple[str, str]]]:
    """Columns that can be read, and of the others name and reason."""
    names = source.names()
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        where = ", ".join(map(repr, sorted(repeated)))
        raise DataError(f"the data has several columns named {where}; names must differ.")
    if not isinstance(source, ColumnSource):
        return names, []
    good, bad = [], []
    for name in names:  # a frame or dict may hold objects without a common type
        try:
            source.read([name])
            good.append(name)
        except DataError as error:
            bad.append((name, str(error)))
    return good, bad


def choose_roles(
    names: Sequence[str],
    target: str | Sequence[str] | None,
    time: str | None,
    user: str | None,
    item: str | None,
) -> Roles:
    """The columns that were named, which must be there, and those that are called so."""
    targets = [target] if isinstance(target, str) else list(target or ())
    given: dict[str, list[str | None]] = {
        "target": [*targets],
        "time": [time],
        "user": [user],
        "item": [item],
    }
    for parameter, columns in given.items():
        for name in columns:
            if name is not None and name not in names:
                must_be = f"a column of the data ({', '.join(names)})"
                hint = did_you_mean(name, names)
                raise ConfigError(invalid("examine", parameter, must_be, name) + hint)
    found = _called(names, LABELS)
    return Roles(
        targets=tuple(targets or ([found] if found else [])),
        time=time,
        user=user or _called(names, USERS),
        item=item or _called(names, ITEMS),
    )


def _called(names: Sequence[str], words: Sequence[str]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(names)}
    return next((by_lower[word] for word in words if word in by_lower), None)


def plan_of(
    source: Source,
    names: list[str],
    roles: Roles,
    tested: Scan | None,
    total: int,
    test_share: float,
) -> tuple[Plan, str]:
    """What the pass over the train data looks for, and the time of the split as it is written."""
    later_than, written = None, ""
    if roles.time is not None and total:
        if tested is not None:
            later_than, written = _first_time(tested, roles.time)
        else:
            later_than, written = _split_time(source, roles.time, total, test_share)
    split = tested is None and later_than is not None
    common = [name for name in names if tested is not None and name in tested.profiles]
    return Plan(
        names=names,
        share=min(1.0, SAMPLE_ROWS / max(total, 1)),
        compared=names if split else common,
        pair=roles.pair,
        user=roles.user,
        target=roles.targets[0] if roles.targets else None,
        time=roles.time,
        later_than=later_than,
        split=split,
    ), written


def scan_test(test: Any, names: list[str], roles: Roles, progress: Progress | None) -> Scan:
    """The pass over the data to test on."""
    source = open_source(test)
    there = source.names()
    # Columns in the order of train, so that equal rows have equal hashes.
    common = [name for name in names if name in there]
    extra = [name for name in there if name not in names]
    total = sum(source.counts(there))
    if not total:
        raise DataError("examine: the test data has no row.")
    pair = roles.pair if roles.pair is not None and set(roles.pair) <= set(there) else None
    plan = Plan(
        [*common, *extra],
        min(1.0, SAMPLE_ROWS / total),
        compared=common,
        pair=pair,
        user=roles.user if roles.user in there else None,
        time=roles.time if roles.time in there else None,
    )
    return scan_source(source, plan, progress)


def _first_time(tested: Scan, time: str) -> tuple[float | None, str]:
    """The earliest time among the test rows, exactly where the times could be counted."""
    if time not in tested.profiles:
        raise ConfigError(f"examine: the test data lacks the column of times {time!r}.")
    counts = tested.profiles[time].counts
    values = column_of(tested.sample, time) if counts.over else counts.values
    return _at(values, as_numbers(values, time, 0), lambda numbers: float(np.nanmin(numbers)))


def _split_time(
    source: Source, time: str, total: int, test_share: float
) -> tuple[float | None, str]:
    """The time after which about ``test_share`` of the rows lie, from a sample of them."""
    limit = np.uint64(min(min(1.0, SAMPLE_ROWS / total) * 2.0**64, 2.0**64 - 2**12))
    first, kept = 0, []
    for column in batches_of(source, time):
        numbers = np.arange(first, first + len(column))
        kept.append(column.filter(pa.array(mix(numbers) < limit)))
        first += len(column)
    joined = pa.chunked_array(kept).combine_chunks()
    values = joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)

    def cut(numbers: np.ndarray) -> float:
        return float(np.nanquantile(numbers, 1 - test_share, method="lower"))

    return _at(values, as_numbers(values, time, 0), cut)


def _at(values: pa.Array, numbers: np.ndarray, choose: Any) -> tuple[float | None, str]:
    """A time chosen among numbers, and the value that it stands for."""
    if not len(numbers) or np.isnan(numbers).all():
        return None, ""
    chosen = choose(numbers)
    value = values[int(np.flatnonzero(numbers == chosen)[0])].as_py()
    return chosen, f"{value:g}" if isinstance(value, float) else str(value)
