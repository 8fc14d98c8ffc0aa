"""Rows as keys and as hashes: the values of one or more columns as one text, or one number.

Letters: N rows, K distinct keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin
from nextrec.data.transforms.token_text import TEXT
from nextrec.data.transforms.tokens import Tokens, tokens_of
from nextrec.data.transforms.value_hashes import joined, value_hashes

_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Keys:
    """One key a row: the tokens of the row in all columns."""

    text: pa.Array
    """``(K,)``; distinct."""
    codes: np.ndarray
    """Place in ``text`` of each row's key ``(N,)``, -1 where a column misses its value."""


def keys_of(columns: Sequence[pa.Array], origin: Origin) -> Keys:
    """The keys of a piece.

    Args:
        columns: of one length ``(N,)``.
        origin: where the piece comes from.

    >>> keys = keys_of([pa.array(["a", None]), pa.array([1.0, 2.0])], Origin("pair", 0))
    >>> keys.codes.tolist()
    [0, -1]
    """
    tokens = [tokens_of(column, origin) for column in columns]
    if len(tokens) > 1:
        texts = [_escaped(_row_text(each)) for each in tokens]
        separator = pa.scalar(_SEPARATOR, TEXT)
        tokens = [Tokens(pc.binary_join_element_wise(*texts, separator))]
    only = tokens[0].distinct()
    assert only.codes is not None
    text = only.text.dictionary_encode()  # of two spellings of one token, one text
    codes = pc.fill_null(text.indices, -1).to_numpy()
    return Keys(text.dictionary, np.append(codes, -1)[only.codes])


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
    """A hash of what stands in each row ``(N,)`` uint64, however its values are stored.

    See :mod:`~nextrec.data.transforms.value_hashes` for what counts as one value.
    """
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = joined(hashes, value_hashes(column, origin, seed))
    return hashes
