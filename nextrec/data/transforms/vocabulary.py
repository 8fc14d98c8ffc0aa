"""What tokens a column has, counted, and the ids that they get.

Ids: 0 is padding, ``1..num_unknown`` are for tokens that are not in the vocabulary (the token's
hash chooses one; the only one is id 1), tokens follow. Letters: N values, V tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.transforms.base import Payload, State
from nextrec.data.transforms.hashing import bucket_ids
from nextrec.data.transforms.token_index import TokenIndex
from nextrec.data.transforms.token_text import TEXT, canonical
from nextrec.data.transforms.tokens import Tokens, mostly_distinct, token_order
from nextrec.errors import ConfigError, NotFittedError, invalid
from nextrec.features import UNKNOWN_ID

_SMALL = 32_768  # tokens: Arrow finds them faster, though it builds a hash table at each call
_NO_TOKENS = pa.array([], TEXT)
Read = Callable[[Sequence[pa.Array], int], tuple[Tokens, dict[str, int]]]
"""A piece's tokens, and the longest list of the sequence column, by its name."""


class TokenCounts(State):
    """How often each token was seen.

    One class for all transforms with a vocabulary, so that the states of those that share one
    merge. Memory: about 50 bytes a distinct token beside its text.
    """

    def __init__(self, read: Read | None = None) -> None:
        """``read`` turns columns into tokens; a state without it can only be merged."""
        self._read = read
        self._index = TokenIndex()
        self._counts = np.zeros(0, np.int64)  # with room to grow
        self.longest: dict[str, int] = {}

    @property
    def tokens(self) -> pa.Array:
        """Distinct tokens ``(V,)``, in the order in which they came."""
        return self._index.tokens

    @property
    def counts(self) -> np.ndarray:
        """How often each was seen ``(V,)`` int64."""
        return self._counts[: len(self._index)]

    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Count the tokens of a piece."""
        if self._read is None:
            raise NotFittedError("a loaded state can only be merged: update one of a transform.")
        tokens, longest = self._read(columns, first_row)
        self.add(*tokens.counted())
        self._lengthen(longest)

    def merge(self, other: TokenCounts) -> None:
        """Count what another state has counted."""
        self.add(other.tokens, other.counts)
        self._lengthen(other.longest)

    def add(self, text: pa.Array, counts: np.ndarray) -> None:
        """Count tokens, none missing but perhaps repeated, each ``counts`` times."""
        numbers = self._index.find(text)
        new = numbers < 0
        if new.any():
            fresh = text.filter(pa.array(new)).dictionary_encode()
            numbers[new] = fresh.indices.to_numpy() + np.int64(len(self._index))
            self._index.add(fresh.dictionary)
            if len(self._counts) < len(self._index):
                room = np.zeros(2 * len(self._index) - len(self._counts), np.int64)
                self._counts = np.concatenate([self._counts, room])
        np.add.at(self._counts, numbers, counts)

    def _lengthen(self, longest: dict[str, int]) -> None:
        for name, length in longest.items():
            self.longest[name] = max(self.longest.get(name, 0), length)

    def dump(self) -> Payload:
        """Tokens, counts and the longest lists."""
        return {
            "tokens": self.tokens,
            "counts": pa.array(self.counts),
            "longest": self.longest,
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """The state that :meth:`dump` wrote; merge it into one of a transform to go on."""
        state = cls()
        state.add(payload["tokens"], payload["counts"].to_numpy())
        state._lengthen(payload["longest"])
        return state


@dataclass(frozen=True)
class VocabularyOptions:
    """What shapes a vocabulary."""

    min_frequency: int = 1
    """Tokens that were seen less often are unknown."""
    max_size: int | None = None
    """Most tokens; the most frequent ones stay, of equally frequent ones the first in order."""
    num_unknown: int = 1
    """Ids for tokens that are not in the vocabulary."""

    def __post_init__(self) -> None:
        for name in ("min_frequency", "max_size", "num_unknown"):
            object.__setattr__(self, name, plain_integer(getattr(self, name)))

    def check(self, owner: str) -> None:
        """Raise ``ConfigError`` when an option is not a positive integer."""
        for name in ("min_frequency", "max_size", "num_unknown"):
            value = getattr(self, name)
            if value is None and name == "max_size":
                continue
            if not is_integer(value) or value < 1:
                or_none = " or None" if name == "max_size" else ""
                must_be = f"an integer of at least 1{or_none}"
                raise ConfigError(invalid(owner, name, must_be, value))


def is_integer(value: Any) -> bool:
    """Whether the value is an ``int`` and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def plain_integer(value: Any) -> Any:
    """An integer of NumPy as Python's, which JSON can hold; anything else as it is."""
    return int(value) if isinstance(value, np.integer) else value


