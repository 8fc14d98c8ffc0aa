"""The loaders of a run: packed, split, checked before the first step."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from nextrec.data.sampling import split
from nextrec.data.sources import read_table_of
from nextrec.data.stream_split import split_stream
from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.metrics import Request, resolve_metrics
from nextrec.models import inputs
from nextrec.models.fit_options import FitOptions
from nextrec.models.loading import TableInput, processor_for, watched
from nextrec.models.run_checks import monitor_modes, refuse_unobserved

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
    notes: list[str]
    """What the log should tell, once there is one."""
    loaded: list[Any]
    """Processors of tables in memory, which have counted what is missing and unknown there."""
    streamed: list[Any]
    """Processors of streams, which have counted their tables after the first epoch."""


def load_run_data(
    model: BaseModel, train_data: Any, valid_data: Any, options: FitOptions, seed: int
) -> RunData:
    """Loaders of both parts; what is wrong with the data is found here, as far as it is read."""
    requests = resolve_metrics(options.metrics, model.tasks, owner="fit")
    train = inputs.opened(train_data)
    valid = None if valid_data is None else inputs.opened(valid_data)
    inputs.refuse_with_loader("fit", train, weight_column=options.weight_column)
    inputs.refuse_with_loader("fit", train, drop_last=options.drop_last)
    inputs.refuse_with_loader("fit", train, stream=options.stream, buffer_rows=options.buffer_rows)
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
    if valid is not None and share is not None:
        logger.warning("fit: `validation_split` is not used, because there is `valid_data`")
    if valid is None and share is not None and inputs.is_loader(train):
        raise ConfigError("fit: `validation_split` needs data that is not a loader yet.")
    loading = _Loading(model, options, seed)
    if valid is None and share is not None:
        train, valid = loading.split(train, share, column)
    else:
        train = loading.train(train, column if train_metrics else None)
        valid = None if valid is None else loading.valid(valid, column)
    refuse_unobserved(model, train)
    return RunData(
        train,
        valid,
        requests,
        column,
        train_metrics,
        loading.notes,
        loading.loaded,
        loading.streamed,
    )


class _Loading:
    """Makes the loaders of one run."""

    def __init__(self, model: BaseModel, options: FitOptions, seed: int) -> None:
        self.model = model
        self.options = options
        self.seed = seed
        self.notes: list[str] = []
        self.loaded: list[Any] = []
        self.streamed: list[Any] = []
        self.training: dict[str, Any] = {
            "batch_size": options.batch_size,
            "shuffle": options.shuffle,
            "seed": seed,
            "drop_last": options.drop_last,
            "buffer_rows": options.buffer_rows,
        }
        self.valid_size = options.eval_batch_size or max(options.batch_size, 4096)

    def train(self, data: Any, column: str | None) -> Any:
        """A loader of all rows to train on; ``column`` is carried along."""
        if inputs.is_loader(data):
            return data
        table, streams = self._table(data, column, "training data", to_train=True)
        return table.loader(table.stream() if streams else table.store(), **self.training)

    def valid(self, data: Any, column: str | None) -> Any:
        """A loader of rows to validate on."""
        if inputs.is_loader(data):
            return data
        table, streams = self._table(data, column, "validation data")
        return table.loader(table.stream() if streams else table.store(), self.valid_size)

    def split(self, data: Any, share: float, column: str | None) -> tuple[Any, Any]:
        """Loaders of the rows to train on and of those held out."""
        by = _split_column(self.options)
        table, streams = self._table(data, column, "training data", to_train=True)
        parts: tuple[Any, Any]
        if streams:
            method, text = self.options.split_by, table.preparation.text
            choices = split_stream(table.source, table.units, share, method, self.seed, by, text)
            parts = table.stream(choices[0]), table.stream(choices[1])
        else:
            store = table.store()
            kept, held = _split(data, len(store), self.options, share, self.seed)
            parts = store.subset(kept), store.subset(held)
        train = table.loader(parts[0], **self.training)
        return train, table.loader(parts[1], self.valid_size)

    def _table(
        self, data: Any, column: str | None, part: str, to_train: bool = False
    ) -> tuple[TableInput, bool]:
        processor = processor_for(self.model, self.options.processor, data, "fit")
        table = TableInput(
            self.model,
            data,
            watched(processor, part, to_train),
            group_column=column,
            weight_column=self.options.weight_column,
        )
        streams = table.streams(self.options.stream, part)
        self.notes += table.notes
        (self.streamed if streams else self.loaded).append(table.processor)
        return table, streams


def _split_column(options: FitOptions) -> str | None:
    """The column that the split goes by."""
    method, column = options.split_by, options.split_column
    if method == "group" and column is None:
        column = options.user_id_column
    if method != "random" and column is None:
        must_be = f"the column that `split_by` {method!r} goes by"
        raise ConfigError(invalid("fit", "split_column", must_be, None))
    return column


def _split(
    data: Any, rows: int, options: FitOptions, share: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to train on and rows to validate on."""
    method, column = options.split_by, _split_column(options)
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
    """The value that decides the best epoch, and its direction.

    It is a key of the epoch's record, or the name of a metric that several targets have, whose mean
    over them is then recorded under that name.
    """
    modes = monitor_modes(data.requests)
    monitor = options.monitor or next(iter(modes))
    if monitor not in modes:
        raise ConfigError(unknown_option("fit", "monitor", modes, monitor))
    if options.monitor is not None and data.valid is None:
        raise ConfigError("fit: `monitor` needs validation data.")
    return monitor, options.monitor_mode or modes[monitor]
