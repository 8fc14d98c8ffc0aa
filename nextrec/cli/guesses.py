"""A column's part in a first config, and the vocabularies that the processor is to learn for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from nextrec.cli.sizes import FIRST_TOKEN, token_table, vocabulary_rows
from nextrec.data.profile import MAX_DISTINCT, USERS, Profile
from nextrec.data.transforms.list_text import items_of_text

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
    tokens: pa.Table | None = field(default=None, repr=False)
    """The counted tokens of a vocabulary that the processor learns, where they were counted."""
    parts: dict[str, int] = field(default_factory=dict)
    """Parts of a moment, each a feature of its own, with the rows of their tables."""

    def features(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The names and arguments of the features that the column becomes."""
        if not self.parts:
            yield self.name, self.arguments
        for part, rows in self.parts.items():
            yield f"{self.name}_{part}", {**self.arguments, "vocab_size": rows}

    def count(self, tables: Sequence[pa.Table]) -> None:
        """Set the size of the vocabulary that is learned from these tokens."""
        assert self.learn is not None
        frequency = self.learn[1].get("min_frequency", 1)
        self.arguments["vocab_size"] = vocabulary_rows(tables, frequency)


def learned(profile: Profile, why: str) -> Guess:
    """A category whose ids the processor gives."""
    arguments = {"vocab_size": FIRST_TOKEN + MAX_DISTINCT, "embedding_dim": WIDTH}
    rare = profile.distinct is None or profile.distinct * 10 > profile.rows > 1000
    options = {"min_frequency": 2} if rare else {}
    tokens = token_table(profile)
    made = Guess(profile.name, "sparse", why, arguments, ("sparse", options), tokens)
    if tokens is not None:
        made.count([tokens])
    return made


def lists(profile: Profile, why: str, separator: str | None = None) -> Guess:
    """Lists of tokens whose ids the processor gives."""
    longest = profile.longest
    if separator is not None:
        values = profile.counts.values if not profile.counts.over else profile.examples
        longest = int(items_of_text(values, separator)[1].max(initial=1))
    length = min(max(longest, 1), LONGEST)
    options: dict[str, Any] = {} if separator in (None, ",") else {"separator": separator}
    options["max_len"] = length
    size = FIRST_TOKEN + MAX_DISTINCT
    arguments = {"vocab_size": size, "embedding_dim": WIDTH, "max_len": length}
    tokens = token_table(profile, separator)
    made = Guess(profile.name, "sequence", why, arguments, ("sequence", options), tokens)
    if tokens is not None:
        made.count([tokens])
    return made


def share_tables(guesses: Sequence[Guess]) -> list[tuple[Guess, Guess]]:
    """Let a history read the table of the item it holds, as far as their names tell.

    ``hist_movie_id`` and ``movie_seq`` go with ``movie_id``. Returns (history, item) pairs.
    """
    pairs: list[tuple[Guess, Guess]] = []
    for history in (each for each in guesses if each.role == "sequence"):
        for item in (each for each in guesses if each.role == "sparse" and not each.parts):
            raw = [each for each in (history, item) if each.learn is not None]
            if item.name.lower() in USERS or len(raw) == 1:  # ids of two kinds share no table
                continue
            stem = re.sub(r"_?ids?$", "", item.name, flags=re.IGNORECASE)
            if len(stem) >= 3 and stem.lower() in history.name.lower():
                history.arguments["embedding_name"] = item.name
                history.why += f"; shares the table of {item.name}"
                pairs.append((history, item))
                break
    for name in dict.fromkeys(item.name for _, item in pairs):
        _share([pair for pair in pairs if pair[1].name == name])
    return pairs


def _share(pairs: Sequence[tuple[Guess, Guess]]) -> None:
    """One table of one size for an item and its histories, and one vocabulary where it is learned.

    Readers of a vocabulary must agree on what shapes it.
    """
    item = pairs[0][1]
    members = [item, *(history for history, _ in pairs)]
    counted = [each.tokens for each in members if each.tokens is not None]
    rows = max(each.arguments["vocab_size"] for each in members)
    for each in members:
        if each.learn is None or item.learn is None:
            each.arguments["vocab_size"] = rows
            continue
        each.learn[1]["vocabulary"] = item.name
        if "min_frequency" in item.learn[1]:
            each.learn[1]["min_frequency"] = item.learn[1]["min_frequency"]
        if len(counted) == len(members):
            each.count(counted)
        else:
            each.arguments["vocab_size"] = rows
