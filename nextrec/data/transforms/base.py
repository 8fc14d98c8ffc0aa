"""What a transform is: columns in, a state that merges, one column out.

A transform reads one or more input columns and makes one output column. Fitting it is a merge of
states: every piece of the data updates a state of its own, states merge in any order, and the
result is the same to the last bit however the data was cut. That is what lets threads, row groups
and Spark executors fit one processor together.

Letters: N rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa

from nextrec._registry import Registry
from nextrec.features import Feature

Role = Literal["numeric", "sparse", "sequence", "target"]
Payload = dict[str, Any]
"""Plain values by name: what JSON can hold, and Arrow arrays. Written by
:mod:`~nextrec.data.transforms.payload`, never pickled."""

TRANSFORMS: Registry[type[Transform]] = Registry("DataProcessor", "transform")
"""Every class of transform by its ``kind``: how a saved processor finds them again."""


@dataclass(frozen=True)
class Output:
    """What a transform made of a piece of the data."""

    values: pa.Array
    """``(N,)``, of the transform's ``output_type``, without missing values (but of targets)."""
    missing: int = 0
    """Rows (items, of a sequence) whose input was missing."""
    unknown: int = 0
    """Rows (items, of a sequence) whose token was not seen when the transform was fitted."""
    total: int = 0
    """Rows (items, of a sequence): what the other counts are shares of."""


class State(ABC):
    """What a transform has seen so far.

    ``update`` and ``merge`` commute: pieces in any order and grouping give equal states.
    """

    @abstractmethod
    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Take in one piece of the transform's ``fit_inputs``.

        Args:
            columns: one array ``(N,)`` an input column.
            first_row: number, in the whole data, of the piece's first row; errors count from it.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in all that another state has seen."""

    @abstractmethod
    def dump(self) -> Payload:
        """The state as plain values, to be sent to another process."""

    @classmethod
    @abstractmethod
    def load(cls, payload: Payload) -> Self:
        """The state that :meth:`dump` wrote."""


class NothingToLearn(State):
    """The state of a transform that learns nothing."""

    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Nothing."""

    def merge(self, other: Self) -> None:
        """Nothing."""

    def dump(self) -> Payload:
        """Nothing."""
        return {}

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """A new one."""
        return cls()


class Transform(ABC):
    """One output column from one or more input columns.

    A subclass is a plain object: its constructor checks and keeps its settings, :meth:`learn` sets
    what was learned, :meth:`apply` changes nothing (several threads call it at once).
    """

    kind: ClassVar[str]
    """Name in :data:`TRANSFORMS`; stands in saved processors, so it never changes."""
    as_written: ClassVar[bool] = False
    """The inputs are wanted as they are written: text where a CSV file has no types, and
    dictionary-encoded arrays as such. Otherwise numbers are numbers and dictionaries decoded."""
    role: Role
    name: str
    """The output column."""
    inputs: tuple[str, ...]
    """The input columns of :meth:`apply`."""

    @property
    def fit_inputs(self) -> tuple[str, ...]:
        """The input columns of the state and of :meth:`apply_to_fitted`."""
        return self.inputs

    @property
    def shares(self) -> str | None:
        """Name of the vocabulary this transform reads; those of one name are fitted together."""
        return None

    def vocabulary_options(self) -> dict[str, Any]:
        """What shapes a vocabulary; readers of a shared one must agree on it."""
        return {}

    def state(self) -> State:
        """An empty state."""
        return NothingToLearn()

    def state_type(self) -> type[State]:
        """The class of the states."""
        return type(self.state())

    def learn(self, state: Any) -> None:  # noqa: B027 - not all transforms learn
        """Replace all that was learned by what the state of the whole data says.

        Raises:
            DataError: the data does not allow it (a column without any value, say).
        """

    def tokens_in_fit(self) -> tuple[int, int]:
        """Tokens that fitting counted, and how many of these the vocabulary left out.

        Of a shared vocabulary, those of all its columns.
        """
        return 0, 0

    def extend(self, state: Any) -> int:
        """Add what the state of further data has and nothing knows yet; ids given before stay.

        Returns:
            New tokens; 0 for a transform without a vocabulary.
        """
        return 0

    @abstractmethod
    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The output column of one piece of ``inputs``; changes nothing.

        Raises:
            DataError: a value does not fit: names column, row and value.
        """

    def apply_to_fitted(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The output for a piece of the very data that was fitted, given its ``fit_inputs``.

        Differs from :meth:`apply` only where a row must not see its own label.
        """
        return self.apply(columns[: len(self.inputs)], first_row)

    @property
    @abstractmethod
    def output_type(self) -> pa.DataType:
        """Arrow type of the output column, the same for every piece."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor as JSON values: ``type(self)(**settings())`` rebuilds."""

    def learned(self) -> Payload:
        """What :meth:`learn` set, as plain values."""
        return {}

    def restore(self, payload: Payload) -> None:  # noqa: B027 - not all transforms learn
        """Set what :meth:`learned` wrote."""

    def feature(self, arguments: Mapping[str, Any]) -> Feature | None:
        """The feature of the output column; ``None`` for a target.

        Args:
            arguments: of the feature's constructor (``embedding_dim``, ``combiner``...) beside
                what the transform knows; those that the feature's class lacks are left out by
                the caller.
        """
        return None

    @property
    def vocab_size(self) -> int | None:
        """Rows of the embedding table that the output needs; ``None`` when it is no id."""
        return None

    def describe(self) -> str:
        """The transform in a few words, for ``summary``: ``standard``, ``vocabulary``."""
        return self.kind
