"""Items that a user has not seen, each as likely as the other.

Letters: N rows, C ``count``.
"""

from __future__ import annotations

import numpy as np

from nextrec.data.sampling.seen import SeenItems


def sample_unseen(
    users: np.ndarray,
    seen_users: np.ndarray,
    seen_items: np.ndarray,
    num_items: int,
    count: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Items that a user has not seen, drawn without replacement, for many users at once.

    Each row is drawn on its own: the ranks among the unseen items by Floyd's algorithm (Bentley
    and Floyd, "A sample of brilliance", CACM 1987), then each rank is mapped to its item. No draw
    is ever rejected, so it takes no longer for a user who has seen nearly everything.

    Args:
        users: user code of each row to draw ``(N,)``.
        seen_users, seen_items: codes of the pairs that were seen; users count from 0, items are
            in ``[0, num_items)``.
        count: items to draw a row, C.

    Returns:
        Item codes ``(N, C)``, in random order; -1 at the end of a row whose user has fewer than
        ``count`` unseen items.

    >>> one = np.array([0])
    >>> drawn = sample_unseen(one, one, np.array([2]), 4, 3, np.random.default_rng(0))
    >>> sorted(drawn[0].tolist())
    [0, 1, 3]
    """
    return draw_unseen(users, SeenItems(seen_users, seen_items, num_items), count, random)


def draw_unseen(
    users: np.ndarray, seen: SeenItems, count: int, random: np.random.Generator
) -> np.ndarray:
    """:func:`sample_unseen` with pairs that were sorted before."""
    free = seen.num_items - seen.counts(users)
    return seen.unseen(users, _distinct_ranks(free, np.minimum(count, free), count, random))


def _distinct_ranks(
    free: np.ndarray, counts: np.ndarray, width: int, random: np.random.Generator
) -> np.ndarray:
    """For each row, ``counts`` different numbers below ``free``, then -1 up to ``width``."""
    ranks = np.full((len(free), width), -1, dtype=np.int64)
    for step in range(width):
        last = np.maximum(free - counts + step, 0)
        drawn = random.integers(0, last + 1)
        taken = (ranks[:, :step] == drawn[:, None]).any(axis=1)
        ranks[:, step] = np.where(step < counts, np.where(taken, last, drawn), -1)
    ranks = random.permuted(ranks, axis=1)  # Floyd's order is not a random one
    return np.take_along_axis(ranks, np.argsort(ranks < 0, axis=1, kind="stable"), axis=1)
