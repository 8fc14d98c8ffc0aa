"""What a trainer uses: batches of predictions in, the requested metrics out.

Shapes: B rows of a batch, S logits of all tasks, T label columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nextrec.errors import ConfigError, DataError, invalid
from nextrec.metrics.accumulators import (
    HistogramAccumulator,
    can_stream,
    streaming_accumulator,
)
from nextrec.metrics.batches import Batch, Batches, on_host
from nextrec.metrics.inputs import as_ids, as_numbers, check_rows, factorize_groups, is_tensor
from nextrec.metrics.observations import Observations, observe
from nextrec.metrics.requests import Request
from nextrec.metrics.undefined import (
    NoRowsError,
    Undefined,
    UndefinedError,
    value_or_undefined,
)
from nextrec.tasks import Task

HELD_ON_DEVICE = 64
"""Batches that wait on an accelerator before one transfer reads them all."""


class MetricValues(dict[str, float]):
    """Key -> value in the order that was asked for; NaN where a metric is undefined."""

    reasons: dict[str, str]
    """Key -> why the value is NaN."""
    targets: dict[str, tuple[str, str]]
    """Key -> (target, metric): targets may end alike, so keys can't be taken apart."""

    def __init__(
        self, requests: Sequence[Request], values: Sequence[float], only_target: str = ""
    ) -> None:
        super().__init__()
        self.reasons, self.targets = {}, {}
        for request, value in zip(requests, values, strict=True):
            self[request.key] = float(np.float64(value))
            self.targets[request.key] = (request.target or only_target, request.metric)
            if isinstance(value, Undefined):
                self.reasons[request.key] = value.reason

    def values_by_target(self) -> dict[str, dict[str, float]]:
        """Target -> metric -> value."""
        table: dict[str, dict[str, float]] = {}
        for key, (target, metric) in self.targets.items():
            table.setdefault(target, {})[metric] = self[key]
        return table


class Evaluator:
    """Collects batches and computes what was requested.

    Args:
        requests: from :func:`~nextrec.metrics.resolve_metrics`.
        tasks: those of the model, in the order of its logits.
        streaming: forget the rows of each batch: constant memory, AUC from a histogram whose
            :meth:`error_bounds` are known.

    Raises:
        ConfigError: ``streaming`` with metrics that need every row.

    >>> from nextrec.metrics import resolve_metrics
    >>> from nextrec.tasks import make_tasks
    >>> tasks = make_tasks("binary", ["click"])
    >>> evaluator = Evaluator(resolve_metrics(["auc", "logloss"], tasks), tasks)
    >>> evaluator.update([[0.5], [0.5]], [[0.0], [1.0]])
    >>> evaluator.compute()
    {'auc': 0.5, 'logloss': 0.6931471805599453}
    """

    def __init__(
        self, requests: Sequence[Request], tasks: Sequence[Task], streaming: bool = False
    ) -> None:
        self.requests = tuple(requests)
        self.tasks = tuple(tasks)
        self.streaming = streaming
        self._grouped = [request.key for request in self.requests if request.needs_groups]
        self._task_of = [self._find_task(request) for request in self.requests]
        if streaming:
            self._check_streaming()
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._waiting = Batches()
        self._rows = Batches()
        if self.streaming:
            self._accumulators = [
                streaming_accumulator(request.metric, self.tasks[number].kind)
                for request, number in zip(self.requests, self._task_of, strict=True)
            ]

    def update(
        self, predictions: Any, labels: Any, groups: Any = None, weights: Any = None
    ) -> None:
        """Add a batch.

        Args:
            predictions: ``(B, S)`` probabilities or values in the order of the tasks' logits.
            labels: ``(B, T)``, NaN where nothing was observed.
            groups: ``(B,)`` ids, for metrics that rank inside groups.
            weights: ``(B,)`` sample weights; they don't apply to gauc and the @k metrics.

        Raises:
            ConfigError: a requested metric needs groups, and there are none.
            DataError: shapes don't fit the tasks or each other.
        """
        if self._grouped and groups is None:
            must_be = f"one id a row (needed by {', '.join(self._grouped)})"
            raise ConfigError(invalid("metrics", "groups", must_be, None))
        # Ids that no metric asks for are not worth their memory.
        groups = groups if self._grouped else None
        batch = _checked(self.tasks, predictions, labels, groups, weights)
        wait = not on_host(batch.predictions)
        self._waiting.append(batch.copied() if wait else batch)
        if not wait or len(self._waiting) >= HELD_ON_DEVICE:
            self._read()

    def merge(self, other: Evaluator) -> None:
        """Add the rows that an evaluator of the same requests has seen, on another process, say."""
        if (other.requests, other.tasks, other.streaming) != (
            self.requests,
            self.tasks,
            self.streaming,
        ):
            must_be = "an evaluator of the same requests, tasks and mode"
            raise ConfigError(invalid("Evaluator", "other", must_be, other))
        self._read()
        other._read()
        if not self.streaming:
            self._rows.extend(other._rows)
            return
        for mine, theirs in zip(self._accumulators, other._accumulators, strict=True):
            mine.merge(theirs)

    def compute(self) -> MetricValues:
        """Values for all rows so far."""
        self._read()
        if self.streaming:
            values = [accumulator.compute() for accumulator in self._accumulators]
        else:
            values = self._exact_values()
        return MetricValues(self.requests, values, self.tasks[0].name)

    def error_bounds(self) -> dict[str, float]:
        """Key -> how far a value read from a histogram can be from that of all rows."""
        self._read()
        accumulators = self._accumulators if self.streaming else []
        return {
            request.key: accumulator.error_bound()
            for request, accumulator in zip(self.requests, accumulators, strict=False)
            if isinstance(accumulator, HistogramAccumulator)
        }

    def _read(self) -> None:
        """Move the waiting batches to main memory and count or keep them."""
        if not len(self._waiting):
            return
        batch = self._waiting.take()
        if not self.streaming:
            self._rows.append(batch)
            return
        for number, places in self._places().items():
            with _naming(self.tasks[number]):
                data = _observations(self.tasks[number], batch)
                for place in places:
                    self._accumulators[place].add(data)

    def _places(self) -> dict[int, list[int]]:
        """Task number -> places of its requests."""
        places: dict[int, list[int]] = {}
        for place, number in enumerate(self._task_of):
            places.setdefault(number, []).append(place)
        return places

    def _exact_values(self) -> list[float]:
        if not len(self._rows):
            return [Undefined(str(NoRowsError())) for _ in self.requests]
        rows = self._rows.take()
        self._rows.append(rows)
        if rows.groups is not None:  # once for all tasks; ids become small integers
            rows = rows._replace(groups=factorize_groups(rows.groups, len(rows.labels)))
        values = [0.0] * len(self.requests)
        for number, places in self._places().items():
            with _naming(self.tasks[number]):
                data = _observations(self.tasks[number], rows)
                for place in places:
                    values[place] = _value(self.requests[place], data)
        return values

    def _find_task(self, request: Request) -> int:
        for number, task in enumerate(self.tasks):
            if request.target in (None, task.name):
                return number
        names = ", ".join(task.name for task in self.tasks)
        must_be = f"requests for the targets {names}"
        raise ConfigError(invalid("Evaluator", "requests", must_be, request.target))

    def _check_streaming(self) -> None:
        exact = [
            request.key
            for request, number in zip(self.requests, self._task_of, strict=True)
            if not can_stream(request.metric, self.tasks[number].kind)
        ]
        if exact:
            raise ConfigError(
                f"Evaluator: `streaming` forgets the rows that {', '.join(exact)} need: "
                "drop these metrics or set streaming=False."
            )


