"""Count, sum and sum of squares a group, exact: equal to the last bit however the data is cut.

A float64 is an integer times a power of two. Here it is cut into *limbs*, integers of 32 bits
that count multiples of ``2^(32 k)``; limbs are added as int64, which rounds nothing. A square is
the float64 product and its rounding error (T. J. Dekker, "A floating-point technique for extending
the available precision", Numerische Mathematik, 1971), so it is exact too.

Letters: N rows, G groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BITS = 32
MASK = (1 << BITS) - 1
_LOWEST = -36
"""The limb that no bit of a float64 lies below: ``2^(-36 * 32) < 2^(-1074 - 52)``."""
_SMALL = 2.0**15
"""Integers below it, and their squares, are single limbs."""
_ROOM = 1 << 48
"""Limbs beyond it are carried, so that more can be added."""

Limbs = dict[int, np.ndarray]
"""By ``k``, what multiplies ``2^(32 k)``: int64 arrays of one shape."""


def limbs_of(values: np.ndarray) -> Limbs:
    """Finite float64 numbers ``(N,)`` as limbs, zero ones left out.

    >>> {k: limb.tolist() for k, limb in limbs_of(np.array([1.5, -2.0])).items()}
    {-1: [2147483648, 0], 0: [1, -2]}
    """
    fraction, exponent = np.frexp(values)
    mantissa = np.abs(np.ldexp(fraction, 53)).astype(np.uint64)
    place = exponent.astype(np.int64) - 53 - _LOWEST * BITS  # bits above the lowest limb
    first, shift = place // BITS, (place % BITS).astype(np.uint64)
    low = (mantissa & np.uint64(MASK)) << shift
    high = (mantissa >> np.uint64(BITS)) << shift
    parts = (low & np.uint64(MASK), (low >> np.uint64(BITS)) + (high & np.uint64(MASK)),
             high >> np.uint64(BITS))  # fmt: skip
    sign = np.where(values < 0, -1, 1)
    limbs: Limbs = {}
    for start in np.unique(first).tolist():
        chosen = first == start
        for offset, part in enumerate(parts):
            limb = np.where(chosen, part.astype(np.int64), 0)
            if limb.any():
                key = start + offset + _LOWEST
                limbs[key] = limbs.get(key, 0) + sign * limb
    return dict(sorted(limbs.items()))


def square_limbs_of(values: np.ndarray) -> Limbs:
    """Squares of numbers within float32's range ``(N,)`` as limbs."""
    square = values * values
    error = _product_error(values, values, square)
    limbs = limbs_of(square)
    for key, limb in limbs_of(error).items():
        limbs[key] = limbs.get(key, 0) + limb
    return limbs


@dataclass(frozen=True)
class GroupedSums:
    """Exact sums by a text and a number: one row a group of ``table``, in no order.

    Columns: ``text`` (large_string, null is a group too), ``number`` (int32), ``count``, and
    ``sum <k>`` and ``square <k>``, the limbs.
    """

    table: pa.Table

    @classmethod
    def of(
        cls, texts: pa.Array, codes: np.ndarray, numbers: np.ndarray, values: np.ndarray
    ) -> GroupedSums:
        """The sums of one piece.

        Args:
            texts: distinct texts.
            codes: which of them each row has ``(N,)``, -1 for null.
            numbers: ``(N,)``.
            values: ``(N,)`` float64, finite.
        """
        if np.all((np.abs(values) < _SMALL) & (np.trunc(values) == values)):
            whole = values.astype(np.int64)
            sums, squares = {0: whole}, {0: whole * whole}
        else:
            sums, squares = limbs_of(values), square_limbs_of(values)
        columns = {"text": codes, "number": numbers.astype(np.int32)}
        columns["count"] = np.ones(len(values), np.int64)
        columns |= {f"sum {k}": limb for k, limb in sums.items()}
        columns |= {f"square {k}": limb for k, limb in squares.items()}
        table = _grouped(pa.table(columns))
        place = table["text"].combine_chunks()
        text = texts.take(pc.if_else(pc.less(place, 0), pa.scalar(None, place.type), place))
        index = table.schema.get_field_index("text")
        return cls(table.set_column(index, "text", text.cast(pa.large_string())))

    @classmethod
    def joined(cls, pieces: Iterable[GroupedSums]) -> GroupedSums:
        """The sums of all pieces together."""
        table = pa.concat_tables([each.table for each in pieces], promote_options="default")
        return cls(_carried(_grouped(table)))

    @classmethod
    def nothing(cls) -> GroupedSums:
        """The sums of no rows."""
        none = np.empty(0)
        return cls.of(pa.array([], pa.large_string()), none.astype(np.int64), none, none)

    def limbs(self, name: str) -> Limbs:
        """The limbs of ``sum`` or ``square``, each ``(G,)``."""
        return {
            int(column.split()[1]): self.table[column].to_numpy()
            for column in self.table.column_names
            if column.startswith(name + " ")
        }


