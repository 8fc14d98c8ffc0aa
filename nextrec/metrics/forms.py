"""The forms a metric can take, which say what a stream has to remember for it.

A metric is a function of :class:`Observations`. When it is a function of sums over rows, batches
need only their sums kept (:class:`Sums`). When it is read from the threshold curve, a histogram of
scores does (:class:`OnCurve`). Any other function needs every row.

The numpy functions, the accumulators and the evaluator all compute with the same forms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nextrec.metrics.counts import ClassCounts
from nextrec.metrics.curves import ThresholdCurve, score_curve
from nextrec.metrics.observations import Observations
from nextrec.metrics.undefined import UndefinedError, ratio

Form = Callable[[Observations], float]
Rows = Callable[[Observations], np.ndarray]


@dataclass(frozen=True)
class Sums:
    """``finish`` of the sum of ``terms`` over batches."""

    terms: Callable[[Observations], np.ndarray]
    finish: Callable[[np.ndarray], float]
    add: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add

    def __call__(self, data: Observations) -> float:
        """The value on one table of rows."""
        return self.finish(self.terms(data))


@dataclass(frozen=True)
class OnCurve:
    """A value read from the threshold curve."""

    read: Callable[[ThresholdCurve], float]

    def __call__(self, data: Observations) -> float:
        """The value on one table of rows."""
        return self.read(data.once(score_curve))


def mean_of(rows: Rows) -> Sums:
    """Weighted mean of one number a row."""
    return Sums(
        lambda data: np.array([data.total(rows(data)), data.weight]),
        lambda sums: ratio(sums[0], sums[1], "every weight is 0"),
    )


def root_mean_of(rows: Rows) -> Sums:
    """Square root of the weighted mean of one number a row."""
    mean = mean_of(rows)
    return Sums(mean.terms, lambda sums: math.sqrt(mean.finish(sums)))


def on_counts(
    counts: Callable[[Observations], ClassCounts], read: Callable[[ClassCounts], float]
) -> Sums:
    """A value read from counts of hard decisions."""
    return Sums(lambda data: data.once(counts).stacked(), lambda sums: read(ClassCounts(*sums)))


def through(part: Callable[[Observations], Observations], form: Sums) -> Sums:
    """``form`` applied to another view of the rows."""
    return Sums(lambda data: form.terms(data.once(part)), form.finish, form.add)


def macro(columns: Callable[[Observations], Sequence[Observations]], form: Form) -> Form:
    """Mean of ``form`` over the columns that define it, as GAUC is over users."""

    def mean(data: Observations) -> float:
        values = []
        reason = "there is no column"
        for column in data.once(columns):
            try:
                values.append(form(column))
            except UndefinedError as error:
                reason = str(error)
        return ratio(math.fsum(values), len(values), f"in every column: {reason}")

    return mean
