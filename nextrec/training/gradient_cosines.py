"""How far the tasks agree: cosines between their gradients, by part of the network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.optim import HybridOptimizer
from nextrec.training.balanced_step import row_tables, task_losses, unchanged_buffers
from nextrec.training.callbacks import Callback
from nextrec.training.seed import preserve_rng
from nextrec.training.task_gradients import TaskGradients

if TYPE_CHECKING:
    from nextrec.training.trainer import Trainer

RECORD_KEY = "gradient_cosines"
"""Key of an epoch's record: part -> ``"task, task"`` -> mean cosine over the steps looked at."""
ALL_SHARED = "all shared"


class GradientCosines(Callback):
    """Records the cosine between the gradients of each two tasks, and changes nothing.

    Every few steps it takes the step's batch again, under the new weights, and compares the tasks'
    gradients over the parameters that at least two of them reach: over all of these, and in each
    top-level part of the network (embedding, experts, ...). Below 0 the tasks conflict there. The
    means over the epoch go into its record under ``gradient_cosines``, so into ``model.history``,
    ``metrics.jsonl`` and the report. A part that one task has to itself has no cosine.

    Args:
        every: steps between looks; each costs a forward pass and a backward pass a task.
    """

    def __init__(self, every: int = 100) -> None:
        whole = isinstance(every, int) and not isinstance(every, bool)
        if not whole or every < 1:
            raise ConfigError(
                invalid("GradientCosines", "every", "an integer of at least 1", every)
            )
        self.every = every
        self._sums: dict[str, dict[str, list[float]]] = {}
        """Part -> pair -> sum and number of the epoch's cosines."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Refuse a model with one task, which has nothing to compare."""
        tasks = trainer.objective.tasks
        if len(tasks) < 2:  # type: ignore[arg-type]
            raise ConfigError("GradientCosines: the model has one task; a cosine needs two.")

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Forget what is left of an epoch of another run that was broken off."""
        self._sums = {}

    def on_step_end(self, trainer: Trainer) -> None:
        """Look when the step is due."""
        if trainer.state.step % self.every == 0 and trainer.batch is not None:
            for part, cosines in _cosines_by_part(trainer).items():
                self._add(part, cosines, [task.name for task in trainer.objective.tasks])  # type: ignore[union-attr]

    def on_epoch_end(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """Write the epoch's means into its record."""
        trainer.state.history[-1][RECORD_KEY] = {
            part: {pair: total / count for pair, (total, count) in pairs.items()}
            for part, pairs in self._sums.items()
        }
        self._sums = {}

    def _add(self, part: str, cosines: Tensor, names: list[str]) -> None:
        values = cosines.tolist()
        for i, j in itertools.combinations(range(len(names)), 2):
            if values[i][j] == values[i][j]:  # NaN: a task without a gradient in this batch
                pair = self._sums.setdefault(part, {})
                total, count = pair.get(f"{names[i]}, {names[j]}", (0.0, 0))
                pair[f"{names[i]}, {names[j]}"] = [total + values[i][j], count + 1]

    def state_dict(self) -> dict[str, Any]:
        """The sums of an epoch that was broken off."""
        return {"sums": self._sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state_dict`."""
        self._sums = {part: dict(pairs) for part, pairs in state["sums"].items()}


def _cosines_by_part(trainer: Trainer) -> dict[str, Tensor]:
    """Part -> cosines ``(T, T)`` of the last batch; NaN where a gradient is zero."""
    module, optimizer = trainer.module, trainer.optimizer
    assert trainer.batch is not None
    with preserve_rng(), unchanged_buffers(module):
        losses, _ = task_losses(trainer, trainer.batch)
        gradients = TaskGradients(losses, None, module.parameters(), row_tables(optimizer))
    if isinstance(optimizer, HybridOptimizer) and optimizer.rows is not None:
        optimizer.rows.clear()  # the lookups of this look belong to no step
    parts = {ALL_SHARED: list(module.parameters()), **_parts(module)}
    return {part: _cosines(gradients.gram(weights)) for part, weights in parts.items()}


def _parts(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    return {name: list(child.parameters()) for name, child in module.named_children()}


def _cosines(gram: Tensor) -> Tensor:
    norms = gram.diagonal().clamp(min=0).sqrt()
    scale = torch.outer(norms, norms)
    return torch.where(scale > 0, gram / scale, torch.nan)
