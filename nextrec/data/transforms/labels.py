"""Labels: the values of a target, compared as numbers wherever they are numbers.

``1``, ``1.0``, ``"1"`` and ``True`` are one label, so a column that comes back from a CSV file or
with a gap (which turns integers into reals) still means the same. Letters: N rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import NUMBER_TEXT
from nextrec.data.csv_types import MISSING
from nextrec.data.lists import Origin, is_text
from nextrec.errors import DataError

Label = int | float | str
MOST_LABELS = 10_000
"""A column with more distinct values holds amounts or names, not classes."""
_NUMBER = re.compile(NUMBER_TEXT, re.ASCII)
_INTEGER = re.compile(r"\s*[+-]?\d{1,400}(\.0*)?\s*", re.ASCII)
_BOOLEANS = {"true": 1, "false": 0}


@dataclass(frozen=True)
class DistinctLabels:
    """The labels of a piece of a column: each once, and which row has which."""

    labels: list[Label | None]
    """In order of their first row; one label may stand there in several forms."""
    raw: pa.Array
    """The values that the labels were read from."""
    indices: pa.Array
    """``(N,)``: position in ``labels``; null where the value is null."""

    def first_row_of(self, position: int) -> int:
        """First row, in the piece, of a label."""
        return int(pc.index(self.indices, pa.scalar(position, self.indices.type)).as_py())

    def counts(self) -> np.ndarray:
        """How many rows have each of ``labels``."""
        return np.bincount(self.indices.drop_null().to_numpy(), minlength=len(self.labels))


def label_of(value: Any) -> Label | None:
    """The label that a Python value means; ``None`` for nothing and blank text.

    Raises:
        ValueError: an infinite number.

    >>> [label_of(value) for value in (1, 1.0, " 1.00", True, "TRUE", "0.5", "yes", "")]
    [1, 1, 1, 1, 1, 0.5, 'yes', None]
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        if value.lower() in _BOOLEANS:
            return _BOOLEANS[value.lower()]
        if _INTEGER.fullmatch(value):
            return int(value.split(".")[0])
        if not _NUMBER.fullmatch(value):
            return value
    if isinstance(value, (bool, int, np.integer, np.bool_)):
        return int(value)
    number = float(value)
    if number != number:
        return None
    if number in (float("inf"), float("-inf")):
        raise ValueError("infinite")
    return int(number) if number.is_integer() else number


def distinct_labels(values: pa.Array, origin: Origin) -> DistinctLabels:
    """The labels of a piece ``(N,)`` of a column.

    Raises:
        DataError: a value can't be a label, or there are too many.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return DistinctLabels([], values, pa.nulls(len(values), pa.int32()))
    simple = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if not is_text(kind) and not any(check(kind) for check in simple):
        got = f"values of type {kind}"
        raise DataError(f"{origin.owner}: labels must be numbers, booleans or text; got {got}.")
    if is_text(kind):
        values = values.cast(pa.large_string())  # a view has fewer kernels
    if pa.types.is_float16(kind):
        values = values.cast(pa.float32())
    encoded = values.dictionary_encode()
    raw, indices = encoded.dictionary, encoded.indices
    if len(raw) > MOST_LABELS:
        raise too_many(origin.owner)
    labels: list[Label | None] = []
    for value in _python_values(raw):
        try:
            labels.append(label_of(value))
        except ValueError:
            row = int(pc.index(indices, pa.scalar(len(labels), indices.type)).as_py())
            raise origin.error(row, "a finite label", raw[len(labels)].as_py()) from None
    return DistinctLabels(labels, raw, indices)


def _python_values(raw: pa.Array) -> list[Any]:
    if pa.types.is_float32(raw.type):  # 0.1 in float32 is the label 0.1, not its nearest float64
        return [float(str(each)) for each in raw.to_numpy()]
    return raw.to_pylist()


def too_many(owner: str) -> DataError:
    """The error for a column that holds no classes."""
    return DataError(
        f"{owner}: a target with classes must have at most {MOST_LABELS:,} distinct labels; got "
        "more. Is it a 'regression' target, or an id?"
    )


def ordered(labels: Iterable[Label]) -> list[Label]:
    """Numbers by size, then text by code point."""
    return sorted(labels, key=lambda label: (isinstance(label, str), label))


def all_numbers(labels: Iterable[Label]) -> bool:
    """Whether no label is text, words for a missing number aside."""
    return not any(isinstance(label, str) and label not in MISSING for label in labels)


def listed(labels: Iterable[Label]) -> str:
    """A few labels, for errors."""
    shown = [repr(label) for label in ordered(labels)]
    return ", ".join(shown[:6]) + (f", ... ({len(shown)} in all)" if len(shown) > 6 else "")
