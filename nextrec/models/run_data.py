"""The loaders of a run: packed, split, checked before the first step."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextrec.data.sampling import split
from nextrec.data.sources import read_table_of
from nextrec.data.store import PackedStore
from nextrec.errors import ConfigError, DataError, invalid, unknown_option
from nextrec.metrics import Evaluator, Request, resolve_metrics
from nextrec.models import inputs
from nextrec.models.fit_options import FitOptions

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

logger = logging.getLogger("nextrec")


@dataclass
class RunData:
    """Loaders of a run and what is measured on them."""

    train: Any
    valid: Any
    requests: tuple[Request, ...]
    group_column: str | None
    """Id column that groups rows for GAUC and the metrics at k."""
    train_metrics: bool


def load_run_data(
    model: BaseModel, train_data: Any, valid_data: Any, options: FitOptions, seed: int
) -> RunData:
    """Stores and loaders of both parts; what is wrong with the data is found here."""
    requests = resolve_metrics(options.metrics, model.tasks, owner="fit")
    train = inputs.opened(train_data)
    valid = None if valid_data is None else inputs.opened(valid_data)
    inputs.refuse_with_loader("fit", train, weight_column=options.weight_column)
    inputs.refuse_with_loader("fit", train, drop_last=options.drop_last)
    named = bool(options.metrics)
    share = options.validation_split
    validated = valid is not None or share is not None
    train_metrics = (
        named and not validated if options.train_metrics is None else options.train_metrics
    )
    column = None
    if validated or train_metrics:
        judged = train if valid is None else valid
        requests, column = inputs.grouping(requests, judged, options.user_id_column, named, "fit")
    make = partial(inputs.make_store, model, weight_column=options.weight_column)
    if valid is not None and share is not None:
        logger.warning("fit: `validation_split` is not used, because there is `valid_data`")
    if valid is None and share is not None:
        if inputs.is_loader(train):
            raise ConfigError("fit: `validation_split` needs data that is not a loader yet.")
        whole = make(train, group_column=column)
        kept, held = _split(train, len(whole), options, share, seed)
        train, valid = whole.subset(kept), whole.subset(held)
    elif not inputs.is_loader(train):
        train = make(train, group_column=column if train_metrics else None)
    if valid is not None and not inputs.is_loader(valid) and not isinstance(valid, PackedStore):
        valid = make(valid, group_column=column)
    _refuse_unobserved(model, train)
    return RunData(
        _train_loader(model, train, options, seed),
        _valid_loader(model, valid, options),
        requests,
        column,
        train_metrics,
    )


def _refuse_unobserved(model: BaseModel, train: Any) -> None:
    """Refuse a target of which no label counts: its part of the model would not be trained."""
    store = train if isinstance(train, PackedStore) else getattr(train, "store", None)
    if not isinstance(store, PackedStore) or store.data.labels is None:
        return
    labels, weights = store.data.labels, store.data.weights
    for name, column in zip(model.target_columns, labels.unbind(1), strict=False):
        missing = torch.isnan(column)
        if bool((missing if weights is None else missing | (weights == 0)).all()):
            must_be = "observed, with a weight above 0, in at least one row of the training data"
            raise DataError(invalid("fit", name, must_be, f"{len(column)} rows without"))


def _train_loader(model: BaseModel, train: Any, options: FitOptions, seed: int) -> Any:
    if not isinstance(train, PackedStore):
        return train
    return inputs.make_loader(
        model,
        train,
        options.batch_size,
        shuffle=options.shuffle,
        seed=seed,
        drop_last=options.drop_last,
    )


def _valid_loader(model: BaseModel, valid: Any, options: FitOptions) -> Any:
    if not isinstance(valid, PackedStore):
        return valid
    size = options.eval_batch_size or max(options.batch_size, 4096)
    return inputs.make_loader(model, valid, size)


def _split(
    data: Any, rows: int, options: FitOptions, share: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to train on and rows to validate on."""
    method, column = options.split_by, options.split_column
    if method == "group" and column is None:
        column = options.user_id_column
    if method != "random" and column is None:
        must_be = f"the column that `split_by` {method!r} goes by"
        raise ConfigError(invalid("fit", "split_column", must_be, None))
    order = groups = None
    if method != "random":
        assert column is not None
        names = [column, *([options.user_id_column] if method == "user_time" else [])]
        table = read_table_of(data, names)
        order = table[column].to_numpy()
        groups = table[names[-1]].to_numpy() if method == "user_time" else None
    kept, held = split(rows, share, method=method, seed=seed, values=order, groups=groups)
    return torch.from_numpy(kept), torch.from_numpy(held)


def find_monitor(data: RunData, options: FitOptions) -> tuple[str, str]:
    """The value that decides the best epoch, and its direction."""
    directed = [request for request in data.requests if request.named.metric.mode is not None]
    names = [*(request.key for request in directed), "valid_loss"]
    monitor = options.monitor or names[0]
    if monitor not in names:
        raise ConfigError(unknown_option("fit", "monitor", names, monitor))
    if options.monitor is not None and data.valid is None:
        raise ConfigError("fit: `monitor` needs validation data.")
    modes = {request.key: request.mode for request in directed} | {"valid_loss": "min"}
    return monitor, options.monitor_mode or modes[monitor]


def check_monitor(model: BaseModel, data: RunData, monitor: str) -> None:
    """Refuse validation labels on which the monitor is undefined, whatever is predicted."""
    store = getattr(data.valid, "store", None)
    chosen = [request for request in data.requests if request.key == monitor]
    if not isinstance(store, PackedStore) or store.data.labels is None:
        return
    if bool(torch.isnan(store.data.labels).all()):
        raise DataError("fit: no label of the validation data is observed.")
    if not chosen:  # the loss, which any label defines
        return
    groups = None if data.group_column is None else store.data.ids[data.group_column]
    evaluator = Evaluator(chosen, model.tasks)
    # Any predictions do; rows that sum to 1 are probabilities for every kind of task.
    scores = np.random.default_rng(0).dirichlet(np.ones(model.num_logits + 1), len(store))[:, 1:]
    evaluator.update(scores, store.data.labels.numpy(), groups=groups)
    values = evaluator.compute()
    if np.isnan(values[monitor]):
        reason = values.reasons.get(monitor, "no value")
        raise DataError(
            f"fit: the monitor {monitor!r} is undefined on the validation data: {reason}."
        )
