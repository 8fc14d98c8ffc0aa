"""Hashes of values and rows, and samples chosen by them.

Equal values have equal hashes whatever their type (integer 1, real 1.0 and true agree), so copies
of columns and rows are found without comparing them. The hashes live for one run of the program
and are never stored.

Letters: N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import is_list

Hashes = np.ndarray
"""``(N,)`` uint64."""

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)


def mix(numbers: np.ndarray) -> Hashes:
    """Scatter integers over 64 bits (the finalizer of SplitMix64; Steele, Lea and Flood, 2014).

    >>> [int(each) >> 60 for each in mix(np.arange(4))]
    [14, 9, 9, 1]
    """
    x = numbers.astype(np.uint64) + _MISSING
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_values(values: pa.Array) -> Hashes:
    """A hash of each row's value ``(N,)``; a missing value has one of its own."""
    data_type: Any = values.type
    types: Any = pa.types
    if types.is_null(data_type) or not len(values):
        return np.full(len(values), _MISSING)
    if types.is_struct(data_type):
        fields = [hash_values(each) for each in values.flatten()]
        return _with_missing(values, combine(fields, len(values)))
    if is_list(data_type):
        return _with_missing(values, _hash_lists(values))
    if types.is_boolean(data_type):
        return hash_values(values.cast(pa.int8()))
    if types.is_integer(data_type):
        return _with_missing(values, mix(_numbers(values).astype(np.int64, copy=False)))
    if types.is_floating(data_type):
        return _with_missing(values, _hash_reals(_numbers(values).astype(np.float64)))
    if types.is_temporal(data_type) and not types.is_interval(data_type):
        width = pa.int32() if data_type.bit_width == 32 else pa.int64()
        return hash_values(values.cast(width))
    if types.is_decimal(data_type):
        return hash_values(values.cast(pa.string()))
    series: Any = pl.from_arrow(values)
    return _with_missing(values, series.hash(0).to_numpy())


def combine(columns: list[Hashes], rows: int) -> Hashes:
    """One hash a row of the hashes of several columns, in their order ``(N,)``."""
    total = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        total = (total ^ column) * _ODD
        total ^= total >> np.uint64(32)
    return mix(total)


def digest(hashes: Hashes, first_row: int) -> int:
    """What one piece adds to the hash of a whole column: sums do not depend on the cuts."""
    places = mix(np.arange(first_row, first_row + len(hashes)))
    return int((hashes * places).sum(dtype=np.uint64))


def _numbers(values: pa.Array) -> np.ndarray:
    filled = pc.fill_null(values, 0) if values.null_count else values
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _with_missing(values: pa.Array, hashes: Hashes) -> Hashes:
    if not values.null_count:
        return hashes
    return np.where(values.is_null().to_numpy(zero_copy_only=False), _MISSING, hashes)


def _hash_reals(numbers: np.ndarray) -> Hashes:
    whole = (np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**63)
    integers = np.where(whole, numbers, 0).astype(np.int64)
    bits = np.ascontiguousarray(numbers).view(np.int64)
    hashes = mix(np.where(whole, integers, bits ^ np.int64(0x5555555555555555)))
    return np.where(np.isnan(numbers), _MISSING, hashes)


def _hash_lists(values: pa.Array) -> Hashes:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    parts = hash_values(values.flatten()) * (mix(within) | np.uint64(1))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(parts, dtype=np.uint64)])
    return mix(sums[ends] - sums[ends - lengths]) ^ mix(lengths)


class ContentSample:
    """Rows whose content hash falls into a share of all hashes, all copies of a row together.

    The share starts at all and is halved whenever more than ``limit`` rows are kept (adaptive
    sampling; Flajolet, Computing 43, 1990). So what is said about copies is exact up to ``limit``
    rows and an unbiased estimate above.
    """

    def __init__(self, limit: int = 2_000_000) -> None:
        self.limit = limit
        self.level = 0
        """Kept are hashes whose last ``level`` bits are 0."""
        self._pieces: list[tuple[Hashes, np.ndarray]] = []
        self._count = 0

    @property
    def share(self) -> float:
        """The share of different contents that is kept."""
        return 2.0**-self.level

    def take(self, hashes: Hashes, payload: np.ndarray) -> None:
        """Keep rows by their hash, each with something about it (its number, its label)."""
        kept = _chosen(hashes, self.level)
        self._pieces.append((hashes[kept], payload[kept]))
        self._count += int(kept.sum())
        while self._count > self.limit:
            self.level += 1
            self._pieces = self._at(self.level)
            self._count = sum(len(piece) for piece, _ in self._pieces)

    def rows(self, level: int = 0) -> tuple[Hashes, np.ndarray]:
        """Hashes and payload of the kept rows, at this level or the sample's own."""
        pieces = self._at(max(level, self.level))
        if not pieces:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])

    def _at(self, level: int) -> list[tuple[Hashes, np.ndarray]]:
        if level == self.level and level == 0:
            return self._pieces
        masks = [_chosen(hashes, level) for hashes, _ in self._pieces]
        return [(h[m], p[m]) for (h, p), m in zip(self._pieces, masks, strict=True)]


def _chosen(hashes: Hashes, level: int) -> np.ndarray:
    return (hashes & np.uint64(2**level - 1)) == 0