class Vocabulary:
    """Tokens in the order of their ids; never changes once made.

    Tokens that miss ``min_frequency`` or ``max_size`` are kept with their counts, so that
    :meth:`extended` may let them in when more data shows them again.
    """

    def __init__(self, options: VocabularyOptions, payload: Payload | None = None) -> None:
        """An empty vocabulary, or the one that :meth:`payload` wrote."""
        payload = payload or {}
        none = pa.array([], pa.int64())
        self.options = options
        self.tokens: pa.Array = payload.get("tokens", _NO_TOKENS)
        self.counts: np.ndarray = payload.get("counts", none).to_numpy()
        self.waiting_tokens: pa.Array = payload.get("waiting_tokens", _NO_TOKENS)
        self.waiting_counts: np.ndarray = payload.get("waiting_counts", none).to_numpy()
        self._index: TokenIndex | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def first_id(self) -> int:
        """Id of the first token; lower ones are padding and unknown."""
        return UNKNOWN_ID + self.options.num_unknown

    @property
    def size(self) -> int:
        """Rows of the table: all ids."""
        return self.first_id + len(self)

    def payload(self) -> Payload:
        """What a saved processor keeps."""
        return {
            "tokens": self.tokens,
            "counts": pa.array(self.counts),
            "waiting_tokens": self.waiting_tokens,
            "waiting_counts": pa.array(self.waiting_counts),
        }

    def extended(self, seen: TokenCounts) -> Vocabulary:
        """A vocabulary that knows these tokens too: old ids stay, new tokens follow them.

        A value that was known keeps its id, and one that was not may only get a new one.
        """
        options = self.options
        places = self._find(seen.tokens)
        known = places >= 0
        counts = self.counts.copy()
        counts[places[known]] += seen.counts[known]
        rest = TokenCounts()
        rest.add(self.waiting_tokens, self.waiting_counts)
        rest.add(seen.tokens.filter(pa.array(~known)), seen.counts[~known])
        order = token_order(rest.tokens)
        tokens, rest_counts = rest.tokens.take(pa.array(order)), rest.counts[order]
        chosen = np.flatnonzero(rest_counts >= options.min_frequency)
        if options.max_size is not None:
            by_count = np.argsort(-rest_counts[chosen], kind="stable")
            chosen = np.sort(chosen[by_count[: max(options.max_size - len(self), 0)]])
        waiting = np.setdiff1d(np.arange(len(tokens)), chosen, assume_unique=True)
        # Without what waits they may all be numbers, which have an order of their own.
        chosen = chosen[token_order(tokens.take(pa.array(chosen)))]
        return Vocabulary(
            options,
            {
                "tokens": pa.concat_arrays([self.tokens, tokens.take(pa.array(chosen))]),
                "counts": pa.array(np.concatenate([counts, rest_counts[chosen]])),
                "waiting_tokens": tokens.take(pa.array(waiting)),
                "waiting_counts": pa.array(rest_counts[waiting]),
            },
        )

    def ids(self, tokens: Tokens, missing_id: int = UNKNOWN_ID) -> np.ndarray:
        """The id of each value ``(N,)`` int64."""
        large = len(self) > _SMALL and tokens.codes is None
        if tokens.repeats or (large and not mostly_distinct(tokens.written)):
            tokens = tokens.distinct()
        return tokens.spread(self._ids_of_text(tokens), missing_id)

    def _ids_of_text(self, tokens: Tokens) -> np.ndarray:
        places = self._find(tokens.written)
        missing = tokens.written.is_null().to_numpy(zero_copy_only=False)
        unknown = np.flatnonzero((places < 0) & ~missing)
        text = written = tokens.written.take(pa.array(unknown))
        if tokens.as_read:
            text = canonical(written)
        if text is not written:  # in another spelling no token can have been found
            found = self._find(text)
            places[unknown] = found
            text, unknown = text.filter(pa.array(found < 0)), unknown[found < 0]
        ids = places + self.first_id
        if self.options.num_unknown == 1:
            ids[unknown] = UNKNOWN_ID
        elif len(unknown):
            ids[unknown] = bucket_ids(text, self.options.num_unknown, UNKNOWN_ID)
        return ids

    def _find(self, text: pa.Array) -> np.ndarray:
        """Place of each text in ``tokens``, -1 for one that is not there or missing."""
        if len(self) <= _SMALL:
            places = pc.index_in(text, self.tokens, skip_nulls=True)
            return pc.fill_null(places, -1).to_numpy().astype(np.int64)
        with self._lock:
            if self._index is None:
                self._index = TokenIndex(self.tokens)
        return self._index.find(text)

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "payload": self.payload()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
