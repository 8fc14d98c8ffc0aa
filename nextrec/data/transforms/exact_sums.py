"""Exact sums and sums of squares, the same to the last bit in any order and cutting.

A float64 sum depends on the order of its terms, and ``E[x^2] - E[x]^2`` of rounded sums loses every
digit of a variance that is small beside the mean. Here nothing is rounded: values are cut into
*digits* of 20 bits, integers ``d_i`` with ``x = sum_i d_i 2^e_i`` where the exponents are shared by
a whole piece. Products of digits have 40 bits, so their sums over a piece of 8,192 values stay
below ``2^53``: float64 arithmetic, a matrix product included, computes them without error, and the
totals are Python integers.

The cutting is that of Rump, Ogita and Oishi, "Accurate floating-point summation part I: faithful
rounding", SIAM Journal on Scientific Computing, 2008; the product of digits that of Ozaki, Ogita,
Oishi and Rump, "Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications", Numerical Algorithms, 2012.

Letters: N values, K digits.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np

from nextrec.data.transforms.base import Payload
from nextrec.errors import DataError, invalid

_DIGIT_BITS = 20
_PIECE = 8_192
"""Values at a time: ``2 * 20 + log2(8192) = 53`` bits, what float64 holds; and they stay in the
processor's cache."""
_UNIT = 1_100
"""Sums are counted in ``2^-1100``, their squares in ``2^-2200``: below the last digit of the
smallest float64, ``2^-1074``."""
_EXACT_INTEGERS = 2**53


class ExactSums:
    """Count, sum and (where asked for) sum of squares of finite numbers, all exact.

    >>> sums = ExactSums()
    >>> sums.add(np.array([1e16, 1.0, -1e16]))
    >>> sums.sum, sums.mean == 1 / 3
    (1.0, True)
    """

    def __init__(self, squares: bool = True) -> None:
        self.with_squares = squares
        self.count = 0
        self._sum = 0
        self._squares = 0

    def add(self, values: np.ndarray) -> None:
        """Take in finite numbers ``(N,)``: float64, or integers of any width.

        Raises:
            DataError: a number is infinite or NaN.
        """
        for start in range(0, len(values), _PIECE):
            self._add_piece(values[start : start + _PIECE])

    def _add_piece(self, values: np.ndarray) -> None:
        self.count += len(values)
        digits, exponents = _digits(values)
        if not digits:  # all are zero
            return
        shifts = [exponent + _UNIT for exponent in exponents]
        table = np.stack(digits)  # (K, N)
        for total, shift in zip(table.sum(axis=1).tolist(), shifts, strict=True):
            self._sum += int(total) << shift
        if self.with_squares:
            products = (table @ table.T).tolist()  # (K, K)
            for row, shift in zip(products, shifts, strict=True):
                in_row = sum(int(each) << by for each, by in zip(row, shifts, strict=True))
                self._squares += in_row << shift

    def merge(self, other: ExactSums) -> None:
        """Take in all that another one has."""
        self.count += other.count
        self._sum += other._sum
        self._squares += other._squares

    @property
    def sum(self) -> float:
        """The exact sum, rounded once; infinite beyond the largest float64."""
        return _ratio(self._sum, 1 << _UNIT)

    @property
    def sum_of_squares(self) -> float:
        """The exact sum of squares, rounded once; infinite beyond the largest float64."""
        return _ratio(self._squares, 1 << 2 * _UNIT)

    @property
    def mean(self) -> float:
        """The exact mean, rounded once; NaN of nothing."""
        return _ratio(self._sum, self.count << _UNIT)

    @property
    def variance(self) -> float:
        """The exact ``sum (x - mean)^2 / count``, rounded once; NaN of nothing."""
        return _ratio(self._scatter(), self.count**2 << 2 * _UNIT)

    @property
    def std(self) -> float:
        """The root of the exact variance, rounded once; never infinite; NaN of nothing."""
        scatter = self._scatter()
        root = math.isqrt(scatter)  # so long that float64 is rounded at integers of this unit
        goes_on = root * root != scatter  # one bit more: between this integer and the next
        return _ratio(2 * root + goes_on, self.count << _UNIT + 1)

    def _scatter(self) -> int:
        """``count^2`` times the variance, in the unit of squares."""
        return self.count * self._squares - self._sum**2

    def dump(self) -> Payload:
        """Plain values; integers of any length are JSON."""
        return {
            "with_squares": self.with_squares,
            "count": self.count,
            "sum": hex(self._sum),
            "squares": hex(self._squares),
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """What :meth:`dump` wrote."""
        sums = cls(payload["with_squares"])
        sums.count = payload["count"]
        sums._sum = int(payload["sum"], 16)
        sums._squares = int(payload["squares"], 16)
        return sums


def _ratio(numerator: int, denominator: int) -> float:
    """The quotient of two integers, correctly rounded (as Python divides them)."""
    if not denominator:
        return math.nan
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def _digits(values: np.ndarray) -> tuple[list[np.ndarray], list[int]]:
    """Arrays ``(N,)`` of integers below ``2^20`` and exponents: ``values = sum_i d_i 2^e_i``."""
    if values.dtype.kind not in "iu":
        return _float_digits(values.astype(np.float64, copy=False))
    if not _is_long(values):
        return _float_digits(values.astype(np.float64))
    high, high_exponents = _float_digits((values >> 32).astype(np.float64))
    low, low_exponents = _float_digits((values & 0xFFFFFFFF).astype(np.float64))
    return high + low, [exponent + 32 for exponent in high_exponents] + low_exponents


def _is_long(integers: np.ndarray) -> bool:
    """Whether some have digits that float64 can't hold."""
    return int(integers.max()) > _EXACT_INTEGERS or int(integers.min()) < -_EXACT_INTEGERS


def _float_digits(rest: np.ndarray) -> tuple[list[np.ndarray], list[int]]:
    digits: list[np.ndarray] = []
    exponents: list[int] = []
    offset = 0  # the rest is kept as rest * 2^offset
    work = np.empty_like(rest)
    while top := float(np.abs(rest, out=work).max(initial=0.0)):
        if not math.isfinite(top):
            raise DataError(invalid("ExactSums", "values", "finite numbers", top))
        if top < 2.0**-1000:  # whose scale below would be infinite
            rest, offset = rest * 2.0**600, offset - 600
            continue
        exponent = math.frexp(top)[1] - _DIGIT_BITS
        digit = rest * 2.0**-exponent
        np.trunc(digit, out=digit)
        # Exact: a digit takes the leading bits of each value, what is left are its other bits.
        rest = rest - np.multiply(digit, 2.0**exponent, out=work)
        digits.append(digit)
        exponents.append(exponent + offset)
    return digits, exponents
