"""From what a column holds to what it may be in a model, each guess with its reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nextrec.data.diagnosis.text import other_meaning
from nextrec.data.profile import (
    LABELS,
    LARGE_TABLE,
    MAX_DISTINCT,
    USERS,
    Profile,
    is_id,
    is_packed,
    is_time,
    is_user,
    names_time,
)
from nextrec.errors import ConfigError, did_you_mean, invalid
from nextrec.features import UNKNOWN_ID

Role = Literal["dense", "sparse", "sequence", "later", "left out"]

WIDTH = 16
"""Width of all tables: factorization machines need one."""
LONGEST = 50


@dataclass
class Guess:
    """A column's part in the config."""

    name: str
    role: Role
    why: str
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the feature; ``vocab_size`` is an estimate where the processor learns it."""
    learn: tuple[str, dict[str, Any]] | None = None
    """Section of the processor, and arguments there; ``None``: the column is ready as it is."""


def choose_targets(
    profiles: Sequence[Profile], wanted: Sequence[str], owner: str = "init"
) -> list[Profile]:
    """The label columns: those that were named, else the first that is called like one.

    Raises:
        ConfigError: no such column, none that looks like a label, or one that is no number.
    """
    by_name = {profile.name: profile for profile in profiles}
    for name in wanted:
        if name not in by_name:
            must_be = f"a column of the data ({', '.join(by_name)})"
            hint = did_you_mean(name, by_name)
            raise ConfigError(invalid(owner, "--target", must_be, name) + hint)
    lower = {name.lower(): name for name in reversed(by_name)}
    names = list(wanted) or [lower[name] for name in LABELS if name in lower][:1]
    if not names:
        raise ConfigError(
            f"{owner}: no column is called like a label; name it by --target. The columns are "
            f"{', '.join(by_name)}."
        )
    for name in names:
        if by_name[name].kind not in ("integer", "real", "flag"):
            must_be = "a column of numbers"
            raise ConfigError(invalid(owner, "--target", must_be, f"{name}: {by_name[name].kind}"))
    return [by_name[name] for name in names]


def task_of(target: Profile) -> str:
    """``binary`` for labels 0 and 1, otherwise ``regression``."""
    binary = target.whole and target.lowest >= 0 and target.highest <= 1
    return "binary" if binary else "regression"


def guess(profile: Profile) -> Guess:
    """What a column may be."""
    name, missing = profile.name, profile.missing
    if profile.kind == "empty":
        return Guess(name, "left out", "holds no value")
    if name.lower() in LABELS:
        text = "called like a label; make it a --target, or list it if it is known beforehand"
        return Guess(name, "left out", text)
    if is_time(profile):
        return Guess(name, "left out", "says when; use it to split (data.split_by: time)")
    if profile.kind == "ids":
        return _sequence(profile)
    if profile.kind == "text":
        return _text(profile)
    if profile.kind in ("other", "mixed") or (profile.kind == "vector" and not _is_even(profile)):
        return Guess(name, "later", "of a type that no feature takes: convert it")
    if missing and profile.kind == "vector":
        return Guess(name, "later", f"{missing:,} of {profile.rows:,} values missing: fill them")
    if missing:
        return _with_gaps(profile)
    if profile.kind == "vector":
        width = profile.longest
        return Guess(name, "dense", f"{width} numbers a row", {"input_dim": width})
    if profile.lowest == profile.highest:
        return Guess(name, "left out", "holds one value only")
    return _number(profile)


def _number(profile: Profile) -> Guess:
    name, many, span = profile.name, _count(profile), _span(profile)
    whole = profile.whole and profile.lowest >= 0
    rows = int(profile.highest) + 1
    if (whole and is_id(profile)) or is_user(profile):
        if not whole:
            return _learned(profile, f"ids {span}, not all from 0 on")
        if profile.distinct == profile.rows and not is_user(profile):
            return Guess(name, "left out", "another value in every row: it names rows")
        if rows > LARGE_TABLE and (profile.distinct or MAX_DISTINCT) * 10 < rows:
            return _learned(profile, f"{many} ids, but up to {rows - 1:,}")
        return _sparse(profile, f"ids {span}, {many} different ones")
    if is_packed(profile):
        return _sparse(profile, f"integers {span}, {many} different ones: taken for categories")
    if max(abs(profile.lowest), abs(profile.highest)) > 100:
        return Guess(name, "dense", f"numbers {span}: scaled", learn=("numeric", {}))
    return Guess(name, "dense", f"numbers {span}")


def _text(profile: Profile) -> Guess:
    """Text is lists, a moment or a category."""
    name, tokens = profile.name, profile.counts.values
    meanings = {each.kind: each for each in other_meaning(name, tokens)} if len(tokens) else {}
    if "text_lists" in meanings:
        separator = meanings["text_lists"].values["separator"]
        arguments = {"vocab_size": MAX_DISTINCT, "embedding_dim": WIDTH, "max_len": LONGEST}
        options = {"separator": separator, "max_len": LONGEST}
        why = f"text, lists separated by {separator}"
        return Guess(name, "sequence", why, arguments, ("sequence", options))
    if names_time(name) or "text_dates" in meanings:
        return Guess(name, "left out", "says when, as text; `processor.datetime` takes its parts")
    if profile.distinct == 1 and not profile.missing:
        return Guess(name, "left out", "holds one value only")
    if profile.distinct == profile.rows and not is_user(profile):
        return Guess(name, "left out", "another text in every row: it names rows")
    return _learned(profile, f"text, {_count(profile)} different values")


def _with_gaps(profile: Profile) -> Guess:
    """A column of numbers, flags or ids of which some are missing."""
    why = f"{profile.missing:,} of {profile.rows:,} values missing"
    if is_user(profile) or (profile.whole and is_id(profile)) or is_packed(profile):
        return _learned(profile, f"{why}, {_count(profile)} different ones")
    return Guess(profile.name, "dense", f"numbers {_span(profile)}, {why}", learn=("numeric", {}))


def _learned(profile: Profile, why: str) -> Guess:
    """A category whose ids the processor gives."""
    size = (profile.distinct or MAX_DISTINCT) + UNKNOWN_ID + 1
    arguments = {"vocab_size": size, "embedding_dim": WIDTH}
    rare = profile.distinct is None or profile.distinct * 10 > profile.rows > 1000
    options = {"min_frequency": 2} if rare else {}
    return Guess(profile.name, "sparse", why, arguments, ("sparse", options))


def _sparse(profile: Profile, why: str) -> Guess:
    arguments = {"vocab_size": int(profile.highest) + 1, "embedding_dim": WIDTH}
    return Guess(profile.name, "sparse", why, arguments)


def _sequence(profile: Profile) -> Guess:
    if profile.lowest < 0 or profile.longest == 0:
        return Guess(profile.name, "later", "lists without ids, or with negative ones")
    why = f"lists of up to {profile.longest} ids {_span(profile)}"
    why += "; id 0 is padding: number items from 1" if profile.lowest == 0 else ""
    arguments = {
        "vocab_size": int(profile.highest) + 1,
        "embedding_dim": WIDTH,
        "max_len": min(profile.longest, LONGEST),
    }
    return Guess(profile.name, "sequence", why, arguments)


def share_tables(guesses: Sequence[Guess]) -> list[tuple[Guess, Guess]]:
    """Let a history read the table of the item it holds, as far as their names tell.

    ``hist_movie_id`` and ``movie_seq`` go with ``movie_id``. Returns (history, item) pairs.
    """
    pairs = []
    for history in (each for each in guesses if each.role == "sequence"):
        for item in (each for each in guesses if each.role == "sparse"):
            raw = [each for each in (history, item) if each.learn is not None]
            if item.name.lower() in USERS or len(raw) == 1:  # ids of two kinds share no table
                continue
            stem = re.sub(r"_?ids?$", "", item.name, flags=re.IGNORECASE)
            if len(stem) >= 3 and stem.lower() in history.name.lower():
                for each in raw:
                    assert each.learn is not None
                    each.learn[1]["vocabulary"] = item.name
                if not raw:
                    history.arguments["embedding_name"] = item.name
                history.why += f"; shares the table of {item.name}"
                pairs.append((history, item))
                break
    return pairs


def _is_even(profile: Profile) -> bool:
    return profile.shortest == profile.longest > 0


def _count(profile: Profile) -> str:
    return f"over {MAX_DISTINCT:,}" if profile.distinct is None else f"{profile.distinct:,}"


def _span(profile: Profile) -> str:
    form = ",.0f" if profile.whole else ",.4g"
    return f"{profile.lowest:{form}} to {profile.highest:{form}}"
