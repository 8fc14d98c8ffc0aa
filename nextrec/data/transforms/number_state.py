"""What the transforms of one column of numbers learn from: count, range, sums, quantiles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Self

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin
from nextrec.data.transforms.base import Payload, State
from nextrec.data.transforms.exact_sums import ExactSums
from nextrec.data.transforms.numbers import Missing, read_numbers
from nextrec.data.transforms.quantiles import QuantileSketch

Statistic = Literal["range", "mean", "std", "quantiles"]


class NumberState(State):
    """The numbers seen so far, without the missing ones.

    Args:
        owner: whose column it is, for errors.
        needs: the statistics to collect; count and range always are.
        policy: of missing numbers, while fitting too.
    """

    def __init__(
        self, owner: str, needs: Collection[Statistic] = (), policy: Missing = "fill"
    ) -> None:
        self.owner = owner
        self.needs = tuple(sorted(needs))
        self.policy = policy
        self.count = 0
        """Numbers that are not missing."""
        self.low = np.inf
        self.high = -np.inf
        self.sums: ExactSums | None = None
        """Exact sums, when mean or standard deviation are needed."""
        self.sketch: QuantileSketch | None = None
        """When quantiles are needed."""
        if "mean" in needs or "std" in needs:
            self.sums = ExactSums(squares="std" in needs)
        if "quantiles" in needs:
            self.sketch = QuantileSketch()

    def update(self, columns: Sequence[pa.Array], first_row: int) -> None:
        """Take in one piece of the column."""
        origin = Origin(self.owner, first_row)
        numbers = read_numbers(columns[0], origin, self.policy).present
        if not len(numbers):
            return
        self.count += len(numbers)
        if self.sums is not None:
            self.sums.add(numbers)  # before integers of 64 bits become float64
        reals = numbers.astype(np.float64, copy=False)
        # -0.0 and 0.0 are equal, so which of them is the smallest would depend on the order.
        self.low = min(self.low, float(reals.min()) + 0.0)
        self.high = max(self.high, float(reals.max()) + 0.0)
        if self.sketch is not None:
            self.sketch.add(reals)

    def merge(self, other: Self) -> None:
        """Take in all that another state has seen."""
        self.count += other.count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if self.sums is not None and other.sums is not None:
            self.sums.merge(other.sums)
        if self.sketch is not None and other.sketch is not None:
            self.sketch.merge(other.sketch)

    def dump(self) -> Payload:
        """Plain values and arrays."""
        return {
            "owner": self.owner,
            "needs": list(self.needs),
            "policy": self.policy,
            "count": self.count,
            "low": self.low,
            "high": self.high,
            "sums": self.sums.dump() if self.sums is not None else None,
            "sketch": self.sketch.dump() if self.sketch is not None else None,
        }

    @classmethod
    def load(cls, payload: Payload) -> Self:
        """What :meth:`dump` wrote."""
        state = cls(payload["owner"], payload["needs"], payload["policy"])
        state.count = payload["count"]
        state.low, state.high = payload["low"], payload["high"]
        if state.sums is not None:
            state.sums = ExactSums.load(payload["sums"])
        if state.sketch is not None:
            state.sketch = QuantileSketch.load(payload["sketch"])
        return state
