"""The functions of 0.3.1's ``nextrec.basic.metrics``, with its signatures, over today's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nextrec.errors import ConfigError, DataError, invalid
from nextrec.metrics.classification import ks
from nextrec.metrics.definitions import Mode, metric_mode, parse_metric
from nextrec.metrics.evaluation import Evaluator
from nextrec.metrics.observations import observe
from nextrec.metrics.ranking import gauc
from nextrec.metrics.regression import mape, msle
from nextrec.metrics.requests import TASK_DEFAULT_METRICS, resolve_metrics
from nextrec.metrics.undefined import value_or_undefined
from nextrec.tasks import Task, make_tasks


def compute_ks(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """See :func:`~nextrec.metrics.ks`."""
    return ks(y_true, y_pred)


def compute_mape(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """See :func:`~nextrec.metrics.mape`; in percent."""
    return mape(y_true, y_pred)


def compute_msle(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """See :func:`~nextrec.metrics.msle`."""
    return msle(y_true, y_pred)


def compute_gauc(
    y_true: np.ndarray, y_pred: np.ndarray, user_ids: np.ndarray | None = None
) -> float:
    """See :func:`~nextrec.metrics.gauc`.

    Raises:
        ConfigError: ``user_ids`` is None. 0.3.1 returned the AUC of all rows then, which is
            another number; ask :func:`~nextrec.metrics.auc` for it.
    """
    if user_ids is None:
        raise ConfigError(invalid("compute_gauc", "user_ids", "an array with one id a row", None))
    return gauc(y_true, y_pred, user_ids)


def configure_metrics(
    task: str | list[str],
    metrics: list[str] | dict[str, list[str]] | None,
    target_names: list[str],
) -> tuple[list[str], dict[str, list[str]] | None, Mode]:
    """Names asked for, names by target when asked so, and the direction of the first one.

    >>> configure_metrics("binary", ["AUC", "logloss"], ["click"])
    (['auc', 'logloss'], None, 'max')
    """
    if not metrics:
        kinds = [task] if isinstance(task, str) else task
        _tasks(task, target_names)
        names = list(dict.fromkeys(name for kind in kinds for name in TASK_DEFAULT_METRICS[kind]))
        return names, None, metric_mode(names[0])
    tasks = _tasks(task, target_names)
    requests = resolve_metrics(metrics, tasks, owner="configure_metrics")
    by_target: dict[str, list[str]] | None = None
    if isinstance(metrics, Mapping):
        by_target = {target: [] for target in metrics}
        for request in requests:
            by_target[request.target or tasks[0].name].append(request.metric)
    asked = [metrics] if isinstance(metrics, str) else metrics
    names = [parse_metric(each).name for each in asked] if by_target is None else []
    names = list(dict.fromkeys(names or [request.metric for request in requests]))
    return names, by_target, metric_mode(names[0])


def get_best_metric_mode(first_metric: str, primary_task: str) -> Mode:
    """See :func:`~nextrec.metrics.metric_mode`; the direction doesn't depend on the task."""
    return metric_mode(first_metric)


def compute_single_metric(
    metric: str,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    task_type: str,
    user_ids: np.ndarray | None = None,
) -> float:
    """One metric by name; NaN with a reason when it is undefined.

    >>> compute_single_metric("auc", [0, 1], [0.2, 0.6], "binary")
    1.0
    """
    named = parse_metric(metric, "compute_single_metric")
    kind = _kind(task_type)
    if kind not in named.metric.forms:
        must_be = f"one of {', '.join(named.metric.forms)} for {metric!r}"
        raise ConfigError(invalid("compute_single_metric", "task_type", must_be, task_type))
    return value_or_undefined(lambda: named.compute(observe(kind, y_true, y_pred, groups=user_ids)))


def evaluate_metrics(
    y_true: np.ndarray | None,
    y_pred: np.ndarray | None,
    metrics: list[str],
    task: str | list[str],
    target_names: list[str],
    task_specific_metrics: dict[str, list[str]] | None = None,
    user_ids: np.ndarray | None = None,
) -> dict[str, float]:
    """All that was asked for: ``metric`` of a single task, ``metric_target`` of several.

    ``task_specific_metrics`` (target -> names) takes the place of ``metrics`` when it is given.
    Without labels or predictions there is nothing to evaluate: ``{}``.

    >>> evaluate_metrics([0, 1], [0.2, 0.6], ["auc", "accuracy"], "binary", ["click"])
    {'auc': 1.0, 'accuracy': 1.0}
    """
    if y_true is None or y_pred is None:
        return {}
    predictions = np.asarray(y_pred)
    columns = 1 if predictions.ndim == 1 else predictions.shape[-1]
    tasks = _tasks(task, target_names, columns)
    asked = task_specific_metrics or metrics
    requests = resolve_metrics(asked, tasks, "evaluate_metrics", has_groups=user_ids is not None)
    evaluator = Evaluator(requests, tasks)
    evaluator.update(predictions, y_true, user_ids)
    return evaluator.compute()


def _kind(task: str) -> str:
    """0.3.1 called the binary task of two towers 'matching' when it chose default metrics."""
    return "binary" if task == "matching" else task


def _tasks(
    task: str | Sequence[str], targets: Sequence[str], columns: int | None = None
) -> tuple[Task, ...]:
    """Tasks as 0.3.1 gave them; the classes of one multiclass target are the columns left over."""
    kinds = [_kind(task)] if isinstance(task, str) else [_kind(each) for each in task]
    kinds = kinds * len(targets) if len(kinds) == 1 and kinds != ["multilabel"] else kinds
    count = kinds.count("multiclass")
    if not count:
        return make_tasks(kinds, targets, owner="metrics")
    if columns is None:
        return make_tasks(kinds, targets, [2] * count, owner="metrics")
    if count > 1:
        must_be = "at most one multiclass target, whose classes the columns then tell"
        raise ConfigError(invalid("evaluate_metrics", "task", must_be, task))
    classes = columns - (len(kinds) - 1)
    if classes < 2:
        must_be = "one column a class"
        raise DataError(invalid("evaluate_metrics", "y_pred", must_be, f"{columns} columns"))
    return make_tasks(kinds, targets, classes, owner="metrics")
