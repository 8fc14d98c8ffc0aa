import numpy as np
import pandas as pd
import pytest
import torch

from nextrec.errors import DataError
from nextrec.metrics.batches import Batch, Batches, on_host


def test_rows_are_joined_in_order_and_taken_once() -> None:
    batches = Batches()
    batches.append(Batch(torch.tensor([[1.0], [2.0]]), np.array([[0], [1]]), ["a", "b"], [1, 2]))
    batches.append(Batch(torch.tensor([[3.0]]), np.array([[1]]), ["a"], [3]))
    rows = batches.take()
    assert rows.predictions.ravel().tolist() == [1, 2, 3]
    assert rows.predictions.dtype == np.float32
    assert rows.labels.ravel().tolist() == [0, 1, 1]
    assert rows.groups.tolist() == ["a", "b", "a"]
    assert rows.weights.tolist() == [1, 2, 3]
    assert len(batches) == 0


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_later_writes_do_not_reach_what_was_taken(kind) -> None:
    buffer = kind([[1.0], [2.0]])
    batches = Batches()
    batches.append(Batch(buffer, buffer))
    rows = batches.take()
    buffer[:] = 9
    assert rows.predictions.ravel().tolist() == [1, 2]


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_copies_are_safe_while_they_wait(kind) -> None:
    buffer = kind([[1.0], [2.0]])
    batch = Batch(buffer, buffer, kind([1, 2])).copied()
    buffer[:] = 9
    assert batch.labels.ravel().tolist() == [1, 2]
    assert batch.weights is None


def test_ids_of_different_types_stay_different() -> None:
    batches = Batches()
    for ids in (np.array([1, 2**53 + 1]), np.array(["1", "x"]), pd.Series([1.0, 2.5])):
        batches.append(Batch(np.zeros((2, 1)), np.zeros((2, 1)), ids))
    assert batches.take().groups.tolist() == [1, 2**53 + 1, "1", "x", 1.0, 2.5]


@pytest.mark.parametrize("name", ["groups", "weights"])
def test_with_every_batch_or_with_none(name: str) -> None:
    batches = Batches()
    batches.append(Batch([[1.0]], [[1.0]]))
    with pytest.raises(DataError, match=f"`{name}` must come with every batch"):
        batches.append(Batch([[1.0]], [[1.0]], **{name: [1]}))


def test_on_host() -> None:
    assert on_host(np.zeros(1))
    assert on_host(torch.zeros(1))
    assert not on_host(torch.zeros(1, device="meta"))
