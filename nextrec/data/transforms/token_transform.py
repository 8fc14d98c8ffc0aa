"""What the transforms of tokens share: ids by a learned vocabulary or by a hash.

Letters: N values.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin, first_true
from nextrec.data.transforms.base import (
    NothingToLearn,
    Output,
    Payload,
    State,
    Transform,
)
from nextrec.data.transforms.hashing import bucket_ids
from nextrec.data.transforms.tokens import Tokens
from nextrec.data.transforms.vocabulary import (
    TokenCounts,
    Vocabulary,
    VocabularyOptions,
    is_integer,
    plain_integer,
)
from nextrec.errors import ConfigError, NotFittedError, invalid, unknown_option
from nextrec.features import UNKNOWN_ID

Missing = Literal["fill", "error"]
EncodeMethod = Literal["label", "hash"]
_LARGEST_INT32 = 2**31 - 1
_LARGEST_SEED = 2**64 - 1


class Buckets:
    """Ids by hash: 0 is padding, 1 is missing, tokens share the other ``hash_size - 2``."""

    first_id = UNKNOWN_ID + 1

    def __init__(self, hash_size: Any, seed: Any, owner: str) -> None:
        hash_size, seed = plain_integer(hash_size), plain_integer(seed)
        if not is_integer(hash_size) or hash_size < 3:
            must_be = "an integer of at least 3: padding, unknown and a bucket"
            raise ConfigError(invalid(owner, "hash_size", must_be, hash_size))
        if not is_integer(seed) or not 0 <= seed <= _LARGEST_SEED:
            raise ConfigError(invalid(owner, "seed", "an integer in [0, 2**64)", seed))
        self.size = hash_size
        self.seed = seed

    def ids(self, tokens: Tokens, missing_id: int = UNKNOWN_ID) -> np.ndarray:
        """The id of each value ``(N,)`` int64."""
        if tokens.repeats:
            tokens = tokens.distinct()
        hashed = bucket_ids(tokens.text, self.size - self.first_id, self.first_id, self.seed)
        return tokens.spread(hashed, missing_id)


class TokenTransform(Transform):
    """A transform whose ids come from a vocabulary that it learns, or from buckets of a hash."""

    as_written = True
    encoder: Vocabulary | Buckets | None
    """``None``: a vocabulary before it is learned."""
    options: VocabularyOptions | None
    """What shapes the vocabulary; ``None`` with a hash."""
    vocabulary: str | None = None
    """Name of the vocabulary, when several columns share it."""

    def __init__(
        self, name: str, inputs: Sequence[str], missing: str, encoder: VocabularyOptions | Buckets
    ) -> None:
        owner = owner_of(self.role, name)
        self.name = name
        self.inputs = tuple(inputs)
        self.missing = missing
        if missing not in ("fill", "error"):
            raise ConfigError(unknown_option(owner, "missing", ("fill", "error"), missing))
        if isinstance(encoder, VocabularyOptions):
            encoder.check(owner)
            self.options, self.encoder = encoder, None
        else:
            self.options, self.encoder = None, encoder

    @property
    def shares(self) -> str | None:
        """Name of the shared vocabulary."""
        return self.vocabulary

    def vocabulary_options(self) -> dict[str, Any]:
        """What the transforms that share a vocabulary must agree on."""
        return {} if self.options is None else settings_of(self.options)

    @abstractmethod
    def read(self, columns: Sequence[pa.Array], first_row: int) -> tuple[Tokens, dict[str, int]]:
        """What a state counts of a piece: its tokens, and its longest list by column."""

    def state(self) -> State:
        """Counts of tokens, or nothing with a hash."""
        return NothingToLearn() if self.options is None else TokenCounts(self.read)

    def state_type(self) -> type[State]:
        """:class:`~nextrec.data.transforms.vocabulary.TokenCounts`, or nothing with a hash."""
        return NothingToLearn if self.options is None else TokenCounts

    def learn(self, state: Any) -> None:
        """Make the vocabulary of these counts; what was known before is forgotten."""
        if self.options is not None:
            self.encoder = Vocabulary(self.options).extended(state)

    def extend(self, state: Any) -> int:
        """Let new tokens of these counts into the vocabulary; every old id stays."""
        known = self.fitted()
        if not isinstance(known, Vocabulary):
            return 0
        self.encoder = known.extended(state)
        return len(self.encoder) - len(known)

    def tokens_in_fit(self) -> tuple[int, int]:
        """Tokens that were counted, and those that are too rare or too many; none with a hash."""
        known = self.fitted()
        if not isinstance(known, Vocabulary):
            return 0, 0
        left_out = int(known.waiting_counts.sum())
        return int(known.counts.sum()) + left_out, left_out

    def learned(self) -> Payload:
        """Tokens and counts of the vocabulary."""
        known = self.fitted()
        return known.payload() if isinstance(known, Vocabulary) else {}

    def restore(self, payload: Payload) -> None:
        """Set the vocabulary that :meth:`learned` wrote."""
        if self.options is not None:
            self.encoder = Vocabulary(self.options, payload)

    def fitted(self) -> Vocabulary | Buckets:
        """What gives the ids."""
        if self.encoder is None:
            raise NotFittedError(f"{owner_of(self.role, self.name)} is not fitted yet.")
        return self.encoder

    @property
    def vocab_size(self) -> int:
        """Padding, unknown and tokens, or the size of the hash."""
        return self.fitted().size

    @property
    def id_type(self) -> pa.DataType:
        """``int32``, or ``int64`` for a hash that needs it."""
        wide = isinstance(self.encoder, Buckets) and self.encoder.size > _LARGEST_INT32
        return pa.int64() if wide else pa.int32()

    @property
    def embedding_name(self) -> str:
        """Name of the table: that of the shared vocabulary, or the column's own.

        A column may have dots in its name, a table may not: they become underscores.
        """
        return (self.vocabulary or self.name).replace(".", "_")

    def output(self, tokens: Tokens) -> Output:
        """The ids of tokens, counted."""
        encoder = self.fitted()
        ids = encoder.ids(tokens)
        unknown = int(np.count_nonzero(ids < encoder.first_id)) - tokens.missing_count
        values = pa.array(ids.astype(self.id_type.to_pandas_dtype(), copy=False))
        return Output(values, tokens.missing_count, unknown, len(ids))

    def refuse_missing(self, tokens: Tokens, origin: Origin) -> None:
        """Raise where a value is missing and may not be."""
        if self.missing == "error" and tokens.missing_count:
            wrong = first_true(tokens.missing)
            raise origin.error(wrong, "present: the column's policy is missing='error'", None)

    def origin(self, first_row: int) -> Origin:
        """How errors name the column: by its kind and inputs."""
        plural = "s" if len(self.inputs) > 1 else ""
        columns = ", ".join(map(repr, self.inputs))
        return Origin(f"{self.kind} of column{plural} {columns}", first_row)


def owner_of(role: str, name: str) -> str:
    """How errors about settings name a transform."""
    return f"{role} feature {name!r}"


def check_shared(vocabulary: Any, owner: str) -> None:
    """Raise ``ConfigError`` when the name of a shared vocabulary is empty or no text."""
    if vocabulary is not None and not (isinstance(vocabulary, str) and vocabulary):
        raise ConfigError(invalid(owner, "vocabulary", "a non-empty name or None", vocabulary))


def settings_of(options: VocabularyOptions | None) -> dict[str, Any]:
    """The options of a vocabulary as arguments of a constructor."""
    options = options or VocabularyOptions()
    return {name: getattr(options, name) for name in ("min_frequency", "max_size", "num_unknown")}


def encoder_of(
    encode_method: str, hash_size: int | None, seed: int, options: VocabularyOptions, owner: str
) -> VocabularyOptions | Buckets:
    """What the ``encode_method`` of a cross or a sequence asks for."""
    if encode_method == "hash":
        return Buckets(hash_size, seed, owner)
    if encode_method != "label":
        raise ConfigError(unknown_option(owner, "encode_method", ("label", "hash"), encode_method))
    if hash_size is not None:
        raise ConfigError(invalid(owner, "hash_size", "None with encode_method 'label'", hash_size))
    return options
