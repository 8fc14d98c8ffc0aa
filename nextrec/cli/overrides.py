"""``--set a.b=value``: single values of a config from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nextrec.cli.document import Document, KeyPath, Place, Problem
from nextrec.cli.yaml_lines import parse

SHOWN = 60
"""Characters of an override that messages repeat."""


def apply_overrides(document: Document, overrides: Iterable[str]) -> None:
    """Put each ``path=value`` into the document; the value is read as YAML.

    Sections that are absent are made; list items are named by their position from 0. A path that
    the config has no place for is found by the checks that follow, like any other unknown key.
    """
    for override in overrides:
        place = Place(f"--set {override if len(override) <= SHOWN else override[:SHOWN] + '...'}")
        try:
            path, value = _split(override)
            _put(document, path, value, place)
        except ValueError as error:
            document.problems.append(Problem(place, str(error)))


def _split(override: str) -> tuple[list[str], Any]:
    dotted, sign, text = override.partition("=")
    path = dotted.strip().split(".")
    if not sign or not all(path):
        raise ValueError("must be a dotted path, =, and a value, such as fit.epochs=3.")
    value = parse(text, "value")
    if value.problems:
        raise ValueError(value.problems[0].text)
    return path, value.values if text.strip() else None


def _put(document: Document, steps: list[str], value: Any, place: Place) -> None:
    path: KeyPath = ()
    for step in steps:
        if document.get(path) is None:  # an absent or empty section
            document.put(path, {}, place)
        parent = document.get(path)
        if not isinstance(parent, dict | list):
            where = ".".join(map(str, path))
            raise ValueError(f"`{where}` is the value {parent!r}, which has nothing below it.")
        path = (*path, _position(parent, step) if isinstance(parent, list) else step)
    document.put(path, value, place)


def _position(items: list[Any], step: str) -> int:
    if not step.isdecimal() or int(step) >= len(items):
        must_be = f"a position from 0 to {len(items) - 1}" if items else "absent: the list is empty"
        raise ValueError(f"{step!r} must be {must_be}.")
    return int(step)
