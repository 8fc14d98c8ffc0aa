"""Lists ranked by score: one sort by group and score that every ranking metric shares.

Shapes: N rows, G groups (one ranked list each), K tie blocks that hold a positive.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from nextrec.metrics.observations import Observations, needed_groups


class GroupedRanking:
    """The rows of each group from the highest score down, cut into blocks of equal score.

    Inside a block any order is as good as another, so a metric takes its expected value over all
    of them (McSherry and Najork, "Computing information retrieval performance measures efficiently
    in the presence of tied scores", ECIR 2008). Only blocks that hold a positive contribute to a
    metric, so only these are kept.

    Args:
        labels: ``(N,)``; a label above 0 is positive, and its size the grade of its relevance.
        scores: ``(N,)``.
        groups: ``(N,)`` numbers of the groups.
    """

    sizes: np.ndarray
    """``(G,)`` rows of each list."""
    positives: np.ndarray
    """``(G,)`` positive rows of each list."""
    block_list: np.ndarray
    """``(K,)`` the list of a block."""
    block_ahead: np.ndarray
    """``(K,)`` rows of the list above the block."""
    block_size: np.ndarray
    """``(K,)`` rows in the block."""
    block_positives: np.ndarray
    """``(K,)`` positives in the block."""
    positives_ahead: np.ndarray
    """``(K,)`` positives of the list above the block."""
    graded: bool
    """Some positive label isn't 1."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> None:
        order = order_within_groups(groups, scores)
        labels, scores, groups = labels[order], scores[order], groups[order]
        positive = labels > 0
        self._labels, self._groups = labels, groups
        self.graded = bool((labels[positive] != 1).any())

        first_of_list = np.append(True, groups[1:] != groups[:-1])  # (N,)
        first_of_block = first_of_list | np.append(True, scores[1:] != scores[:-1])
        self._list_starts = np.flatnonzero(first_of_list)
        self.sizes = _lengths(self._list_starts, len(labels))
        block_starts = np.flatnonzero(first_of_block)

        found = np.append(0, np.cumsum(positive))  # (N + 1,) positives above a row
        self.positives = np.diff(np.append(found[self._list_starts], found[-1]))
        block_positives = np.diff(np.append(found[block_starts], found[-1]))
        kept = np.flatnonzero(block_positives)
        starts = block_starts[kept]
        self._block_starts = starts
        self.block_list = np.searchsorted(self._list_starts, starts, side="right") - 1
        list_starts = self._list_starts[self.block_list]
        self.block_ahead = starts - list_starts
        self.block_size = _lengths(block_starts, len(labels))[kept]
        self.block_positives = block_positives[kept]
        self.positives_ahead = found[starts] - found[list_starts]

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def block_gain(self) -> np.ndarray:
        """``(K,)`` sum of the gains ``2^label - 1`` in a block."""
        if not self.graded:
            return self.block_positives.astype(np.float64)
        # Sums of [start, end) pairs; the extra 0 makes the end of the last block a valid index.
        ends = self._block_starts + self.block_size
        bounds = np.stack([self._block_starts, ends], axis=1).ravel()  # (2K,)
        return np.add.reduceat(np.append(_gains(self._labels), 0.0), bounds)[::2]

    @cached_property
    def ideal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """List, rows above and gain of each positive row in the best order of graded labels."""
        order = order_within_groups(self._groups, self._labels)
        labels = self._labels[order]  # the lists keep their places; only their rows move
        ahead = np.arange(len(labels)) - np.repeat(self._list_starts, self.sizes)
        lists = np.repeat(np.arange(len(self)), self.sizes)
        kept = np.flatnonzero(labels > 0)
        return lists[kept], ahead[kept], _gains(labels[kept])

    def per_list(self, block_values: np.ndarray) -> np.ndarray:
        """Sums ``(G,)`` of block values ``(K,)``."""
        return np.bincount(self.block_list, block_values, len(self))


def grouped_ranking(data: Observations) -> GroupedRanking:
    """The ranking of observations that have groups."""
    return GroupedRanking(data.labels, data.predictions, needed_groups(data))


def order_within_groups(groups: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Row numbers ``(N,)`` that sort by group, and by falling score within a group.

    numpy sorts 16-bit numbers stably by radix, so sorting the scores and then the group numbers
    16 bits at a time takes a third of ``np.lexsort``. Equal scores come in any order.
    """
    order = np.argsort(scores)[::-1]
    for shift in range(0, max(int(groups.max()).bit_length(), 1), 16):
        digits = (groups >> shift).astype(np.uint16)[order]
        order = order[np.argsort(digits, kind="stable")]
    return order


def _lengths(starts: np.ndarray, rows: int) -> np.ndarray:
    return np.diff(np.append(starts, rows))


def _gains(labels: np.ndarray) -> np.ndarray:
    return np.exp2(np.maximum(labels.astype(np.float64), 0)) - 1
