"""Items drawn in proportion to a power of their popularity, without those already seen.

Draws from all items are rejected when they do not count; a row that would take too many draws is
finished exactly, from the weights of the items that are left to it. Both ways have the same
distribution, so that mixing them changes nothing. Letters: N rows, C ``count``, I items, W draws
of a round.
"""

from __future__ import annotations

import numpy as np

from nextrec.data.sampling.seen import SeenItems

_BLOCK = 1 << 21
"""Draws made at once."""
_DENSE_BLOCK = 1 << 22
"""Weights of items laid out at once for the rows that are finished exactly."""
_PATIENCE = 8
"""Finding a draw costs about as much as laying out so many weights."""


class PopularityDraws:
    """Draws of unseen items in proportion to fixed weights.

    Args:
        probabilities: of each item ``(I,)``; they sum to 1.
        seen: what is never drawn for a user; ``None``: anything may be drawn.
        replace: whether an item may come twice in a row.
    """

    def __init__(self, probabilities: np.ndarray, seen: SeenItems | None, replace: bool) -> None:
        self.probabilities = probabilities
        self.seen = seen
        self.replace = replace
        self._cumulative = np.cumsum(probabilities)
        self._cumulative /= self._cumulative[-1]  # the last is 1, above every draw in [0, 1)

    def draw(
        self, users: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items ``(N, C)``, -1 at the end where a user has too few, and the mass ``(N,)``.

        The mass is the probability that one draw from all items is unseen.
        """
        mass = self._mass(users)
        items = np.empty((len(users), count), dtype=np.int64)
        block = max(1, _BLOCK // (2 * count))
        for start in range(0, len(users), block):
            rows = slice(start, start + block)
            items[rows] = self._draw_block(users[rows], count, mass[rows], random)
        return items, mass

    def _mass(self, users: np.ndarray) -> np.ndarray:
        if self.seen is None:
            return np.ones(len(users))
        sums = np.concatenate([[0.0], np.cumsum(self.probabilities[self.seen.items])])
        starts, stops = self.seen.spans(users)
        return np.maximum(1 - (sums[stops] - sums[starts]), 0.0)

    def _draw_block(
        self, users: np.ndarray, count: int, mass: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Items ``(N, C)`` of some rows; the mass of rows finished exactly is made exact."""
        items = np.full((len(users), count), -1, dtype=np.int64)
        filled = np.zeros(len(users), dtype=np.int64)
        width, spent = count + max(2, count // 4), 0
        active = np.arange(len(users))
        while len(active) and spent + width <= len(self.probabilities) // _PATIENCE:
            step = max(1, _BLOCK // width)
            pieces = [active[start : start + step] for start in range(0, len(active), step)]
            lacking = [self._round(users, rows, width, items, filled, random) for rows in pieces]
            active = np.concatenate(lacking)
            spent += width
            width *= 2
        per_block = max(1, _DENSE_BLOCK // len(self.probabilities))
        for start in range(0, len(active), per_block):
            rows = active[start : start + per_block]
            mass[rows] = self._finish(users[rows], rows, items, filled, random)
        return items

    def _round(
        self,
        users: np.ndarray,
        rows: np.ndarray,
        width: int,
        items: np.ndarray,
        filled: np.ndarray,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Draw W items a row and write those that count into ``items``; rows that lack some."""
        points = random.random((len(rows), width))
        drawn = np.searchsorted(self._cumulative, points, side="right")  # by inversion
        good = np.ones(drawn.shape, dtype=bool)
        if self.seen is not None:
            good = ~self.seen.contains(users[rows][:, None], drawn)
        if not self.replace:
            good &= ~_came_before(items[rows], drawn)
        places = filled[rows][:, None] + np.cumsum(good, axis=1) - 1  # (rows, W)
        row, column = np.nonzero(good & (places < items.shape[1]))
        items[rows[row], places[row, column]] = drawn[row, column]
        filled[rows] = np.minimum(filled[rows] + good.sum(axis=1), items.shape[1])
        return rows[filled[rows] < items.shape[1]]

    def _finish(
        self,
        users: np.ndarray,
        rows: np.ndarray,
        items: np.ndarray,
        filled: np.ndarray,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Fill the rest of some rows from the weights that are left to them; their mass."""
        weights = np.tile(self.probabilities, (len(rows), 1))  # (rows, I)
        if self.seen is not None:
            weights[self.seen.pairs_of(users)] = 0
        mass = weights.sum(axis=1)
        if not self.replace:
            row, column = np.nonzero(items[rows] >= 0)
            weights[row, items[rows][row, column]] = 0
        count = items.shape[1]
        rest = (_with_replacement if self.replace else _in_succession)(weights, count, random)
        # Column c of `rest` is each row's next draw but c: it goes behind what is there.
        places = filled[rows][:, None] + np.arange(count)
        row, column = np.nonzero(places < count)
        items[rows[row], places[row, column]] = rest[row, column]
        return mass


def _came_before(items: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Whether each draw ``(N, W)`` repeats an item of its row, or an earlier draw."""
    both = np.concatenate([items, drawn], axis=1)
    order = np.argsort(both, axis=1, kind="stable")  # the first of equals stays first
    ordered = np.take_along_axis(both, order, axis=1)
    repeats = np.zeros(both.shape, dtype=bool)
    np.put_along_axis(repeats, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeats[:, items.shape[1] :]


def _with_replacement(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Places ``(N, C)`` drawn in proportion to each row's weights ``(N, I)``; -1 without any."""
    rows, size = weights.shape
    mass = weights.sum(axis=1, keepdims=True)
    # All rows joined; scaled, so that a row of tiny weights does not vanish among the others.
    cumulative = np.cumsum(weights / np.where(mass > 0, mass, 1))
    ends = cumulative[size - 1 :: size]
    starts = np.concatenate([[0.0], ends[:-1]])
    points = starts[:, None] + random.random((rows, count)) * (ends - starts)[:, None]
    points = np.minimum(points, np.nextafter(ends, 0)[:, None])  # rounding must not leave the row
    places = np.searchsorted(cumulative, points, side="right") - np.arange(rows)[:, None] * size
    return np.where(mass > 0, places, -1)


def _in_succession(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Different places ``(N, C)``, each drawn in proportion to the weights of those left.

    The order of ``E_i / w_i`` with exponential ``E_i`` is that of such draws (Efraimidis and
    Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters 2006).
    """
    with np.errstate(divide="ignore"):
        keys = random.exponential(size=weights.shape) / weights  # no weight: infinitely late
    count_there = min(count, weights.shape[1])
    first = np.argpartition(keys, count_there - 1, axis=1)[:, :count_there]
    first_keys = np.take_along_axis(keys, first, axis=1)
    order = np.argsort(first_keys, axis=1)
    places = np.take_along_axis(first, order, axis=1)
    places[np.isinf(np.take_along_axis(first_keys, order, axis=1))] = -1
    return np.pad(places, ((0, 0), (0, count - count_there)), constant_values=-1)
