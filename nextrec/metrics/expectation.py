"""Expected values over the orders of rows with equal scores, exactly, for all lists at once.

A block of ``m`` tied rows with ``r`` positives stands behind ``a`` rows and takes the places
``a+1 .. a+m``. Every order of the block is equally likely, so each of its places holds a positive
with chance ``r/m``. Of these places, ``t = min(max(k - a, 0), m)`` are inside the cut ``k``.

Shapes: G lists, K blocks that hold a positive, F lists that hold one, W places.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nextrec.metrics.grouping import GroupedRanking


def places_inside(ranking: GroupedRanking, k: int) -> np.ndarray:
    """``t`` of each block, ``(K,)``."""
    return np.clip(k - ranking.block_ahead, 0, ranking.block_size)


def expected_hits(ranking: GroupedRanking, k: int) -> np.ndarray:
    """Positives within the cut, ``(G,)``: the sum over blocks of ``t r/m``."""
    share = ranking.block_positives / ranking.block_size
    return ranking.per_list(places_inside(ranking, k) * share)


def expected_gain(ranking: GroupedRanking, k: int) -> np.ndarray:
    """Discounted gain within the cut, ``(G,)``.

    Linear in what each place holds, so each of the ``t`` places holds the block's mean gain:
    ``sum of gains / m * sum of 1/log2(1 + place)``.
    """
    discount = _discounts(ranking, k)
    first = np.minimum(ranking.block_ahead, len(discount) - 1)
    last = first + places_inside(ranking, k)
    mean = ranking.block_gain / ranking.block_size
    return ranking.per_list(mean * (discount[last] - discount[first]))


def ideal_gain(ranking: GroupedRanking, k: int) -> np.ndarray:
    """The largest discounted gain that any order has within the cut, ``(G,)``."""
    discount = _discounts(ranking, k)
    if not ranking.graded:
        return discount[np.minimum(ranking.positives, len(discount) - 1)]
    lists, ahead, gains = ranking.ideal
    inside = ahead < k
    weight = np.diff(discount)[ahead[inside]]
    return np.bincount(lists[inside], gains[inside] * weight, len(ranking))


def expected_precision_sum(ranking: GroupedRanking, k: int) -> np.ndarray:
    """Sum over the positives within the cut of the precision at their place, ``(G,)``.

    With ``h`` positives above the block, place ``a+i`` holds a positive with chance ``r/m``, and
    each of the ``i-1`` places between is then positive with chance ``q = (r-1)/(m-1)``: the block
    is worth ``r/m sum_{i=1..t} (h + 1 + (i-1) q) / (a+i)``. With the harmonic sum
    ``s = sum_{i=1..t} 1/(a+i)`` that is ``r/m ((h+1) s + q (t - (a+1) s))``.
    """
    inside = places_inside(ranking, k)
    cut = min(k, int(ranking.sizes.max()))
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, cut + 1)))
    first = np.minimum(ranking.block_ahead, cut)
    s = harmonic[first + inside] - harmonic[first]
    others = np.maximum(ranking.block_size - 1, 1)
    q = (ranking.block_positives - 1) / others
    worth = (ranking.positives_ahead + 1) * s + q * (inside - (first + 1) * s)
    return ranking.per_list(worth * ranking.block_positives / ranking.block_size)


def expected_first_positive(ranking: GroupedRanking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Chance of a positive within the cut, and mean of 1/place of the first one, both ``(G,)``.

    Only the first block with a positive matters. Place ``a+j`` is the first positive one when the
    ``j-1`` before are not and it is:
    ``prod_{i=0..j-2} (m-r-i)/(m-i) * r/(m-j+1)``, summed over ``j = 1..t``.
    The sum of these chances is the hypergeometric ``1 - C(m-r, t) / C(m, t)``.
    """
    lists, first = np.unique(ranking.block_list, return_index=True)  # (F,)
    ahead, size, positives = (
        each[first] for each in (ranking.block_ahead, ranking.block_size, ranking.block_positives)
    )
    inside = places_inside(ranking, k)[first]
    hit, reciprocal = np.zeros(len(ranking)), np.zeros(len(ranking))
    for rows, width in _by_width(inside):
        places = np.arange(width)  # (W,)
        left = np.maximum(size[rows, None] - places, 1)  # (F, W) rows not placed yet
        others = np.maximum(left - positives[rows, None], 0)
        none_so_far = np.cumprod(others / left, axis=1)
        none_before = np.hstack([np.ones((len(rows), 1)), none_so_far[:, :-1]])
        chance = none_before * (positives[rows, None] / left)
        chance[places >= inside[rows, None]] = 0.0
        hit[lists[rows]] = chance.sum(axis=1)
        reciprocal[lists[rows]] = (chance / (ahead[rows, None] + places + 1)).sum(axis=1)
    return np.minimum(hit, 1.0), reciprocal


def _by_width(lengths: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Rows of similar length, and the power of two that holds them.

    A handful of tables, at most twice the size of what they hold, whatever the lengths are.
    """
    exponents = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.intp)
    exponents[lengths == 0] = -1
    for exponent in np.unique(exponents[exponents >= 0]):
        yield np.flatnonzero(exponents == exponent), 2 ** int(exponent)


def _discounts(ranking: GroupedRanking, k: int) -> np.ndarray:
    """Sums of ``1/log2(1 + place)`` over the first 0, 1, ... places within cut and lists."""
    cut = min(k, int(ranking.sizes.max()))
    return np.append(0.0, np.cumsum(1 / np.log2(np.arange(2, cut + 2))))
