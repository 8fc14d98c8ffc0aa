"""Reads a training config and finds everything that is wrong with it before data is touched.

One error lists all problems, each with file, line and column. The checks go from the text to the
meaning, and a value that one check has refused is left out by the next ones: YAML, ``--set``, keys
and types, features, paths, and last, because they import torch, names and model arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextrec.cli.columns import check_columns
from nextrec.cli.config import TrainConfig
from nextrec.cli.document import Document, KeyPath
from nextrec.cli.features import Listed, check_features
from nextrec.cli.findings import Findings
from nextrec.cli.overrides import apply_overrides
from nextrec.cli.processing import build_processor, complete_features
from nextrec.cli.shapes import check_shape
from nextrec.cli.yaml_lines import read
from nextrec.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from nextrec.data.preprocessor import DataProcessor
    from nextrec.models.base import BaseModel

TABLES = ("train", "valid", "test")
WRITTEN = ("bundle", "predictions")


@dataclass(frozen=True)
class Checked:
    """A config without problems, and what the checks already know of it."""

    config: TrainConfig
    """Paths are absolute."""
    document: Document
    model: type[BaseModel]
    features: tuple[Listed, ...]
    learned: frozenset[str] = frozenset()
    """Features whose vocabulary sizes the processor will know."""
    processor: DataProcessor | None = None
    """Described, not fitted."""


def check_config(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Checked:
    """Read a config file.

    Args:
        overrides: values of ``--set``, such as ``fit.epochs=3``.

    Raises:
        ConfigError: with every problem of the file and the overrides.
    """
    file = Path(path)
    _require_file(file)
    document = read(file)
    if document.values == {}:
        Findings(document).raise_any()  # what is no YAML has no values to judge
    apply_overrides(document, overrides)
    learned = complete_features(document)
    findings = Findings(document)
    check_shape(findings)
    if not isinstance(document.values, dict):
        findings.raise_any()
    processor = build_processor(findings)
    listed = check_features(findings)
    check_paths(findings, file.parent)
    check_settings(findings)
    from nextrec.cli.model_names import check_model
    from nextrec.cli.training_names import check_training

    model = check_model(findings, listed)
    check_training(findings, listed)
    check_columns(findings, listed, processor)
    if findings.problems and model is not None:
        _try_model(findings, model, listed)
    findings.raise_any()
    assert model is not None
    config = TrainConfig.model_validate(document.values)
    return Checked(config, document, model, tuple(listed), learned, processor)


def _try_model(findings: Findings, model: type[BaseModel], listed: Sequence[Listed]) -> None:
    """What the model's constructor would refuse, told beside the problems of other sections."""
    if any(findings.touches((section,)) for section in ("model", "features", "processor")):
        return
    from nextrec.cli.model_names import try_model

    document = findings.document
    groups = document.get(("features", "groups")) or {}
    problem = try_model(model, dict(document.get(("model", "params")) or {}), groups, listed)
    if problem is not None:
        key, text = problem
        findings.add(("model", "params", key) if key else ("model",), f"model: {text}")


def _require_file(file: Path) -> None:
    if file.is_file():
        return
    beside = [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else []
    raise ConfigError(f"no config file {str(file)!r}.{did_you_mean(file.name, beside)}")


# -- paths ---------------------------------------------------------------------------------------


def check_paths(findings: Findings, folder: Path) -> None:
    """Make paths absolute, find data that does not exist and outputs in the way of others.

    Paths are relative to the config's folder, those of ``--set`` to the working directory.
    """
    for key in TABLES:
        path: KeyPath = ("data", key)
        if path in findings.document and not findings.touches(path):
            _check_table(findings, path, folder)
    for key in WRITTEN:
        path = ("output", key)
        value = findings.document.get(path)
        if isinstance(value, str) and not findings.touches(path):
            _replace(findings.document, path, _absolute(findings.document, path, folder))
    _check_outputs(findings)


def _check_table(findings: Findings, path: KeyPath, folder: Path) -> None:
    from nextrec.data.files import find_files  # Arrow is needed here, and only here

    document = findings.document
    value = document.get(path)
    if value is None:
        return
    several = isinstance(value, list)
    places = [(*path, number) for number in range(len(value))] if several else [path]
    if not places:
        findings.add(path, f"data: `{path[-1]}` is an empty list.")
    for place in places:
        _replace(document, place, _absolute(document, place, folder))
        try:
            find_files(document.get(place))
        except DataError as error:
            findings.add(place, f"data: `{path[-1]}`: {error}")
    if several and not findings.touches(path):
        try:
            find_files(document.get(path))
        except DataError as error:
            findings.add(path, f"data: `{path[-1]}`: {error}")


def _check_outputs(findings: Findings) -> None:
    bundle = findings.document.get(("output", "bundle"))
    if isinstance(bundle, str) and _in_the_way(Path(bundle)):
        findings.add(("output", "bundle"), f"output: {bundle!r} exists and is no bundle.")
    predictions = findings.document.get(("output", "predictions"))
    if isinstance(predictions, str):
        if Path(predictions).suffix not in (".csv", ".parquet"):
            text = f"output: `predictions` must end in .csv or .parquet; got {predictions!r}."
            findings.add(("output", "predictions"), text)
        if not findings.document.get(("data", "test")):
            findings.add(("output", "predictions"), "output: `predictions` needs `data.test`.")


def _in_the_way(path: Path) -> bool:
    if not path.exists() or (path / "model.json").is_file():
        return False
    return not path.is_dir() or any(path.iterdir())


def _absolute(document: Document, path: KeyPath, folder: Path) -> str:
    typed = os.path.expanduser(document.get(path))
    base = folder if document.value(path).line else Path.cwd()
    return os.path.abspath(base / typed)


def _replace(document: Document, path: KeyPath, value: Any) -> None:
    document.get(path[:-1])[path[-1]] = value


# -- settings that depend on each other ----------------------------------------------------------


def check_settings(findings: Findings) -> None:
    """Find settings that need others or exclude them."""
    good = findings.good_part()

    def given(key: str, section: str = "data") -> Any:
        return good.get((section, key))

    share = given("validation_split")
    if share is not None and given("valid") is not None:
        text = "data: give `valid` or `validation_split`, not both."
        findings.add_key(("data", "validation_split"), text)
    by = given("split_by")
    if by is not None and share is None and not findings.touches(("data", "validation_split")):
        findings.add_key(("data", "split_by"), "data: `split_by` needs `validation_split`.")
    if by in ("time", "user_time") and given("split_column") is None:
        text = f"data: `split_by` {by!r} needs `split_column`, the column of times."
        findings.add(("data", "split_by"), text)
    if given("split_column") is not None and by in (None, "random"):
        text = "data: `split_column` needs `split_by`: group, time or user_time."
        findings.add_key(("data", "split_column"), text)
    judged = share is not None or ("data", "valid") in findings.document
    for key in ("monitor", "monitor_mode", "early_stop_patience"):
        if given(key, "fit") is not None and not judged:
            text = f"fit: `{key}` needs validation data: `data.valid` or `data.validation_split`."
            findings.add_key(("fit", key), text)
