"""Parts of a history: whichever way it is padded, however short it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextrec.features import SequenceFeature
from nextrec.layers.search import HistoryIds, best, newest, take


def chosen(part):
    positions, real = part
    return [
        [p for p, r in zip(ps, rs, strict=True) if r]
        for ps, rs in zip(positions.tolist(), real.tolist(), strict=True)
    ]


@given(
    rows=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=7, max_size=7),
        min_size=1,
        max_size=4,
    ),
    count=st.integers(1, 9),
)
def test_best_is_a_sort_by_score_then_by_newness(rows, count):
    scores = torch.tensor([[s for s, _ in row] for row in rows])
    mask = torch.tensor([[m for _, m in row] for row in rows])
    expected = [
        sorted((t for t in range(7) if row[t][1]), key=lambda t: (-row[t][0], -t))[:count]
        for row in rows
    ]
    assert chosen(best(scores, mask, count)) == expected
    longer = torch.nn.functional.pad(scores, (0, 5), value=9)
    part = best(longer, torch.nn.functional.pad(mask, (0, 5)), count)
    assert chosen(part) == expected
    latest = [[t for t in range(6, -1, -1) if row[t][1]][:count] for row in rows]
    assert chosen(newest(mask, count)) == latest


def test_best_of_floats():
    scores = torch.tensor([[0.5, -1.0, 2.0, 7.0], [1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    mask = torch.tensor([[True, True, True, False], [False, False, True, False]])
    part = best(scores, mask, 2)
    assert chosen(part) == [[2, 0], [2]]
    assert [t.shape for t in part] == [(2, 2), (2, 2)]


def test_more_than_there_are_positions_gives_all():
    positions, real = best(torch.zeros(2, 3), torch.ones(2, 3) > 0, 8)
    assert positions.shape == real.shape == (2, 3)


def test_take_reads_the_positions_and_passes_gradients_to_them_only():
    keys = torch.randn(2, 5, 3, requires_grad=True)
    part = newest(torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]) > 0, 2)
    taken = take(keys, part)
    assert torch.equal(taken[0], keys[0, [1, 0]])
    assert torch.equal(taken[1], keys[1, [4, 3]])
    taken.sum().backward()
    assert keys.grad[:, :, 0].tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 1, 1]]


def test_ids_of_histories_in_step():
    items = SequenceFeature("items", 20, 4)
    genres = SequenceFeature("genres", 20, 4, padding_idx=9)
    gaps = SequenceFeature("gaps", 20, 4)
    x = {
        "items": torch.tensor([[9, 1, 2, 3, 4], [5, 6, 0, 0, 0]]),  # the oldest is cut off
        "genres": torch.tensor([[1, 2], [3, 9]]),
        "gaps": torch.tensor([7, 8]),  # one id a row
    }
    ids = HistoryIds(x, [items, genres], [gaps, items])
    assert ids.ids["items"].tolist() == [[1, 2, 3, 4], [6, 0, 0, 0]]
    assert ids.ids["genres"].tolist() == [[1, 2, 9, 9], [3, 9, 9, 9]]
    assert ids.mask.tolist() == [[True] * 4, [True, False, False, False]]
    part = ids.part(newest(ids.mask, 2))
    assert {name: column.tolist() for name, column in part.items()} == {
        "items": [[4, 3], [6, 0]],
        "genres": [[9, 9], [3, 9]],
        "gaps": [[0, 0], [8, 0]],
    }


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_integer_kinds(kind):
    scores = torch.tensor([[-3, -1, -1, -2]], dtype=kind)
    assert chosen(best(scores, torch.ones(1, 4) > 0, 3)) == [[2, 1, 3]]
