from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import nextrec
from nextrec.data.batch import Batch
from nextrec.data.files import Source
from nextrec.data.loaders import BatchLoader
from nextrec.errors import ConfigError, DataError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.metrics import resolve_metrics
from nextrec.models import inputs


def model(**options: Any) -> nextrec.BaseModel:
    return nextrec.DCN(
        [DenseFeature("price")],
        [SparseFeature("user", 9, embedding_dim=4)],
        **{"id_columns": "row", "seed": 1, **options},
    )


def columns(rows: int = 10) -> dict[str, Any]:
    return {
        "price": np.linspace(0, 1, rows),
        "user": np.arange(rows) % 9,
        "row": [f"r{i}" for i in range(rows)],
        "group": np.arange(rows) % 3,
        "weight": np.ones(rows),
        "label": np.arange(rows) % 2,
    }


def rec_loader(users: int = 9, **options: Any) -> Any:
    maker = nextrec.RecDataLoader(
        [DenseFeature("price")],
        [SparseFeature("user", users)],
        target=options.pop("target", "label"),
        id_columns="row",
    )
    return maker.create_dataloader(options.pop("data", columns()), batch_size=4, **options)


def dicts() -> list[dict[str, Any]]:
    features = {"price": torch.zeros(2), "user": torch.tensor([1, 2])}
    return [{"features": features, "labels": {"label": torch.ones(2)}, "ids": {"row": ["a", "b"]}}]


# -- stores and loaders ------------------------------------------------------------------------


def test_a_store_carries_ids_groups_and_weights_once() -> None:
    store = inputs.make_store(model(), columns(), group_column="group", weight_column="weight")
    assert list(store.data.ids) == ["row", "group"]
    assert store.data.weights.tolist() == [1.0] * 10
    again = inputs.make_store(model(), columns(), group_column="row")
    assert list(again.data.ids) == ["row"]


def test_labels_are_judged_by_the_tasks() -> None:
    data = {**columns(), "label": np.full(10, 3)}
    with pytest.raises(DataError, match="`label` must be 0 or 1"):
        inputs.make_store(model(), data)
    inputs.make_store(model(task="regression"), data)
    with pytest.raises(DataError, match="a class number from 0 to 2"):
        inputs.make_store(model(task="multiclass", num_classes=3), data)


def test_what_counts_as_a_loader() -> None:
    assert inputs.is_loader(rec_loader())
    assert inputs.is_loader(DataLoader(dicts(), batch_size=None))
    for table in (columns(), pd.DataFrame(columns()), "a.csv", dicts()):
        assert not inputs.is_loader(table)


def test_a_table_is_opened_a_loader_is_left() -> None:
    stream = pl.DataFrame(columns()).to_arrow().to_reader()
    source = inputs.opened(stream)
    assert isinstance(source, Source)
    assert inputs.opened(source) is source
    assert [len(source.read(["user"])) for _ in range(2)] == [10, 10]
    loader = rec_loader()
    assert inputs.opened(loader) is loader


def test_options_that_a_loader_can_not_follow() -> None:
    inputs.refuse_with_loader("fit", columns(), weight_column="w", drop_last=True)
    inputs.refuse_with_loader("fit", rec_loader(), weight_column=None, drop_last=False)
    with pytest.raises(ConfigError, match="fit: `drop_last` must be said where"):
        inputs.refuse_with_loader("fit", rec_loader(), drop_last=True)


def test_rows_are_known_of_what_is_in_memory() -> None:
    assert inputs.rows_of(rec_loader()) == 10
    assert inputs.rows_of(DataLoader(dicts(), batch_size=None)) is None


# -- batches -----------------------------------------------------------------------------------


def test_batches_that_were_packed_for_the_model_pass() -> None:
    built = model()
    loader = inputs.make_loader(built, inputs.make_store(built, columns()), 4)
    prepare = inputs.preparer(built, loader)
    for batch in loader:
        assert prepare(batch) is batch


def test_another_store_is_checked_as_a_whole() -> None:
    inputs.preparer(model(), rec_loader(users=50))  # its ids are small enough all the same
    large = rec_loader(users=50, data={**columns(), "user": [*[1] * 9, 30]})
    with pytest.raises(DataError, match=r"SparseFeature 'user', row 9: .*\[0, 9\).*got 30"):
        inputs.preparer(model(), large)
    with pytest.raises(DataError, match="have no labels"):
        inputs.preparer(model(), rec_loader(target=None))
    inputs.preparer(model(), rec_loader(target=None), require_labels=False)
    with pytest.raises(DataError, match=r"`target` must be those of the model, \['label'\]"):
        inputs.preparer(model(), rec_loader(target="group"))


