"""pydantic's errors in our words, at the lines where the values stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nextrec.cli.config import COLUMNS, ENTRIES, SECTIONS, Section, TrainConfig
from nextrec.cli.document import Document, KeyPath
from nextrec.cli.findings import Findings, dotted
from nextrec.errors import did_you_mean, invalid

MUST_BE = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "mapping_type": "a mapping",
    "none_required": "null",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
}
"""Type of pydantic error -> what the value must be."""

ELSEWHERE = {
    ("fit", "resume"): "A run is continued by `nextrec train --resume`.",
    ("fit", "callbacks"): "Callbacks are objects: give them in Python.",
}
"""Keys that a reader of the Python interface may expect, and what to do instead."""


def check_shape(findings: Findings) -> None:
    """Find unknown and missing keys and values of wrong types."""
    values = findings.document.values
    if not isinstance(values, dict):
        findings.add((), invalid("config", "file", "a mapping of sections", values))
        return
    try:
        TrainConfig.model_validate(values)
    except ValidationError as error:
        report(findings, error.errors(include_url=False), ())


def report(findings: Findings, errors: Sequence[Mapping[str, Any]], below: KeyPath) -> None:
    """Turn pydantic's errors about the value at ``below`` into problems."""
    wrong: dict[KeyPath, list[Mapping[str, Any]]] = {}
    for error in errors:
        location = (*below, *error["loc"])
        if error["type"] == "missing":
            _report_missing(findings, location)
        elif error["type"] == "extra_forbidden":
            _report_unknown(findings, real_path(findings.document, location))
        else:
            wrong.setdefault(real_path(findings.document, location), []).append(error)
    for path, each in wrong.items():
        # Of a value that may have several forms, the form that fits best was read deepest.
        if not any(path == other[: len(path)] for other in wrong if other != path):
            _report_wrong(findings, path, each)


def real_path(document: Document, location: Iterable[str | int]) -> KeyPath:
    """pydantic's location without the names of union members that it holds beside the keys."""
    path: KeyPath = ()
    for step in location:
        if (*path, step) in document:
            path = (*path, step)
    return path


def _report_missing(findings: Findings, location: KeyPath) -> None:
    parent = real_path(findings.document, location[:-1])
    owner = dotted(parent) or "config"
    hint = ""
    if location[-1] == "vocab_size":
        hint = " It is the largest id + 1; for raw values, list the column under `processor`."
    path = (*parent, location[-1])
    state = "empty" if path in findings.document else "missing"
    findings.add_key(path, f"{owner}: `{location[-1]}` is {state}.{hint}")


def _report_unknown(findings: Findings, path: KeyPath) -> None:
    *head, key = path
    parent = tuple(head)
    owner = dotted(parent) or "config"
    told = ELSEWHERE.get((*head, key)) if len(path) == 2 else None  # type: ignore[arg-type]
    near = did_you_mean(key, keys_at(parent))
    if near and path[0] == "model":  # `mlp_params` is near to `params`, but means another thing
        near += _home(path)
    hint = f" {told}" if told else near or _home(path)
    findings.add_key(path, f"{owner}: unknown key `{key}`.{hint}")


def keys_at(path: KeyPath) -> list[str]:
    """Keys that may stand below a path of the config."""
    section: type[Section] | None = TrainConfig if not path else None
    if len(path) == 1:
        section = SECTIONS.get(str(path[0]))
    elif len(path) == 3 and path[0] == "features":
        section = ENTRIES.get(str(path[1]))
    elif len(path) == 3 and path[0] == "processor":
        section = COLUMNS.get(str(path[1]))
    return list(section.model_fields) if section else []


def _home(path: KeyPath) -> str:
    """Where a key that is unknown here belongs."""
    key = path[-1]
    if path[0] == "features" and len(path) == 4:
        kinds = [kind for kind, entry in ENTRIES.items() if key in entry.model_fields]
        if kinds:
            return f" It is an argument of {' and '.join(kinds)} features."
    homes = [name for name, section in SECTIONS.items() if key in section.model_fields]
    if homes and len(path) == 2:
        return f" It belongs under `{homes[0]}`."
    if path[0] == "model":
        return " Arguments of the model stand under `model.params`."
    return f" Known keys: {', '.join(keys_at(path[:-1]))}."


def _report_wrong(findings: Findings, path: KeyPath, errors: list[Mapping[str, Any]]) -> None:
    got = findings.document.get(path)
    must_be = " or ".join(dict.fromkeys(map(_must_be, errors)))
    words = [word for error in errors for word in _options(error)]
    findings.add(path, invalid(*owner_of(path), must_be, got) + did_you_mean(got, words))


def owner_of(path: KeyPath) -> tuple[str, str]:
    """Section and the rest of a path: whose parameter it is, and which.

    >>> owner_of(("features", "sparse", 0, "name"))
    ('features', 'sparse.0.name')
    """
    return ("config", str(path[0])) if len(path) == 1 else (str(path[0]), dotted(path[1:]))


def _must_be(error: Mapping[str, Any]) -> str:
    if options := _options(error):
        return f"one of {', '.join(options)}"
    template = MUST_BE.get(error["type"])
    return template.format(**error.get("ctx", {})) if template else str(error["msg"])


def _options(error: Mapping[str, Any]) -> list[str]:
    if error["type"] != "literal_error":
        return []
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])
