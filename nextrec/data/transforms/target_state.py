"""What is learned of a target: how often each label was seen. And how labels are read.

Letters: N rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pyarrow as pa

from nextrec.data.csv_types import MISSING
from nextrec.data.lists import Origin, first_true
from nextrec.data.transforms.base import Payload, State
from nextrec.data.transforms.labels import (
    MOST_LABELS,
    DistinctLabels,
    Label,
    all_numbers,
    distinct_labels,
    listed,
    ordered,
    too_many,
)
from nextrec.data.transforms.numbers import Numbers, read_numbers


class TargetState(State):
    """How often each label was seen, how many labels there were and how many rows had none."""

    def __init__(self, owner: str, target_type: str, known: Mapping[Label, int] | None) -> None:
        self.owner = owner
        self.target_type = target_type
        self.known = known
        """The label map, when there is one: other labels are refused as they come."""
        self.counts: Counter[Label] = Counter()
        self.rows = 0
        self.observed = 0

    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Take in a piece of the column."""
        origin = Origin(self.owner, first_row)
        self.rows += len(columns[0])
        if self.target_type == "regression":
            numbers = amounts(columns[0], origin)
            self.observed += len(numbers.values) - numbers.missing_count
            return
        piece = distinct_labels(columns[0], origin)
        if self.known is not None:
            class_numbers(piece, self.known, origin)
        for label, count in zip(piece.labels, piece.counts().tolist(), strict=True):
            if label is not None:
                self.counts[label] += count
                self.observed += count
        self._check()

    def merge(self, other: Self) -> None:
        """Take in all that another state has seen."""
        self.counts.update(other.counts)
        self.rows += other.rows
        self.observed += other.observed
        self._check()

    def _check(self) -> None:
        if len(self.counts) > MOST_LABELS:
            raise too_many(self.owner)

    def dump(self) -> Payload:
        """The state as plain values."""
        labels = ordered(self.counts)
        return {
            "owner": self.owner,
            "target_type": self.target_type,
            "known": None if self.known is None else [[*each] for each in self.known.items()],
            "labels": labels,
            "counts": [self.counts[label] for label in labels],
            "rows": self.rows,
            "observed": self.observed,
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """The state that :meth:`dump` wrote."""
        known = payload["known"]
        known = None if known is None else dict(known)
        state = cls(payload["owner"], payload["target_type"], known)
        state.counts.update(dict(zip(payload["labels"], payload["counts"], strict=True)))
        state.rows, state.observed = payload["rows"], payload["observed"]
        return state


def amounts(values: pa.Array, origin: Origin) -> Numbers:
    """The labels of a regression ``(N,)``, each within float32.

    Raises:
        DataError: a value is no finite number.
    """
    numbers = read_numbers(values, origin)
    with np.errstate(over="ignore"):
        wrong = first_true(np.isinf(numbers.values.astype(np.float32)))
    if wrong >= 0:
        raise origin.error(wrong, "a number that float32 holds", numbers.values[wrong])
    return numbers


def class_numbers(
    piece: DistinctLabels, codes: Mapping[Label, int], origin: Origin
) -> list[int | None]:
    """The class of each of a piece's distinct labels, ``None`` where it is missing.

    Raises:
        DataError: a label has no class; names its first row.
    """
    numbers_only = all_numbers(codes)
    result: list[int | None] = []
    for position, label in enumerate(piece.labels):
        known = label in codes
        if label is None or (not known and numbers_only and label in MISSING):
            result.append(None)
        elif known:
            result.append(codes[label])
        else:
            must_be = f"a known label ({listed(codes)}) or missing"
            row = piece.first_row_of(position)
            raise origin.error(row, must_be, piece.raw[position].as_py())
    return result
