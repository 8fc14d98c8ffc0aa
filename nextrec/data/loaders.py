"""Loading from memory: batches of exact size in a repeatable order.

The order of an epoch depends on the loader's seed and the epoch's number, and on nothing else: not
on torch's global random state, which is never drawn from, and not on what ran before. An iteration
that runs to its end moves ``epoch`` on by one, so that a plain ``for`` loop sees a new order each
time; ``set_epoch`` decides where a trainer wants to decide. ``batches(start)`` takes up an epoch
at a batch's number, for an exact resume, and does not move ``epoch``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from nextrec.data.batch import Batch
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, invalid


def pass_through(batches: Any) -> Any:
    """Collate nothing: what is fetched is a batch already."""
    return batches


def is_whole(value: Any) -> bool:
    """Whether it is an integer, and no boolean."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def require_rank(owner: str, rank: int, world_size: int) -> None:
    """Refuse a rank that is not one of ``world_size``."""
    if not is_whole(world_size) or world_size < 1:
        raise ConfigError(invalid(owner, "world_size", "a positive integer", world_size))
    if not is_whole(rank) or not 0 <= rank < world_size:
        raise ConfigError(invalid(owner, "rank", f"an integer in [0, {world_size})", rank))


def batch_bounds(
    owner: str, rows: int, size: int, rank: int, world_size: int, drop_last: bool
) -> list[int]:
    """Where a rank's batches begin and end among its rows of an epoch.

    Ranks have ``rows / world_size`` rows each, the first ones perhaps one more, and all of them
    the same number of batches. No batch is empty and none is larger than ``size``: so batches of
    one row need rows that come out even, or ``drop_last``.

    >>> batch_bounds("loader", rows=7, size=3, rank=0, world_size=1, drop_last=False)
    [0, 3, 6, 7]
    """
    # The last rank has the fewest rows. All ranks look at it, so that all refuse or none.
    fewest = _bounds_of(world_size - 1, rows, size, world_size, drop_last)
    if len(fewest) < 2 or any(stop <= start for start, stop in pairwise(fewest)):
        single = size == 1 and not drop_last and rows > world_size
        advice = "batch_size=2 or drop_last=True" if single else "a smaller batch_size or more rows"
        raise ConfigError(
            f"{owner}: {rows} row(s) don't give each of {world_size} rank(s) the same "
            f"number of batches of {size} row(s) (drop_last={drop_last}); use {advice}."
        )
    return _bounds_of(rank, rows, size, world_size, drop_last)


def _bounds_of(rank: int, rows: int, size: int, world_size: int, drop_last: bool) -> list[int]:
    if drop_last:
        return [number * size for number in range(rows // (size * world_size) + 1)]
    mine = len(range(rank, rows, world_size))
    count = -(-rows // (size * world_size))
    bounds = [*(number * size for number in range(count)), mine]
    if count > 1 and mine == bounds[-2]:  # others have one row more, and a batch for it
        bounds[-2] -= (size + 1) // 2
    return bounds


class EpochLoader(DataLoader[Batch], ABC):
    """What the loaders share: seed, epoch, and iteration by :meth:`batches`."""

    def __init__(
        self, dataset: Any, batch_size: int, shuffle: bool, seed: int | None, drop_last: bool
    ) -> None:
        owner = type(self).__name__
        if not is_whole(batch_size) or batch_size < 1:
            raise ConfigError(invalid(owner, "batch_size", "a positive integer", batch_size))
        if seed is not None and (not is_whole(seed) or seed < 0):
            raise ConfigError(invalid(owner, "seed", "an integer of at least 0 or None", seed))
        super().__init__(
            dataset, batch_size=int(batch_size), drop_last=drop_last, collate_fn=pass_through
        )
        self.shuffle = shuffle
        # Reads the seed that torch.manual_seed set, without drawing from its stream.
        self.seed = torch.initial_seed() if seed is None else int(seed)
        self.epoch = 0

    @property
    def size(self) -> int:
        """Rows of every batch but perhaps the last."""
        assert self.batch_size is not None
        return self.batch_size

    @property
    @abstractmethod
    def rows(self) -> int:
        """Rows of the whole data set."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration follows."""
        self.epoch = int(epoch)

    def random(self) -> np.random.Generator:
        """A generator that depends on seed and epoch only."""
        return np.random.default_rng([self.seed, self.epoch])

    @abstractmethod
    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches of the current epoch from number ``start`` on."""

    def __iter__(self) -> Any:
        yield from self.batches()
        self.epoch += 1


class BatchLoader(EpochLoader):
    """Batches of a store in memory: each is one selection of rows, no row is touched by Python.

    With ``world_size`` ranks the rows of an epoch are dealt out in turn; every rank has the same
    number of batches, and together they have every row once. When the rows don't come out even, a
    rank that has one row less than others may share its last two batches' rows between them.
    With ``drop_last`` every rank has only full batches.

    Args:
        store: the data set.
        batch_size: rows of a batch on one rank; the last batch may be smaller.
        shuffle: new order each epoch; otherwise the rows' own order, and batches without a copy.
        seed: at least 0; ``None``: the seed of ``torch.manual_seed``, so that it governs this too.
        drop_last: leave out a last batch that is not full.
        rank, world_size: this process's number, and how many there are.

    Raises:
        ConfigError: an argument is out of range, or no batch would be left.

    >>> from nextrec.features import FeatureSet, SparseFeature
    >>> features = FeatureSet(sparse=[SparseFeature("item", vocab_size=10)])
    >>> store = PackedStore.from_data({"item": range(5)}, features)
    >>> [batch.features["item"].tolist() for batch in BatchLoader(store, 2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        store: PackedStore,
        batch_size: int = 32,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(store, batch_size, shuffle, seed, drop_last)
        require_rank("BatchLoader", rank, world_size)
        self.store = store
        self.rank = rank
        self.world_size = world_size
        self._bounds = batch_bounds(
            "BatchLoader", len(store), self.size, rank, world_size, drop_last
        )

    @property
    def rows(self) -> int:
        """Rows of the whole data set, all ranks together."""
        return len(self.store)

    def _order(self) -> np.ndarray | None:
        """Positions of this rank's rows in the epoch's order; None: all rows in their order."""
        rows = len(self.store)
        if not self.shuffle:
            alone = self.world_size == 1
            return None if alone else np.arange(self.rank, rows, self.world_size)
        narrow = np.int32 if rows < 2**31 else np.int64
        order = self.random().permutation(np.arange(rows, dtype=narrow))
        return order[self.rank :: self.world_size]

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches of the current epoch from number ``start`` on."""
        order = self._order()
        for begin, end in pairwise(self._bounds[start:]):
            if order is None:
                yield self.store.slice(begin, end)
            else:
                yield self.store.select(order[begin:end])

    def __len__(self) -> int:
        return len(self._bounds) - 1
