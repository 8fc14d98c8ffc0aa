"""The auxiliary loss and its negatives."""

from __future__ import annotations

import math

import pytest
import torch

from nextrec.errors import FeatureError
from nextrec.features import FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories
from nextrec.layers.next_item import NextItemLoss, other_ids


@pytest.mark.parametrize(("rows", "padding"), [(7, 0), (7, 1), (7, 3), (4, 0), (4, 3)])
def test_negatives_are_all_other_items_equally_often(rows, padding):
    torch.manual_seed(0)
    items = [i for i in range(rows) if i not in (1, padding)]
    for item in items:
        drawn = other_ids(torch.full((6000,), item), rows, padding)
        counts = torch.bincount(drawn, minlength=rows)
        others = [i for i in items if i != item]
        assert counts.nonzero().flatten().tolist() == others
        expected = 6000 / len(others)
        assert all(abs(counts[i] - expected) < 6 * math.sqrt(expected) for i in others)


def test_negatives_of_what_is_no_item_are_items():
    drawn = other_ids(torch.tensor([[0, 1]] * 500), 5)
    assert set(drawn.flatten().tolist()) <= {2, 3, 4}


def test_negatives_follow_torchs_seed():
    ids = torch.arange(2, 50)
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(other_ids(ids, 50))
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], other_ids(ids, 50))


def features(rows=4):
    width = {"embedding_name": "items", "embedding_dim": 3}
    return FeatureSet(
        sparse=[SparseFeature("item", rows, **width)],
        sequence=[SequenceFeature("history", rows, 4, **width)],
    )


def build(features, state_size=3):
    torch.manual_seed(0)
    histories = Histories(features, None, None, "Model")
    return histories, EmbeddingLayer(features), NextItemLoss(histories, features, state_size)


def test_loss_is_the_mean_over_neighbouring_items():
    # With two items (2 and 3) each one's negative is the other.
    histories, embedding, loss = build(features(), state_size=2)
    ids = torch.tensor([[2, 3, 3, 2], [3, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    x = {"history": ids, "item": torch.tensor([2, 2, 2, 2])}
    _, items, mask = histories(embedding, x)
    states = torch.randn(4, 4, 2)
    value = loss(embedding, x, states, items, mask)
    table = embedding.embed_dict["items"].weight
    terms = []
    for row, t in [(0, 0), (0, 1), (0, 2), (1, 0)]:
        state = loss.project.weight @ states[row, t]
        following = int(ids[row, t + 1])
        positive, negative = state @ table[following], state @ table[5 - following]
        terms.append(-torch.sigmoid(positive).log() - (1 - torch.sigmoid(negative)).log())
    torch.testing.assert_close(value, sum(terms) / 4)


def test_no_pair_of_items_gives_zero():
    histories, embedding, loss = build(features())
    x = {"history": torch.tensor([[2, 0], [0, 0]]), "item": torch.tensor([2, 2])}
    _, items, mask = histories(embedding, x)
    value = loss(embedding, x, items, items, mask)
    assert value.item() == 0
    value.backward()


def test_longer_columns_and_more_padding_give_the_same_pairs():
    histories, embedding, loss = build(features())
    values = []
    for ids in ([[2, 3]], [[2, 3, 0, 0]]):
        x = {"history": torch.tensor(ids), "item": torch.tensor([2])}
        _, items, mask = histories(embedding, x)
        values.append(loss(embedding, x, items, items, mask))
    torch.testing.assert_close(*values)
    x = {"history": torch.tensor([[2, 2, 2, 3, 2, 3]]), "item": torch.tensor([2])}
    _, items, mask = histories(embedding, x)
    assert items.shape[1] == 4  # the newest
    assert torch.isfinite(loss(embedding, x, items, items, mask))


def test_needs_two_items():
    with pytest.raises(FeatureError, match="'history', so its table needs two items"):
        build(features(rows=3))
