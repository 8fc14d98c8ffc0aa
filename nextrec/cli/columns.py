"""Columns that a config names, beside those that the training data has and the processor makes.

Only the names are read from the data. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from nextrec.cli.config import COLUMNS
from nextrec.cli.document import KeyPath
from nextrec.cli.features import Listed
from nextrec.cli.findings import Findings
from nextrec.cli.processing import named_outputs
from nextrec.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from nextrec.data.preprocessor import DataProcessor

PARAMS = ("model", "params")
COLUMN_SETTINGS: tuple[KeyPath, ...] = (
    (*PARAMS, "id_columns"),
    ("data", "split_column"),
    ("fit", "weight_column"),
)
"""Where a config names columns that are carried along."""


def check_columns(
    findings: Findings, listed: list[Listed], processor: DataProcessor | None
) -> None:
    """Find columns that the data lacks, and labels that processor and model name differently."""
    if processor is not None:
        _check_labels(findings, processor)
    names = names_of_data(findings)
    if names is None:
        return
    section = findings.document.get(("processor",))
    made = named_outputs(section) if isinstance(section, dict) else set()
    made |= set() if processor is None else set(processor.transforms)
    for path, inputs in _inputs(findings, processor):
        for name in inputs:
            _require(findings, path, "processor", name, names, ())
    for each in listed:
        if each.feature.name not in made and not findings.touches(each.path):
            _require(findings, each.path, "features", each.feature.name, names, made)
    for path, target in _targets(findings):
        if target not in made and not findings.touches(("processor", "target")):
            _require(findings, path, "model", target, names, processor_targets(processor))
    for setting in COLUMN_SETTINGS:
        value = findings.document.get(setting)
        if value is not None and not findings.touches(setting):
            for path, name in _named(setting, value):
                _require(findings, path, str(setting[0]), name, names, made)


def names_of_data(findings: Findings) -> list[str] | None:
    """Names of the columns of ``data.train``; ``None`` when they can't be read."""
    from nextrec.data.sources import column_names

    path = ("data", "train")
    train = findings.document.get(path)
    if train is None or findings.touches(path):
        return None
    try:
        return column_names(train)
    except (DataError, OSError):
        return None  # told when the data is read, with all that is wrong with it


def _require(
    findings: Findings,
    path: KeyPath,
    owner: str,
    name: str,
    names: Collection[str],
    made: Collection[str],
) -> None:
    if name not in names and name not in made:
        hint = did_you_mean(name, [*names, *made])
        findings.add(path, f"{owner}: the data has no column {name!r}.{hint}")


# -- labels --------------------------------------------------------------------------------------


def processor_targets(processor: DataProcessor | None) -> list[str]:
    """The label columns that the processor makes."""
    return [] if processor is None else processor.target_columns


def _check_labels(findings: Findings, processor: DataProcessor) -> None:
    """A label must have one name, and be no other column of the processor."""
    if findings.touches((*PARAMS, "target")):
        return
    targets = {name: path for path, name in _targets(findings)}
    made = processor_targets(processor)
    renamed = {processor.transforms[name].inputs[0]: name for name in made}
    for name, path in targets.items():
        if name in made:
            continue
        if name in processor.transforms:
            text = f"{name!r} is a column of the processor, but no `target` of it"
            findings.add(path, f"model: {text}; list it under `processor.target`.")
        elif renamed.get(name, name) not in (name, *targets):
            text = f"the processor makes the target {renamed[name]!r} of {name!r}"
            findings.add(path, f"model: {text}: name that one.")
    encoded = {getattr(each, "target", None) for each in processor.transforms.values()}
    for path, names in _entries(findings, "target"):
        for name in names:
            told = renamed_name(processor, name) in targets  # told at the model's target
            if name in made and name not in targets and name not in encoded and not told:
                known = ", ".join(targets)
                hint = did_you_mean(name, targets)
                text = f"{name!r} is no target of the model ({known})"
                findings.add(path, f"processor: {text}.{hint}")


def renamed_name(processor: DataProcessor, name: str) -> str | None:
    """The input column of a target that has another name."""
    transform = processor.transforms.get(name)
    return None if transform is None or transform.inputs[0] == name else transform.inputs[0]


def _targets(findings: Findings) -> Iterator[tuple[KeyPath, str]]:
    """The model's targets, each with its place."""
    path = (*PARAMS, "target")
    value = findings.document.get(path)
    if not findings.touches(path):
        yield from _named(path, "label" if value is None else value)


def _named(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    """The names in a name or a list of names."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _named((*path, number), each)


# -- entries of the processor ----------------------------------------------------------------------


def _entries(findings: Findings, kind: str) -> Iterator[tuple[KeyPath, list[str]]]:
    """The entries of one kind that are good, each with the columns that it makes."""
    section = findings.document.get(("processor", kind))
    for number, entry in enumerate(section if isinstance(section, list) else ()):
        path: KeyPath = ("processor", kind, number)
        name = entry.get("name") if isinstance(entry, dict) else entry
        if findings.touches(path) or not isinstance(name, str):
            continue
        if kind == "datetime":
            parts = entry.get("parts") if isinstance(entry, dict) else None
            yield path, [f"{name}_{part}" for part in parts or ("hour", "weekday")]
        else:
            yield path, [name]


def _inputs(
    findings: Findings, processor: DataProcessor | None
) -> Iterator[tuple[KeyPath, tuple[str, ...]]]:
    """The entries with the input columns that fitting reads."""
    if processor is None:
        return
    for kind in COLUMNS:
        for path, names in _entries(findings, kind):
            made = [processor.transforms[name] for name in names if name in processor.transforms]
            yield path, tuple(dict.fromkeys(name for each in made for name in each.fit_inputs))
