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
from nextrec.cli.init import config_text, refuse_existing
from nextrec.cli.memory import Memory, memory_of_config, memory_of_draft, reasons_to_leave_out
from nextrec.data.diagnosis import Diagnosis, examine
from nextrec.features import TableFeature

if TYPE_CHECKING:
    from nextrec.cli.check import Checked


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
    if checked is None:
        memory = memory_of_draft(diagnosis)
    else:
        memory = memory_of_config(checked, diagnosis, asked.data)
        if memory.refused and not any(each.startswith("processor") for each in misfits):
            misfits.append(f"processor: {memory.refused}")
    draft = _write_draft(asked, diagnosis)
    if asked.as_json:
        values = {
            **diagnosis.to_dict(),
            "config": {"misfits": misfits, "draft": draft},
            "memory": memory.to_dict(),
        }
        typer.echo(json.dumps(values, indent=2, allow_nan=False))
    else:
        typer.echo("\n\n".join([diagnosis.to_text(), *_more(asked, misfits, memory, draft)]))
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


def _more(asked: Request, misfits: list[str], memory: Memory, draft: str | None) -> list[str]:
    parts = []
    if asked.check is not None:
        told = "\n".join(f"  error   {each}" for each in misfits) or "  its features fit the data"
        parts.append(f"Config {asked.check}\n{told}")
    whose = asked.check or "a first config"
    parts.append(f"Memory of {whose}: {memory.to_text()}")
    if draft is not None:
        parts.append(f"config  {draft}\nRead it, then: nextrec train {draft}")
    elif asked.check is None:
        parts.append("A first config: nextrec doctor DATA --config config.yaml")
    return parts


# -- the draft -------------------------------------------------------------------------------


def _write_draft(asked: Request, diagnosis: Diagnosis) -> str | None:
    if asked.config is None:
        return None
    left_out = reasons_to_leave_out(diagnosis.findings)
    text = config_text(asked.data, asked.config, diagnosis.schema, diagnosis.targets, left_out)
    write_text(Path(asked.config), text)
    return asked.config


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
