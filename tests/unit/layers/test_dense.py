from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nextrec.errors import DataError
from nextrec.features import DenseFeature, FeatureSet, SparseFeature
from nextrec.layers.dense import LinearMaps, NumericMaps
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.numeric import AutoDis, PeriodicEmbedding, PiecewiseLinear

D = 4


def feature(name: str, kind: str = "linear", width: int = D, **params: object) -> DenseFeature:
    return DenseFeature(name, width, embedding_type=kind, embedding_params=params or None)


FEATURES = [
    feature("age", "autodis", num_embeddings=5),
    DenseFeature("raw"),
    feature("price", "autodis", num_embeddings=5),
    feature("linear"),
    feature("other", "autodis", num_embeddings=6),
    feature("time", "periodic", scale=1.0),
    feature("short", "piecewise", edges=[0, 1]),
    feature("long", "piecewise", edges=[-1, 0, 2]),
    feature("wide", "periodic", width=3),
    DenseFeature("image", D, input_dim=2),
]
NAMES = [each.name for each in FEATURES]


@pytest.fixture
def layer() -> EmbeddingLayer:
    torch.manual_seed(0)
    return EmbeddingLayer([SparseFeature("item", 9, embedding_dim=D), *FEATURES])


@pytest.fixture
def x() -> dict[str, Tensor]:
    torch.manual_seed(1)
    columns = {each.name: torch.randn(6, each.input_dim) for each in FEATURES}
    columns["raw"], columns["age"] = columns["raw"].flatten(), columns["age"].flatten()
    return {"item": torch.arange(6), **columns}


def test_one_module_for_a_type_a_width_and_parameters(layer: EmbeddingLayer) -> None:
    kinds = [type(module) for module in layer.numeric]
    assert kinds == [AutoDis, AutoDis, PeriodicEmbedding, PiecewiseLinear, PeriodicEmbedding]
    assert layer.numeric[0].vectors.shape == (2, 5, D)
    assert layer.numeric[3].scale.shape == (2, 2)
    assert list(layer.dense_transforms) == ["linear", "image"]


def test_keys_of_linear_maps_are_as_they_were() -> None:
    layer = EmbeddingLayer([DenseFeature("price", 4), DenseFeature("a.b", 2), DenseFeature("raw")])
    keys = ("price.weight", "price.bias", "%a%2Eb.weight", "%a%2Eb.bias")
    assert list(layer.state_dict()) == [f"dense_transforms.{key}" for key in keys]


def test_vectors_are_those_of_each_feature_alone(
    layer: EmbeddingLayer, x: dict[str, Tensor]
) -> None:
    pieces = layer.flat(x).split([each.width for each in layer.features], dim=1)
    found = dict(zip(layer.features.names, pieces, strict=True))
    autodis, other, time, piecewise, wide = layer.numeric

    def alone(module: nn.Module, name: str, place: int) -> Tensor:
        return module(x[name].view(-1, 1), [place]).squeeze(1)

    expected = {
        "age": alone(autodis, "age", 0),
        "price": alone(autodis, "price", 1),
        "raw": x["raw"].unsqueeze(1),
        "linear": layer.dense_transforms["linear"](x["linear"]),
        "other": alone(other, "other", 0),
        "time": alone(time, "time", 0),
        "short": alone(piecewise, "short", 0),
        "long": alone(piecewise, "long", 1),
        "wide": alone(wide, "wide", 0),
        "image": layer.dense_transforms["image"](x["image"]),
    }
    assert set(expected) == set(NAMES)
    for name, vectors in expected.items():
        torch.testing.assert_close(found[name], vectors)


def test_some_features_need_only_their_columns(layer: EmbeddingLayer, x: dict[str, Tensor]) -> None:
    """A tower reads its own features of a batch that lacks the others'."""
    chosen = FeatureSet.of(layer.features[name] for name in ("long", "item", "price"))
    own = {name: x[name] for name in chosen.names}
    whole = dict(
        zip(
            layer.features.names,
            layer.flat(x).split([each.width for each in layer.features], dim=1),
            strict=True,
        )
    )
    torch.testing.assert_close(
        layer.flat(own, chosen), torch.cat([whole[name] for name in chosen.names], dim=1)
    )
    with pytest.raises(DataError, match="no column for feature 'price'"):
        layer.flat({"item": x["item"], "long": x["long"]}, chosen)


def test_fields_are_the_flat_vector_in_rows(x: dict[str, Tensor]) -> None:
    narrow = [each for each in FEATURES if each.width == D]
    layer = EmbeddingLayer([SparseFeature("item", 9, embedding_dim=D), *narrow])
    fields = layer.fields(x)
    assert fields.shape == (6, len(narrow) + 1, D)
    torch.testing.assert_close(fields.flatten(1), layer.flat(x))
    torch.testing.assert_close(layer.flat(x, fields=fields), layer.flat(x))


def test_maps_of_no_feature_are_empty() -> None:
    for maps in (LinearMaps([DenseFeature("raw")]), NumericMaps([DenseFeature("raw")])):
        assert len(maps) == 0
        assert maps({}, []) == {}


def test_a_copied_layer_gives_the_same(layer: EmbeddingLayer, x: dict[str, Tensor]) -> None:
    torch.testing.assert_close(copy.deepcopy(layer).flat(x), layer.flat(x))
