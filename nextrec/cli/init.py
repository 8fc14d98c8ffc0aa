"""``nextrec init``: a first config out of the columns of data, with the reasons as comments."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from nextrec._files import write_text
from nextrec.cli.guess import guess
from nextrec.cli.guesses import Guess, share_tables
from nextrec.cli.labels import Target, choose_targets, target_of
from nextrec.cli.yaml_lines import dump
from nextrec.data.profile import Profile, is_user, profile_columns
from nextrec.data.sources import column_names, scan
from nextrec.errors import ConfigError

KINDS = ("dense", "sparse", "sequence")


def init(data: str, out: str, target: Sequence[str]) -> None:
    """Look at the data, write the config, say what comes next."""
    refuse_existing("init", out)
    names = column_names(data)
    profiles = profile_columns(names, scan(data, names))
    text = config_text(data, out, profiles, target)
    if out == "-":
        typer.echo(text, nl=False)
        return
    write_text(Path(out), text)
    typer.echo(f"config  {out}\nRead it, then: nextrec train {out}")


def refuse_existing(owner: str, out: str) -> None:
    """Never write over a config, which a person may have corrected."""
    if out != "-" and Path(out).exists():
        raise ConfigError(f"{owner}: {out} exists already and is left alone; choose another name.")


def config_text(
    data: str,
    out: str,
    profiles: Sequence[Profile],
    target: Sequence[str],
    left_out: Mapping[str, str] | None = None,
) -> str:
    """The whole config for a file ``out`` (``-`` for the terminal), its data named from there."""
    folder = Path.cwd() if out == "-" else Path(out).absolute().parent
    source = os.path.relpath(os.path.abspath(os.path.expanduser(data)), folder)
    return "\n".join(config_lines(source, profiles, target, left_out)) + "\n"


def config_lines(
    source: str,
    profiles: Sequence[Profile],
    wanted: Sequence[str],
    left_out: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The config, line by line.

    Args:
        source: path of the training data as the config names it.
        profiles: all columns.
        wanted: label columns that the user named.
        left_out: columns that must not be features, each with the reason.
    """
    chosen = choose_targets(profiles, wanted)
    targets = [target_of(each) for each in chosen]
    guesses = guesses_of(profiles, chosen, left_out)
    _require_features(guesses)
    pairs = share_tables(guesses)
    rows = profiles[0].rows
    yield f"# A first config, from {rows:,} rows of {len(profiles)} columns."
    yield "# The features are guesses by type and range: read the reasons, correct what is wrong."
    if any("vocab_size" in each.arguments and each.learn is None for each in guesses):
        yield "# vocab_size is the largest id here + 1. If later data may hold larger ones, raise"
        yield "# it, or add `out_of_range: unknown`: they get the row of unknown ids (id 1)."
    yield ""
    times = [each.name for each in guesses if _can_split(each)]
    yield from _data_lines(source, times)
    yield ""
    if any(each.learn for each in guesses) or any(each.learn for each in targets):
        yield from _processor_lines(guesses, targets)
        yield ""
    yield from _feature_lines(guesses)
    yield ""
    yield from _model_lines(targets, [each.name for each in profiles if is_user(each)], guesses)
    for history, item in pairs:
        yield f"  # DIN weighs the history {history.name} by the candidate {item.name}: name: DIN"
    yield ""
    yield from _training_lines(rows, targets, [p for p in profiles if is_user(p)])


def _require_features(guesses: Sequence[Guess]) -> None:
    """A config without features would be of no use."""
    if not any(each.role in KINDS for each in guesses):
        reasons = "; ".join(f"{each.name} ({each.why})" for each in guesses)
        raise ConfigError(
            f"init: no column can be a feature as it is: {reasons or 'there is only the label'}."
        )


def guesses_of(
    profiles: Sequence[Profile],
    targets: Sequence[Profile],
    left_out: Mapping[str, str] | None = None,
) -> list[Guess]:
    """What each column that is no label may be."""
    reasons = left_out or {}
    labels = {target.name for target in targets}
    return [
        Guess(each.name, "left out", reasons[each.name]) if each.name in reasons else guess(each)
        for each in profiles
        if each.name not in labels
    ]


