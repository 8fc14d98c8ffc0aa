from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from nextrec.data.batch import Batch
from nextrec.data.loaders import BatchLoader
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError
from nextrec.features import FeatureSet, SparseFeature


def make_store(rows: int) -> PackedStore:
    features = FeatureSet(sparse=[SparseFeature("row", 1000)])
    return PackedStore.from_data({"row": np.arange(rows)}, features)


def rows_of(batches: Iterator[Batch] | Any) -> list[list[int]]:
    return [batch.features["row"].tolist() for batch in batches]


def test_it_is_a_torch_loader_of_exact_batches_in_order() -> None:
    loader = BatchLoader(make_store(7), 3)
    assert isinstance(loader, DataLoader)
    assert len(loader) == 3
    assert loader.rows == 7
    assert loader.batch_size == 3
    assert rows_of(loader) == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_last_batch_can_be_left_out() -> None:
    loader = BatchLoader(make_store(7), 3, drop_last=True)
    assert len(loader) == 2
    assert rows_of(loader) == [[0, 1, 2], [3, 4, 5]]


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    store = make_store(50)

    def epoch(seed: int, number: int) -> list[list[int]]:
        loader = BatchLoader(store, 8, shuffle=True, seed=seed)
        loader.set_epoch(number)
        return rows_of(loader)

    first = epoch(0, 0)
    torch.rand(5)
    np.random.rand(5)
    assert epoch(0, 0) == first
    assert epoch(0, 1) != first
    assert epoch(1, 0) != first
    assert epoch(1, 0) != epoch(0, 1)
    for rows in (first, epoch(0, 1)):
        assert sorted(sum(rows, [])) == list(range(50))  # noqa: RUF017
        assert [len(each) for each in rows] == [8] * 6 + [2]
    assert sum(first, []) != list(range(50))  # noqa: RUF017


def test_torch_s_random_state_is_read_once_and_never_moved() -> None:
    store = make_store(20)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    loader = BatchLoader(store, 4, shuffle=True)
    first = rows_of(loader)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert rows_of(BatchLoader(store, 4, shuffle=True)) == first
    torch.manual_seed(4)
    assert rows_of(BatchLoader(store, 4, shuffle=True)) != first


def test_a_full_iteration_moves_the_epoch_on_and_a_broken_one_does_not() -> None:
    loader = BatchLoader(make_store(20), 4, shuffle=True, seed=0)
    first = rows_of(loader)
    assert loader.epoch == 1
    second = rows_of(loader)
    assert second != first
    loader.set_epoch(0)
    next(iter(loader))
    assert loader.epoch == 0
    assert rows_of(loader.batches()) == first
    assert loader.epoch == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_can_be_taken_up_at_any_batch(shuffle: bool) -> None:
    loader = BatchLoader(make_store(23), 4, shuffle=shuffle, seed=5)
    loader.set_epoch(2)
    whole = rows_of(loader.batches())
    for start in range(len(loader) + 2):
        assert rows_of(loader.batches(start)) == whole[start:]


@given(
    rows=st.integers(1, 60),
    size=st.integers(1, 9),
    world=st.integers(1, 5),
    shuffle=st.booleans(),
)
def test_ranks_have_equal_numbers_of_batches_and_every_row_once(
    rows: int, size: int, world: int, shuffle: bool
) -> None:
    store = make_store(rows)

    def ranks() -> list[BatchLoader]:
        return [
            BatchLoader(store, size, shuffle, seed=1, rank=rank, world_size=world)
            for rank in range(world)
        ]

    tail = rows % (size * world)
    if rows < world or (size == 1 and 0 < tail < world):
        with pytest.raises(ConfigError, match="don't give each of"):
            ranks()
        return
    batches = [rows_of(loader) for loader in ranks()]
    assert {len(each) for each in batches} == {-(-rows // (size * world))}
    sizes = [len(batch) for each in batches for batch in each]
    assert min(sizes) >= 1
    assert max(sizes) <= size
    dealt = [row for each in batches for batch in each for row in batch]
    assert sorted(dealt) == list(range(rows))


@given(rows=st.integers(1, 60), size=st.integers(1, 9), world=st.integers(1, 5))
def test_ranks_that_drop_the_last_have_full_batches(rows: int, size: int, world: int) -> None:
    store = make_store(rows)
    options = {"seed": 1, "drop_last": True, "world_size": world}
    if rows < size * world:
        with pytest.raises(ConfigError, match="drop_last=True"):
            BatchLoader(store, size, True, rank=0, **options)
        return
    batches = [rows_of(BatchLoader(store, size, True, rank=r, **options)) for r in range(world)]
    assert {len(each) for each in batches} == {rows // (size * world)}
    assert {len(batch) for each in batches for batch in each} == {size}
    dealt = [row for each in batches for batch in each for row in batch]
    assert len(set(dealt)) == len(dealt)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"batch_size": True},
        {"seed": True},
        {"rank": 0.5},
        {"world_size": 0},
        {"world_size": 1.0},
        {"seed": -1},
        {"seed": "x"},
        {"rank": 1},
        {"rank": -1, "world_size": 2},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"BatchLoader: `{next(iter(options))}` must be"):
        BatchLoader(make_store(3), **options)


def test_batches_of_one_row_need_rows_that_come_out_even() -> None:
    for rank in range(2):  # all refuse, or one would wait for the other
        with pytest.raises(ConfigError, match=r"use batch_size=2 or drop_last=True"):
            BatchLoader(make_store(5), 1, rank=rank, world_size=2)
    dropped = [
        len(BatchLoader(make_store(5), 1, drop_last=True, rank=r, world_size=2)) for r in (0, 1)
    ]
    pairs = [BatchLoader(make_store(5), 2, rank=rank, world_size=2) for rank in (0, 1)]
    assert dropped == [2, 2]
    assert [[len(batch) for batch in loader] for loader in pairs] == [[2, 1], [1, 1]]
