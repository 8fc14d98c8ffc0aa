"""``nextrec doctor``: what is wrong with data, a first config, and the memory it will take."""

from __future__ import annotations

import json
import sys
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nextrec._files import write_text
from nextrec.cli.features import Listed
from nextrec.cli.guess import Guess, choose_targets, share_tables, task_of
from nextrec.cli.init import batch_size, config_text, guesses_of, model_name, refuse_existing
from nextrec.data.diagnosis import Diagnosis, Finding, examine
from nextrec.data.profile import MAX_DISTINCT
from nextrec.errors import ConfigError, NotFittedError
from nextrec.features import FEATURE_KINDS, BaseFeature, Feature, FeatureSet, TableFeature

if TYPE_CHECKING:
    from nextrec.cli.check import Checked
    from nextrec.models.forecast import Forecast


@dataclass(frozen=True)
class Request:
    """What the command was asked for."""

    data: str
    target: Sequence[str] = ()
    time: str | None = None
    user: str | None = None
    item: str | None = None
    test: str | None = None
    config: str | None = None
    """File that the draft is written to."""
    check: str | None = None
    """Config whose model and features are judged, instead of the draft's."""
    leak_auc: float = 0.95
    as_json: bool = False
    strict: bool = False


def doctor(asked: Request) -> None:
    """Examine the data, print the report, write the draft."""
    if asked.config is not None:
        refuse_existing("doctor", asked.config)
    checked = None
    if asked.check is not None:
        from nextrec.cli.check import check_config

        checked = check_config(asked.check)
    diagnosis = examine(
        asked.data,
        target=list(asked.target) or None,
        time=asked.time,
        user=asked.user,
        item=asked.item,
        test=asked.test,
        leak_auc=asked.leak_auc,
        progress=_progress(),
    )
    misfits = [] if checked is None else misfits_of(checked, diagnosis)
    memory, why = _memory(checked, diagnosis)
    draft = _write_draft(asked, diagnosis)
    if asked.as_json:
        values = {
            **diagnosis.to_dict(),
            "config": {"misfits": misfits, "draft": draft},
            "memory": None if memory is None else memory.to_dict(),
        }
        typer.echo(json.dumps(values, indent=2, allow_nan=False))
    else:
        typer.echo("\n\n".join([diagnosis.to_text(), *_more(asked, misfits, memory, why, draft)]))
    if asked.strict and (misfits or diagnosis.worst() == "error"):
        raise typer.Exit(1)


def _progress() -> Any:
    """Tells a terminal every second how far the reading is."""
    if not sys.stderr.isatty():
        return None
    state = {"begun": clock.monotonic(), "told": clock.monotonic()}

    def tell(rows: int) -> None:
        now = clock.monotonic()
        if now - state["told"] >= 1:
            state["told"] = now
            speed = rows / (now - state["begun"])
            typer.echo(f"\rread {rows:,} rows, {speed:,.0f} rows/s", err=True, nl=False)

    return tell


def _more(
    asked: Request, misfits: list[str], memory: Forecast | None, why: str, draft: str | None
) -> list[str]:
    parts = []
    if asked.check is not None:
        told = "\n".join(f"  error   {each}" for each in misfits) or "  its features fit the data"
        parts.append(f"Config {asked.check}\n{told}")
    whose = asked.check or "a first config"
    parts.append(f"Memory of {whose}: " + (why if memory is None else memory.to_text()))
    if draft is not None:
        parts.append(f"config  {draft}\nRead it, then: nextrec train {draft}")
    elif asked.check is None:
        parts.append("A first config: nextrec doctor DATA --config config.yaml")
    return parts


# -- the draft -------------------------------------------------------------------------------


def reasons_to_leave_out(findings: Sequence[Finding]) -> dict[str, str]:
    """Columns that the draft must not read, each with the reason."""
    reasons = {}
    for each in findings:
        if each.column is None:
            continue
        if each.kind == "label_leak":
            reasons[each.column] = f"gives the label away: AUC {each.values['auc']:.4g} by itself"
        elif each.kind == "duplicate_column":
            reasons.setdefault(each.column, f"the same as {each.values['of']} in every row")
    return reasons


def _write_draft(asked: Request, diagnosis: Diagnosis) -> str | None:
    if asked.config is None:
        return None
    left_out = reasons_to_leave_out(diagnosis.findings)
    text = config_text(asked.data, asked.config, diagnosis.schema, diagnosis.targets, left_out)
    write_text(Path(asked.config), text)
    return asked.config