def model_name(targets: Sequence[object], guesses: Sequence[Guess]) -> str:
    """The model that a first config names."""
    tables = any(each.role in ("sparse", "sequence") for each in guesses)
    return "ShareBottom" if len(targets) > 1 else "DeepFM" if tables else "DCN"


def batch_size(rows: int) -> int:
    """About a hundred steps an epoch, within reason."""
    return min(4096, max(32, 2 ** ((rows // 100).bit_length() - 1)))


def _can_split(column: Guess) -> bool:
    """Whether `data.split_column` can read the column: dates, times and ISO text."""
    return bool(column.parts) and column.learn is not None and "format" not in column.learn[1]


def _data_lines(source: str, times: Sequence[str]) -> Iterator[str]:
    yield "data:"
    yield f"  train: {_flow(source)}"
    yield "  validation_split: 0.1  # or valid: a file of its own"
    if times:
        yield f"  # split_by: time  # the latest rows for validation, by {times[0]}"
        yield f"  # split_column: {_flow(times[0])}"
    yield "  # test: a file that is evaluated once, after training"


def _processor_lines(guesses: Sequence[Guess], targets: Sequence[Target]) -> Iterator[str]:
    yield "processor:  # raw columns; ids and scales are learned from data.train"
    learned = [(each.name, *each.learn, each.why) for each in guesses if each.learn]
    learned += [(each.name, "target", each.learn, each.why) for each in targets if each.learn]
    for section in ("numeric", "sparse", "datetime", "sequence", "target"):
        chosen = [each for each in learned if each[1] == section]
        if chosen:
            yield f"  {section}:"
        for name, _, options, why in chosen:
            entry: Any = {"name": name, **options} if options else name
            yield f"    - {_flow(entry)}  # {why}"


def _feature_lines(guesses: Sequence[Guess]) -> Iterator[str]:
    yield "features:"
    for kind in KINDS:
        chosen = [each for each in guesses if each.role == kind]
        if chosen:
            yield f"  {kind}:"
        for each in chosen:
            hidden = {"vocab_size"} if each.learn else set()
            for name, arguments in each.features():
                shown = {key: value for key, value in arguments.items() if key not in hidden}
                entry: Any = {"name": name, **shown} if shown else name
                yield f"    - {_flow(entry)}  # {'from the processor' if each.learn else each.why}"
    later = [each for each in guesses if each.role == "later"]
    if later:
        yield "  # Not usable as they are: encode them in the data, then list them above."
        yield from (f"  #   - {_flow(each.name)}  # {each.why}" for each in later)
    left_out = [each for each in guesses if each.role == "left out"]
    if left_out:
        yield "  # Left out:"
        yield from (f"  #   - {_flow(each.name)}  # {each.why}" for each in left_out)


def _model_lines(
    targets: Sequence[Target], users: Sequence[str], guesses: Sequence[Guess]
) -> Iterator[str]:
    tasks = [target.task for target in targets]
    classes = [target.num_classes for target in targets if target.num_classes is not None]
    several = len(targets) > 1
    yield "model:"
    yield f"  name: {model_name(targets, guesses)}  # `nextrec models` lists the others"
    yield "  params:"
    for target in targets:
        yield f"    # {target.name}: {target.why}"
    yield f"    target: {_flow([target.name for target in targets])}"
    yield f"    task: {_flow(tasks if several else tasks[0])}"
    if classes:
        yield f"    num_classes: {_flow(classes if len(classes) > 1 else classes[0])}"
    if users:
        yield f"    id_columns: {_flow(list(users))}  # carried into predictions"


def _training_lines(
    rows: int, targets: Sequence[Target], users: Sequence[Profile]
) -> Iterator[str]:
    binary = all(target.task == "binary" for target in targets)
    yield "compile:"
    yield "  optimizer: adam"
    yield "  optimizer_params: {lr: 0.001}"
    yield ""
    yield "fit:"
    if binary:
        yield f"  metrics: {_flow(['auc', *(['gauc'] if users else []), 'logloss'])}"
    else:
        yield "  # metrics: by default those that fit each target's task"
    if users and binary:
        yield f"  user_id_column: {_flow(users[0].name)}  # groups of GAUC"
    yield "  epochs: 10"
    yield f"  batch_size: {batch_size(rows)}"
    yield "  early_stop_patience: 2"


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return dump([value], flow=True)[1:-1]
