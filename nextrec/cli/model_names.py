"""Names and arguments of the model: what only its class can judge. Imports torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nextrec.cli.document import Document, KeyPath
from nextrec.cli.features import Listed
from nextrec.cli.findings import Findings, dotted
from nextrec.cli.shapes import report
from nextrec.cli.signatures import feature_kinds, own_parameters, parameter_types
from nextrec.cli.training_names import PARAMS
from nextrec.errors import ConfigError, FeatureError, did_you_mean, unknown_option
from nextrec.models.base import BaseModel
from nextrec.models.options import COMPILE_KEYS
from nextrec.models.zoo import load_zoo


def check_model(findings: Findings, listed: list[Listed]) -> type[BaseModel] | None:
    """Find an unknown model and arguments and features that it does not take.

    Returns:
        The model's class, when it is known.
    """
    good = findings.good_part()
    model = _find_model(findings, good)
    if model is not None:
        _check_arguments(findings, good, model)
        _check_roles(findings, good, model, listed)
    _check_twice(findings, good)
    return model


def _find_model(findings: Findings, good: Document) -> type[BaseModel] | None:
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


def feature_lists(
    groups: Mapping[str, Sequence[str]], listed: Sequence[Listed]
) -> dict[str, list[Any]]:
    """The constructor's feature lists, one set of them a group."""
    lists: dict[str, list[Any]] = {}
    members = {f"{group}_": set(names) for group, names in groups.items()}
    for prefix, names in members.items() or [("", None)]:
        for each in listed:
            if names is None or each.feature.name in names:
                lists.setdefault(f"{prefix}{each.feature.kind}_features", []).append(each.feature)
    return lists


def try_model(
    model: type[BaseModel],
    params: dict[str, Any],
    groups: Mapping[str, Sequence[str]],
    listed: Sequence[Listed],
) -> tuple[str | None, str] | None:
    """The parameter and the message with which a constructor refuses, or ``None``."""
    arguments: dict[str, Any] = {**params, **feature_lists(groups, listed)}
    try:
        model(**arguments)
    except (ConfigError, FeatureError) as error:
        named = (key for key in params if f"`{key}`" in str(error))
        return next(named, None), str(error)
    return None
