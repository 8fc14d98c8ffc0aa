"""``nextrec train``: from a config to a session, a bundle and a table of metrics."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from nextrec.cli.check import Checked
from nextrec.cli.config import FitSection
from nextrec.cli.document import KeyPath
from nextrec.cli.features import Listed
from nextrec.cli.findings import Findings
from nextrec.cli.model_names import feature_lists
from nextrec.cli.processing import fitted_features
from nextrec.cli.tables import columns, metric_rows, reason_lines, short_path
from nextrec.cli.training_names import PARAMS, setting_path
from nextrec.cli.yaml_lines import dump
from nextrec.data.processing.summary import summary_text
from nextrec.errors import ConfigError, DataError, FeatureError
from nextrec.metrics import MetricValues, is_better, resolve_metrics
from nextrec.models.base import BaseModel
from nextrec.models.run_checks import monitor_modes
from nextrec.training.session import MANIFEST

CONFIG_FILE = "config.yaml"
HEADER = "# What this session was trained with; `nextrec train` on this file repeats it."


def train(checked: Checked, resume: str | None) -> None:
    """Build, fit, save, evaluate, and say where everything is.

    Args:
        resume: session folder or checkpoint of the run to go on with.
    """
    seed = checked.config.fit.seed
    if seed is None and resume is None:
        seed = secrets.randbelow(2**31)
    if checked.processor is not None:
        checked = learn(checked)
    model = build_model(checked, seed)
    with _session(model, checked, seed, resume), _stoppable(model):
        fit(model, checked, seed, resume)
    bundle = model.save(checked.config.output.bundle or model.session_path / "bundle")
    test = evaluate_test(model, checked)
    predictions = predict_test(model, checked)
    _print_metrics(model, checked.config.fit, test)
    places = {
        "session": model.session_path,
        "bundle": bundle,
        "report": model.session_path / "report.html" if checked.config.fit.report else None,
        "predictions": predictions,
    }
    typer.echo(columns([[name, short_path(place)] for name, place in places.items() if place]))


def learn(checked: Checked) -> Checked:
    """Fit the processor on the training data; the features get the sizes that it found."""
    assert checked.processor is not None
    processor = checked.processor.fit(checked.config.data.train)
    features = [each.feature for each in checked.features]
    known = fitted_features(processor, features, checked.learned)
    listed = [Listed(new, old.path) for new, old in zip(known, checked.features, strict=True)]
    if checked.config.fit.verbosity > 0:
        typer.echo(summary_text(processor.report()))
    return replace(checked, features=tuple(listed))


# -- the model -----------------------------------------------------------------------------------


def build_model(checked: Checked, seed: int | None) -> BaseModel:
    """The model and its optimizer; what they refuse is told with its line in the config."""
    findings = Findings(checked.document)
    model = None
    try:
        model = checked.model(**model_arguments(checked, seed))
    except (ConfigError, FeatureError) as error:
        findings.add(_guilty(checked, str(error)), f"model: {error}")
    if model is not None:
        try:
            model.compiled.build(model)  # kept by the model: fit takes the same one
        except ConfigError as error:
            path = setting_path(checked.document, "optimizer_params") or ("compile",)
            findings.add(path, str(error))
    findings.raise_any()
    assert model is not None
    return model


def model_arguments(checked: Checked, seed: int | None) -> dict[str, Any]:
    """Keywords of the constructor: features, parameters, how to train."""
    config = checked.config
    training = config.compile.model_dump(exclude_unset=True)
    arguments: dict[str, Any] = {**config.model.params, **training}
    if seed is not None:
        arguments.setdefault("seed", seed)
    if config.output.session is not None:
        arguments["session_id"] = config.output.session
    return arguments | feature_lists(config.features.groups, checked.features)


def _guilty(checked: Checked, message: str) -> KeyPath:
    """The parameter that a message names, else the model's."""
    named = (key for key in checked.config.model.params if f"`{key}`" in message)
    key = next(named, None)
    return (*PARAMS, key) if key else ("model",)


# -- the run -------------------------------------------------------------------------------------


