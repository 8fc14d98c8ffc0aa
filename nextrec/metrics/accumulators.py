"""A metric of a stream: update with batches, merge with other streams, compute at any time.

* :class:`ExactAccumulator` keeps every row: for any metric.
* :class:`RunningAccumulator` keeps a few sums: for metrics that are a function of sums.
* :class:`HistogramAccumulator` keeps counts of binned scores (16 MB): AUC, KS and average
  precision, with a bound on their error.

All can be pickled, so that processes can send them and one can merge them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from nextrec.errors import ConfigError, invalid
from nextrec.metrics.batches import Batch, Batches
from nextrec.metrics.definitions import parse_metric
from nextrec.metrics.forms import OnCurve, Sums
from nextrec.metrics.histogram import BOUNDS, ScoreHistogram
from nextrec.metrics.inputs import as_column, as_numbers
from nextrec.metrics.observations import Observations, binary_labels, observe
from nextrec.metrics.undefined import NoRowsError, UndefinedError, value_or_undefined


class Accumulator(ABC):
    """One metric of one task over a stream of batches.

    Args:
        metric: a name such as ``"auc"`` or ``"ndcg@10"``.
        kind: of the task: binary, regression, multiclass or multilabel.

    Raises:
        ConfigError: an unknown metric, or one that this kind or this accumulator doesn't fit.
    """

    def __init__(self, metric: str, kind: str = "binary") -> None:
        self.metric = parse_metric(metric).name
        self.kind = kind
        forms = parse_metric(metric).metric.forms
        if kind not in forms:
            must_be = f"one of {', '.join(forms)} for {self.metric!r}"
            raise ConfigError(invalid(type(self).__name__, "kind", must_be, kind))
        if not self.can_compute(self.metric, kind):
            must_be = "a metric that needs less than every row"
            raise ConfigError(invalid(type(self).__name__, "metric", must_be, metric))

    @staticmethod
    @abstractmethod
    def can_compute(metric: str, kind: str) -> bool:
        """Does this kind of accumulator suffice for the metric?"""

    @abstractmethod
    def update(
        self, predictions: Any, labels: Any, groups: Any = None, weights: Any = None
    ) -> None:
        """Add a batch; shapes as in the functions of the metric, NaN labels are dropped."""

    @abstractmethod
    def compute(self) -> float:
        """The value for all rows so far; NaN with a reason when it is undefined."""

    def merge(self, other: Accumulator) -> None:
        """Add the rows that another accumulator of the same metric has seen."""
        mine = (type(self), self.metric, self.kind)
        if (type(other), other.metric, other.kind) != mine:
            must_be = f"a {type(self).__name__} of {self.metric!r} ({self.kind})"
            raise ConfigError(invalid(type(self).__name__, "other", must_be, other))
        self._merge(other)

    @abstractmethod
    def _merge(self, other: Any) -> None: ...

    def _form(self) -> Any:
        return parse_metric(self.metric).metric.forms[self.kind]


class ExactAccumulator(Accumulator):
    """Keeps every row.

    >>> accumulator = ExactAccumulator("auc")
    >>> accumulator.update([0.1, 0.4], [0, 0])
    >>> accumulator.update([0.35, 0.8], [1, 1])
    >>> accumulator.compute()
    0.75
    """

    def __init__(self, metric: str, kind: str = "binary") -> None:
        super().__init__(metric, kind)
        self._batches = Batches()

    @staticmethod
    def can_compute(metric: str, kind: str) -> bool:
        """Every metric that fits the kind."""
        return kind in parse_metric(metric).metric.forms

    def update(
        self, predictions: Any, labels: Any, groups: Any = None, weights: Any = None
    ) -> None:
        """Keep a copy of a batch."""
        read = as_numbers if self.kind in ("multiclass", "multilabel") else as_column
        kept = as_numbers if self.kind == "multilabel" else as_column
        one = Batches()
        one.append(Batch(read("predictions", predictions), kept("labels", labels), groups, weights))
        self._batches.append(one.take())

    def compute(self) -> float:
        """The value for all rows so far."""
        return value_or_undefined(self._value)

    def _value(self) -> float:
        if not len(self._batches):
            raise NoRowsError
        rows = self._batches.take()
        self._batches.append(rows)
        data = observe(self.kind, rows.labels, rows.predictions, rows.weights, rows.groups)
        return parse_metric(self.metric).compute(data)

    def _merge(self, other: ExactAccumulator) -> None:
        self._batches.extend(other._batches)


class ConstantMemoryAccumulator(Accumulator):
    """Base of those that forget the rows. A prediction that isn't finite spoils all of them."""

    def __init__(self, metric: str, kind: str = "binary") -> None:
        super().__init__(metric, kind)
        self._spoiled: str | None = None

    def update(
        self, predictions: Any, labels: Any, groups: Any = None, weights: Any = None
    ) -> None:
        """Add a batch; groups are not used by the metrics that need no rows."""
        try:
            self.add(observe(self.kind, labels, predictions, weights))
        except UndefinedError as error:
            self.add(error)

    def add(self, data: Observations | UndefinedError) -> None:
        """Add checked rows. Rows that can't be counted leave the metric undefined from now on."""
        try:
            if isinstance(data, UndefinedError):
                raise data
            self._add(data)
        except NoRowsError:
            return
        except UndefinedError as error:
            self._spoiled = self._spoiled or str(error)

    @abstractmethod
    def _add(self, data: Observations) -> None: ...

    @abstractmethod
    def _value(self) -> float: ...

    def compute(self) -> float:
        """The value for all rows so far."""
        return value_or_undefined(self._defined(self._value))

    def _defined(self, value: Any) -> Any:
        def checked() -> float:
            if self._spoiled is not None:
                raise UndefinedError(self._spoiled)
            return value()

        return checked

    def merge(self, other: Accumulator) -> None:
        """Add the rows that another accumulator of the same metric has seen."""
        super().merge(other)
        assert isinstance(other, ConstantMemoryAccumulator)
        if other._spoiled is not None:
            self._spoiled = self._spoiled or other._spoiled


