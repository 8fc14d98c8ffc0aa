"""What the labels must say before a run begins: each target is trained, the monitor is defined.

Of data in memory all labels are looked at. A stream is read in its order, only as far as it takes
to see that all is well: one unit nearly always, everything where something is wrong.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextrec.data.batch import Batch
from nextrec.data.store import PackedStore
from nextrec.data.stream import StreamLoader
from nextrec.errors import DataError, invalid
from nextrec.metrics import Evaluator, Request
from nextrec.metrics.definitions import Mode

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel
    from nextrec.models.run_data import RunData


def refuse_unobserved(model: BaseModel, train: Any) -> None:
    """Refuse a target of which no label counts: its part of the model would not be trained."""
    unseen = list(model.target_columns)
    rows = 0
    with closing(_pieces(train)) as pieces:
        for piece in pieces:
            rows += len(piece)
            there = zip(model.target_columns, (~_missing(piece)).any(0).tolist(), strict=False)
            seen = {name for name, counts in there if counts}
            unseen = [name for name in unseen if name not in seen]
            if not unseen:
                return
    if rows:
        must_be = "observed, with a weight above 0, in at least one row of the training data"
        raise DataError(invalid("fit", unseen[0], must_be, f"{rows} rows without"))


def _missing(piece: Batch) -> torch.Tensor:
    """Which labels do not count ``(B, T)``."""
    assert piece.labels is not None
    missing = torch.isnan(piece.labels)
    return missing if piece.weights is None else missing | (piece.weights == 0).unsqueeze(1)


def monitored(requests: Iterable[Request], monitor: str) -> list[Request]:
    """The metrics that a monitor is made of: one, those of several targets, or none (the loss)."""
    requests = list(requests)
    named = [request for request in requests if request.key == monitor]
    return named or [request for request in requests if request.metric == monitor]


def monitor_modes(requests: Iterable[Request]) -> dict[str, Mode]:
    """What a monitor may be, and which way it is better.

    Keys of an epoch's record, the metrics that several targets have, and the loss.
    """
    requests = [request for request in requests if request.named.metric.mode is not None]
    modes = {request.key: request.mode for request in requests}
    for request in requests:
        if len(monitored(requests, request.metric)) > 1:
            modes.setdefault(request.metric, request.mode)
    return {**modes, "valid_loss": "min"}


def check_monitor(model: BaseModel, data: RunData, monitor: str) -> None:
    """Refuse validation labels on which the monitor is undefined, whatever is predicted.

    A metric that is defined on a part of the rows is defined on all of them.
    """
    chosen = monitored(data.requests, monitor)
    labels: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    reason = None
    with closing(_pieces(data.valid)) as pieces:
        for number, piece in enumerate(pieces, 1):
            assert piece.labels is not None
            labels.append(piece.labels.numpy())
            if data.group_column is not None:
                groups.append(np.asarray(piece.ids[data.group_column]))
            if number & (number - 1) == 0:  # 1, 2, 4, 8: looking at all pieces each time adds up
                reason = _undefined(model, chosen, labels, groups)
                if reason is None:
                    return
    if labels:
        reason = _undefined(model, chosen, labels, groups)
    if reason is not None:
        raise DataError(f"fit: {reason}.")


def _undefined(
    model: BaseModel, chosen: list[Request], labels: list[np.ndarray], groups: list[np.ndarray]
) -> str | None:
    """Why the metric has no value on these rows; ``None``: it has one."""
    observed = np.concatenate(labels)
    if np.isnan(observed).all():
        return "no label of the validation data is observed"
    if not chosen:  # the loss, which any label defines
        return None
    evaluator = Evaluator(chosen, model.tasks)
    # Any predictions do; rows that sum to 1 are probabilities for every kind of task.
    random, width = np.random.default_rng(0), model.num_logits
    scores = random.dirichlet(np.ones(width + 1), len(observed))[:, 1:]
    evaluator.update(scores, observed, groups=np.concatenate(groups) if groups else None)
    values = evaluator.compute()
    for key in (request.key for request in chosen):
        if np.isnan(values[key]):
            why = values.reasons.get(key, "no value")
            return f"the monitor {key!r} is undefined on the validation data: {why}"
    return None


def _pieces(loader: Any) -> Generator[Batch, None, None]:
    """The labelled rows of a loader of ours; nothing of any other."""
    store = getattr(loader, "store", None)
    if isinstance(loader, StreamLoader):
        stream = loader.stream
        spans = stream.order().spans(0, stream.rows)
        pieces = stream.pieces(spans, loader.threads, max(loader.threads, 1))
        with closing(pieces):
            yield from (piece for piece in pieces if piece.labels is not None)
    elif isinstance(store, PackedStore) and store.data.labels is not None:
        yield store.data