def _grouped(table: pa.Table) -> pa.Table:
    none = pc.ScalarAggregateOptions(min_count=0)  # a limb that a piece lacks counts as 0
    columns = [name for name in table.column_names if name not in ("text", "number")]
    groups = table.group_by(["text", "number"], use_threads=False)
    sums = groups.aggregate([(name, "sum", none) for name in columns])
    return sums.select(["text", "number", *(f"{name}_sum" for name in columns)]).rename_columns(
        ["text", "number", *columns]
    )


def _carried(table: pa.Table) -> pa.Table:
    """The same sums with room in every limb."""
    sums = GroupedSums(table)
    for name in ("sum", "square"):
        limbs = sums.limbs(name)
        if any(np.abs(limb).max(initial=0) > _ROOM for limb in limbs.values()):
            others = [each for each in table.column_names if not each.startswith(name + " ")]
            table = table.select(others)
            for key, limb in carried(limbs).items():
                table = table.append_column(f"{name} {key}", pa.array(limb))
    return table


def carried(limbs: Limbs) -> Limbs:
    """The same numbers with limbs in ``[0, 2^32)``, but for the highest, which has the sign."""
    result: Limbs = {}
    if not limbs:
        return result
    shape = next(iter(limbs.values())).shape
    carry = np.zeros(shape, np.int64)
    key, last = min(limbs), max(limbs)
    while key <= last or np.any((carry != 0) & (carry != -1)):
        total = carry + limbs.get(key, 0)
        result[key] = total & MASK
        carry = total >> BITS
        key += 1
    result[key] = carry
    return result


@dataclass(frozen=True)
class Doubled:
    """Numbers of twice float64's precision: the unrounded ``high + low``, of one shape."""

    high: np.ndarray
    low: np.ndarray

    @classmethod
    def of(cls, limbs: Limbs, shape: tuple[int, ...]) -> Doubled:
        """The numbers that limbs make, to 100 bits; the same however they were carried."""
        canonical = carried(limbs)
        top = canonical[max(canonical)] if canonical else np.zeros(shape, np.int64)
        sign = np.where(top < 0, -1, 1)
        # Of a negative number all limbs but the highest are positive: they would cancel.
        magnitude = carried({key: sign * limb for key, limb in canonical.items()})
        high = low = np.zeros(shape)
        for key in sorted(magnitude, reverse=True):
            high, error = _two_sum(high, np.ldexp(magnitude[key].astype(np.float64), BITS * key))
            high, low = _fast_two_sum(high, low + error)
        return cls(high * sign, low * sign)

    def times(self, other: Doubled) -> Doubled:
        """The product."""
        product = self.high * other.high
        error = _product_error(self.high, other.high, product)
        return Doubled(
            *_fast_two_sum(product, error + self.high * other.low + self.low * other.high)
        )

    def minus(self, other: Doubled) -> Doubled:
        """The difference."""
        high, error = _two_sum(self.high, -other.high)
        return Doubled(*_fast_two_sum(high, error + self.low - other.low))


def _two_sum(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = one + other
    part = total - one
    return total, (one - (total - part)) + (other - part)


def _fast_two_sum(larger: np.ndarray, smaller: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = larger + smaller
    return total, smaller - (total - larger)


def _product_error(one: np.ndarray, other: np.ndarray, product: np.ndarray) -> np.ndarray:
    """What rounding took from a product."""
    (a, b), (c, d) = _halves(one), _halves(other)
    return ((a * c - product) + a * d + b * c) + b * d


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    upper = values * 134_217_729.0  # 2^27 + 1: splits 53 bits in two halves
    upper = upper - (upper - values)
    return upper, values - upper
