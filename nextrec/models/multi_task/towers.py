"""The last network of each task, which multi-task models have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.layers.mlp import mlp_from
from nextrec.tasks import Task


class TaskTowers(nn.ModuleList):
    """One multi-layer perceptron a task, each ending in that task's logits.

    Args:
        owner: the model's name, for messages.
        tasks: of the model, in order.
        input_dim: width of what a tower reads, or one width a task.
        params: one mapping of :class:`~nextrec.layers.mlp.MLP` arguments a task; ``None``: a hidden
            layer of 64 for each.

    Shape: ``(B, D)`` (all towers read the same), ``(B, T, D)`` or one ``(B, D_t)`` a task ->
    logits ``(B, S)``.

    Raises:
        ConfigError: not one mapping a task, or a key or value that the perceptron refuses.
    """

    def __init__(
        self,
        owner: str,
        tasks: Sequence[Task],
        input_dim: int | Sequence[int],
        params: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        widths = [input_dim] * len(tasks) if isinstance(input_dim, int) else input_dim
        towers = tower_params(owner, tasks, params)
        super().__init__(
            mlp_from(width, each, f"tower_params_list[{position}]", output_dim=task.size)
            for position, (width, task, each) in enumerate(zip(widths, tasks, towers, strict=True))
        )
        self.out_features = sum(task.size for task in tasks)

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        """Logits of all tasks."""
        if isinstance(x, Tensor):
            x = x.unbind(1) if x.dim() == 3 else [x] * len(self)
        return torch.cat([tower(each) for tower, each in zip(self, x, strict=True)], dim=1)


def tower_params(
    owner: str, tasks: Sequence[Task], given: Sequence[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """One mapping of tower arguments a task; without any, towers of one layer of 64.

    Raises:
        ConfigError: not one a task.
    """
    if not given:  # 0.3.1's default is an empty list
        return [{"dims": (64,)} for _ in tasks]
    if len(given) != len(tasks):
        must_be = f"a list of one mapping a target ({len(tasks)})"
        raise ConfigError(invalid(owner, "tower_params_list", must_be, list(given)))
    return list(given)
