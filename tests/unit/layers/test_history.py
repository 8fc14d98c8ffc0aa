"""Histories and candidates: found by shared tables or by name, read side by side."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.features import FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories


def feature_set(**changes) -> FeatureSet:
    return FeatureSet(
        sparse=[
            SparseFeature("user", 9, embedding_dim=3),
            SparseFeature("item", 20, "items", embedding_dim=4),
            SparseFeature("genre", 7, embedding_dim=3),
        ],
        sequence=[
            SequenceFeature("history", 20, 5, "items", embedding_dim=4),
            SequenceFeature("genres", 7, **{"max_len": 5, "embedding_dim": 2} | changes),
            SequenceFeature("tags", 6, 3, embedding_dim=2),
        ],
    )


def test_histories_in_step_stand_side_by_side():
    features = feature_set()
    names = ["history", "genres"], ["item", "genre"]
    histories, embedding = Histories(features, *names, "DIN"), EmbeddingLayer(features)
    x = {
        "user": torch.tensor([1, 2]),
        "item": torch.tensor([3, 4]),
        "genre": torch.tensor([5, 6]),
        "history": torch.tensor([[1, 2, 3, 0, 0], [0, 0, 0, 0, 0]]),
        "genres": torch.tensor([[1, 2, 4], [0, 0, 0]]),
        "tags": torch.tensor([[1, 0, 0], [2, 3, 0]]),
    }
    query, keys, mask = histories(embedding, x)
    items, genres = (embedding.embed_dict[name].weight for name in ("items", "genres"))
    assert histories.out_features == 6
    assert mask.tolist() == [[True] * 3 + [False] * 2, [False] * 5]
    torch.testing.assert_close(keys[0, 1], torch.cat([items[2], genres[2]]))
    assert not keys[1].any()
    mapped = histories.maps[1](embedding.embed_dict["genre"].weight[[5, 6]])
    torch.testing.assert_close(query, torch.cat([items[[3, 4]], mapped], 1))
    assert [f.name for f in histories.rest] == ["user", "item", "genre", "tags"]


def test_the_shared_table_says_which_is_which():
    ((behavior, candidate),) = Histories(feature_set(), None, None, "DIN").pairs
    assert (behavior.name, candidate.name) == ("history", "item")


def test_histories_out_of_step_are_refused_by_name():
    names = ["history", "genres"], ["item", "genre"]
    with pytest.raises(ConfigError, match=r"'history' has 5, 'genres' has 4"):
        Histories(feature_set(max_len=4), *names, "BST")


def test_a_missing_history_is_refused():
    features = FeatureSet(sparse=[SparseFeature("item", 5)])
    with pytest.raises(ConfigError, match="BST needs a history and its candidate"):
        Histories(features, None, None, "BST")


def test_an_empty_list_of_names_is_refused():
    with pytest.raises(ConfigError, match="`behavior_feature_name` must be a name"):
        Histories(feature_set(), [], None, "DIN")
