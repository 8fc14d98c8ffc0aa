"""Items as negatives for given users, with the probabilities they were drawn with.

Letters: N rows, C ``count``, I items.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from nextrec.data.lists import first_true
from nextrec.data.sampling.keys import check_count
from nextrec.data.sampling.popularity import PopularityDraws
from nextrec.data.sampling.seen import SeenItems, as_seen, checked_codes
from nextrec.data.sampling.unseen import draw_unseen
from nextrec.errors import ConfigError, DataError, invalid, unknown_option

NegativeMethod = Literal["uniform", "popularity"]
NEGATIVE_METHODS: tuple[str, ...] = get_args(NegativeMethod)
_OWNER = "sample_negatives"


class Negatives(NamedTuple):
    """What was drawn."""

    items: np.ndarray
    """Item codes ``(N, C)`` int64; -1 at the end of a row whose user has too few items left."""
    log_probs: np.ndarray
    """``(N, C)`` float64: log of the probability that one draw for that user is that item; NaN
    where there is none. To correct logits for the sampling, subtract it from them (Bengio and
    Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic
    language model", IEEE Transactions on Neural Networks 2008)."""


def sample_negatives(
    users: Any,
    positives: SeenItems | tuple[Any, Any],
    num_items: int,
    count: int,
    method: NegativeMethod = "uniform",
    alpha: float = 0.75,
    exclude_seen: bool = True,
    seed: int | np.random.Generator = 42,
    *,
    replace: bool = False,
    popularity: Any = None,
) -> Negatives:
    """Draw negatives for many users at once.

    * ``uniform``: every item that may be drawn is as likely.
    * ``popularity``: in proportion to ``popularity ** alpha`` (Mikolov et al., "Distributed
      representations of words and phrases and their compositionality", NeurIPS 2013). An item of
      popularity 0 is never drawn, unless ``alpha`` is 0: a row whose user has only such items
      left ends in -1, like that of a user who has none left.

    Without replacement each draw is made from the items that earlier draws of its row have left,
    in proportion to their weights. Draws of known positives are never returned, and it always
    ends: a user who has seen nearly everything is served from what is left.

    Args:
        users: user code of each row ``(N,)``, counted from 0.
        positives: user codes and item codes of the pairs that were seen, or these sorted once as
            :class:`SeenItems`.
        num_items: I; item codes are in ``[0, I)``.
        count: negatives a row, C.
        method, alpha: as above; ``alpha`` is of ``popularity``.
        exclude_seen: never draw what the row's user has seen.
        seed: a number, or a generator that goes on.
        replace: whether an item may come more than once in a row.
        popularity: of each item ``(I,)``, not negative; by default how often it is in
            ``positives`` (with :class:`SeenItems`, the number of different users).

    Raises:
        ConfigError: an argument is out of range.
        DataError: a code is out of range: names the row.

    >>> drawn = sample_negatives([0, 1], ([0, 0, 1], [0, 1, 2]), num_items=3, count=2)
    >>> drawn.items[0].tolist(), sorted(drawn.items[1].tolist())
    ([2, -1], [0, 1])
    >>> drawn.log_probs.round(2)
    array([[ 0.  ,   nan],
           [-0.69, -0.69]])
    """
    if method not in NEGATIVE_METHODS:
        raise ConfigError(unknown_option(_OWNER, "method", NEGATIVE_METHODS, method))
    check_count(_OWNER, "num_items", num_items)
    check_count(_OWNER, "count", count)
    users = checked_codes(_OWNER, "users", users, 2**31)
    seen = as_seen(_OWNER, "positives", positives, num_items)
    if seen.num_items != num_items:
        must_be = f"that of `positives`, {seen.num_items}"
        raise ConfigError(invalid(_OWNER, "num_items", must_be, num_items))
    if popularity is None and method == "popularity":
        repeats = None if isinstance(positives, SeenItems) else positives[1]
        pairs = (
            seen.items
            if repeats is None
            else checked_codes(_OWNER, "positives", repeats, num_items)
        )
        popularity = np.bincount(pairs, minlength=num_items)
    random = np.random.default_rng(seed)
    excluded = seen if exclude_seen else None
    if method == "uniform":
        return _uniform(users, excluded or SeenItems([], [], num_items), count, replace, random)
    draws = PopularityDraws(_probabilities(popularity, num_items, alpha), excluded, replace)
    items, mass = draws.draw(users, count, random)
    with np.errstate(divide="ignore", invalid="ignore"):  # of rows without any item to draw
        logs = np.log(draws.probabilities)[items] - np.log(mass)[:, None]
    return Negatives(items, np.where(items >= 0, logs, np.nan))


def _uniform(
    users: np.ndarray, seen: SeenItems, count: int, replace: bool, random: np.random.Generator
) -> Negatives:
    free = (seen.num_items - seen.counts(users))[:, None]
    if replace:
        ranks = random.integers(0, np.maximum(free, 1), size=(len(users), count))
        items = seen.unseen(users, np.where(free > 0, ranks, -1))
    else:
        items = draw_unseen(users, seen, count, random)
    logs = np.log(1 / np.maximum(free, 1))
    return Negatives(items, np.where(items >= 0, logs, np.nan))


def _probabilities(popularity: Any, num_items: int, alpha: float) -> np.ndarray:
    weights = np.asarray(popularity, dtype=np.float64)
    if weights.shape != (num_items,):
        must_be = f"one number for each of the {num_items} items"
        raise DataError(invalid(_OWNER, "popularity", must_be, weights.shape))
    wrong = first_true(~(np.isfinite(weights) & (weights >= 0)))
    if wrong >= 0:
        where = f"{_OWNER}, item {wrong}"
        got = weights[wrong].item()
        raise DataError(invalid(where, "popularity", "a finite number of at least 0", got))
    if not np.isfinite(alpha) or alpha < 0:
        raise ConfigError(invalid(_OWNER, "alpha", "a number of at least 0", alpha))
    largest = weights.max()
    scaled = (weights / largest if largest > 0 else weights) ** alpha  # can't overflow
    if not scaled.sum():
        must_be = "above 0 for at least one item"
        raise DataError(invalid(_OWNER, "popularity", must_be, "only zeros"))
    return scaled / scaled.sum()
