"""The rows that a metric sees: labels that were observed, with predictions that are finite.

Shapes: N rows, C classes, L labels of a multilabel task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from nextrec.errors import ConfigError, DataError, invalid, unknown_option
from nextrec.metrics.inputs import (
    OWNER,
    as_column,
    as_table,
    as_weights,
    check_rows,
    factorize_groups,
)
from nextrec.metrics.undefined import NoRowsError, UndefinedError
from nextrec.tasks import TASK_KINDS

T = TypeVar("T")


@dataclass(eq=False)
class Observations:
    """The observed rows of one task, and what its metrics share: a sort is done once.

    Binary and regression hold ``(N,)`` labels and predictions. Multiclass holds ``(N,)`` class
    numbers and ``(N, C)`` probabilities. Multilabel holds ``(N, L)`` of both; NaN labels remain
    there where a row has some labels and lacks others.
    """

    kind: str
    labels: np.ndarray
    predictions: np.ndarray
    weights: np.ndarray | None = None
    """``(N,)`` float64, or None: every row counts 1."""
    groups: np.ndarray | None = None
    """``(N,)`` numbers of the groups."""
    _shared: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def once(self, function: Callable[[Observations], T]) -> T:
        """``function(self)``, computed at the first call and kept."""
        if function not in self._shared:
            self._shared[function] = function(self)
        return self._shared[function]

    def total(self, rows: np.ndarray) -> float:
        """Weighted sum of one number a row ``(N,)``."""
        return float(rows.sum() if self.weights is None else rows @ self.weights)

    @property
    def weight(self) -> float:
        """Sum of the weights; the number of rows without weights."""
        return float(len(self) if self.weights is None else self.weights.sum())


def observe(
    kind: str,
    labels: Any,
    predictions: Any,
    weights: Any = None,
    groups: Any = None,
) -> Observations:
    """Check the arrays of one task and drop the rows whose label is NaN (not observed).

    Raises:
        ConfigError: an unknown kind of task.
        DataError: shapes, lengths, weights, group ids or class numbers don't fit.
        UndefinedError: no label is observed, or a prediction isn't finite.
    """
    if kind not in TASK_KINDS:
        raise ConfigError(unknown_option(OWNER, "kind", TASK_KINDS, kind))
    if kind == "multilabel":
        labels = as_table("labels", labels, "labels")
        predictions = as_table("predictions", predictions, "labels")
        _check_columns(predictions, labels.shape[1])
    else:
        labels = as_column("labels", labels)
        table = kind == "multiclass"
        predictions = (
            as_table("predictions", predictions, "classes")
            if table
            else as_column("predictions", predictions)
        )
    rows = len(labels)
    check_rows("predictions", len(predictions), rows)
    weights = as_weights(weights, rows)
    if groups is not None:
        groups = factorize_groups(groups, rows)
    data = _observed(Observations(kind, labels, predictions, weights, groups))
    if kind == "multiclass":
        data.labels = _class_numbers(data)
    return data


def needed_groups(data: Observations) -> np.ndarray:
    """Group numbers of metrics that rank inside lists; without them there are no lists."""
    if data.groups is None:
        must_be = "one id a row (gauc and the @k metrics rank the rows of a group)"
        raise ConfigError(invalid(OWNER, "groups", must_be, None))
    return data.groups


def binary_labels(data: Observations) -> np.ndarray:
    """Labels that are all 0 or 1."""
    wrong = (data.labels != 0) & (data.labels != 1)
    if wrong.any():
        raise DataError(invalid(OWNER, "labels", "0 or 1", float(data.labels[wrong.argmax()])))
    return data.labels


def probabilities(data: Observations) -> np.ndarray:
    """Predictions when all are in [0, 1]; raw scores have no probability to judge."""
    low, high = float(data.predictions.min()), float(data.predictions.max())
    if low < 0 or high > 1:
        raise UndefinedError(
            f"the predictions are no probabilities: they range from {low:.6g} to {high:.6g}"
        )
    return data.predictions


def _observed(data: Observations) -> Observations:
    missing, infinite = np.isnan(data.labels), np.isinf(data.labels)
    if infinite.any():
        row, value = int(np.nonzero(infinite)[0][0]), float(data.labels[infinite][0])
        must_be = "finite, or NaN when not observed"
        raise DataError(f"{invalid(OWNER, 'labels', must_be, value)} Row {row}.")
    keep = ~missing if missing.ndim == 1 else ~missing.all(axis=1)
    if not keep.any():
        raise NoRowsError
    if not keep.all():
        data = select(data, keep)
    _check_finite(data, missing[keep])
    return data


def select(data: Observations, keep: np.ndarray) -> Observations:
    """The rows of a mask or of row numbers."""
    weights = None if data.weights is None else data.weights[keep]
    groups = None if data.groups is None else data.groups[keep]
    return Observations(data.kind, data.labels[keep], data.predictions[keep], weights, groups)


def _check_finite(data: Observations, missing: np.ndarray) -> None:
    wrong = ~np.isfinite(data.predictions)
    if data.kind == "multilabel":
        wrong &= ~missing  # the prediction of a label that nobody observed is not judged
    if wrong.any():
        rows = np.flatnonzero(wrong if wrong.ndim == 1 else wrong.any(axis=1))
        raise UndefinedError(
            f"{len(rows)} of {len(data)} predictions are not finite, "
            f"the first in observed row {rows[0]}"
        )


def _class_numbers(data: Observations) -> np.ndarray:
    classes = data.predictions.shape[1]
    wrong = (data.labels % 1 != 0) | (data.labels < 0) | (data.labels >= classes)
    if wrong.any():
        must_be = f"a class number from 0 to {classes - 1}"
        raise DataError(invalid(OWNER, "labels", must_be, float(data.labels[wrong.argmax()])))
    return data.labels.astype(np.intp)


def _check_columns(predictions: np.ndarray, expected: int) -> None:
    if predictions.shape[1] != expected:
        must_be = f"one column a label ({expected})"
        raise DataError(invalid(OWNER, "predictions", must_be, predictions.shape[1]))
