"""Whatever a user hands in, as a loader of checked batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from nextrec.data.batch import Batch, as_batch
from nextrec.data.columns import owner_of
from nextrec.data.loaders import BatchLoader
from nextrec.data.sources import column_names, open_source
from nextrec.data.store import PackedStore
from nextrec.data.stream import StreamLoader
from nextrec.errors import ConfigError, DataError, did_you_mean, invalid
from nextrec.features import TableFeature
from nextrec.loss import check_labels
from nextrec.metrics import Request
from nextrec.training.seed import preserve_rng

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel


def make_store(
    model: BaseModel,
    data: Any,
    *,
    group_column: str | None = None,
    weight_column: str | None = None,
    require_labels: bool = True,
    processor: Any = None,
) -> PackedStore:
    """The data packed for this model, its ids and labels checked.

    Args:
        group_column: a column carried beside the model's id columns.
        processor: transforms the data first.
    """
    carried = list(dict.fromkeys([*model.id_columns, *([group_column] if group_column else [])]))
    return PackedStore.from_data(
        data,
        model.features,
        model.target_columns,
        id_columns=carried,
        weight_column=weight_column,
        require_labels=require_labels,
        check_labels=label_check(model),
        processor=processor,
    )


def label_check(model: BaseModel) -> Callable[[np.ndarray, int], None]:
    """A function that judges labels ``(B, T)`` by the model's tasks."""

    def check(labels: np.ndarray, first_row: int) -> None:
        check_labels(labels, model.tasks, first_row=first_row)

    return check


def make_loader(
    model: BaseModel,
    store: PackedStore,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
) -> BatchLoader:
    """Batches of a store that :func:`make_store` packed for the model."""
    loader = BatchLoader(store, batch_size, shuffle, seed=seed, drop_last=drop_last)
    loader.packed_for = model.features  # type: ignore[attr-defined]
    return loader


def is_loader(data: Any) -> bool:
    """Whether the data is batches already."""
    return isinstance(data, (DataLoader, BatchLoader))


def opened(data: Any) -> Any:
    """A table as a source, which may be asked several times where a stream is read only once."""
    return data if is_loader(data) else open_source(data)


def refuse_with_loader(owner: str, data: Any, **options: Any) -> None:
    """Refuse options that shape batches when the batches are there already."""
    for name, value in options.items():
        if value and is_loader(data):
            must_be = "said where the data loader is made, for its batches are used as they are"
            raise ConfigError(invalid(owner, name, must_be, value))


def preparer(model: BaseModel, loader: Any, require_labels: bool = True) -> Callable[[Any], Batch]:
    """A function that makes what a loader yields a checked batch on the model's device.

    Batches of :func:`make_loader`, and of a stream made for the model, are checked when they are
    packed, another store is checked here as a whole, batches of any other loader one by one.
    """
    device = model.device
    on_cpu = device.type == "cpu"
    checked = getattr(loader, "packed_for", None) is model.features
    store = getattr(loader, "store", None)
    if not checked and isinstance(store, PackedStore):
        _checked(model, store.data, require_labels, "")
        checked = True

    def prepare(raw: Any) -> Batch:
        batch = raw if checked else _checked(model, raw, require_labels, " of a batch")
        return batch if on_cpu else batch.to(device)

    return prepare


def check_first_batch(loader: Any, prepare: Callable[[Any], Batch]) -> None:
    """Refuse a loader of the user's own before the run begins, as far as one batch shows.

    What can be iterated only once is not looked at.
    """
    own = isinstance(loader, (BatchLoader, StreamLoader))
    if isinstance(loader, StreamLoader):
        prepare(loader.stream.head)  # a shuffled batch would need a whole buffer
        return
    once = isinstance(getattr(loader, "dataset", None), IterableDataset) and not own
    if isinstance(loader, BatchLoader) or once:
        return
    with unmoved(loader):
        first = next(iter(loader), None)
    if first is None:
        raise DataError("the data loader gives no batch.")
    prepare(first)


@contextmanager
def unmoved(loader: Any) -> Iterator[None]:
    """Leave every random stream where it was, a loader's own generators too.

    How often a run looks at its data must not change what it trains.
    """
    owners = (loader, getattr(loader, "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    generators = [each for each in found if isinstance(each, torch.Generator)]
    states = [each.get_state() for each in generators]
    with preserve_rng():
        try:
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


def _checked(model: BaseModel, raw: Any, require_labels: bool, of: str) -> Batch:
    """A batch of a loader of the user's own, with the checks that a store makes once."""
    try:
        batch = as_batch(raw, model.features, model.target_columns, require_labels=require_labels)
    except DataError as error:
        raise DataError(f"a batch of the data loader: {error}") from error
    if batch is raw:  # packed for another set of features, perhaps of other sizes
        for feature in model.features.embedded:
            _check_range(batch.features[feature.name], feature, of)
        if batch.labels is not None and batch.targets != tuple(model.target_columns):
            must_be = f"those of the model, {model.target_columns}"
            raise DataError(invalid("data loader", "target", must_be, list(batch.targets)))
        if batch.labels is None and require_labels:
            raise DataError("the loader's batches have no labels; name its `target`.")
    if batch.labels is not None:
        check_labels(batch.labels, model.tasks)
    return batch


def _check_range(ids: torch.Tensor, feature: TableFeature, of: str) -> None:
    low, high = ids.aminmax()
    if low < 0 or high >= feature.vocab_size:
        outside = (ids < 0) | (ids >= feature.vocab_size)
        place = outside.nonzero()[0].tolist()
        where = f"{owner_of(feature)}, row {place[0]}{of}"
        must_be = f"an integer id in [0, {feature.vocab_size}), the vocabulary"
        raise DataError(invalid(where, "value", must_be, int(ids[tuple(place)])))


def grouping(
    requests: Sequence[Request],
    data: Any,
    user_id_column: str,
    explicit: bool,
    owner: str,
) -> tuple[tuple[Request, ...], str | None]:
    """The metrics to compute and the column that groups them.

    Metrics that a user asked for need the column; of the defaults, those that group are left out
    when the data has none.
    """
    if not any(request.needs_groups for request in requests):
        return tuple(requests), None
    names = list(loader_id_columns(data) if is_loader(data) else column_names(data))
    if user_id_column in names:
        return tuple(requests), user_id_column
    if explicit:
        wanted = [request.key for request in requests if request.needs_groups]
        raise ConfigError(
            f"{owner}: {', '.join(wanted)} need the column `user_id_column`={user_id_column!r}, "
            f"which the data does not have.{did_you_mean(user_id_column, names)}"
        )
    return tuple(request for request in requests if not request.needs_groups), None


def loader_id_columns(loader: Any) -> tuple[str, ...]:
    """Id columns that a loader's batches carry."""
    if isinstance(getattr(loader, "store", None), PackedStore):
        return tuple(loader.store.data.ids)
    schema = getattr(getattr(loader, "dataset", None), "schema", None)
    if schema is not None:
        return tuple(schema.id_columns)
    with unmoved(loader):
        first: Any = next(iter(loader), None)
    ids = first["ids"] if isinstance(first, (dict, Batch)) and "ids" in first else None
    return tuple(ids or ())


def rows_of(loader: Any) -> int | None:
    """Rows that a loader will give, where it is known beforehand."""
    return loader.rows if isinstance(loader, (BatchLoader, StreamLoader)) else None
