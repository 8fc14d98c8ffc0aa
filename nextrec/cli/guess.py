"""From what a column holds to what it may be in a model, each guess with its reason."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.cli.guesses import LONGEST, WIDTH, Guess, learned, lists
from nextrec.cli.moments import Moment, moment_of
from nextrec.cli.sizes import token_table
from nextrec.data.diagnosis.text import other_meaning
from nextrec.data.profile import (
    LABELS,
    MAX_DISTINCT,
    Profile,
    is_id,
    is_packed,
    is_packed_below_zero,
    is_time,
    is_user,
    names_time,
)

WIDE = 1000
"""Ids above this are given anew by the processor when few of them occur."""
SEPARATORS = "|;, "
_IN_BRACKETS = r"^\s*(\[.*\]\s*)?$"


def guess(profile: Profile) -> Guess:
    """What a column may be."""
    name, missing = profile.name, profile.missing
    if profile.kind == "empty":
        return Guess(name, "left out", "holds no value")
    if name.lower() in LABELS:
        text = "called like a label; make it a --target, or list it if it is known beforehand"
        return Guess(name, "left out", text)
    if profile.infinite:
        return Guess(name, "later", f"{profile.infinite:,} infinite values: correct them")
    if is_time(profile):
        return _moment(profile)
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


def _moment(profile: Profile) -> Guess:
    """Parts of a moment, as far as there is a way to read it."""
    moment = moment_of(profile)
    if moment is None:
        return Guess(profile.name, "later", "says when, in a form that is not known here")
    return _parts(profile, moment)


def _parts(profile: Profile, moment: Moment) -> Guess:
    why = moment.why + ("" if "format" in moment.options else "; it can split too (split_by: time)")
    learn = ("datetime", {"parts": list(moment.parts), **moment.options})
    width = {"embedding_dim": WIDTH}
    return Guess(profile.name, "sparse", why, width, learn, parts=moment.sizes())


def _number(profile: Profile) -> Guess:
    name, many, span = profile.name, _count(profile), _span(profile)
    whole = profile.whole and profile.lowest >= 0
    rows = int(profile.highest) + 1
    scattered = rows > WIDE and (profile.distinct or MAX_DISTINCT) * 10 < rows
    if (profile.whole and is_id(profile)) or is_user(profile):
        if profile.distinct == profile.rows and not is_user(profile):
            return Guess(name, "left out", "another value in every row: it names rows")
        if not whole:
            return learned(profile, f"ids {span}, not all from 0 on")
        if scattered:
            return learned(profile, f"{many} ids, but up to {rows - 1:,}")
        return _sparse(profile, f"ids {span}, {many} different ones")
    if is_packed_below_zero(profile):
        return learned(profile, f"integers {span}, {many} different ones: taken for categories")
    if is_packed(profile):
        why = f"integers {span}, {many} different ones: taken for categories"
        return learned(profile, why) if scattered else _sparse(profile, why)
    if max(abs(profile.lowest), abs(profile.highest)) > 100:
        return Guess(name, "dense", f"numbers {span}: scaled", learn=("numeric", {}))
    return Guess(name, "dense", f"numbers {span}")


def _text(profile: Profile) -> Guess:
    """Text is lists, a moment or a category."""
    name, tokens = profile.name, profile.counts.values
    tokens = tokens if len(tokens) else profile.examples
    meanings = {each.kind: each for each in other_meaning(name, tokens)} if len(tokens) else {}
    if "text_lists" in meanings:
        separator = meanings["text_lists"].values["separator"]
        return lists(profile, f"text, lists separated by {separator}", separator)
    if len(tokens) and pc.all(pc.match_substring_regex(tokens, _IN_BRACKETS)).as_py():
        return lists(profile, "text, lists in brackets", ",")
    if names_time(name) or "text_dates" in meanings:
        moment = moment_of(profile)
        if moment is not None:
            return _parts(profile, moment)
        if "text_dates" in meanings:
            return Guess(name, "later", "dates as text, in more than one form")
    if profile.distinct == 1 and not profile.missing:
        return Guess(name, "left out", "holds one value only")
    if profile.distinct == profile.rows and not is_user(profile):
        return Guess(name, "left out", "another text in every row: it names rows")
    return learned(profile, f"text, {_count(profile)} different values")


def _with_gaps(profile: Profile) -> Guess:
    """A column of numbers, flags or ids of which some are missing."""
    why = f"{profile.missing:,} of {profile.rows:,} values missing"
    packed = is_packed(profile) or is_packed_below_zero(profile)
    if is_user(profile) or (profile.whole and is_id(profile)) or packed:
        return learned(profile, f"{why}, {_count(profile)} different ones")
    return Guess(profile.name, "dense", f"numbers {_span(profile)}, {why}", learn=("numeric", {}))


def _sparse(profile: Profile, why: str) -> Guess:
    arguments = {"vocab_size": int(profile.highest) + 1, "embedding_dim": WIDTH}
    return Guess(profile.name, "sparse", why, arguments)


def _sequence(profile: Profile) -> Guess:
    if profile.longest == 0:
        return Guess(profile.name, "later", "lists without a single item")
    why = f"lists of up to {profile.longest} ids {_span(profile)}"
    rows = int(profile.highest) + 1
    scattered = rows > WIDE and _items(profile) * 10 < rows
    if profile.lowest <= 0 or scattered:
        why += "; id 0 is padding, so items get new ids" if profile.lowest == 0 else ""
        return lists(profile, why, _separator(profile))
    arguments = {
        "vocab_size": rows,
        "embedding_dim": WIDTH,
        "max_len": min(profile.longest, LONGEST),
    }
    return Guess(profile.name, "sequence", why, arguments)


def _items(profile: Profile) -> int:
    """Different items of lists of integers, also as text."""
    separator = _separator(profile)
    table = token_table(profile, separator)
    return MAX_DISTINCT if table is None else table.num_rows


def _separator(profile: Profile) -> str | None:
    """What stands between the items of lists that are text; ``None`` for real lists."""
    if not any("string" in each for each in profile.types):
        return None
    values = profile.examples.cast(pa.large_string())
    return next((each for each in SEPARATORS if _share_with(values, each)), ",")


def _share_with(values: pa.Array, separator: str) -> bool:
    return bool(pc.any(pc.match_substring(values, separator)).as_py())


def _is_even(profile: Profile) -> bool:
    return profile.shortest == profile.longest > 0


def _span(profile: Profile) -> str:
    form = ",.0f" if profile.whole else ",.4g"
    return f"{profile.lowest:{form}} to {profile.highest:{form}}"


def _count(profile: Profile) -> str:
    return f"over {MAX_DISTINCT:,}" if profile.distinct is None else f"{profile.distinct:,}"
