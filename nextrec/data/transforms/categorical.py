"""Columns with one token a row become ids: by a vocabulary or by a hash.

Letters: N rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from nextrec.data.transforms.base import TRANSFORMS, Output
from nextrec.data.transforms.token_transform import (
    Buckets,
    Missing,
    TokenTransform,
    check_shared,
    owner_of,
    settings_of,
)
from nextrec.data.transforms.tokens import Tokens, tokens_of
from nextrec.data.transforms.vocabulary import VocabularyOptions
from nextrec.errors import ConfigError, invalid
from nextrec.features import Feature, SparseFeature

UNKNOWN = "<UNK>"


class SparseTransform(TokenTransform):
    """One token a row in, one id a row out."""

    role = "sparse"
    fill_token: str | None = None
    """Token of missing values; ``None``: they have the unknown id."""

    @abstractmethod
    def tokens(self, columns: Sequence[pa.Array], first_row: int) -> Tokens:
        """The token of each row ``(N,)``."""

    def read(self, columns: Sequence[pa.Array], first_row: int) -> tuple[Tokens, dict[str, int]]:
        """The tokens to count, with missing ones filled in."""
        return self._filled(self._checked_tokens(columns, first_row)), {}

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The id of each row ``(N,)``."""
        tokens = self._checked_tokens(columns, first_row)
        output = self.output(self._filled(tokens))
        return Output(output.values, tokens.missing_count, output.unknown, output.total)

    def _checked_tokens(self, columns: Sequence[pa.Array], first_row: int) -> Tokens:
        tokens = self.tokens(columns, first_row)
        self.refuse_missing(tokens, self.origin(first_row))
        return tokens

    def _filled(self, tokens: Tokens) -> Tokens:
        if self.fill_token is None or not tokens.missing_count:
            return tokens
        return tokens.filled(self.fill_token)

    @property
    def output_type(self) -> pa.DataType:
        """One id a row."""
        return self.id_type

    def feature(self, arguments: Mapping[str, Any]) -> Feature:
        """A sparse feature with the size of the vocabulary."""
        known = {"vocab_size": self.vocab_size, "embedding_name": self.embedding_name}
        return SparseFeature(self.name, **{**known, **arguments})


class _OneColumn(SparseTransform):
    """One input column, whose missing values are the unknown id or a category of their own."""

    def _set_fill(self, fill_na: Any) -> None:
        if fill_na is None or fill_na == UNKNOWN:
            return
        if not isinstance(fill_na, (str, int, float)) or fill_na != fill_na:
            must_be = f"{UNKNOWN!r} for the unknown id, or the value that stands for missing ones"
            raise ConfigError(invalid(owner_of(self.role, self.name), "fill_na", must_be, fill_na))
        self.fill_token = tokens_of(pa.array([fill_na]), self.origin(0)).text[0].as_py()

    def tokens(self, columns: Sequence[pa.Array], first_row: int) -> Tokens:
        """The token of each row ``(N,)``."""
        return tokens_of(columns[0], self.origin(first_row))


@TRANSFORMS.register("vocabulary")
class Encode(_OneColumn):
    """Ids of a vocabulary that is learned from the column.

    Args:
        name: the output column.
        column: the input column; ``name`` by default.
        min_frequency: tokens seen less often than this are unknown.
        max_size: most tokens; the most frequent stay. ``None``: all.
        num_unknown: ids that unknown tokens are spread over by their hash.
        fill_na: ``"<UNK>"`` gives missing values the unknown id, anything else is the token that
            they count and are looked up as.
        missing: ``"error"`` refuses missing values, when fitting too.
        vocabulary: name of a vocabulary shared with other columns.
    """

    kind = "vocabulary"

    def __init__(
        self,
        name: str,
        column: str | None = None,
        min_frequency: int = 1,
        max_size: int | None = None,
        num_unknown: int = 1,
        fill_na: str | float | None = UNKNOWN,
        missing: Missing = "fill",
        vocabulary: str | None = None,
    ) -> None:
        check_shared(vocabulary, owner_of(self.role, name))
        options = VocabularyOptions(min_frequency, max_size, num_unknown)
        super().__init__(name, [column or name], missing, options)
        self.fill_na = fill_na
        self.vocabulary = vocabulary
        self._set_fill(fill_na)

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "name": self.name,
            "column": self.inputs[0],
            **settings_of(self.options),
            "fill_na": self.fill_na,
            "missing": self.missing,
            "vocabulary": self.vocabulary,
        }


@TRANSFORMS.register("hash")
class Hash(_OneColumn):
    """Ids by the token's hash, without a vocabulary: nothing is learned, nothing is unknown.

    Args:
        name: the output column.
        column: the input column; ``name`` by default.
        hash_size: all ids: padding, missing, and ``hash_size - 2`` buckets.
        seed: of the hash, in ``[0, 2**64)``.
        fill_na: ``"<UNK>"`` gives missing values id 1, anything else is hashed in their place.
        missing: ``"error"`` refuses missing values.
    """

    kind = "hash"

    def __init__(
        self,
        name: str,
        column: str | None = None,
        hash_size: int | None = None,
        seed: int = 0,
        fill_na: str | float | None = UNKNOWN,
        missing: Missing = "fill",
    ) -> None:
        buckets = Buckets(hash_size, seed, owner_of(self.role, name))
        super().__init__(name, [column or name], missing, buckets)
        self.hash_size = buckets.size
        self.seed = buckets.seed
        self.fill_na = fill_na
        self._set_fill(fill_na)

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "name": self.name,
            "column": self.inputs[0],
            "hash_size": self.hash_size,
            "seed": self.seed,
            "fill_na": self.fill_na,
            "missing": self.missing,
        }
