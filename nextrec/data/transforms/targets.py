"""Targets: labels of classes as their numbers, amounts as they are, what is missing left missing.

Letters: N rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin
from nextrec.data.transforms.base import TRANSFORMS, Output, Payload, Role, Transform
from nextrec.data.transforms.labels import (
    Label,
    all_numbers,
    distinct_labels,
    label_of,
    listed,
    ordered,
)
from nextrec.data.transforms.target_state import TargetState, amounts, class_numbers
from nextrec.errors import ConfigError, DataError, NotFittedError, invalid, unknown_option

TargetType = Literal["binary", "multiclass", "regression"]
TARGET_TYPES = {"binary": pa.float32(), "multiclass": pa.int64(), "regression": pa.float32()}
"""Each type of target and the Arrow type of its labels."""


@TRANSFORMS.register("target")
class Target(Transform):
    """The labels of one target; a missing label is not observed and stays missing.

    * ``binary``: labels 0 and 1 stay what they are, also when only one of them was seen. Any other
      two labels become 0 and 1 in their order; anything else needs a ``label_map``.
    * ``multiclass``: the labels in their order become 0, 1, 2...; so 0 to n-1 stay the same.
    * ``regression``: numbers as they are, in float32.

    Labels are compared as numbers wherever they are numbers, and text ``true`` and ``false`` are 1
    and 0. The order is that of numbers, then of text. In a column of numbers, the words of
    :data:`~nextrec.data.csv_types.MISSING` are missing labels; blank text always is.

    Args:
        name: the output column.
        column: the input column; default: ``name``.
        target_type: ``binary``, ``multiclass`` or ``regression``.
        label_map: class (0, 1, ... without gaps) of each label; several labels may share a class.

    Raises:
        ConfigError: a setting is wrong.
    """

    kind: ClassVar[str] = "target"
    role: Role = "target"

    def __init__(
        self,
        name: str,
        column: str | None = None,
        target_type: TargetType = "binary",
        label_map: Mapping[Any, int] | None = None,
    ) -> None:
        column = name if column is None else column
        self.name, self.inputs, self.target_type = name, (column,), target_type
        self.owner = f"{self.kind} of column {column!r}"
        if target_type not in TARGET_TYPES:
            raise ConfigError(unknown_option(self.owner, "target_type", TARGET_TYPES, target_type))
        if label_map is not None and target_type == "regression":
            must_be = "None for a 'regression' target"
            raise ConfigError(invalid(self.owner, "label_map", must_be, label_map))
        self.label_map = None if label_map is None else self._checked_map(label_map)
        self._forget()

    def _forget(self) -> None:
        self._codes: dict[Label, int] | None = None
        self._counts: Counter[Label] = Counter()
        self.rows = 0
        """Rows that were fitted."""
        self.observed = 0
        """Rows that were fitted and had a label."""

    def _checked_map(self, label_map: Mapping[Any, int]) -> dict[Label, int]:
        must_be = "a dict from labels to classes"
        if not isinstance(label_map, Mapping) or not label_map:
            raise ConfigError(invalid(self.owner, "label_map", must_be, label_map))
        codes: dict[Label, int] = {}
        for key, code in label_map.items():
            try:
                label = label_of(key)
            except (TypeError, ValueError):
                label = None
            if label is None or not isinstance(code, Integral) or isinstance(code, bool):
                got = f"{key!r}: {code!r}"
                must_be += ", labels numbers or text, classes integers"
                raise ConfigError(invalid(self.owner, "label_map", must_be, got))
            if codes.setdefault(label, int(code)) != code:
                must_be = f"one class for each label, but has two for {label!r}"
                raise ConfigError(invalid(self.owner, "label_map", must_be, dict(label_map)))
        classes = set(codes.values())
        most = 2 if self.target_type == "binary" else len(classes)
        gapless = classes == set(range(len(classes)))
        if not (classes <= {0, 1} if self.target_type == "binary" else gapless):
            must_be = f"a dict to the classes 0 to {most - 1}, none left out"
            raise ConfigError(invalid(self.owner, "label_map", must_be, dict(label_map)))
        return codes

    def state(self) -> TargetState:
        """An empty state."""
        return TargetState(self.owner, self.target_type, self.label_map)

    def learn(self, state: TargetState) -> None:
        """Number the classes."""
        if not state.observed:
            must_be = "a column with at least one label"
            raise DataError(invalid(self.owner, "column", must_be, f"{state.rows} without any"))
        counts = state.counts
        if self.target_type == "regression":
            codes = None
        else:
            counts = Counter(_without_words_of_missing(counts))
            codes = dict(self.label_map) if self.label_map else self._numbered(ordered(counts))
        self._codes, self._counts = codes, counts
        self.rows = state.rows
        self.observed = sum(counts.values()) if codes else state.observed

    def _numbered(self, labels: list[Label]) -> dict[Label, int]:
        binary = self.target_type == "binary"
        if binary and labels and set(labels) <= {0, 1}:
            return {0: 0, 1: 1}
        one_kind = len({isinstance(label, str) for label in labels}) == 1
        if binary and not (len(labels) == 2 and one_kind):
            must_be = "a column of 0 and 1, or of two other labels, or come with a `label_map`"
            raise DataError(invalid(self.owner, "column", must_be, listed(labels)))
        if len(labels) < 2:
            must_be = "a column of two or more classes, or come with a `label_map`"
            raise DataError(invalid(self.owner, "column", must_be, listed(labels)))
        return {label: code for code, label in enumerate(labels)}

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The labels of a piece of the column, missing ones null."""
        origin = Origin(self.owner, first_row)
        if self.target_type == "regression":
            numbers = amounts(columns[0], origin)
            values = pa.array(numbers.values.astype(np.float32), mask=numbers.missing)
        else:
            piece = distinct_labels(columns[0], origin)
            codes = pa.array(class_numbers(piece, self._fitted(), origin), self.output_type)
            values = codes.take(piece.indices)
        return Output(values, missing=values.null_count, total=len(values))

    def _fitted(self) -> dict[Label, int]:
        if self._codes is None:
            raise NotFittedError(f"{self.owner}: fit it before transform.")
        return self._codes

    @property
    def output_type(self) -> pa.DataType:
        """float32, or int64 for classes of ``multiclass``."""
        return TARGET_TYPES[self.target_type]

    @property
    def num_classes(self) -> int | None:
        """Classes of a binary or multiclass target; ``None`` for regression."""
        if self.target_type == "regression":
            return None
        return 2 if self.target_type == "binary" else max(self._fitted().values()) + 1

    @property
    def classes(self) -> tuple[tuple[Label, ...], ...]:
        """The labels of each class: of most targets, one."""
        members: list[list[Label]] = [[] for _ in range(self.num_classes or 0)]
        for label, code in (self._fitted() if members else {}).items():
            members[code].append(label)
        return tuple(tuple(each) for each in members)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """How many fitted rows each class had."""
        return tuple(sum(self._counts[label] for label in members) for members in self.classes)

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        label_map = self.label_map
        return {
            "name": self.name,
            "column": self.inputs[0],
            "target_type": self.target_type,
            "label_map": label_map and {str(label): code for label, code in label_map.items()},
        }

    def learned(self) -> Payload:
        """Labels, the class of each and how often it was fitted."""
        codes = self._codes or {}
        return {
            "fitted": self._codes is not None,
            "labels": list(codes),
            "codes": list(codes.values()),
            "counts": [self._counts[label] for label in codes],
            "rows": self.rows,
            "observed": self.observed,
        }

    def restore(self, payload: Payload) -> None:
        """Set what :meth:`learned` wrote."""
        self._forget()
        labels = payload["labels"]
        if payload["fitted"]:
            self._codes = dict(zip(labels, payload["codes"], strict=True))
        self._counts.update(dict(zip(labels, payload["counts"], strict=True)))
        self.rows, self.observed = payload["rows"], payload["observed"]

    def describe(self) -> str:
        """The type and, of few classes that are not their own numbers, the labels."""
        codes = self._codes
        if not codes:
            return self.target_type
        if len(codes) > 4 or all(label == code for label, code in codes.items()):
            classes = "" if self.target_type == "binary" else f", {self.num_classes} classes"
            return self.target_type + classes
        pairs = ", ".join(f"{label} -> {code}" for label, code in codes.items())
        return f"{self.target_type} ({pairs})"


def _without_words_of_missing(counts: Mapping[Label, int]) -> dict[Label, int]:
    if not all_numbers(counts):
        return dict(counts)
    return {label: count for label, count in counts.items() if not isinstance(label, str)}
