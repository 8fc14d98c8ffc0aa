"""Quantiles of any number of values in bounded memory, the same in any order and cutting.

The sketch is a multiset of values cut to their leading bits. At ``level`` 0 nothing is cut and the
quantiles are exact. When more than ``limit`` distinct values are held, the level rises: one more
trailing bit is cut from every value, until few enough are distinct. Cutting bits and joining
multisets commute, and joining never makes fewer values distinct; so the level, the keys and their
counts are a function of all values alone, not of their order nor of how they were cut in pieces.
(Sketches that keep samples, like t-digest or KLL, don't have this: their answers depend on order.)

Ranks are always exact; only the value at a rank is approximate: it is the middle of what the cut
bits may have been, so its relative error is at most ``2^(level - 53)``. With the default limit of
65,536 that is 2.4e-4 for values that spread over 16 powers of two and both signs, and less for
narrower ones.

Letters: N values, K distinct keys, Q quantiles.
"""

from __future__ import annotations

import bisect
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.transforms.base import Payload

LIMIT = 65_536
"""Distinct values a sketch holds; 16 bytes each."""
_PENDING = 2 * LIMIT
"""Values that wait, so that joining their counts costs little beside counting them."""
_PLACES = 8
"""Places a value in an array of counts over all possible keys."""
_LARGEST = 2**63 - 1


