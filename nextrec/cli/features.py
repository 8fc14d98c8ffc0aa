"""The features of a config: built, and checked against each other. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nextrec.cli.config import ENTRIES
from nextrec.cli.document import KeyPath
from nextrec.cli.findings import Findings
from nextrec.errors import FeatureError, unknown_option
from nextrec.features import FEATURE_KINDS, Feature, FeatureSet


@dataclass(frozen=True)
class Listed:
    """A feature and the place of its entry in the config."""

    feature: Feature
    path: KeyPath


def check_features(findings: Findings) -> list[Listed]:
    """Build the features; find wrong arguments, repeated names, tables that disagree."""
    section = findings.good_part().get(("features",))
    if not isinstance(section, dict):
        return []
    listed = []
    for kind in ENTRIES:
        for number, entry in enumerate(section.get(kind) or ()):
            path = ("features", kind, number)
            if not findings.touches(path) and (found := _build(findings, kind, entry, path)):
                listed.append(Listed(found, path))
    described = findings.touches(("processor",))  # its faults may be why nothing is listed
    if not listed and not described and not findings.touches(("features",)):
        findings.add_key(("features",), "features: at least one feature is needed.")
    _check_names(findings, listed)
    _check_tables(findings, [each for each in listed if not findings.touches(each.path)])
    _check_groups(findings, listed, section.get("groups") or {})
    return listed


def _build(findings: Findings, kind: str, entry: Any, path: KeyPath) -> Feature | None:
    arguments = {"name": entry} if isinstance(entry, str) else entry
    try:
        return FEATURE_KINDS[kind](**arguments)
    except FeatureError as error:
        findings.add(path, f"features: {error}")
        return None


def _check_names(findings: Findings, listed: list[Listed]) -> None:
    first: dict[str, KeyPath] = {}
    for each in listed:
        name = each.feature.name
        if name in first:
            kind, line = first[name][1], findings.document.value(first[name]).line
            where = f"{kind} feature" + (f", on line {line}" if line else "")
            findings.add(each.path, f"features: {name!r} is listed already as a {where}.")
        first.setdefault(name, each.path)


def _check_tables(findings: Findings, listed: list[Listed]) -> None:
    try:
        FeatureSet.of(each.feature for each in listed)
        return
    except FeatureError:
        seen: list[Feature] = []
    for each in listed:  # one by one, to know which features do not fit those before them
        try:
            FeatureSet.of([*seen, each.feature])
            seen.append(each.feature)
        except FeatureError as error:
            findings.add(each.path, f"features: {error}")


def _check_groups(findings: Findings, listed: list[Listed], groups: dict[str, Any]) -> None:
    # Names of entries that could not be built are names still.
    names = dict.fromkeys([*(each.feature.name for each in listed), *_broken_names(findings)])
    for group, members in groups.items():
        for number, name in enumerate(members or ()):
            path = ("features", "groups", group, number)
            if not isinstance(name, str):
                continue
            if name not in names:
                findings.add(path, unknown_option("features", f"groups.{group}", names, name))
            elif name in members[:number]:
                findings.add(path, f"features: group {group!r} lists {name!r} twice.")


def _broken_names(findings: Findings) -> list[str]:
    names = []
    for kind in ENTRIES:
        entries = findings.document.get(("features", kind))
        for entry in entries if isinstance(entries, list) else ():
            name = entry.get("name") if isinstance(entry, dict) else entry
            names += [name] if isinstance(name, str) else []
    return names
