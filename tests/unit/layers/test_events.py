"""Histories as one sequence of tokens."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import FeatureError
from nextrec.features import FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.events import EventTokenizer, find_behaviors, newest_last

FEATURES = FeatureSet(
    sparse=[SparseFeature("user", 5)],
    sequence=[
        SequenceFeature("items", 9, max_len=4, embedding_dim=3),
        SequenceFeature("shops", 7, max_len=4, embedding_dim=2),
        SequenceFeature("searches", 6, max_len=2, embedding_dim=5),
    ],
)
X = {
    "items": torch.tensor([[1, 2, 3, 0], [0, 0, 0, 0]]),
    "shops": torch.tensor([[5, 5, 6, 0], [0, 0, 0, 0]]),
    "searches": torch.tensor([[4, 0], [2, 3]]),
}


def tokenizer() -> tuple[EventTokenizer, EmbeddingLayer]:
    torch.manual_seed(0)
    behaviors = find_behaviors(FEATURES, [["items", "shops"], "searches"], "Model")
    return EventTokenizer(behaviors, token_dim=4), EmbeddingLayer(FEATURES)


def test_events_stand_one_history_after_the_other_behind_the_padding():
    layer, embedding = tokenizer()
    assert layer.max_len == 4 + 1 + 2
    tokens, real = layer(embedding, X)
    assert real.tolist() == [[False] * 2 + [True] * 5, [False] * 4 + [True] * 3]
    items, shops, searches = (embedding.sequence(X, f)[0] for f in FEATURES.sequence)
    events = layer.maps[0](torch.cat([items, shops], 2))
    later = layer.maps[1](searches)
    separator = layer.separators[0]
    first = torch.stack([*events[0, :3], separator, later[0, 0]])
    torch.testing.assert_close(tokens[0, 2:], first)
    torch.testing.assert_close(tokens[1, 4:], torch.stack([separator, *later[1]]))


def test_padding_of_any_width_changes_nothing():
    layer, embedding = tokenizer()
    tokens, _ = layer(embedding, X)
    short = {**X, "items": X["items"][:, :3], "shops": X["shops"][:, :3]}
    less, real = layer(embedding, short)
    assert less.shape[1] == 6
    torch.testing.assert_close(less[0, real[0]], tokens[0, 2:])
    torch.testing.assert_close(less[1, real[1]], tokens[1, 4:])


def test_sequences_in_step_may_be_padded_apart():
    layer, embedding = tokenizer()
    tokens, real = layer(embedding, X)
    again, same = layer(embedding, {**X, "shops": X["shops"][:, :3]})
    assert torch.equal(real, same)
    torch.testing.assert_close(again[real], tokens[real])


def test_newest_last_keeps_the_order_and_the_gradient():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(20, 7, 2, generator=generator, requires_grad=True)
    real = torch.rand(20, 7, generator=generator) < 0.5
    moved, where = newest_last(tokens, real)
    for row in range(20):
        count = int(real[row].sum())
        assert where[row].tolist() == [False] * (7 - count) + [True] * count
        assert torch.equal(moved[row, 7 - count :], tokens[row, real[row]])
    weights = torch.randn(moved.shape, generator=generator)
    (moved * weights).sum().backward()
    for row in range(20):
        count = int(real[row].sum())
        assert torch.equal(tokens.grad[row, real[row]], weights[row, 7 - count :])


def test_by_default_every_sequence_is_a_history():
    found = find_behaviors(FEATURES, None, "Model")
    assert [[f.name for f in behavior] for behavior in found] == [
        ["items"],
        ["shops"],
        ["searches"],
    ]
    (alone,) = find_behaviors(FEATURES, "shops", "Model")
    assert [f.name for f in alone] == ["shops"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("shps", "Did you mean 'shops'"),
        ("user", "`behavior_feature_name` must be names of sequence features"),
        (["items", "items"], "each once"),
        ([["items", "searches"]], "'items' and 'searches' in step.*4 and 2"),
        ([], "needs a history"),
        ([[]], "needs a history"),
    ],
)
def test_wrong_names_are_errors(names, message):
    with pytest.raises(FeatureError, match=message):
        find_behaviors(FEATURES, names, "Model")
