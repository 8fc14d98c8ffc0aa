"""Crosses of columns: the tokens of several columns become one token a row.

The parts are joined with a bar; a bar or a backslash inside a part is written with a backslash
before it. So ``("a|b", "c")`` is ``a\\|b|c`` and ``("a", "b|c")`` is ``a|b\\|c``: different parts
never make one token. Letters: N rows, C columns, K distinct combinations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import first_true
from nextrec.data.transforms.base import TRANSFORMS
from nextrec.data.transforms.categorical import SparseTransform
from nextrec.data.transforms.token_text import TEXT
from nextrec.data.transforms.token_transform import (
    EncodeMethod,
    Missing,
    encoder_of,
    owner_of,
    settings_of,
)
from nextrec.data.transforms.tokens import Tokens, tokens_of
from nextrec.data.transforms.vocabulary import VocabularyOptions, plain_integer
from nextrec.errors import ConfigError, invalid

_SEPARATOR = "|"
_ESCAPE = "\\"


@TRANSFORMS.register("cross")
class Cross(SparseTransform):
    """Ids of the combinations of several columns, by a hash or by a learned vocabulary.

    A combination with a missing part is missing: it has the unknown id.

    Args:
        name: the output column.
        columns: the input columns, at least two.
        encode_method: ``"hash"`` or ``"label"``, a vocabulary.
        hash_size: of the hash: padding, missing, and ``hash_size - 2`` buckets.
        seed: of the hash, in ``[0, 2**64)``.
        min_frequency, max_size, num_unknown: of the vocabulary, as in
            :class:`~nextrec.data.transforms.categorical.Encode`.
        missing: ``"error"`` refuses combinations with a missing part.
    """

    kind = "cross"

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        encode_method: EncodeMethod = "hash",
        hash_size: int | None = None,
        seed: int = 0,
        min_frequency: int = 1,
        max_size: int | None = None,
        num_unknown: int = 1,
        missing: Missing = "fill",
    ) -> None:
        owner = owner_of(self.role, name)
        if isinstance(columns, str) or len(columns) < 2:
            raise ConfigError(invalid(owner, "columns", "a list of at least two columns", columns))
        options = VocabularyOptions(min_frequency, max_size, num_unknown)
        encoder = encoder_of(encode_method, hash_size, seed, options, owner)
        super().__init__(name, columns, missing, encoder)
        self.encode_method = encode_method
        self.hash_size = plain_integer(hash_size)
        self.seed = plain_integer(seed)

    def tokens(self, columns: Sequence[pa.Array], first_row: int) -> Tokens:
        """The joined tokens of each row ``(N,)``."""
        origin = self.origin(first_row)
        return joined([tokens_of(column, origin) for column in columns])

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "name": self.name,
            "columns": list(self.inputs),
            "encode_method": self.encode_method,
            "hash_size": self.hash_size,
            "seed": self.seed,
            **settings_of(self.options),
            "missing": self.missing,
        }


def joined(columns: Sequence[Tokens]) -> Tokens:
    """One token a row of the tokens of C columns; missing where one of them is.

    Only distinct combinations are written as text.

    >>> left, right = pa.array(["a|b", "a"], TEXT), pa.array(["c", "b|c"], TEXT)
    >>> joined([Tokens(left), Tokens(right)]).text.to_pylist()
    ['a\\\\|b|c', 'a|b\\\\|c']
    """
    parts = [column.distinct() for column in columns]
    missing = np.logical_or.reduce([part.missing for part in parts])  # (N,)
    codes = np.zeros(len(parts[0]), np.int64)
    places: list[np.ndarray] = []  # of each combination, the place in each part's text: C x (K,)
    for part in parts:
        size = max(len(part.text), 1)
        assert part.codes is not None
        # Both factors are at most the number of rows, so the product fits.
        pairs = pa.array(codes * size + np.maximum(part.codes, 0)).dictionary_encode()
        codes = pairs.indices.to_numpy()
        before, last = np.divmod(pairs.dictionary.to_numpy(), size)
        places = [each[before] for each in places] + [last]
    texts = [
        _escaped(part.text).take(pa.array(place)) if len(part.text) else pa.nulls(len(place), TEXT)
        for part, place in zip(parts, places, strict=True)
    ]
    text = pc.binary_join_element_wise(*texts, pa.scalar(_SEPARATOR, TEXT))
    return Tokens(text, np.where(missing, -1, codes))


def _escaped(text: pa.Array) -> pa.Array:
    for character in (_ESCAPE, _SEPARATOR):
        if first_true(pc.match_substring(text, character)) >= 0:
            text = pc.replace_substring(text, character, _ESCAPE + character)
    return text