class QuantileSketch:
    """A multiset of finite float64 values, coarser when it holds many distinct ones.

    >>> sketch = QuantileSketch()
    >>> sketch.add(np.arange(5.0))
    >>> sketch.quantiles(np.array([0.25, 0.9])).tolist(), sketch.relative_error
    ([1.0, 3.6], 0.0)
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.low = np.inf
        """The smallest value, exact."""
        self.high = -np.inf
        """The largest value, exact."""
        self._level = 0
        self._keys = np.empty(0, np.int64)  # (K,), ascending
        self._counts = np.empty(0, np.int64)  # (K,)
        self._pending: list[np.ndarray] = []
        self._waiting = 0

    def add(self, values: np.ndarray) -> None:
        """Take in finite numbers ``(N,)`` of float64."""
        if not len(values):
            return
        values = values + 0.0  # -0.0 becomes 0.0
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        self._pending.append(_to_keys(values))
        self._waiting += len(values)
        if self._waiting >= _PENDING:
            self._settle()

    def merge(self, other: QuantileSketch) -> None:
        """Take in all that another sketch of the same limit has."""
        other._settle()
        self._settle()
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._raise_to(other._level)
        level = self._level - other._level
        self._join(*_shortened(other._keys, other._counts, level))

    @property
    def count(self) -> int:
        """Values taken in."""
        return int(self._counts.sum()) + self._waiting

    @property
    def level(self) -> int:
        """Bits cut from every value; 0: the sketch is exact."""
        self._settle()
        return self._level

    @property
    def relative_error(self) -> float:
        """How far a value at a rank may be from the true one, as a share of that one.

        For numbers below 2.2e-308, which have no leading bit, a share of 2.2e-308.
        """
        return 2.0 ** (self.level - 53) if self.level else 0.0

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """The values below which these shares ``(Q,)`` in [0, 1] of all values lie.

        Between two ranks the line is followed, as by ``numpy.quantile``, whose results these are to
        the last bit while the sketch is exact. Otherwise each of the two values is within
        :attr:`relative_error`; the smallest and the largest are always exact.
        """
        self._settle()
        places = shares * (self.count - 1)
        before = np.floor(places)
        share = places - before
        first = self._at_ranks(before.astype(np.int64))
        second = self._at_ranks(np.ceil(places).astype(np.int64))
        with np.errstate(over="ignore", invalid="ignore"):
            step = second - first
            # From the nearer end, as numpy does.
            line = np.where(share < 0.5, first + step * share, second - step * (1 - share))
        far = ~np.isfinite(line)  # the two are further apart than float64 can say
        return np.where(far, first * (1 - share) + second * share, line)

    def _at_ranks(self, ranks: np.ndarray) -> np.ndarray:
        """The values at places of the sorted multiset."""
        keys = self._keys[np.searchsorted(np.cumsum(self._counts), ranks, side="right")]
        values = _to_values(keys, self._level)
        values[ranks == 0] = self.low
        values[ranks == self.count - 1] = self.high
        return values.clip(self.low, self.high)

    def _settle(self) -> None:
        """Count what waits."""
        if self._waiting:
            keys = np.concatenate(self._pending) >> self._level
            self._pending, self._waiting = [], 0
            bits = _bits_beyond_table(keys)
            counted = _counted_in_table(keys >> bits)
            if bits and len(counted[0]) > self.limit:  # then the level has to rise so far at least
                self._raise_to(self._level + bits)
            elif bits:
                counted = _counted_by_hash(keys)
            self._join(*counted)

    def _join(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Add counts of ascending keys of the present level, and raise the level if need be."""
        places = np.searchsorted(self._keys, keys)
        known = np.append(self._keys, -1)[places] == keys
        known[places == len(self._keys)] = False
        total = self._counts.copy()  # the array may be another sketch's too
        total[places[known]] += counts[known]
        self._counts = np.insert(total, places[~known], counts[~known])
        self._keys = np.insert(self._keys, places[~known], keys[~known])
        if len(self._keys) > self.limit:
            few = bisect.bisect_left(range(1, 64), True, key=self._is_enough)
            self._raise_to(self._level + 1 + few)

    def _is_enough(self, bits: int) -> bool:
        """Whether few enough keys are distinct with so many more bits cut."""
        keys = self._keys >> bits
        return int(np.count_nonzero(keys[1:] != keys[:-1])) < self.limit

    def _raise_to(self, level: int) -> None:
        bits = max(0, level - self._level)
        self._keys, self._counts = _shortened(self._keys, self._counts, bits)
        self._level += bits

    def dump(self) -> Payload:
        """Plain values and arrays."""
        self._settle()
        return {
            "limit": self.limit,
            "low": self.low,
            "high": self.high,
            "level": self._level,
            "keys": pa.array(self._keys),
            "counts": pa.array(self._counts),
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """What :meth:`dump` wrote."""
        sketch = cls(payload["limit"])
        sketch.low, sketch.high = payload["low"], payload["high"]
        sketch._level = payload["level"]
        sketch._keys = payload["keys"].to_numpy()
        sketch._counts = payload["counts"].to_numpy()
        return sketch


def _to_keys(values: np.ndarray) -> np.ndarray:
    """Integers ``(N,)`` in the order of the values.

    A float's bits are its sign and its magnitude, which count up together with the number; below
    zero the magnitude is turned around. Cutting trailing bits cuts them from the magnitude.
    """
    bits = values.view(np.int64)
    return bits ^ (bits >> 63 & _LARGEST)


def _to_values(keys: np.ndarray, level: int) -> np.ndarray:
    """The middle of the values that have these keys at ``level``."""
    below_zero = keys < 0
    magnitudes = np.where(below_zero, ~keys, keys) << level
    values = (magnitudes + (1 << level >> 1)).view(np.float64)
    return np.where(below_zero, -values, values)


def _closed(keys: np.ndarray) -> tuple[np.ndarray, int]:
    """Keys moved towards zero on both sides, by how far the nearest (but zero) is from +-1.

    Small numbers, whose keys are those next to zero, hardly occur: without them the keys of values
    within a few powers of two are close together.
    """
    gap = min(int((np.abs(keys) - 1).view(np.uint64).min()), _LARGEST)  # 0 - 1 is the largest
    return keys - np.sign(keys) * gap, gap


def _bits_beyond_table(keys: np.ndarray) -> int:
    """Bits to cut so that an array of counts over all possible keys is not too long."""
    closed, _ = _closed(keys)
    return ((int(closed.max()) - int(closed.min())) // (_PLACES * len(keys))).bit_length()


def _counted_in_table(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys, ascending, and how often each stands there; for keys close together."""
    closed, gap = _closed(keys)
    low = int(closed.min())
    counts = np.bincount(closed - low)
    found = np.flatnonzero(counts)
    closed = found + low
    return closed + np.sign(closed) * gap, counts[found]


def _counted_by_hash(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys, ascending, and how often each stands there."""
    counted = pc.value_counts(pa.array(keys))
    found = counted.field("values").to_numpy()
    order = np.argsort(found)
    return found[order], counted.field("counts").to_numpy()[order]


def _shortened(keys: np.ndarray, counts: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Ascending keys and their counts after cutting ``bits`` more bits."""
    if not bits or not len(keys):
        return keys, counts
    keys = keys >> bits
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts, starts)
