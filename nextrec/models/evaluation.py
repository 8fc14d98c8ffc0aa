"""Predictions over a loader, and the metrics they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nextrec.data.batch import Batch
from nextrec.errors import DataError
from nextrec.loss import Objective
from nextrec.metrics import Evaluator, MetricValues, Request
from nextrec.models.inputs import unmoved
from nextrec.training.device import autocast_for

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel


@torch.no_grad()
def predictions(
    model: BaseModel,
    loader: Iterable[Any],
    prepare: Callable[[Any], Batch],
    precision: str = "fp32",
) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    """Each batch with its logits and its predictions, both ``(B, num_logits)`` float32.

    The model is in evaluation mode meanwhile, and no random stream moves.
    """
    was_training = model.training
    model.eval()
    try:
        with unmoved(loader):
            for raw in loader:
                batch = prepare(raw)
                with autocast_for(model.device, precision):
                    logits = model.logits(batch.features)
                logits = logits.float()
                scores = model.prediction_layer(logits).reshape(len(batch), -1)
                yield batch, logits, scores
    finally:
        model.train(was_training)


def evaluate_loader(
    model: BaseModel,
    loader: Iterable[Any],
    requests: Sequence[Request],
    prepare: Callable[[Any], Batch],
    *,
    group_column: str | None = None,
    groups: np.ndarray | None = None,
    with_loss: bool = False,
    streaming: bool = False,
    precision: str = "fp32",
) -> MetricValues:
    """Metrics over a loader.

    Args:
        group_column: id column of the batches that groups rows.
        groups: one group id a row of the whole data, instead of the column.
        with_loss: add the objective's mean under ``loss``.
    """
    evaluator = Evaluator(requests, model.tasks, streaming=streaming)
    loss, rows = _MeanLoss(model.objective), 0
    for batch, logits, scores in predictions(model, loader, prepare, precision):
        if batch.labels is None:
            raise DataError("evaluate: the batches have no labels.")
        if with_loss:
            loss.add(logits, batch.labels, batch.weights)
        evaluator.update(
            scores,
            batch.labels,
            groups=_batch_groups(batch, group_column, groups, rows),
            weights=batch.weights,
        )
        rows += len(batch)
    if rows == 0:
        raise DataError("evaluate: the data is empty.")
    if groups is not None and len(groups) != rows:
        raise DataError(f"evaluate: `user_ids` has {len(groups)} values for {rows} rows.")
    values = evaluator.compute()
    if with_loss:
        values["loss"] = loss.value()
    return values


class _MeanLoss:
    """The objective over all rows, in which a batch counts by the labels observed in it."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.sums = torch.zeros(len(objective.tasks), dtype=torch.float64)
        self.masses = torch.zeros_like(self.sums)

    def add(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> None:
        """Take a batch's logits ``(B, S)``, labels ``(B, T)`` and sample weights ``(B,)``."""
        seen = (~labels.isnan()).float()
        seen = seen if weights is None else seen * weights.unsqueeze(1)
        mass = torch.stack([seen[:, task.labels].sum() for task in self.objective.tasks])
        losses = self.objective.task_losses(logits, labels, weights)
        self.sums += (losses * mass).cpu().double()
        self.masses += mass.cpu().double()

    def value(self) -> float:
        """The weighted sum of the tasks' means; a task without labels adds 0."""
        means = self.sums / self.masses.where(self.masses > 0, 1.0)
        weights = self.objective.loss_weights
        return float((means if weights is None else means * weights.cpu().double()).sum())


def _batch_groups(
    batch: Batch, column: str | None, groups: np.ndarray | None, start: int
) -> np.ndarray | None:
    if groups is not None:
        return groups[start : start + len(batch)]
    if column is None:
        return None
    if not batch.ids or column not in batch.ids:
        raise DataError(f"the batches carry no id column {column!r}.")
    return np.asarray(batch.ids[column])