def test_dict_batches_are_packed() -> None:
    prepare = inputs.preparer(model(), DataLoader(dicts(), batch_size=None))
    batch = prepare(dicts()[0])
    assert isinstance(batch, Batch)
    assert batch.labels.tolist() == [[1.0], [1.0]]
    assert list(batch.ids) == ["row"]


def test_the_first_batch_is_looked_at() -> None:
    def look(batches: Any, **options: Any) -> None:
        loader = DataLoader(batches, batch_size=None, **options)
        inputs.check_first_batch(loader, inputs.preparer(model(), loader))

    look(dicts())
    with pytest.raises(DataError, match="gives no batch"):
        look([])
    with pytest.raises(DataError, match="lacks 2 column"):
        look([{"features": {}}])


def test_what_can_be_read_only_once_is_not_looked_at() -> None:
    class Once(IterableDataset[Any]):
        def __init__(self) -> None:
            self.batches = iter(dicts())

        def __iter__(self) -> Iterator[Any]:
            return self.batches

    loader = DataLoader(Once(), batch_size=None)
    inputs.check_first_batch(loader, inputs.preparer(model(), loader))
    assert len(list(loader)) == 1
    built = model()
    built.fit(DataLoader(Once(), batch_size=None), report=False)
    assert built.history[0]["step"] == 1


def test_our_stream_is_looked_at_without_losing_its_place(tmp_path: Any) -> None:
    pd.DataFrame(columns()).to_csv(tmp_path / "data.csv", index=False)
    loader = rec_loader(data=tmp_path / "data.csv", load_full=False, shuffle=True, seed=2)
    expected = [batch.features["user"].tolist() for batch in loader]
    loader.set_epoch(0)
    inputs.check_first_batch(loader, inputs.preparer(model(), loader))
    assert [batch.features["user"].tolist() for batch in loader] == expected


@pytest.mark.parametrize("own", [None, 3])
def test_looking_moves_no_stream(own: int | None) -> None:
    generator = None if own is None else torch.Generator().manual_seed(own)
    loader = DataLoader(list(range(20)), batch_size=5, shuffle=True, generator=generator)

    def order() -> list[list[int]]:
        return [batch.tolist() for batch in loader]

    torch.manual_seed(0)
    expected = [order(), order()]
    torch.manual_seed(0)
    if generator is not None:
        generator.manual_seed(own or 0)
    seen = []
    for _ in range(2):
        with inputs.unmoved(loader):
            looked = order()
        seen.append(order())
        assert looked == seen[-1]
    assert seen == expected


def test_looking_that_fails_moves_no_stream() -> None:
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(list(range(9)), shuffle=True, generator=generator)
    before, here = generator.get_state(), torch.get_rng_state()

    def fails() -> None:
        with inputs.unmoved(loader):
            next(iter(loader))
            torch.rand(1)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), here)


# -- groups of rows ----------------------------------------------------------------------------


def grouped(metrics: Any, data: Any, column: str = "group", explicit: bool = True) -> Any:
    requests = resolve_metrics(metrics, model().tasks)
    chosen, found = inputs.grouping(requests, data, column, explicit, "fit")
    return [request.key for request in chosen], found


def test_metrics_that_rank_need_their_column() -> None:
    assert grouped(["auc"], columns(), "nowhere") == (["auc"], None)
    assert grouped(["auc", "gauc"], columns()) == (["auc", "gauc"], "group")
    with pytest.raises(ConfigError, match=r"fit: gauc need the column.*Did you mean 'group'"):
        grouped(["auc", "gauc"], columns(), "groups")
    assert grouped(["auc", "gauc"], columns(), "groups", explicit=False) == (["auc"], None)


def test_loaders_tell_the_ids_they_carry(tmp_path: Any) -> None:
    pd.DataFrame(columns()).to_csv(tmp_path / "data.csv", index=False)
    stream = rec_loader(data=tmp_path / "data.csv", load_full=False)
    for loader in (rec_loader(), stream, DataLoader(dicts(), batch_size=None)):
        assert inputs.loader_id_columns(loader) == ("row",)
        assert grouped(["gauc"], loader, "row") == (["gauc"], "row")
    without = DataLoader([{"features": {}, "ids": None}], batch_size=None)
    assert inputs.loader_id_columns(without) == ()
    assert isinstance(rec_loader(), BatchLoader)
