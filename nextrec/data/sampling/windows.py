"""Runs of consecutive events as columns of lists.

Once events lie in order by user and time, every history is a run of neighbours: a start and a
length. Letters: R rows, E entries (events in order).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BLOCK_ITEMS = 1 << 20
"""Items of a list column made at once: bounds memory, and no offset of Arrow overflows."""


@dataclass(frozen=True)
class Windows:
    """For each row, a run of entries."""

    entries: np.ndarray
    """``(E,)`` the events' rows in the input, in order by user and time."""
    starts: np.ndarray
    """``(R,)`` first entry of each row's run."""
    lengths: np.ndarray
    """``(R,)`` entries of each row's run."""

    def lists(self, values: pa.Array) -> pa.ChunkedArray:
        """Each row's values, oldest first.

        Args:
            values: a column of the input, in its order.
        """
        ordered = values.take(pa.array(self.entries))
        take = [
            _lists(lengths, pc.take(ordered, pa.array(places), boundscheck=False))
            for _, lengths, places in self._blocks()
        ]
        return pa.chunked_array(take, pa.list_(ordered.type))

    def ages(self, moments: np.ndarray) -> pa.ChunkedArray:
        """How long before each row's own event the events of its run were.

        Args:
            moments: when each event of the input was; row r of the windows is event r.
        """
        ordered = moments[self.entries]
        take = [
            _lists(lengths, pa.array(np.repeat(moments[rows], lengths) - ordered[places]))
            for rows, lengths, places in self._blocks()
        ]
        return pa.chunked_array(take, pa.list_(pa.from_numpy_dtype(moments.dtype)))

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Blocks of rows: which, how long their runs are, and the entries of all, joined."""
        ends = np.cumsum(self.lengths)
        total = int(ends[-1]) if len(ends) else 0
        cuts = np.searchsorted(ends, np.arange(_BLOCK_ITEMS, total, _BLOCK_ITEMS), side="right")
        edges = np.unique(np.concatenate([[0], cuts, [len(ends)]]))
        for first, last in pairwise(edges):
            rows = slice(int(first), int(last))
            lengths = self.lengths[rows]
            before = np.cumsum(lengths) - lengths
            places = np.repeat(self.starts[rows] - before, lengths)
            places += np.arange(len(places))
            yield rows, lengths, places


def _lists(lengths: np.ndarray, values: pa.Array) -> pa.ListArray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values)
