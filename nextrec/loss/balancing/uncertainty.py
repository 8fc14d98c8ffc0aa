"""Weights by uncertainty (Kendall, Gal, Cipolla; CVPR 2018, arXiv:1705.07115)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nextrec.loss.balancing.base import OPTIONS, Balancer, TaskWeights
from nextrec.loss.balancing.small_adam import adam_state, adam_step
from nextrec.loss.reduction import check_number
from nextrec.tasks import Task


class Uncertainty(Balancer):
    r"""Learns the noise of each task, and trusts a noisy one less.

    .. math::
        \sum_t \frac{1}{\sigma_t^2} L_t + \log \sigma_t \quad\text{(classification)}, \qquad
        \sum_t \frac{1}{2 \sigma_t^2} L_t + \log \sigma_t \quad\text{(regression)}

    by the kind of the task, whatever its loss. What is learned is :math:`\log \sigma^2`, from 0, by
    Adam beside the model's optimizer.

    Args:
        lr: learning rate of the uncertainties.
    """

    name = "uncertainty"

    def __init__(self, tasks: Sequence[Task], *, lr: float = 1e-3) -> None:
        super().__init__(tasks)
        self.lr = check_number(OPTIONS, "lr", lr, above=True)
        regression = [task.kind == "regression" for task in tasks]
        self.factor = torch.where(torch.tensor(regression), 0.5, 1.0)
        self.state = adam_state("log_variance", torch.zeros(len(self.tasks)))

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        weights = self.factor.to(losses) * (-self.state["log_variance"]).exp()
        adam_step(self.state, "log_variance", 0.5 - weights * losses, seen, self.lr)
        return TaskWeights(weights, weights)
