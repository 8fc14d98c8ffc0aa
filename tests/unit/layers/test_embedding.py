from __future__ import annotations

import pytest
import torch

from nextrec.errors import DataError, FeatureError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer, InputMask
from nextrec.layers.first_order import FirstOrder


def item(name: str = "item", **changes) -> SparseFeature:
    return SparseFeature(name, **{"vocab_size": 10, "embedding_dim": 4, **changes})


def history(combiner: str = "mean", **changes) -> SequenceFeature:
    values = {"vocab_size": 10, "max_len": 5, "embedding_name": "item", "embedding_dim": 4}
    return SequenceFeature("history", combiner=combiner, **{**values, **changes})


X = {
    "item": torch.tensor([1, 2, 3]),
    "user": torch.tensor([0, 4, 2]),
    "history": torch.tensor([[5, 6, 0, 0, 0], [7, 0, 0, 0, 0], [0, 0, 0, 0, 0]]),
    "price": torch.tensor([0.5, -1.0, 2.0]),
    "image": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
}


def randomise(layer: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    for module in layer.modules():
        if hasattr(module, "zero_padding"):
            module.zero_padding()


@pytest.mark.parametrize("combiner", ["mean", "sum", "max", "concat"])
def test_combiners_against_a_loop(combiner: str) -> None:
    layer = EmbeddingLayer([history(combiner)])
    randomise(layer)
    table = layer.embed_dict["item"].weight
    rows = []
    for ids in X["history"].tolist():
        real = [table[i] for i in ids if i]
        if combiner == "concat":
            rows.append(torch.cat([table[i] if i else torch.zeros(4) for i in ids]))
        elif not real:
            rows.append(torch.zeros(4))
        else:
            stacked = torch.stack(real)
            rows.append(
                {"mean": stacked.mean(0), "sum": stacked.sum(0), "max": stacked.amax(0)}[combiner]
            )
    torch.testing.assert_close(layer.flat(X), torch.stack(rows))
    assert layer.out_features == rows[0].numel()


def test_none_keeps_the_sequence_and_has_no_width() -> None:
    feature = history("none")
    layer = EmbeddingLayer([feature])
    vectors, mask = layer.sequence(X, feature)
    assert vectors.shape == (3, 5, 4)
    assert mask.tolist()[0] == [True, True, False, False, False]
    with pytest.raises(FeatureError, match="keeps the sequence"):
        _ = layer.out_features


def test_flat_order_and_widths() -> None:
    features = FeatureSet(
        [DenseFeature("price"), DenseFeature("image", 3, 2)],
        [item("user", embedding_dim=2), item()],
        [history()],
    )
    layer = EmbeddingLayer(features)
    randomise(layer)
    flat = layer.flat(X)
    assert flat.shape == (3, layer.out_features) == (3, 2 + 4 + 4 + 1 + 3)
    places = features.slices()
    torch.testing.assert_close(flat[:, places["user"]], layer.embed_dict["user"].weight[X["user"]])
    torch.testing.assert_close(flat[:, places["item"]], layer.embed_dict["item"].weight[X["item"]])
    torch.testing.assert_close(flat[:, places["price"]], X["price"].unsqueeze(1))
    mapped = layer.dense_transforms["image"](X["image"])
    torch.testing.assert_close(flat[:, places["image"]], mapped)


def test_fields_are_read_once_for_the_flat_vector() -> None:
    features = FeatureSet(
        [DenseFeature("image", 4, 2), DenseFeature("price")], [item("user"), item()], [history()]
    )
    layer = EmbeddingLayer(features)
    randomise(layer)
    fields = layer.fields(X)
    assert fields.shape == (3, 4, 4)
    torch.testing.assert_close(layer.flat(X, fields=fields), layer.flat(X))


def test_old_call() -> None:
    features = [item(), item("user"), history()]
    layer = EmbeddingLayer(features)
    assert layer(x=X, features=features, squeeze_dim=True).shape == (3, 12)
    assert layer(x=X, features=features).shape == (3, 3, 4)
    assert layer(X, [features[1]]).shape == (3, 1, 4)
    assert layer.get_input_dim([features[0], features[0]]) == 4
    assert layer.input_dim == layer.output_dim == 12
    mixed = EmbeddingLayer([item(), DenseFeature("price")])
    with pytest.raises(FeatureError, match="one width"):
        mixed(X, list(mixed.features))


def test_tables_of_one_width_share_a_weight_and_are_saved_by_name() -> None:
    layer = EmbeddingLayer([item(), item("user"), item("city", embedding_dim=3)])
    assert sorted(name for name, _ in layer.named_parameters()) == [
        "embed_dict.width_3",
        "embed_dict.width_4",
    ]
    assert set(layer.state_dict()) == {f"embed_dict.{n}.weight" for n in ("item", "user", "city")}
    view = layer.embed_dict["user"].weight
    assert (
        view.untyped_storage().data_ptr()
        == layer.embed_dict["item"].weight.untyped_storage().data_ptr()
    )
    layer.to(torch.float64)
    assert layer.embed_dict["user"].weight.dtype == torch.float64
    assert (
        layer.embed_dict["user"].weight.untyped_storage().data_ptr()
        == layer.embed_dict["item"].weight.untyped_storage().data_ptr()
    )


def test_state_dict_round_trip_and_its_errors() -> None:
    first, second = (EmbeddingLayer([item(), item("user")]) for _ in range(2))
    randomise(first)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second.flat(X), first.flat(X))
    state = first.state_dict()
    del state["embed_dict.user.weight"]
    state["embed_dict.other.weight"] = torch.zeros(1, 4)
    state["embed_dict.item.weight"] = torch.zeros(3, 4)
    with pytest.raises(RuntimeError) as error:
        second.load_state_dict(state)
    assert "user" in str(error.value)
    assert "other" in str(error.value)
    assert "(3, 4)" in str(error.value)