@contextmanager
def _naming(task: Task) -> Iterator[None]:
    """Tell whose labels or predictions don't fit."""
    try:
        yield
    except DataError as error:
        raise DataError(f"target {task.name!r}: {error}") from error


def _value(request: Request, data: Observations | UndefinedError) -> float:
    def value() -> float:
        if isinstance(data, UndefinedError):
            raise data
        return request.named.compute(data)

    return value_or_undefined(value)


def _observations(task: Task, rows: Batch) -> Observations | UndefinedError:
    """The observed rows of a task, or why there is nothing to judge."""
    predictions = rows.predictions[:, task.logits]
    labels = rows.labels[:, task.labels]
    try:
        return observe(task.kind, labels, predictions, rows.weights, rows.groups)
    except UndefinedError as error:
        return error


def _checked(
    tasks: Sequence[Task], predictions: Any, labels: Any, groups: Any, weights: Any
) -> Batch:
    """The arrays as a batch, judged by their shapes: nothing is read from a device."""
    predictions = _as_shape("predictions", predictions, tasks[-1].logits.stop)
    labels = _as_shape("labels", labels, tasks[-1].labels.stop)
    if groups is not None and not is_tensor(groups):
        groups = as_ids(groups)
    if weights is not None and not is_tensor(weights):
        weights = as_numbers("weights", weights)
    for name, array in (("predictions", predictions), ("groups", groups), ("weights", weights)):
        if array is not None:
            check_rows(name, len(array), len(labels))
    return Batch(predictions, labels, groups, weights)


def _as_shape(name: str, array: Any, columns: int) -> Any:
    """``(B, columns)``; one column may come as ``(B,)``."""
    array = array if is_tensor(array) else as_numbers(name, array)
    if array.ndim == 1 and columns == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.shape[1] != columns:
        raise DataError(invalid("metrics", name, f"(rows, {columns})", tuple(array.shape)))
    return array
