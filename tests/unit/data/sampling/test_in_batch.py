from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import SeenItems, in_batch_negatives
from nextrec.errors import DataError

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12)


@given(batch=PAIRS, known=PAIRS, with_seen=st.booleans())
def test_the_mask_is_that_of_a_loop(
    batch: list[tuple[int, int]], known: list[tuple[int, int]], with_seen: bool
) -> None:
    users = np.array([user for user, _ in batch], dtype=np.int32)
    items = torch.tensor([item for _, item in batch], dtype=torch.int64)
    seen = SeenItems([user for user, _ in known], [item for _, item in known], 4 + 2)
    mask = in_batch_negatives(users, items, seen if with_seen else None)
    if with_seen:
        pairs = np.array(known, dtype=np.int64).reshape(-1, 2).T
        for each in (tuple(pairs), tuple(torch.from_numpy(pairs))):
            assert torch.equal(in_batch_negatives(users, items, each), mask)
    assert mask.dtype == torch.bool
    assert mask.shape == (len(batch), len(batch))
    positive = {*batch, *(known if with_seen else [])}
    expected = [[(user, item) not in positive for _, item in batch] for user, _ in batch]
    assert mask.tolist() == expected
    assert not mask.diagonal().any()


def test_items_beyond_those_seen_are_negatives() -> None:
    seen = SeenItems([0, 1], [1, 0], 2)  # the pair (1, 0) has the key that (0, 2) would have
    mask = in_batch_negatives([0, 1], [7, 2], seen)
    assert mask.tolist() == [[False, True], [True, False]]


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match=r"two vectors of one length; got '\(1,\) and \(2,\)'"):
        in_batch_negatives([1], [1, 2])


def test_pairs_of_another_kind_are_refused() -> None:
    for seen in (np.zeros((2, 2), np.int64), ([1],), "ab"):
        with pytest.raises(DataError, match="`seen` must be SeenItems, or a tuple of user codes"):
            in_batch_negatives([1], [1], seen)
    with pytest.raises(DataError, match="integer codes in one dimension"):
        in_batch_negatives([1], [1], (["a"], ["b"]))
