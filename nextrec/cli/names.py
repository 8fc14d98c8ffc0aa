"""Names and arguments that only the library can judge: model, optimizer, loss, metrics.

These checks import torch; ``check.py`` runs them after those that don't.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from nextrec.cli.features import Listed
from nextrec.cli.findings import Findings, dotted
from nextrec.cli.shapes import report
from nextrec.cli.signatures import (
    COMPILE_KEYS,
    feature_kinds,
    own_parameters,
    parameter_types,
)
from nextrec.cli.yaml_lines import Document, KeyPath
from nextrec.errors import ConfigError, NextRecError, did_you_mean, unknown_option
from nextrec.loss import LOSSES, Objective
from nextrec.metrics import resolve_metrics
from nextrec.metrics.definitions import parse_metric
from nextrec.models.base import BaseModel
from nextrec.models.zoo import load_zoo
from nextrec.optim import GROUPS, OPTIMIZERS, SCHEDULERS, build_optimizer, build_scheduler
from nextrec.tasks import Task, make_tasks
from nextrec.training.device import resolve_device

PARAMS = ("model", "params")


def check_names(findings: Findings, listed: list[Listed]) -> type[BaseModel] | None:
    """Find unknown names and arguments; returns the model's class when it is known."""
    good = findings.good_part()
    model = _check_model(findings, good)
    if model is not None:
        _check_arguments(findings, good, model)
        _check_roles(findings, good, model, listed)
    _check_twice(findings, good)
    good = findings.good_part()
    tasks = _check_tasks(findings, good, listed)
    _check_optimizer(findings, good)
    _check_device(findings, good)
    if tasks:
        _check_loss(findings, good, tasks)
        _check_metrics(findings, good, tasks)
    return model


def setting_path(document: Document, key: str) -> KeyPath | None:
    """Where an argument of ``compile`` stands: in that section or among the model's."""
    paths: tuple[KeyPath, ...] = (("compile", key), (*PARAMS, key))
    return next((path for path in paths if path in document), None)


# -- the model -----------------------------------------------------------------------------------


def _check_model(findings: Findings, good: Document) -> type[BaseModel] | None:
    name = good.get(("model", "name"))
    if name is None:
        return None
    zoo = load_zoo()
    if name not in zoo:
        findings.add(("model", "name"), unknown_option("model", "name", zoo, name))
        return None
    return zoo[name]


def _check_arguments(findings: Findings, good: Document, model: type[BaseModel]) -> None:
    given = good.get(PARAMS) or {}
    types = parameter_types(model)
    for name, value in given.items():
        path = (*PARAMS, name)
        if name in types:
            _check_type(findings, path, types[name], value)
        elif name.endswith("_features"):
            group, _, kind = name.removesuffix("_features").rpartition("_")
            where = f"`features.groups.{group}`" if group else f"`features.{kind}`"
            findings.add_key(path, f"model: features stand under {where}, not `params.{name}`.")
        else:
            hint = did_you_mean(name, types) or f" It takes {', '.join(own_parameters(model))}."
            findings.add_key(path, f"model: {model.__name__} does not take `{name}`.{hint}")
    for name, parameter in own_parameters(model).items():
        if parameter.default is parameter.empty and name not in given:
            findings.add_key((*PARAMS, name), f"model: {model.__name__} needs `params.{name}`.")


def _check_type(findings: Findings, path: KeyPath, hint: Any, value: Any) -> None:
    config = ConfigDict(strict=True, arbitrary_types_allowed=True)
    adapter = TypeAdapter(hint, config=config)
    try:
        # As JSON, because a list of YAML may stand for any kind of sequence.
        adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        report(findings, error.errors(include_url=False), path)


def _check_roles(
    findings: Findings, good: Document, model: type[BaseModel], listed: list[Listed]
) -> None:
    """Groups of the model and of the config, and kinds of features that it takes."""
    groups = good.get(("features", "groups")) or {}
    roles = model.groups
    for group in groups:
        if group not in roles:
            path = ("features", "groups", group)
            if roles:
                findings.add_key(path, unknown_option("features", "groups", roles, group))
            else:
                findings.add_key(path, f"features: {model.__name__} has no groups of features.")
    if roles and not findings.touches(("features", "groups")):
        members = {name for names in groups.values() for name in names or ()}
        told = f"{model.__name__} reads the groups {', '.join(roles)}"
        for each in listed:
            if each.feature.name not in members:
                hint = f"{told}; list it under `features.groups`."
                findings.add(each.path, f"features: {each.feature.name!r} is in no group: {hint}")
    for each in listed:
        kind = each.feature.kind
        if not roles and kind not in feature_kinds(model):
            findings.add(each.path, f"features: {model.__name__} takes no {kind} features.")


def _check_twice(findings: Findings, good: Document) -> None:
    pairs = [((*PARAMS, key), ("compile", key)) for key in COMPILE_KEYS]
    pairs.append(((*PARAMS, "session_id"), ("output", "session")))
    for path, other in pairs:
        if path in good and other in good:
            findings.add_key(path, f"model: `{path[-1]}` is given by `{dotted(other)}` too.")


# -- what it predicts and how it is trained -----------------------------------------------------


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
    paths = {key: setting_path(good, key) for key in ("loss", "loss_params", "loss_weights")}
    loss, params, weights = (good.get(path) if path else None for path in paths.values())
    if any(path and findings.touches(path) for path in paths.values()):
        return
    known = True
    for path, name in _names_at(paths["loss"], loss):
        if name not in LOSSES:
            findings.add(path, unknown_option("compile", "loss", LOSSES, name))
            known = False
    if known:
        try:
            Objective(tasks, loss, params, weights)
        except NextRecError as error:
            first = next(path for path in paths.values() if path)
            named = [path for key, path in paths.items() if path and f"`{key}`" in str(error)]
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
    keys = [*(request.key for request in requests), "valid_loss"]
    monitor = good.get(("fit", "monitor"))
    if monitor is not None and monitor not in keys:
        findings.add(("fit", "monitor"), unknown_option("fit", "monitor", keys, monitor))


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
