"""Field-aware vectors and the inner products of their pairs."""

from __future__ import annotations

import itertools

import pytest
import torch

from nextrec.errors import FeatureError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.field_aware import FieldAwareEmbedding, _products, field_aware_products

IDS = torch.tensor([1, 2, 0])


def vector(x: torch.Tensor, i: int, j: int) -> torch.Tensor:
    """Of field i towards field j, from ``(B, F, F - 1, D)``."""
    return x[:, i, j if j < i else j - 1]


@pytest.mark.parametrize("fields", [2, 3, 6])
def test_products_are_those_of_the_vectors_towards_one_another(fields):
    x = torch.randn(4, fields, fields - 1, 5)
    expected = [
        (vector(x, i, j) * vector(x, j, i)).sum(-1)
        for i, j in itertools.combinations(range(fields), 2)
    ]
    torch.testing.assert_close(field_aware_products(x), torch.stack(expected, 1))


def test_gradients_are_right():
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(field_aware_products, x)
    grad = torch.randn(2, 6, dtype=torch.float64)
    ours = torch.autograd.grad(field_aware_products(x), x, grad)[0]
    plain = torch.autograd.grad(_products(x), x, grad)[0]
    torch.testing.assert_close(ours, plain)


def test_compiles_to_the_same():
    x = torch.randn(3, 4, 3, 2, requires_grad=True)
    compiled = torch.compile(field_aware_products, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), field_aware_products(x))


def test_a_table_of_its_own_has_no_vector_towards_its_own_field():
    layer = FieldAwareEmbedding(FeatureSet.of(SparseFeature(n, 5, embedding_dim=2) for n in "abc"))
    assert layer.embedding.embed_dict["a"].weight.shape == (5, 2 * 2)
    x = dict.fromkeys("abc", IDS)
    read = layer(x)
    for i, name in enumerate("abc"):
        wide = layer.embedding.embed_dict[name].weight[IDS]
        assert torch.equal(read[:, i].flatten(1), wide)
    read.sum().backward()
    assert layer.embedding.embed_dict.width_4.grad.abs().sum() > 0


def shared_features() -> FeatureSet:
    return FeatureSet(
        dense=[DenseFeature("price", embedding_dim=2)],
        sparse=[SparseFeature("user", 5, embedding_dim=2), SparseFeature("item", 5, "items", 2)],
        sequence=[SequenceFeature("history", 5, 3, "items", 2)],
    )


def test_a_shared_table_has_one_vector_for_each_field():
    layer = FieldAwareEmbedding(shared_features())
    items = layer.embedding.embed_dict["items"].weight  # (5, 4 fields * 2)
    assert items.shape == (5, 8)
    history = torch.tensor([[1, 2, 0], [3, 0, 0], [0, 0, 0]])
    price = torch.tensor([0.5, 1.0, -1.0])
    read = layer({"user": IDS, "item": IDS, "history": history, "price": price})
    assert read.shape == (3, 4, 3, 2)
    mean = torch.stack([(items[1] + items[2]) / 2, items[3], torch.zeros(8)])
    for j in (0, 2, 3):
        assert torch.equal(vector(read, 1, j), items[IDS][:, 2 * j : 2 * j + 2])
    for j in (0, 1, 3):
        torch.testing.assert_close(vector(read, 2, j), mean[:, 2 * j : 2 * j + 2])
    mapped = layer.embedding.dense_transforms["price"](price.unsqueeze(1))
    assert torch.equal(read[:, 3].flatten(1), mapped)


def test_padding_rows_stay_zero_in_every_vector():
    layer = FieldAwareEmbedding(shared_features())
    assert not layer.embedding.embed_dict["items"].weight[0].any()


def test_pretrained_weights_start_every_vector():
    weight = torch.randn(5, 2)
    frozen = SparseFeature(
        "a", 5, embedding_dim=2, pretrained_weight=weight, freeze_pretrained=True
    )
    shared = [
        SparseFeature(n, 5, "both", 2, pretrained_weight=w) for n, w in (("b", weight), ("c", None))
    ]
    layer = FieldAwareEmbedding(FeatureSet.of([frozen, *shared]))
    assert torch.equal(layer.embedding.embed_dict["a"].weight, weight.repeat(1, 2))
    assert torch.equal(layer.embedding.embed_dict["both"].weight, weight.repeat(1, 3))
    assert not layer.embedding.embed_dict.width_4_frozen.requires_grad


def test_one_field_is_refused():
    with pytest.raises(FeatureError, match="at least 2 fields"):
        FieldAwareEmbedding(FeatureSet.of([SparseFeature("a", 5, embedding_dim=2)]))