class RunningAccumulator(ConstantMemoryAccumulator):
    """Keeps sums over rows.

    >>> accumulator = RunningAccumulator("rmse", "regression")
    >>> accumulator.update([1.0], [3.0])
    >>> accumulator.update([2.0], [4.0])
    >>> accumulator.compute()
    2.0
    """

    def __init__(self, metric: str, kind: str = "binary") -> None:
        super().__init__(metric, kind)
        self._sums: np.ndarray | None = None

    @staticmethod
    def can_compute(metric: str, kind: str) -> bool:
        """Metrics that are a function of sums over rows."""
        return isinstance(parse_metric(metric).metric.forms.get(kind), Sums)

    def _add(self, data: Observations) -> None:
        terms = self._form().terms(data)
        self._sums = terms if self._sums is None else self._form().add(self._sums, terms)

    def _value(self) -> float:
        if self._sums is None:
            raise NoRowsError
        return self._form().finish(self._sums)

    def _merge(self, other: RunningAccumulator) -> None:
        if other._sums is not None:
            mine = self._sums
            self._sums = other._sums if mine is None else self._form().add(mine, other._sums)


class HistogramAccumulator(ConstantMemoryAccumulator):
    """Keeps counts of binned scores; :meth:`error_bound` tells what the bins can hide.

    >>> accumulator = HistogramAccumulator("auc")
    >>> accumulator.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> accumulator.compute(), accumulator.error_bound()
    (0.75, 0.0)
    """

    def __init__(self, metric: str, kind: str = "binary") -> None:
        super().__init__(metric, kind)
        self._histogram = ScoreHistogram()

    @staticmethod
    def can_compute(metric: str, kind: str) -> bool:
        """Metrics that are read from the threshold curve."""
        form = parse_metric(metric).metric.forms.get(kind)
        return isinstance(form, OnCurve) and form.read in BOUNDS

    def _add(self, data: Observations) -> None:
        self._histogram.add(binary_labels(data), data.predictions, data.weights)

    def error_bound(self) -> float:
        """The value is within this distance of that of all rows; NaN when it is undefined."""
        bound = BOUNDS[self._form().read]
        return value_or_undefined(self._defined(lambda: bound(self._histogram.curve())))

    def _value(self) -> float:
        return self._form().read(self._histogram.curve())

    def _merge(self, other: HistogramAccumulator) -> None:
        self._histogram.merge(other._histogram)


def can_stream(metric: str, kind: str = "binary") -> bool:
    """Can the metric be computed without keeping every row?

    >>> can_stream("auc"), can_stream("logloss"), can_stream("gauc")
    (True, True, False)
    """
    return any(
        form.can_compute(metric, kind) for form in (RunningAccumulator, HistogramAccumulator)
    )


def streaming_accumulator(metric: str, kind: str = "binary") -> ConstantMemoryAccumulator:
    """The accumulator of constant memory for a metric.

    Raises:
        ConfigError: the metric needs every row, as those that rank inside groups do.
    """
    if HistogramAccumulator.can_compute(metric, kind):
        return HistogramAccumulator(metric, kind)
    return RunningAccumulator(metric, kind)
