"""Which items each user has seen, looked up by the million.

Letters: U users, I items, P different pairs that were seen, N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from nextrec.data.lists import first_true
from nextrec.data.sampling.keys import check_count
from nextrec.errors import DataError, invalid

_CODES = 2**31
"""Codes count from 0, so that they can be places in an array; raw ids are often larger."""


class SeenItems:
    """The pairs of user and item that were seen, sorted once.

    Args:
        users, items: codes of the pairs ``(any,)``; repeats are counted once. Users count from 0;
            items are in ``[0, num_items)``.
        num_items: I.

    Raises:
        DataError: a code is out of range, or the lengths differ.

    >>> seen = SeenItems([0, 0, 1], [2, 0, 1], num_items=4)
    >>> seen.contains([0, 1, 2], [2, 2, 2]).tolist()
    [True, False, False]
    >>> seen.unseen(np.array([0, 0, 1]), np.array([[0], [1], [0]])).ravel().tolist()
    [1, 3, 0]
    """

    def __init__(self, users: Any, items: Any, num_items: int) -> None:
        check_count("SeenItems", "num_items", num_items)
        self.num_items = int(num_items)
        users = checked_codes("SeenItems", "users", users, _CODES)
        items = checked_codes("SeenItems", "items", items, self.num_items)
        if len(users) != len(items):
            got = f"{len(users)} users and {len(items)} items"
            raise DataError(invalid("SeenItems", "items", "one item for each user", got))
        pairs = np.sort(
            users * self.num_items + items
        )  # np.unique hashes, and takes 10 times as long
        self.pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        """Sorted ``user * num_items + item`` ``(P,)``."""
        user, self.items = np.divmod(self.pairs, self.num_items)
        counts = np.bincount(user)
        self.offsets = np.concatenate([[0], np.cumsum(counts)])
        """Where each user's pairs start, and where the last ends ``(U + 1,)``."""
        # An unseen item of rank r lies after all seen items that have at most r unseen ones below.
        below = self.items - (np.arange(len(self.pairs)) - self.offsets[user])
        self._keys = user * (self.num_items + 1) + below

    def spans(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First pair of each user ``(N,)`` and one past the last; empty for a user not seen."""
        last = len(self.offsets) - 1
        return self.offsets[np.minimum(users, last)], self.offsets[np.minimum(users + 1, last)]

    def counts(self, users: np.ndarray) -> np.ndarray:
        """How many different items each user has seen ``(N,)``."""
        starts, stops = self.spans(users)
        return stops - starts

    def contains(self, users: Any, items: Any) -> np.ndarray:
        """Whether the pairs were seen; the arguments are broadcast."""
        items = np.asarray(items, dtype=np.int64)
        keys = np.asarray(users, dtype=np.int64) * self.num_items + items
        if not len(self.pairs):
            return np.zeros(keys.shape, dtype=bool)
        places = np.searchsorted(self.pairs, keys)
        found = self.pairs[np.minimum(places, len(self.pairs) - 1)] == keys
        return found & (items >= 0) & (items < self.num_items)

    def pairs_of(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every item that each of these users has seen: places in ``users``, and the items."""
        starts, stops = self.spans(users)
        lengths = stops - starts
        places = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        places += np.arange(len(places))
        return np.repeat(np.arange(len(users)), lengths), self.items[places]

    def unseen(self, users: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """Items with these ranks among those that a user has not seen, in ascending order.

        Args:
            users: ``(N,)``.
            ranks: ``(N, any)``, each below the number of the user's unseen items; below 0 is kept.
        """
        starts, _ = self.spans(users)
        asked = users[:, None] * (self.num_items + 1) + np.maximum(ranks, 0)
        before = np.searchsorted(self._keys, asked, side="right") - starts[:, None]
        return np.where(ranks >= 0, ranks + before, ranks)


def as_seen(
    owner: str, parameter: str, pairs: SeenItems | tuple[Any, Any], num_items: int | None = None
) -> SeenItems:
    """Pairs that are given sorted, or as user codes and item codes.

    Args:
        num_items: I; ``None``: as many as the pairs name.
    """
    if isinstance(pairs, SeenItems):
        return pairs
    if not isinstance(pairs, (tuple, list)) or len(pairs) != 2:
        must_be = "SeenItems, or a tuple of user codes and item codes"
        raise DataError(invalid(owner, parameter, must_be, type(pairs).__name__))
    users, items = (_on_host(each) for each in pairs)
    if num_items is None:
        items = checked_codes(owner, parameter, items, _CODES)
        num_items = int(items.max(initial=0)) + 1
    return SeenItems(users, items, num_items)


def _on_host(codes: Any) -> np.ndarray:
    return np.asarray(codes.detach().cpu() if isinstance(codes, Tensor) else codes)


def checked_codes(owner: str, parameter: str, codes: Any, limit: int) -> np.ndarray:
    """Codes in ``[0, limit)`` as int64 ``(N,)``."""
    array = _on_host(codes)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        got = f"an array of {array.dtype}, shape {array.shape}"
        raise DataError(invalid(owner, parameter, "integer codes in one dimension", got))
    wrong = first_true((array < 0) | (array >= limit))
    if wrong >= 0:
        where = f"{owner}, row {wrong}"
        raise DataError(invalid(where, parameter, f"a code in [0, {limit})", array[wrong].item()))
    return array.astype(np.int64)