def test_padding_row_is_zero_untrained_and_stays_so_after_loading() -> None:
    layer = EmbeddingLayer([item(padding_idx=0), history()])
    assert not layer.embed_dict["item"].weight[0].any()
    x = {"item": torch.tensor([0, 1]), "history": torch.tensor([[2, 0], [0, 0]])}
    layer.flat(x).sum().backward()
    grad = layer.embed_dict.width_4.grad
    assert not grad[0].any()
    assert grad[1].any()
    assert grad[2].any()
    state = {name: torch.ones_like(value) for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    assert not layer.embed_dict["item"].weight[0].any()
    assert layer.embed_dict["item"].weight[1].all()


def test_without_padding_id_0_is_a_category() -> None:
    layer = EmbeddingLayer([item()])
    layer.flat({"item": torch.tensor([0])}).sum().backward()
    assert layer.embed_dict.width_4.grad[0].all()


def test_shared_table_has_the_larger_vocabulary() -> None:
    layer = EmbeddingLayer([item(vocab_size=6), history(vocab_size=12)])
    assert layer.embed_dict["item"].num_embeddings == 12


def test_pretrained_is_copied_and_can_be_frozen() -> None:
    weight = torch.randn(10, 4)
    kept = weight.clone()
    layer = EmbeddingLayer([item(pretrained_weight=weight, freeze_pretrained=True), item("user")])
    torch.testing.assert_close(layer.embed_dict["item"].weight, weight)
    assert not layer.embed_dict["item"].weight.requires_grad
    assert layer.embed_dict["user"].weight.requires_grad
    with torch.no_grad():
        layer.embed_dict["item"].weight[:] = 0
    assert torch.equal(weight, kept)


def test_longer_sequences_keep_their_newest_items() -> None:
    layer = EmbeddingLayer([history("sum", max_len=2)])
    randomise(layer)
    table = layer.embed_dict["item"].weight
    out = layer.flat({"history": torch.tensor([[1, 2, 3, 4]])})
    torch.testing.assert_close(out[0], table[3] + table[4])


def test_missing_column_and_wrong_width_are_named() -> None:
    layer = EmbeddingLayer([item(), DenseFeature("image", input_dim=2)])
    with pytest.raises(DataError, match="'item'"):
        layer.flat({"image": X["image"]})
    with pytest.raises(DataError, match="'image' has 1 numbers"):
        layer.flat({**X, "image": X["price"]})


def test_reader_replaces_the_lookup() -> None:
    layer = EmbeddingLayer([item("user"), item(padding_idx=0)])
    storage = layer.embed_dict.storages["width_4"]
    asked = []

    def reader(rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows)
        return torch.zeros(*rows.shape, 4)

    storage.reader = reader
    assert not layer.flat(X).any()
    (rows,) = asked
    assert rows.tolist() == [[0, 11], [4, 12], [2, 13]]


def test_input_mask() -> None:
    mask = InputMask()(X, history())
    assert mask.shape == (3, 1, 5)
    assert mask[0, 0].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert InputMask()({}, history(padding_idx=3), torch.tensor([[3, 1]])).tolist() == [
        [[0.0, 1.0]]
    ]


@pytest.mark.parametrize("outputs", [1, 3])
def test_first_order_against_a_loop(outputs: int) -> None:
    features = FeatureSet([DenseFeature("price")], [item("user"), item()], [history("max")])
    layer = FirstOrder(features, outputs)
    randomise(layer)
    tables = layer.weights.embed_dict
    expected = []
    for row in range(3):
        total = layer.linear(X["price"][row : row + 1])
        total = (
            total + tables["user"].weight[X["user"][row]] + tables["item"].weight[X["item"][row]]
        )
        for i in X["history"][row].tolist():
            if i:
                total = total + tables["item"].weight[i]
        expected.append(total)
    torch.testing.assert_close(layer(X), torch.stack(expected))


def test_first_order_without_dense_has_a_bias() -> None:
    layer = FirstOrder(FeatureSet(sparse=[item()]))
    assert layer.bias is not None
    assert layer(X).shape == (3, 1)


@pytest.mark.parametrize(
    ("column", "ids"), [("item", [10]), ("user", [-1]), ("history", [[3, 10]])]
)
def test_an_id_outside_its_table_is_named(column: str, ids: list) -> None:
    layer = EmbeddingLayer([item(), item("user"), history()])
    x = {"item": torch.tensor([1]), "user": torch.tensor([1]), "history": torch.tensor([[1, 0]])}
    with pytest.raises(DataError, match=f"'{column}' has the id"):
        layer.flat({**x, column: torch.tensor(ids)})
