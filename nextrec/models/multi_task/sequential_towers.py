"""The last networks of tasks that are steps of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nextrec.layers.mlp import mlp_from
from nextrec.models.multi_task.towers import tower_params
from nextrec.tasks import Task


class SequentialTowers(nn.Module):
    r"""One multi-layer perceptron a task, which also reads that of the task before.

    .. math::
        h_t = \mathrm{MLP}_t([x_t; r_{t-1}]), \qquad z_t = V_t h_t + c_t, \qquad
        r_t = h_t \text{ or } z_t

    Args:
        owner: the model's name, for messages.
        tasks: of the model, in the order of the steps.
        input_dim: width D of what a tower reads.
        params: as in :class:`~nextrec.models.multi_task.towers.TaskTowers`.
        by_logit: hand on :math:`z_t`, else :math:`h_t`.

    Shape: ``(B, T, D)`` -> logits ``(B, S)``.

    Raises:
        ConfigError: not one mapping a task, or a key or value that the perceptron refuses.
    """

    def __init__(
        self,
        owner: str,
        tasks: Sequence[Task],
        input_dim: int,
        params: Sequence[Mapping[str, Any]] | None = None,
        by_logit: bool = False,
    ) -> None:
        super().__init__()
        self.by_logit = by_logit
        self.hidden, self.heads = nn.ModuleList(), nn.ModuleList()
        handed_on = 0
        for position, each in enumerate(tower_params(owner, tasks, params)):
            size, name = tasks[position].size, f"tower_params_list[{position}]"
            hidden = mlp_from(input_dim + handed_on, each, name, output_layer=False)
            self.hidden.append(hidden)
            self.heads.append(nn.Linear(hidden.out_features, size))
            handed_on = size if by_logit else hidden.out_features
        self.out_features = sum(task.size for task in tasks)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of all tasks."""
        logits: list[Tensor] = []
        handed_on: list[Tensor] = []
        for hidden, head, own in zip(self.hidden, self.heads, x.unbind(1), strict=True):
            h = hidden(torch.cat([own, *handed_on], dim=1))
            logits.append(head(h))
            handed_on = [logits[-1] if self.by_logit else h]
        return torch.cat(logits, dim=1)
