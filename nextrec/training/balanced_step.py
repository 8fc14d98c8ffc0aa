"""The backward pass of a step whose tasks are balanced.

Shapes: T tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nextrec.data.batch import Batch
from nextrec.loss.balancing import Balancer
from nextrec.optim import HybridOptimizer, RowTable
from nextrec.training.seed import RngState, preserve_rng
from nextrec.training.task_gradients import TaskGradients

if TYPE_CHECKING:
    from nextrec.training.trainer import Trainer


class BalancedStep:
    """Asks a balancer for the weights of each step and gives the parameters their gradients.

    Losses beside the tasks (auxiliary ones) are added with weight 1. The loss that is reported is
    the plain sum of all, as it is in validation.
    """

    def __init__(self, trainer: Trainer, balancer: Balancer) -> None:
        self.trainer = trainer
        self.balancer = balancer
        self._drawn: RngState | None = None

    def backward(self, batch: Batch) -> Tensor:
        """Forward and backward of one batch; returns the loss, without a graph."""
        trainer, balancer = self.trainer, self.balancer
        self._drawn = RngState.capture() if balancer.looks_again else None
        losses, other = task_losses(trainer, batch)
        total = losses.sum() if other is None else losses.sum() + other
        trainer.watch(total)
        seen = trainer.objective.seen(batch.labels, batch.weights)  # type: ignore[operator]
        values = losses.detach()
        if not balancer.needs_gradients:
            weighted = (balancer.weigh(values, seen).own * losses).sum()
            (weighted if other is None else weighted + other).backward()  # type: ignore[no-untyped-call]
            return total.detach()
        tables = row_tables(trainer.optimizer)
        gradients = TaskGradients(losses, other, trainer.module.parameters(), tables)
        with torch.no_grad():
            gradients.assign(balancer.weigh(values, seen, gradients.gram()))
        return total.detach()

    @torch.no_grad()
    def look_again(self, batch: Batch) -> None:
        """After the update: the same batch once more, for a balancer that asks for its losses.

        It draws the same dropout, and leaves random streams and statistics as they were.
        """
        if self._drawn is None:
            return
        trainer = self.trainer
        with preserve_rng(), unchanged_buffers(trainer.module):
            self._drawn.restore()
            losses, _ = task_losses(trainer, batch)
        seen = trainer.objective.seen(batch.labels, batch.weights)  # type: ignore[operator]
        self.balancer.after_update(losses, seen)


def task_losses(trainer: Trainer, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The tasks' losses ``(T,)`` of a batch, and the sum of all others."""
    outputs, objective = trainer.outputs(batch), trainer.objective
    args = outputs, batch.labels, batch.weights
    return objective.task_losses(*args), objective.other_loss(*args)  # type: ignore[operator]


def row_tables(optimizer: torch.optim.Optimizer) -> list[RowTable]:
    """The tables that an optimizer keeps in row mode."""
    rows = optimizer.rows if isinstance(optimizer, HybridOptimizer) else None
    return [] if rows is None else rows.tables


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Put back what a forward pass in training mode changes: running means, counters."""
    before = [
        (owner, name, buffer, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for owner, name, buffer, copy in before:
                owner._buffers[name] = buffer
                buffer.copy_(copy)
