"""Findings about columns of text: what else the text may be, and tokens that should be one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import NUMBER_TEXT
from nextrec.data.diagnosis.findings import Finding, share, short
from nextrec.data.profile import Profile

_DATE = (
    r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([ T]\d{1,2}:\d{2}.*)?\s*$"
)
_ABSENT = ("", "?", "-", "nan", "none", "null", "n/a", "<na>", "\\n", "unknown", "undefined")
"""Words for a missing value, in lower case."""


def check_text(profile: Profile, sampled: pa.Array) -> Iterator[Finding]:
    """Numbers, dates and lists as text; tokens alike; words for missing."""
    name, text = profile.name, sampled.drop_null()
    if len(text):
        yield from other_meaning(name, text)
    tokens = profile.counts.values
    if not len(tokens):
        return
    lowered = pc.utf8_lower(pc.utf8_trim_whitespace(tokens))
    same = len(tokens) - len(lowered.unique())
    if same:
        first = _first_alike(tokens, lowered)
        message = f"{same:,} tokens differ from another one only by case or spaces, as {first}"
        advice = "write them alike if they mean the same"
        yield Finding("info", "alike_tokens", name, message, advice, {"tokens": same})
    absent = pc.is_in(lowered, value_set=pa.array(_ABSENT, lowered.type))
    words = tokens.filter(absent).to_pylist()
    if words:
        rows = int(profile.counts.counts[absent.to_numpy(zero_copy_only=False)].sum())
        listed = ", ".join(map(repr, sorted(words)))
        message = f"{rows:,} rows hold {listed}, which may mean missing"
        advice = "make them missing if so: as text each is a token of its own"
        yield Finding("info", "missing_words", name, message, advice, {"words": sorted(words)})


def _first_alike(tokens: pa.Array, lowered: pa.Array) -> str:
    codes = lowered.dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    repeated = int(np.flatnonzero(np.diff(codes[order]) == 0)[0])
    pair = sorted(tokens[int(order[repeated + i])].as_py() for i in (0, 1))
    return " and ".join(repr(short(each)) for each in pair)


def other_meaning(name: str, text: pa.Array) -> Iterator[Finding]:
    """What text may be beside categories: numbers, dates, lists. ``text`` has no missing value."""
    numbers = pc.match_substring_regex(text, NUMBER_TEXT)
    part = _mean(numbers)
    if part == 1:
        advice = "store numbers as numbers, unless they are names of things"
        yield Finding("info", "text_numbers", name, "text that holds numbers", advice)
    elif part >= 0.9:
        others = sorted(text.filter(pc.invert(numbers)).unique().to_pylist())[:3]
        listed = ", ".join(short(repr(value)) for value in others)
        message = f"numbers, except in {share(1 - part, 1)} of the rows: {listed}"
        advice = "make these missing or correct them: they turn the whole column into text"
        values = {"share_of_numbers": part, "examples": others}
        yield Finding("warning", "mixed_types", name, message, advice, values)
    elif _mean(pc.match_substring_regex(text, _DATE)) >= 0.99:
        message = f"dates as text, such as {short(text[0].as_py())!r}"
        advice = "parse them: dates order rows, and give day of week and hour"
        yield Finding("info", "text_dates", name, message, advice)
    else:
        yield from _lists(name, text)


def _lists(name: str, text: pa.Array) -> Iterator[Finding]:
    for separator in "|;":
        if _mean(pc.match_substring(text, separator)) < 0.2:
            continue
        items = pc.split_pattern(text, separator).flatten().unique()
        if len(items) < len(text.unique()):
            message = f"looks like lists separated by {separator!r}: {len(items):,} different items"
            advice = "split it into a sequence feature"
            yield Finding("info", "text_lists", name, message, advice, {"separator": separator})
            return


def _mean(flags: pa.Array) -> float:
    return float(pc.mean(flags.cast(pa.int8())).as_py())
