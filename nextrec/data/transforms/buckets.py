"""A column of numbers as ids of intervals.

Letters: N rows, K buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin
from nextrec.data.transforms.base import (
    TRANSFORMS,
    NothingToLearn,
    Output,
    Payload,
    State,
    Transform,
)
from nextrec.data.transforms.number_state import NumberState, Statistic
from nextrec.data.transforms.numbers import Missing, check_policy, read_numbers
from nextrec.errors import ConfigError, DataError, NotFittedError, invalid, unknown_option
from nextrec.features import UNKNOWN_ID, SparseFeature

Method = Literal["equal_width", "equal_frequency", "edges"]
METHODS = get_args(Method)
FIRST_BUCKET_ID = UNKNOWN_ID + 1


@TRANSFORMS.register("bucketize")
class Bucketize(Transform):
    """Numbers as the ids of the buckets they fall in: id 1 is missing, bucket ``b`` is ``b + 2``.

    Bucket ``b`` is ``[edges[b], edges[b + 1])``, the last one closed. A number outside the edges
    goes to the first or the last bucket.

    Args:
        name: output column.
        column: input column; default: ``name``.
        method: ``equal_width``: the fitted range in equal parts; ``equal_frequency``: at quantiles
            of the fitted numbers, so that about as many of them fall in every bucket; ``edges``:
            as given. Where fitted edges are equal, their buckets are one, and there are fewer.
        num_buckets: K, of the two fitted methods.
        edges: the K + 1 edges of method ``edges``, ascending; the outer two may be infinite.
        missing: ``"error"``: a missing number is an error, in fitting and in applying.

    >>> age = Bucketize("age", method="edges", edges=[0, 18, 35, 120])
    >>> age.apply([pa.array([17, 18, 119, 300, None])], first_row=0).values.to_pylist()
    [2, 3, 4, 4, 1]
    >>> age.vocab_size
    5
    """

    kind = "bucketize"
    role = "sparse"

    def __init__(
        self,
        name: str,
        column: str | None = None,
        method: Method = "equal_width",
        num_buckets: int = 10,
        edges: Sequence[float] | None = None,
        missing: Missing = "fill",
    ) -> None:
        self.name = name
        self.inputs = (name if column is None else column,)
        self.method = method
        self.num_buckets = num_buckets
        self.missing = missing
        self._check(edges)
        self._given = None if edges is None else [float(each) for each in edges]
        self.edges: np.ndarray | None = None if self._given is None else np.array(self._given)
        """The edges ``(K + 1,)`` in use; ``None`` before they are fitted."""

    def _check(self, edges: Sequence[float] | None) -> None:
        owner = f"Bucketize {self.name!r}"
        if self.method not in METHODS:
            raise ConfigError(unknown_option(owner, "method", METHODS, self.method))
        check_policy(owner, self.missing)
        count = self.num_buckets
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ConfigError(invalid(owner, "num_buckets", "an integer of at least 1", count))
        self.num_buckets = int(count)
        if self.method != "edges":
            if edges is not None:
                must_be = f"None with `method` {self.method!r}, which fits them"
                raise ConfigError(invalid(owner, "edges", must_be, edges))
        elif edges is None or not _ascending(edges):
            must_be = "at least two ascending numbers with `method` 'edges'"
            raise ConfigError(invalid(owner, "edges", must_be, edges))

    @property
    def _owner(self) -> str:
        return f"{self.kind} of column {self.inputs[0]!r}"

    def state(self) -> State:
        """An empty state of what has to be learned."""
        if self.method == "edges":
            return NothingToLearn()
        need: Statistic = "range" if self.method == "equal_width" else "quantiles"
        return NumberState(self._owner, (need,), self.missing)

    def learn(self, state: State) -> None:
        """Find the edges.

        Raises:
            DataError: the column has no value at all.
        """
        if not isinstance(state, NumberState):
            return
        if not state.count:
            raise DataError(
                f"{self._owner}: there is no value to learn from, all are missing; give `edges`, "
                "or leave the column out."
            )
        steps = np.arange(self.num_buckets + 1)
        if state.sketch is not None:
            edges = state.sketch.quantiles(steps / self.num_buckets)
        else:
            edges = _equal_parts(state.low, state.high, steps)
        edges = np.unique(edges)
        self.edges = edges if len(edges) > 1 else np.repeat(edges, 2)  # a constant: one bucket

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The ids.

        Raises:
            DataError: a value is no finite number.
            NotFittedError: the edges have to be fitted and were not.
        """
        edges = self._known_edges()
        origin = Origin(self._owner, first_row)
        numbers = read_numbers(columns[0], origin, self.missing)
        values = numbers.filled(0.0)
        ids = np.searchsorted(edges[1:-1], values, side="right").astype(np.int32)
        ids += FIRST_BUCKET_ID
        if numbers.missing_count:
            ids[numbers.missing] = UNKNOWN_ID
        return Output(pa.array(ids), numbers.missing_count, total=len(ids))

    def _known_edges(self) -> np.ndarray:
        if self.edges is None:
            raise NotFittedError(f"{self._owner}: fit it before transforming.")
        return self.edges

    @property
    def output_type(self) -> pa.DataType:
        """int32."""
        return pa.int32()

    @property
    def vocab_size(self) -> int:
        """Padding, unknown, and the buckets."""
        return FIRST_BUCKET_ID + len(self._known_edges()) - 1

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "name": self.name,
            "column": self.inputs[0],
            "method": self.method,
            "num_buckets": self.num_buckets,
            "edges": self._given,
            "missing": self.missing,
        }

    def learned(self) -> Payload:
        """The fitted edges."""
        fitted = self._given is None and self.edges is not None
        return {"edges": pa.array(self.edges)} if fitted else {}

    def restore(self, payload: Payload) -> None:
        """Set what :meth:`learned` wrote."""
        if payload:
            self.edges = payload["edges"].to_numpy()

    def feature(self, arguments: Mapping[str, Any]) -> SparseFeature:
        """A sparse feature over the buckets."""
        return SparseFeature(self.name, self.vocab_size, **arguments)

    def describe(self) -> str:
        """The method."""
        return f"buckets of {self.method.replace('_', ' ')}"


def _equal_parts(low: float, high: float, steps: np.ndarray) -> np.ndarray:
    """Edges from ``low`` to ``high``; ``steps`` are 0 to K."""
    count = int(steps[-1])
    if abs(low) < 2.0**1000 and abs(high) < 2.0**1000:
        edges = low + (high - low) * steps / count
    else:  # the width of the range may be beyond float64
        edges = low * (1 - steps / count) + high * (steps / count)
    edges[-1] = high
    return edges


def _ascending(edges: Sequence[float]) -> bool:
    numbers = all(isinstance(each, Real) and not isinstance(each, bool) for each in edges)
    return numbers and len(edges) > 1 and all(low < high for low, high in pairwise(edges))
