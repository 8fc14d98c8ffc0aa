"""Names and options of a training: task, loss, optimizer, scheduler, metrics. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from nextrec.cli.document import Document, KeyPath
from nextrec.cli.features import Listed
from nextrec.cli.findings import Findings
from nextrec.errors import ConfigError, NextRecError, unknown_option
from nextrec.loss import LOSSES, Objective
from nextrec.loss.balancing import make_balancer
from nextrec.metrics import resolve_metrics
from nextrec.metrics.definitions import parse_metric
from nextrec.models.run_checks import monitor_modes
from nextrec.optim import GROUPS, OPTIMIZERS, SCHEDULERS, build_optimizer, build_scheduler
from nextrec.tasks import Task, make_tasks
from nextrec.training.device import resolve_device

PARAMS = ("model", "params")


def check_training(findings: Findings, listed: list[Listed]) -> None:
    """Find unknown names, and options that do not fit them or the task."""
    good = findings.good_part()
    tasks = _check_tasks(findings, good, listed)
    _check_optimizer(findings, good)
    _check_device(findings, good)
    if tasks:
        _check_loss(findings, good, tasks)
        _check_metrics(findings, good, tasks)


def setting_path(document: Document, key: str) -> KeyPath | None:
    """Where an argument of ``compile`` stands: in that section or among the model's."""
    paths: tuple[KeyPath, ...] = (("compile", key), (*PARAMS, key))
    return next((path for path in paths if path in document), None)


def _check_tasks(
    findings: Findings, good: Document, listed: list[Listed]
) -> tuple[Task, ...] | None:
    """The tasks, or ``None`` when they can't be known."""
    keys = ("task", "target", "num_classes")
    if any(findings.touches((*PARAMS, key)) for key in keys):
        return None
    task, target, classes = (good.get((*PARAMS, key)) for key in keys)
    targets = [target] if isinstance(target, str) else target or ["label"]
    for each in listed:
        if each.feature.name in targets:
            text = f"features: {each.feature.name!r} is a target: the model would see its label."
            findings.add(each.path, text)
    try:
        return make_tasks(task or "binary", targets, classes, "model")
    except ConfigError as error:
        named = (key for key in keys if f"`{key}`" in str(error) and (*PARAMS, key) in good)
        key = next(named, "task")
        findings.add((*PARAMS, key), str(error))
        return None


def _check_optimizer(findings: Findings, good: Document) -> None:
    """Names and options of optimizer and scheduler, tried on a few numbers."""
    optimizer = _build(findings, good, "optimizer", OPTIMIZERS, _optimizer)
    epochs = good.get(("fit", "epochs")) or 1
    over = optimizer or _optimizer("adam", {})
    scheduler = partial(_scheduler, optimizer=over, epochs=epochs)
    _build(findings, good, "scheduler", SCHEDULERS, scheduler)


def _build(
    findings: Findings, good: Document, key: str, names: Iterable[str], build: Callable[..., Any]
) -> Any:
    path, params = setting_path(good, key), setting_path(good, f"{key}_params")
    name = good.get(path) if path else None
    if path and isinstance(name, str) and name not in names:
        findings.add(path, unknown_option("compile", key, names, name))
    if any(findings.touches((*section, f"{key}_params")) for section in (("compile",), PARAMS)):
        return None
    if path and findings.touches(path):
        return None
    if params and not path and key == "scheduler":
        findings.add_key(params, "compile: `scheduler_params` needs `scheduler`.")
        return None
    try:
        return build(name, (good.get(params) if params else None) or {})
    except ConfigError as error:
        findings.add(params or path or ("compile",), str(error))
        return None


def _optimizer(name: str | None, params: dict[str, Any]) -> Any:
    # One number for each group: a model has them all, and what they hold does not matter here.
    groups = {group: [nn.Parameter(torch.ones(1))] for group in GROUPS}
    return build_optimizer(name or "adam", params, groups=groups, owner="compile")


def _scheduler(name: str | None, params: dict[str, Any], optimizer: Any, epochs: int) -> Any:
    # The length of an epoch is not known before the data is: any does for looking at options.
    return build_scheduler(name, optimizer, params, steps_per_epoch=1000, epochs=epochs)


def _check_device(findings: Findings, good: Document) -> None:
    path = (*PARAMS, "device")
    if path in good:
        try:
            resolve_device(good.get(path))
        except ConfigError as error:
            findings.add(path, str(error).replace("resolve_device", "model", 1))


def _check_loss(findings: Findings, good: Document, tasks: tuple[Task, ...]) -> None:
    keys = ("loss", "loss_params", "loss_weights", "loss_weights_params")
    paths = {key: setting_path(good, key) for key in keys}
    loss, params, weights, options = (good.get(path) if path else None for path in paths.values())
    if any(path and findings.touches(path) for path in paths.values()):
        return
    known = True
    for path, name in _names_at(paths["loss"], loss):
        if name not in LOSSES:
            findings.add(path, unknown_option("compile", "loss", LOSSES, name))
            known = False
    if known:
        try:
            make_balancer(tasks, weights, options)
            Objective(tasks, loss, params, None if isinstance(weights, str) else weights)
        except NextRecError as error:
            first = next(path for path in paths.values() if path)
            text = str(error)
            named = [p for k, p in paths.items() if p and (f"`{k}`" in text or f" {k}:" in text)]
            findings.add(named[0] if named else first, str(error))


def _check_metrics(findings: Findings, good: Document, tasks: tuple[Task, ...]) -> None:
    path = ("fit", "metrics")
    metrics = good.get(path)
    if metrics is None and findings.touches(path):
        return
    for each, name in _names_at(path, metrics):
        try:
            parse_metric(name, "fit")
        except ConfigError as error:
            findings.add(each, str(error))
    targets = [task.name for task in tasks]
    for target in metrics if isinstance(metrics, dict) else ():
        if target not in targets:
            text = unknown_option("fit", "metrics", targets, target)
            findings.add_key((*path, target), text)
    if findings.touches(path):
        return
    try:
        requests = resolve_metrics(metrics, tasks, owner="fit", has_groups=True)
    except ConfigError as error:
        findings.add(path, str(error))
        return
    modes, monitor = monitor_modes(requests), good.get(("fit", "monitor"))
    if monitor is not None and monitor not in modes:
        findings.add(("fit", "monitor"), unknown_option("fit", "monitor", modes, monitor))


def _names_at(path: KeyPath | None, value: Any) -> Iterator[tuple[KeyPath, str]]:
    """Every name in a name, a list of names or a mapping to these, with its place."""
    if path is not None and isinstance(value, str):
        yield path, value
    elif path is not None and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _names_at((*path, number), each)
    elif path is not None and isinstance(value, dict):
        for key, each in value.items():
            yield from _names_at((*path, key), each)
