"""Whatever a user hands in, as a loader of checked batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from nextrec.data.batch import Batch, as_batch
from nextrec.data.dataloader import BatchLoader
from nextrec.data.sources import column_names
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, did_you_mean
from nextrec.loss import check_labels
from nextrec.metrics import Request

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel


def make_store(
    model: BaseModel,
    data: Any,
    *,
    group_column: str | None = None,
    weight_column: str | None = None,
    require_labels: bool = True,
) -> PackedStore:
    """The data packed for this model, its ids and labels checked.

    Args:
        group_column: a column carried beside the model's id columns.
    """
    carried = list(dict.fromkeys([*model.id_columns, *([group_column] if group_column else [])]))
    store = PackedStore.from_data(
        data,
        model.features,
        model.target_columns,
        id_columns=carried,
        weight_column=weight_column,
        require_labels=require_labels,
    )
    if store.labels is not None:
        check_labels(store.labels, model.tasks)
    return store


def make_loader(
    store: PackedStore,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
) -> BatchLoader:
    """Batches of a store."""
    return BatchLoader(store, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)


def is_loader(data: Any) -> bool:
    """Whether the data is batches already."""
    return isinstance(data, (DataLoader, BatchLoader))


def preparer(model: BaseModel, require_labels: bool = True) -> Callable[[Any], Batch]:
    """A function that makes what a loader yields a checked batch on the model's device."""
    device = model.device
    on_cpu = device.type == "cpu"

    def prepare(raw: Any) -> Batch:
        if isinstance(raw, Batch):
            batch = raw
        else:
            batch = as_batch(raw, model.features, model.target_columns, require_labels)
            if batch.labels is not None:
                check_labels(batch.labels, model.tasks)
        return batch if on_cpu else batch.to(device)

    return prepare


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
    """Id columns that a loader of ours carries, or that its first batch has."""
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, PackedStore):
        return tuple(dataset.ids)
    known = getattr(loader, "id_columns", None)
    if known is not None:
        return tuple(known)
    # Looking at one batch must not move the stream that shuffles the user's own loader.
    with torch.random.fork_rng():
        first: Any = next(iter(loader), None)
    ids = first["ids"] if isinstance(first, (dict, Batch)) else None
    return tuple(ids or ())


def rows_of(loader: Iterable[Any]) -> int | None:
    """Rows that a loader will give, when it is known beforehand."""
    dataset = getattr(loader, "dataset", None)
    return len(dataset) if isinstance(dataset, PackedStore) else None
