"""What is learned for a target encoding: exact sums of labels, a category and fold.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin
from nextrec.data.transforms.base import Payload, State
from nextrec.data.transforms.category_keys import keys_of, row_hashes
from nextrec.data.transforms.grouped_sums import GroupedSums
from nextrec.data.transforms.target_state import amounts
from nextrec.errors import DataError

_WAITING = 1 << 18
"""Groups that wait before they are joined."""


class EncodingState(State):
    """Exact count, sum and sum of squares of the labels, a category and fold."""

    def __init__(self, owner: str, columns: int, folds: int, seed: int) -> None:
        self.owner = owner
        self.columns = columns
        """How many of the inputs make the category; then come the target and what makes folds."""
        self.folds = folds
        self.seed = seed
        self._sums = GroupedSums.nothing()
        self._pending: list[GroupedSums] = []

    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Take in a piece; rows without a label count for nothing."""
        origin = Origin(self.owner, first_row)
        keys = keys_of(columns[: self.columns], origin)
        try:
            labels = amounts(columns[self.columns], Origin(f"{self.owner}, its target", first_row))
        except DataError as error:
            advice = " Map text labels to numbers first: a mean needs numbers."
            raise DataError(str(error) + advice) from None
        folds = folds_of(columns[self.columns + 1 :], origin, self.folds, self.seed)
        seen = ~labels.missing
        values = labels.values[seen].astype(np.float64)
        self._add(GroupedSums.of(keys.text, keys.codes[seen], folds[seen], values))

    def _add(self, sums: GroupedSums) -> None:
        self._pending.append(sums)
        waiting = sum(each.table.num_rows for each in self._pending)
        if waiting > max(_WAITING, self._sums.table.num_rows):
            self._join()

    def _join(self) -> None:
        if self._pending:
            self._sums = GroupedSums.joined([self._sums, *self._pending])
            self._pending = []

    @property
    def sums(self) -> GroupedSums:
        """All that was seen."""
        self._join()
        return self._sums

    def merge(self, other: Self) -> None:
        """Take in all that another state has seen."""
        self._add(other.sums)

    def dump(self) -> Payload:
        """The state as plain values."""
        table = self.sums.table
        return {
            "owner": self.owner,
            "columns": self.columns,
            "folds": self.folds,
            "seed": self.seed,
            "sums": {name: table[name] for name in table.column_names},
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """The state that :meth:`dump` wrote."""
        state = cls(payload["owner"], payload["columns"], payload["folds"], payload["seed"])
        state._sums = GroupedSums(pa.table(payload["sums"]))
        return state


def folds_of(columns: Sequence[pa.Array], origin: Origin, folds: int, seed: int) -> np.ndarray:
    """The fold of each row ``(N,)``: a hash of what stands in it, so equal rows share one."""
    return (row_hashes(columns, origin, seed) % np.uint64(folds)).astype(np.int32)
