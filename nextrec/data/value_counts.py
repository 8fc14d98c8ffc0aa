"""How often each value of a column occurs, exactly, up to a number of different values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SMALL = 50_000


class ValueCounts:
    """Counts of the different values of one column, taken piece by piece.

    Args:
        limit: with more different values than this, counting stops and memory is given back.

    >>> counts = ValueCounts(limit=10)
    >>> counts.take(pa.array(["a", "b", "a", None]))
    >>> counts.take(pa.array(["a"]))
    >>> counts.distinct, counts.total, counts.once
    (2, 4, 1)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._over = False
        self._pieces: list[tuple[pa.Array, pa.Array]] = []
        self._merged_length = 0

    def take(self, column: pa.Array) -> None:
        """Count the values of a piece; missing ones are left out."""
        if self._over:
            return
        found = column.drop_null().value_counts()
        if len(found):
            self._pieces.append((found.field("values"), found.field("counts")))
        # Merged only once they have doubled, so that each value is touched a few times.
        if sum(len(values) for values, _ in self._pieces) > 2 * max(self._merged_length, _SMALL):
            self._merge()

    def stop(self) -> None:
        """Give up counting."""
        self._over, self._pieces = True, []

    @property
    def over(self) -> bool:
        """Whether counting stopped, for there are more than ``limit`` or nobody needs them."""
        self._merge()
        return self._over

    @property
    def values(self) -> pa.Array:
        """The different values, in no order that means anything; none when there are too many."""
        self._merge()
        return self._pieces[0][0] if self._pieces else pa.nulls(0)

    @property
    def counts(self) -> np.ndarray:
        """How often each of :attr:`values` occurs ``(D,)``."""
        self._merge()
        if not self._pieces:
            return np.zeros(0, dtype=np.int64)
        return np.asarray(self._pieces[0][1].to_numpy())

    @property
    def distinct(self) -> int | None:
        """How many different values; ``None`` when more than ``limit``."""
        found = len(self.values)
        return None if self._over else found

    @property
    def total(self) -> int:
        """How many values, with repetitions."""
        return int(self.counts.sum())

    @property
    def once(self) -> int:
        """How many values occur once."""
        return int((self.counts == 1).sum())

    def largest(self, count: int = 5) -> list[tuple[object, int]]:
        """The values that occur most often, equal ones in the order of their text."""
        counts = self.counts
        best = np.argsort(-counts, kind="stable")[: 4 * count]
        pairs = [(self.values[int(i)].as_py(), int(counts[i])) for i in best]
        return sorted(pairs, key=lambda pair: (-pair[1], str(pair[0])))[:count]

    def minus(self, part: ValueCounts) -> ValueCounts:
        """The counts of the rest, when ``part`` counted some of the same rows."""
        rest = ValueCounts(self.limit)
        if self.over or part.over:
            rest.stop()
            return rest
        values = self.values
        taken = part.counts_of(values)
        left = self.counts - taken
        kept = pa.array(left > 0)
        if len(values):
            rest._pieces = [(values.filter(kept), pa.array(left).filter(kept))]
        return rest

    def counts_of(self, values: pa.Array) -> np.ndarray:
        """How often each of ``values`` was counted here ``(len(values),)``.

        Values of different types are compared as text.
        """
        own = self.values
        if not len(own) or not len(values):
            return np.zeros(len(values), dtype=np.int64)
        if own.type != values.type:
            own, values = own.cast(pa.large_string()), values.cast(pa.large_string())
        places = pc.index_in(values, value_set=own)
        found = places.is_valid().to_numpy(zero_copy_only=False)
        positions = pc.fill_null(places, 0).to_numpy(zero_copy_only=False)
        return np.where(found, self.counts[positions], 0)

    def _merge(self) -> None:
        if self._over or not self._pieces:
            return
        if len(self._pieces) == 1:
            if len(self._pieces[0][0]) > self.limit:
                self.stop()
            return
        values = [piece[0] for piece in self._pieces]
        if len({each.type for each in values}) > 1:  # ids beyond int64; times of several units
            values = [each.cast(pa.large_string()) for each in values]
        counts = pa.concat_arrays([piece[1] for piece in self._pieces])
        table = pa.table({"value": pa.concat_arrays(values), "count": counts})
        merged = table.group_by("value", use_threads=False).aggregate([("count", "sum")])
        if len(merged) > self.limit:
            self.stop()
            return
        columns = [_one(merged.column(name)) for name in ("value", "count_sum")]
        self._pieces = [(columns[0], columns[1])]
        self._merged_length = len(merged)


def _one(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)
