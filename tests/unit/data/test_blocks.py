from __future__ import annotations

import pickle
from collections.abc import Mapping

import pytest
import torch

from nextrec.data.blocks import FeatureBatch, Layout
from nextrec.errors import DataError
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature


@pytest.fixture
def layout() -> Layout:
    return Layout.of(
        FeatureSet(
            [DenseFeature("d1"), DenseFeature("d3", input_dim=3), DenseFeature("d2", input_dim=2)],
            [SparseFeature(name, 10) for name in ("a", "b", "c", "d")],
            [SequenceFeature("h2", 10, max_len=2), SequenceFeature("h3", 10, max_len=3)],
        )
    )


@pytest.fixture
def x(layout: Layout) -> FeatureBatch:
    sparse = torch.arange(8).reshape(2, 4)
    sequence = torch.arange(10).reshape(2, 5)
    return FeatureBatch(layout, sparse, sequence, torch.arange(12.0).reshape(2, 6))


def test_layouts_of_one_shape_are_equal_and_can_be_keys(layout: Layout) -> None:
    twin = Layout(layout.sparse, layout.sequence, layout.dense)
    layout.columns("sparse", ("a",))  # what was looked up before makes no difference
    assert twin == layout
    assert {twin: 1}[layout] == 1
    assert pickle.loads(pickle.dumps(layout)) == layout
    assert layout.width("dense") == 6
    assert layout.width("sequence") == 5


def test_a_name_is_a_view_of_its_columns(x: FeatureBatch) -> None:
    assert x["b"].tolist() == [1, 5]
    assert x["h3"].tolist() == [[2, 3, 4], [7, 8, 9]]
    assert x["d1"].tolist() == [[0], [6]]
    assert x["d3"].tolist() == [[1, 2, 3], [7, 8, 9]]
    assert x.sparse is not None
    x.sparse[0, 1] = 7
    assert x["b"].tolist() == [7, 5]


def test_it_is_a_mapping(x: FeatureBatch) -> None:
    assert isinstance(x, Mapping)
    assert list(x) == ["a", "b", "c", "d", "h2", "h3", "d1", "d3", "d2"]
    assert len(x) == 9
    assert "d3" in x
    assert x.get("nope") is None
    assert x == x
    assert x.rows == 2
    assert "rows=2" in repr(x)
    with pytest.raises(KeyError):
        x["nope"]


def test_all_ids_in_order_are_the_block_itself(x: FeatureBatch, layout: Layout) -> None:
    assert x.ids(layout.sparse) is x.sparse
    assert x.ids(("a", "b", "c", "d")) is x.sparse
    assert x.numbers(("d1", "d3", "d2")) is x.dense


def test_neighbours_are_a_view(x: FeatureBatch) -> None:
    assert x.sparse is not None
    assert x.dense is not None
    part = x.ids(("b", "c"))
    assert part.tolist() == [[1, 2], [5, 6]]
    assert part.untyped_storage().data_ptr() == x.sparse.untyped_storage().data_ptr()
    numbers = x.numbers(("d3", "d2"))
    assert numbers.tolist() == [[1, 2, 3, 4, 5], [7, 8, 9, 10, 11]]
    assert numbers.untyped_storage().data_ptr() == x.dense.untyped_storage().data_ptr()


def test_any_other_choice_is_a_copy_in_the_order_asked(x: FeatureBatch) -> None:
    for _ in range(2):  # the second time from the layout's memory
        assert x.ids(("d", "a")).tolist() == [[3, 0], [7, 4]]
        assert x.numbers(("d2", "d1")).tolist() == [[4, 5, 0], [10, 11, 6]]


def test_a_name_of_another_kind_is_refused(x: FeatureBatch) -> None:
    with pytest.raises(DataError, match="no sparse feature 'h2'"):
        x.ids(("a", "h2"))
    with pytest.raises(DataError, match=r"no dense feature 'd33'\. Did you mean 'd3'"):
        x.numbers(("d33",))


def test_blocks_may_be_absent() -> None:
    layout = Layout.of(FeatureSet(dense=[DenseFeature("d")]))
    x = FeatureBatch(layout, None, None, torch.ones(3, 1))
    assert x.rows == 3
    assert x["d"].shape == (3, 1)
    assert x.to("meta")["d"].device.type == "meta"
    with pytest.raises(DataError, match="no sparse feature 'a'"):
        x.ids(("a",))


def test_it_stays_when_it_is_on_the_device(x: FeatureBatch) -> None:
    assert x.to("cpu") is x
    assert x.device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_it_can_be_pinned(x: FeatureBatch) -> None:
    assert x.pin_memory()["a"].is_pinned()
    moved = x.to("cuda")
    assert moved.ids(("d", "a")).tolist() == [[3, 0], [7, 4]]
