from __future__ import annotations

import copy

import pytest
import torch

from nextrec.features import FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.tables import EmbeddingTables


def tables() -> EmbeddingTables:
    """Two tables of width 4, one with a padding row, one of width 2, one that is not trained."""
    return EmbeddingTables(
        FeatureSet(
            sparse=[
                SparseFeature("user", 5, embedding_dim=4),
                SparseFeature("item", 6, embedding_name="items", embedding_dim=4),
                SparseFeature("city", 3, embedding_dim=2, padding_idx=1),
                SparseFeature("fixed", 4, embedding_dim=4, trainable=False),
            ],
            sequence=[SequenceFeature("liked", 7, embedding_name="items", embedding_dim=4)],
        ).tables
    )


def filled() -> EmbeddingTables:
    each = tables()
    with torch.no_grad():
        for weight in each.parameters():
            weight.copy_(torch.arange(1.0, weight.numel() + 1).reshape(weight.shape))
    each.zero_padding()
    return each


def test_tables_of_one_width_share_one_parameter() -> None:
    each = tables()
    shapes = {name: tuple(weight.shape) for name, weight in each.named_parameters()}
    assert shapes == {"width_4": (12, 4), "width_2": (3, 2), "width_4_frozen": (4, 4)}
    assert [name for name, weight in each.named_parameters() if not weight.requires_grad] == [
        "width_4_frozen"
    ]
    assert each.storage_of("user") is each.storage_of("items") is each.storages["width_4"]
    assert {t.name: (s.start, s.stop) for t, s in each.storages["width_4"].spans()} == {
        "user": (0, 5),
        "items": (5, 12),  # the larger of its vocabularies
    }
    assert each.storages["width_4"].padding_rows == [5]  # a sequence pads with 0
    assert each.storages["width_2"].padding_rows == [1]


def test_a_table_reads_like_torch_s() -> None:
    each = filled()
    assert list(each) == ["user", "items", "city", "fixed"]
    assert (len(each), "items" in each, "item" in each) == (4, True, False)
    view = each["items"]
    assert (view.num_embeddings, view.embedding_dim, view.padding_idx) == (7, 4, 0)
    with torch.no_grad():
        view.weight[1] = 9.0
    assert (each.width_4[6] == 9.0).all()
    with pytest.raises(KeyError):
        each["item"]
    assert "width_4: 2 tables, 12 rows" in repr(each)


def test_padding_rows_start_at_zero_and_get_no_gradient() -> None:
    each = tables()
    assert (each["items"].weight[0] == 0).all()
    assert (each["user"].weight[0] != 0).any()  # without a padding row every id is a category
    storage = each.storage_of("items")
    rows = torch.tensor([[5, 6], [0, 5]])
    each.lookup(storage, rows, rows == 5).sum().backward()
    grad = each.width_4.grad
    assert grad is not None
    assert grad.sum(dim=1).tolist() == [4, 0, 0, 0, 0, 0, 4, *[0] * 5]


def test_a_lookup_without_gradients_reads_the_stored_rows() -> None:
    each = filled()
    rows = torch.tensor([5, 6])
    with torch.no_grad():
        vectors = each.lookup(each.storage_of("items"), rows, rows == 5)
    assert torch.equal(vectors, each.width_4[rows])


def test_a_reader_takes_over() -> None:
    each = tables()
    storage = each.storage_of("user")
    storage.reader = lambda rows: torch.full((*rows.shape, 4), 7.0)
    assert (each.lookup(storage, torch.zeros(2, 3, dtype=torch.long), None) == 7).all()


def test_the_state_has_one_entry_a_table() -> None:
    each, other = filled(), tables()
    state = each.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "user.weight": (5, 4),
        "items.weight": (7, 4),
        "city.weight": (3, 2),
        "fixed.weight": (4, 4),
    }
    other.load_state_dict(state)
    for a, b in zip(each.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert all(value.requires_grad is False for value in state.values())
    assert each.state_dict(keep_vars=True)["user.weight"].requires_grad


def test_a_saved_padding_row_is_zeroed() -> None:
    each = tables()
    state = {name: torch.ones_like(value) for name, value in each.state_dict().items()}
    each.load_state_dict(state)
    assert each["items"].weight.sum(dim=1).tolist() == [0, *[4] * 6]


def test_states_that_do_not_fit_are_named() -> None:
    each = tables()
    state = dict(each.state_dict())
    state["more.weight"] = torch.ones(1)
    state["user.weight"] = torch.ones(5, 3)
    del state["city.weight"]
    with pytest.raises(RuntimeError) as caught:
        each.load_state_dict(state)
    told = str(caught.value)
    assert "user.weight has shape (5, 3), the table needs (5, 4)" in told
    assert '"city.weight"' in told
    assert '"more.weight"' in told
    del state["user.weight"]
    missing, unexpected = each.load_state_dict(state, strict=False)
    assert sorted(missing) == ["city.weight", "user.weight"]
    assert unexpected == ["more.weight"]


def test_pretrained_weights_are_copied() -> None:
    given = torch.rand(5, 4)
    kept = given.clone()
    feature = SparseFeature("user", 5, embedding_dim=4, pretrained_weight=given)
    frozen = SparseFeature(
        "item", 5, embedding_dim=4, pretrained_weight=given, freeze_pretrained=True
    )
    each = EmbeddingTables(FeatureSet(sparse=[feature, frozen]).tables)
    assert torch.equal(each["user"].weight, given)
    assert torch.equal(each["item"].weight, given)
    assert not each.width_4_frozen.requires_grad
    with torch.no_grad():
        each.width_4.zero_()
    assert torch.equal(given, kept)
    each.reset_parameters()
    assert torch.equal(each["user"].weight, kept)


def test_tables_are_filled_by_their_initializers() -> None:
    torch.manual_seed(0)
    wide = {"embedding_dim": 16, "init_params": {"mean": 5.0, "std": 0.5}}
    each = EmbeddingTables(
        FeatureSet(
            sparse=[
                SparseFeature("shifted", 2000, **wide),
                SparseFeature("small", 2000, embedding_dim=16),
                SparseFeature("even", 2000, embedding_dim=16, init_type="uniform"),
            ]
        ).tables
    )
    assert each["shifted"].weight.mean().item() == pytest.approx(5, abs=0.05)
    assert each["shifted"].weight.std().item() == pytest.approx(0.5, rel=0.05)
    assert each["small"].weight.std().item() == pytest.approx(1e-4, rel=0.05)
    assert each["even"].weight.abs().max().item() <= 0.05


def test_sharing_outlives_conversion_and_copying() -> None:
    each = filled()
    copied = copy.deepcopy(each).double()
    assert copied.width_4.dtype == torch.float64
    with torch.no_grad():
        copied["user"].weight.fill_(3.0)
    assert (copied.width_4[:5] == 3).all()
    assert (each.width_4[0] == torch.arange(1.0, 5.0)).all()
