"""Rows as keys and as hashes: the values of one or more columns as one text, or one number.

Letters: N rows, K distinct keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin, is_list
from nextrec.data.transforms.hashing import hash_tokens
from nextrec.data.transforms.token_text import TEXT, is_number, number_text
from nextrec.data.transforms.tokens import Tokens, tokens_of

_SEPARATOR = "\x1f"
_MASK = (1 << 64) - 1
_MISSING_HASH = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class Keys:
    """One key a row: the tokens of the row in all columns."""

    text: pa.Array
    """``(K,)``; may repeat."""
    codes: np.ndarray
    """Place in ``text`` of each row's key ``(N,)``, -1 where a column misses its value."""
    numeric: tuple[bool | None, ...]
    """Whether each column held numbers; ``None`` when it held nothing."""


def keys_of(
    columns: Sequence[pa.Array], origin: Origin, numeric: Sequence[bool | None] = ()
) -> Keys:
    """The keys of a piece.

    Args:
        columns: of one length ``(N,)``.
        origin: where the piece comes from.
        numeric: the columns whose text is to be read as numbers, so that ``2.0`` is ``2``.

    >>> keys = keys_of([pa.array(["a", None]), pa.array([1.0, 2.0])], Origin("pair", 0))
    >>> keys.codes.tolist(), keys.numeric
    ([0, -1], (False, True))
    """
    tokens = [tokens_of(column, origin) for column in columns]
    kinds = tuple(None if each.missing_count == len(each) else each.numeric for each in tokens)
    tokens = [
        _as_numbers(each) if wanted and not each.numeric else each
        for each, wanted in zip(tokens, numeric or [None] * len(tokens), strict=True)
    ]
    if len(tokens) > 1:
        texts = [_escaped(_row_text(each)) for each in tokens]
        separator = pa.scalar(_SEPARATOR, TEXT)
        tokens = [Tokens(pc.binary_join_element_wise(*texts, separator), False)]
    only = tokens[0].distinct()
    assert only.codes is not None
    codes = np.where(only.missing, -1, only.codes)
    return Keys(only.text, codes, kinds)


def _as_numbers(tokens: Tokens) -> Tokens:
    text = pc.coalesce(number_text(tokens.text), tokens.text)
    return Tokens(text, True, tokens.codes)


def _row_text(tokens: Tokens) -> pa.Array:
    """The token of each row ``(N,)``."""
    if tokens.codes is None:
        return tokens.text
    return tokens.text.take(pa.array(tokens.codes, mask=tokens.codes < 0))


def _escaped(text: pa.Array) -> pa.Array:
    """Text that the separator can stand behind without being part of it."""
    text = pc.replace_substring(text, "\\", "\\\\")
    return pc.replace_substring(text, _SEPARATOR, "\\s")


def row_hashes(columns: Sequence[pa.Array], origin: Origin, seed: int) -> np.ndarray:
    """A hash of what stands in each row ``(N,)`` uint64.

    Equal numbers of any type have one hash, and so have equal texts; lists are hashed item by
    item. Integers beyond ``2^53`` share it with their neighbours.
    """
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = _mixed(hashes * _STEP + _column_hashes(column, origin, seed))
    return hashes


def _column_hashes(column: pa.Array, origin: Origin, seed: int) -> np.ndarray:
    kind = column.type
    if is_list(kind):
        return _list_hashes(column, origin, seed)
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    if is_number(column.type) or pa.types.is_boolean(kind):
        return _number_hashes(column, seed)
    tokens = tokens_of(column, origin)
    return tokens.spread(hash_tokens(tokens.text, seed), _MISSING_HASH)


def _number_hashes(column: pa.Array, seed: int) -> np.ndarray:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    column = column.cast(pa.float64(), safe=False)
    values = column.to_numpy(zero_copy_only=False) + 0.0  # -0.0 becomes 0.0, null becomes NaN
    hashes = _mixed(values.view(np.uint64) + np.uint64(seed * int(_STEP) & _MASK))
    return np.where(np.isnan(values), _MISSING_HASH, hashes)


def _list_hashes(column: pa.Array, origin: Origin, seed: int) -> np.ndarray:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    items = _column_hashes(column.flatten(), origin.flattened(lengths), seed)
    place = np.arange(len(items)) - np.repeat(starts, lengths)
    items = _mixed(items + place.astype(np.uint64) * _STEP)
    sums = np.append(np.uint64(0), np.cumsum(items, dtype=np.uint64))  # modulo 2^64
    hashes = _mixed(sums[ends] - sums[starts] + lengths.astype(np.uint64))
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, _MISSING_HASH, hashes)


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Every bit depends on every bit: the last step of SplitMix64.

    G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA, 2014.
    """
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
