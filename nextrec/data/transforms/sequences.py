"""Columns with several tokens a row become lists of ids, cut to ``max_len``.

Items of text are stripped of spaces, as ``a, b`` holds ``a`` and ``b``, and empty items are
dropped. A sparse column is not stripped, even one that shares the vocabulary: its ``" b"`` is
another token than the item ``b``, and only a list that is no text can have an item ``" b"``.

Letters: N rows, M items of all rows, L ``max_len``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin, first_true, flatten, is_list, is_text
from nextrec.data.transforms.base import TRANSFORMS, NothingToLearn, Output, Payload, State
from nextrec.data.transforms.list_text import items_of_text, ragged, without_views
from nextrec.data.transforms.token_text import TEXT
from nextrec.data.transforms.token_transform import (
    Buckets,
    EncodeMethod,
    Missing,
    TokenTransform,
    check_shared,
    encoder_of,
    owner_of,
    settings_of,
)
from nextrec.data.transforms.tokens import Tokens, decoded, tokens_of
from nextrec.data.transforms.vocabulary import (
    TokenCounts,
    VocabularyOptions,
    is_integer,
    plain_integer,
)
from nextrec.errors import ConfigError, NotFittedError, invalid, unknown_option
from nextrec.features import Feature, SequenceFeature

Truncate = Literal["pre", "post", "newest", "oldest"]
_KEEPS_NEWEST = {"pre": True, "newest": True, "post": False, "oldest": False}


@TRANSFORMS.register("sequence")
class EncodeSequence(TokenTransform):
    """Lists of ids, by a learned vocabulary or by a hash, unpadded.

    A row is a list, text that holds one (see :mod:`~nextrec.data.transforms.list_text`) or a
    single value, a list of one; a missing row is an empty list. A missing item inside a list has
    the unknown id. Every item is counted for the vocabulary, also those that truncation drops.

    Args:
        name: the output column.
        column: the input column; ``name`` by default.
        encode_method: ``"label"``, a vocabulary, or ``"hash"``.
        hash_size: of the hash: padding, missing, and ``hash_size - 2`` buckets.
        max_len: longest list; ``None``: as long as the longest list that was fitted (or one item,
            when all were empty), which :meth:`extend` may lengthen.
        truncate: what a longer list keeps: its last items (``"pre"`` or ``"newest"``) or its first
            (``"post"`` or ``"oldest"``).
        separator: between the items of text.
        min_frequency, max_size, num_unknown, vocabulary: of the vocabulary, as in
            :class:`~nextrec.data.transforms.categorical.Encode`.
        missing: ``"error"`` refuses missing rows and missing items.
        seed: of the hash, in ``[0, 2**64)``.
    """

    kind = "sequence"
    role = "sequence"

    def __init__(
        self,
        name: str,
        column: str | None = None,
        encode_method: EncodeMethod = "label",
        hash_size: int | None = None,
        max_len: int | None = 50,
        truncate: Truncate = "pre",
        separator: str = ",",
        min_frequency: int = 1,
        max_size: int | None = None,
        num_unknown: int = 1,
        missing: Missing = "fill",
        vocabulary: str | None = None,
        seed: int = 0,
    ) -> None:
        owner = owner_of(self.role, name)
        max_len = plain_integer(max_len)
        if max_len is not None and (not is_integer(max_len) or max_len < 1):
            raise ConfigError(invalid(owner, "max_len", "a positive integer or None", max_len))
        if truncate not in _KEEPS_NEWEST:
            raise ConfigError(unknown_option(owner, "truncate", _KEEPS_NEWEST, truncate))
        if not isinstance(separator, str) or not separator:
            raise ConfigError(invalid(owner, "separator", "a non-empty string", separator))
        options = VocabularyOptions(min_frequency, max_size, num_unknown)
        encoder = encoder_of(encode_method, hash_size, seed, options, owner)
        if vocabulary is not None and isinstance(encoder, Buckets):
            must_be = "None with encode_method 'hash'"
            raise ConfigError(invalid(owner, "vocabulary", must_be, vocabulary))
        check_shared(vocabulary, owner)
        super().__init__(name, [column or name], missing, encoder)
        self.encode_method = encode_method
        self.hash_size = plain_integer(hash_size)
        self.max_len = max_len
        self.truncate = truncate
        self.separator = separator
        self.vocabulary = vocabulary
        self.seed = plain_integer(seed)
        self.longest: int | None = None
        """Items of the longest list that was fitted; ``None`` before."""

    def state(self) -> State:
        """Counts of tokens and the longest list; nothing for a hash of lists of a set length."""
        if isinstance(self.encoder, Buckets) and self.max_len is not None:
            return NothingToLearn()
        return TokenCounts(self.read)

    def state_type(self) -> type[State]:
        """The class of :meth:`state`."""
        return type(self.state())

    def read(self, columns: Sequence[pa.Array], first_row: int) -> tuple[Tokens, dict[str, int]]:
        """The tokens to count, all items of a list, and the longest list."""
        items, lengths = self._items(columns[0], first_row)
        longest = {self.name: int(lengths.max(initial=0))}
        if self.options is None:
            return Tokens(pa.array([], TEXT)), longest
        return self._tokens(items, lengths, first_row), longest

    def learn(self, state: Any) -> None:
        """Make the vocabulary of these counts; what was known before is forgotten."""
        super().learn(state)
        self.longest = _longest(state, self.name)

    def extend(self, state: Any) -> int:
        """Let new tokens of these counts into the vocabulary; every old id stays."""
        self.longest = max(self.longest or 0, _longest(state, self.name))
        return super().extend(state)

    def learned(self) -> Payload:
        """The vocabulary and the longest list."""
        return {**super().learned(), "longest": self.longest}

    def restore(self, payload: Payload) -> None:
        """Set what :meth:`learned` wrote."""
        super().restore(payload)
        self.longest = payload["longest"]

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The ids of each row's list ``(N,)``, cut to :attr:`most` before they are looked up."""
        items, lengths = self._items(columns[0], first_row)
        if lengths.max(initial=0) > self.most:
            kept = np.minimum(lengths, self.most)
            ends = np.cumsum(lengths)
            newest = _KEEPS_NEWEST[self.truncate]
            starts = ends - kept if newest else ends - lengths
            items, lengths = items.take(pa.array(ragged(starts, kept))), kept
        output = self.output(self._tokens(items, lengths, first_row))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        values = pa.ListArray.from_arrays(pa.array(offsets), output.values)
        return Output(values, output.missing, output.unknown, output.total)

    @property
    def most(self) -> int:
        """Items that a list keeps: ``max_len``, or those of the longest list that was fitted."""
        if self.max_len is not None:
            return self.max_len
        if self.longest is None:
            raise NotFittedError(f"{owner_of(self.role, self.name)} is not fitted yet.")
        return max(self.longest, 1)

    def _items(self, values: pa.Array, first_row: int) -> tuple[pa.Array, np.ndarray]:
        """The items of all rows ``(M,)`` and how many each has ``(N,)``: for fit and apply."""
        origin = self.origin(first_row)
        values = without_views(decoded(values))
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if self.missing == "error" and values.null_count:
            must_be = "present: the column's policy is missing='error'"
            raise origin.error(first_true(values.is_null()), must_be, None)
        if "binary" in str(values.type) and not is_list(values.type):
            tokens = tokens_of(values, origin)
            values = tokens.written.take(pa.array(tokens.codes, mask=tokens.missing))
        if is_text(values.type):
            return items_of_text(values, self.separator)
        return flatten(values, origin, pa.null())

    def _tokens(self, items: pa.Array, lengths: np.ndarray, first_row: int) -> Tokens:
        origin = self.origin(first_row).flattened(lengths)
        tokens = tokens_of(items, origin)
        self.refuse_missing(tokens, origin)
        return tokens

    @property
    def output_type(self) -> pa.DataType:
        """A list of ids a row."""
        return pa.list_(self.id_type)

    def feature(self, arguments: Mapping[str, Any]) -> Feature:
        """A sequence feature with the size of the vocabulary and the longest list."""
        known = {
            "vocab_size": self.vocab_size,
            "max_len": self.most,
            "embedding_name": self.embedding_name,
        }
        return SequenceFeature(self.name, **{**known, **arguments})

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "name": self.name,
            "column": self.inputs[0],
            "encode_method": self.encode_method,
            "hash_size": self.hash_size,
            "max_len": self.max_len,
            "truncate": self.truncate,
            "separator": self.separator,
            **settings_of(self.options),
            "missing": self.missing,
            "vocabulary": self.vocabulary,
            "seed": self.seed,
        }


def padded(values: pa.ListArray, max_len: int) -> np.ndarray:
    """Lists of ids, none longer than ``max_len``, as rows padded with 0 on the right ``(N, L)``.

    >>> padded(pa.array([[5, 6], [], [7]]), 2)
    array([[5, 6],
           [0, 0],
           [7, 0]])
    """
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()  # (N,)
    items = values.flatten().to_numpy()
    if len(values) and (lengths == max_len).all():
        return items.reshape(len(values), max_len).astype(np.int64)
    longest = int(lengths.max(initial=0))
    if longest > max_len:
        row = int(np.argmax(lengths > max_len))
        must_be = f"a list of at most {max_len} ids"
        raise Origin("padded", 0).error(row, must_be, values[row].as_py())
    result = np.zeros((len(values), max_len), np.int64)
    result[np.arange(max_len) < lengths[:, None]] = items
    return result


def _longest(state: Any, name: str) -> int:
    return state.longest.get(name, 0) if isinstance(state, TokenCounts) else 0
