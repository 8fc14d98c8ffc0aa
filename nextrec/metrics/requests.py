"""From what a user asks for to the list of (target, metric) that will be computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nextrec.errors import ConfigError, did_you_mean, invalid
from nextrec.metrics.accumulators import can_stream
from nextrec.metrics.definitions import Mode, NamedMetric, metric_mode, parse_metric
from nextrec.tasks import Task

_DECISIONS = ("accuracy", "acc", "precision", "recall", "f1", "micro_f1", "macro_f1")
CLASSIFICATION_METRICS = frozenset(
    {"auc", "gauc", "ks", "pr_auc", "average_precision", "logloss", "pcoc", "ne", "ece"}
    | {"hamming_loss", "subset_accuracy", *_DECISIONS}
)
REGRESSION_METRICS = frozenset({"mse", "mae", "rmse", "r2", "mape", "msle"})

_RANKED = [f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (5, 10, 20)]
TASK_DEFAULT_METRICS: dict[str, list[str]] = {
    "binary": ["auc", "gauc", "ks", "logloss", "accuracy", "precision", "recall", "f1"],
    "regression": ["mse", "mae", "rmse", "r2", "mape"],
    "multiclass": ["accuracy", "logloss", "macro_f1"],
    "multilabel": ["auc", "hamming_loss", "subset_accuracy", "micro_f1", "macro_f1"],
    "matching": ["auc", "gauc", "precision@10", "hitrate@10", "map@10", "cosine", *_RANKED],
}

MetricsArgument = str | Sequence[str] | Mapping[str, str | Sequence[str]] | None


@dataclass(frozen=True)
class Request:
    """One metric of one target."""

    target: str | None
    """None when the model has one task."""
    metric: str

    @property
    def key(self) -> str:
        """``metric`` for a single task, ``metric_target`` for several."""
        return self.metric if self.target is None else f"{self.metric}_{self.target}"

    @property
    def named(self) -> NamedMetric:
        """The metric and its cut."""
        return parse_metric(self.metric)

    @property
    def needs_groups(self) -> bool:
        """The metric ranks the rows of a group."""
        return self.named.metric.needs_groups

    @property
    def mode(self) -> Mode:
        """Direction of improvement; ConfigError for a metric that has none, such as PCOC."""
        return metric_mode(self.metric)


def resolve_metrics(
    metrics: MetricsArgument,
    tasks: Sequence[Task],
    owner: str = "metrics",
    has_groups: bool = True,
    streaming: bool = False,
) -> tuple[Request, ...]:
    """What to compute, checked before anything is trained.

    Args:
        metrics: None or empty for the defaults of each task's kind; one name; a list of names,
            each computed for every task that it fits; or target -> name or names.
        tasks: those of the model.
        owner: whose parameter an error names.
        has_groups: False: there will be no group ids, so leave out the defaults that need them.
        streaming: True: rows will be forgotten, so leave out the defaults that need them all.

    Raises:
        ConfigError: with every problem at once: unknown metric or target, a metric that fits no
            task, a missing or wrong cut, nothing left to compute.

    >>> from nextrec.tasks import make_tasks
    >>> tasks = make_tasks(["binary", "regression"], ["click", "price"])
    >>> [request.key for request in resolve_metrics(["auc", "mae"], tasks)]
    ['auc_click', 'mae_click', 'mae_price']
    >>> [request.key for request in resolve_metrics("auc", make_tasks("binary", ["click"]))]
    ['auc']
    """
    problems: list[str] = []
    if not metrics:
        found = list(_defaults(tasks, has_groups, streaming))
    elif isinstance(metrics, Mapping):
        found = list(_by_target(metrics, tasks, owner, problems))
    else:
        found = list(_for_all(_names(metrics, owner, problems), tasks, owner, problems))
    requests = tuple(dict.fromkeys(found))
    if not problems and not requests:
        problems.append(invalid(owner, "metrics", "at least one metric", metrics))
    if not problems and len({request.key for request in requests}) < len(requests):
        keys = [request.key for request in requests]
        problems.append(invalid(owner, "metrics", "names with different keys", keys))
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return requests


def fits(name: str, kind: str) -> bool:
    """Is the metric defined for tasks of this kind?"""
    return kind in parse_metric(name).metric.forms


def _names(metrics: Any, owner: str, problems: list[str]) -> list[str]:
    """Known names, lower-cased; a string is one name. Problems are added to the list."""
    if isinstance(metrics, str):
        metrics = [metrics]
    if not isinstance(metrics, (Sequence, set, frozenset)):
        problems.append(invalid(owner, "metrics", "a name, names, or target -> names", metrics))
        return []
    names = []
    for each in metrics:
        try:
            names.append(parse_metric(each, owner).name)
        except ConfigError as error:
            problems.append(str(error))
    return names


def _request(task: Task, name: str, tasks: Sequence[Task]) -> Request:
    return Request(None if len(tasks) == 1 else task.name, name)


def _defaults(tasks: Sequence[Task], has_groups: bool, streaming: bool) -> Iterator[Request]:
    for task in tasks:
        for name in TASK_DEFAULT_METRICS[task.kind]:
            grouped = parse_metric(name).metric.needs_groups
            if (has_groups or not grouped) and (not streaming or can_stream(name, task.kind)):
                yield _request(task, name, tasks)


def _for_all(
    names: list[str], tasks: Sequence[Task], owner: str, problems: list[str]
) -> Iterator[Request]:
    kinds = list(dict.fromkeys(task.kind for task in tasks))
    for name in names:
        if not any(fits(name, kind) for kind in kinds):
            problems.append(_misfit(owner, name, " or ".join(kinds)))
    for task in tasks:
        yield from (_request(task, name, tasks) for name in names if fits(name, task.kind))


def _by_target(
    metrics: Mapping[str, Any], tasks: Sequence[Task], owner: str, problems: list[str]
) -> Iterator[Request]:
    by_name = {task.name: task for task in tasks}
    for target, asked in metrics.items():
        names = _names(asked, owner, problems)
        if target not in by_name:
            must_be = f"one of the targets {', '.join(by_name)}"
            hint = did_you_mean(target, by_name)
            problems.append(invalid(owner, "metrics", f"by target: {must_be}", target) + hint)
            continue
        task = by_name[target]
        for name in names:
            if fits(name, task.kind):
                yield _request(task, name, tasks)
            else:
                problems.append(_misfit(owner, name, f"{task.kind} target {target!r}"))


def _misfit(owner: str, name: str, what: str) -> str:
    kinds = ", ".join(parse_metric(name).metric.forms)
    return f"{owner}: metric {name!r} is defined for {kinds} tasks; this is a {what} task."