def planned_features(guesses: Sequence[Guess]) -> list[Feature]:
    """The draft's features; those that the processor learns with the tokens that were counted."""
    share_tables(guesses)
    chosen = [each for each in guesses if each.role in FEATURE_KINDS]
    return [FEATURE_KINDS[each.role](name=each.name, **each.arguments) for each in chosen]


# -- memory ----------------------------------------------------------------------------------


def _memory(checked: Checked | None, diagnosis: Diagnosis) -> tuple[Forecast | None, str]:
    """The forecast, or why there is none."""
    if checked is not None:
        return forecast_of_config(checked, diagnosis), ""
    if not diagnosis.rows:
        return None, "there is no row"
    try:
        targets = choose_targets(diagnosis.schema, diagnosis.targets, "doctor")
    except ConfigError as error:
        return None, str(error)
    left_out = reasons_to_leave_out(diagnosis.findings)
    guesses = guesses_of(diagnosis.schema, targets, left_out)
    features = planned_features(guesses)
    if not features:
        return None, "no column can be a feature as it is"
    from nextrec.models.forecast import forecast

    tasks = [task_of(target) for target in targets]
    params = {"target": [target.name for target in targets], "task": tasks}
    return forecast(
        model_name(targets, guesses),
        FeatureSet.of(features),
        params,
        batch_size=batch_size(diagnosis.rows),
        rows=diagnosis.rows,
    ), ""


def forecast_of_config(checked: Checked, diagnosis: Diagnosis) -> Forecast:
    """The memory of training as a config says; learned vocabularies as large as was counted."""
    from nextrec.cli.model_names import feature_lists
    from nextrec.cli.train import model_arguments
    from nextrec.models.forecast import forecast
    from nextrec.models.options import COMPILE_KEYS

    arguments = model_arguments(checked, None)
    listed = [
        Listed(_sized(each.feature, checked, diagnosis), each.path) for each in checked.features
    ]
    lists = feature_lists(checked.config.features.groups, listed)
    training = {key: arguments.pop(key) for key in COMPILE_KEYS if key in arguments}
    return forecast(
        checked.model,
        lists,
        {key: value for key, value in arguments.items() if key not in lists},
        optimizer=training.get("optimizer", "adam"),
        optimizer_params=training.get("optimizer_params"),
        batch_size=checked.config.fit.batch_size,
        rows=diagnosis.rows,
    )


def _sized(feature: Feature, checked: Checked, diagnosis: Diagnosis) -> Feature:
    """A feature of the config, a learned one with the rows that its table will have, about."""
    if feature.name not in checked.learned or checked.processor is None:
        return feature
    transform = checked.processor.transforms[feature.name]
    try:
        size = transform.vocab_size
    except NotFittedError:
        size = None
    if size is None:
        profiles = {profile.name: profile for profile in diagnosis.schema}
        counted = [profiles[each].distinct for each in transform.inputs if each in profiles]
        size = max([each or MAX_DISTINCT for each in counted], default=MAX_DISTINCT) + 2
    return BaseFeature.from_dict({**feature.to_dict(), "vocab_size": size})


def misfits_of(checked: Checked, diagnosis: Diagnosis) -> list[str]:
    """Features of the config that the data does not fit."""
    by_name = {profile.name: profile for profile in diagnosis.schema}
    leaks = {each.column for each in diagnosis.of("label_leak")}
    problems = []
    described = {} if checked.processor is None else checked.processor.transforms
    for name in dict.fromkeys(each for one in described.values() for each in one.inputs):
        if name not in by_name:
            problems.append(f"processor: the data has no column {name!r}")
        elif name in leaks:
            problems.append(f"processor: column {name!r} gives the label away")
    for listed in checked.features:
        if listed.feature.name in described:
            continue
        feature = listed.feature
        profile = by_name.get(feature.name)
        if profile is None:
            problems.append(f"feature {feature.name!r}: the data has no such column")
            continue
        if feature.name in leaks:
            problems.append(f"feature {feature.name!r} gives the label away")
        if not isinstance(feature, TableFeature) or profile.kind not in ("integer", "ids"):
            continue
        outside = profile.lowest < 0 or profile.highest >= feature.vocab_size
        if outside and feature.out_of_range == "error":
            problems.append(
                f"feature {feature.name!r}: ids {profile.lowest:.0f} to {profile.highest:.0f}, but "
                f"`vocab_size` is {feature.vocab_size}"
            )
    return problems