def fit(model: BaseModel, checked: Checked, seed: int | None, resume: str | None) -> None:
    """Train as the sections ``data`` and ``fit`` say."""
    data = checked.config.data
    options = {**checked.config.fit.model_dump(), "seed": seed, "resume": resume}
    for key in ("validation_split", "split_by", "split_column"):
        options[key] = getattr(data, key)
    if checked.processor is not None:
        options["processor"] = checked.processor
    model.fit(data.train, data.valid, **options)


@contextmanager
def _session(
    model: BaseModel, checked: Checked, seed: int | None, resume: str | None
) -> Iterator[None]:
    """The session's folder, with the config that repeats the run in it."""
    if resume is None:
        written = model.claim_session().save_text(CONFIG_FILE, resolved(checked, seed))
    try:
        yield
    except (ConfigError, FeatureError, DataError):
        # Refused before the first step: nothing happened that a session should tell of.
        if resume is None and not (model.session_path / MANIFEST).exists():
            written.unlink()
            _remove_empty(model.session_path)
        raise
    if resume is not None:
        seed = model.session.read_manifest()["fit"]["seed"]
        model.session.save_text(CONFIG_FILE, resolved(checked, seed))


def resolved(checked: Checked, seed: int | None) -> str:
    """The config as YAML that gives this run again: overrides applied, paths absolute, a seed."""
    values = checked.config.model_dump(exclude_unset=True)
    for kind in ("sparse", "sequence"):
        for entry in values["features"].get(kind, ()):
            if entry["name"] in checked.learned:  # what was learned now is learned then
                del entry["vocab_size"]
    values.setdefault("fit", {})["seed"] = seed
    return f"{HEADER}\n{dump(values)}"


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def _stoppable(model: BaseModel) -> Iterator[None]:
    """Ctrl-C ends the command with the way to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        if model.checkpoint_path.exists():
            place = short_path(model.session_path)
            typer.echo(f"Go on: nextrec train {place}/{CONFIG_FILE} --resume {place}", err=True)
        raise typer.Exit(130) from None


# -- what came out -------------------------------------------------------------------------------


def evaluate_test(model: BaseModel, checked: Checked) -> MetricValues | None:
    """Metrics of the test data, if there is any."""
    fit = checked.config.fit
    if checked.config.data.test is None:
        return None
    return model.evaluate(
        checked.config.data.test,
        metrics=fit.metrics,
        batch_size=fit.eval_batch_size or max(fit.batch_size, 4096),
        user_id_column=fit.user_id_column,
        weight_column=fit.weight_column,
    )


def predict_test(model: BaseModel, checked: Checked) -> Path | None:
    """Predictions of the test data as a file, if the config asks for it."""
    path = checked.config.output.predictions
    if path is None:
        return None
    written = model.predict(checked.config.data.test, save_path=path, return_dataframe=False)
    return Path(os.fspath(written))


def best_record(model: BaseModel, fit: FitSection) -> dict[str, Any] | None:
    """The epoch whose weights the model has; ``None`` without validation data."""
    records = [record for record in model.history if "valid_loss" in record]
    if not records:
        return None
    requests = resolve_metrics(fit.metrics, model.tasks, owner="fit", has_groups=True)
    modes = monitor_modes(each for each in requests if each.key in records[0])
    monitor = fit.monitor or next(iter(modes))
    mode = fit.monitor_mode or modes[monitor]
    best = None
    for record in records:
        so_far = None if best is None else best[monitor]
        if is_better(record[monitor], so_far, mode, fit.min_delta):
            best = record
    return best or records[-1]


def _print_metrics(model: BaseModel, fit: FitSection, test: MetricValues | None) -> None:
    parts: dict[str, dict[str, float]] = {}
    reasons: dict[str, dict[str, str]] = {}
    record = best_record(model, fit)
    if record is not None:
        name = f"valid (epoch {record['epoch']})"
        after = list(record)[list(record).index("valid_loss") + 1 :]
        parts[name] = {"loss": record["valid_loss"]}
        parts[name] |= {key: record[key] for key in after if key != "reasons"}
        reasons[name] = record.get("reasons", {})
    if test is not None:
        parts["test"], reasons["test"] = dict(test), test.reasons
    if parts:
        typer.echo(columns(metric_rows(parts)))
    for line in reason_lines(reasons):
        typer.echo(line)
