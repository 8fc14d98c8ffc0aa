"""GradNorm (Chen, Badrinarayanan, Lee, Rabinovich; ICML 2018, arXiv:1711.02257)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nextrec.loss.balancing.base import OPTIONS, Balancer, TaskWeights
from nextrec.loss.balancing.small_adam import adam_state, adam_step
from nextrec.loss.reduction import check_number, divide
from nextrec.tasks import Task

LEAST_WEIGHT = 1e-3
"""Adam could step a weight below zero, which would train the task backwards."""


class GradNorm(Balancer):
    r"""Learns weights under which the tasks train at similar rates.

    With the gradient norm :math:`G_t = w_t \lVert g_t \rVert`, the training rate
    :math:`\tilde L_t = L_t / L_t(0)` and :math:`r_t = \tilde L_t / \mathrm{mean}(\tilde L)`, the
    weights descend, by Adam,

    .. math::
        \sum_t \bigl| G_t - \mathrm{mean}(G)\, r_t^\alpha \bigr|

    in which the target is a constant, and are scaled to a sum of T. They weigh the losses, so a
    task's own parameters too. The paper takes the norms over the last shared layer; here they are
    over all shared parameters. :math:`L_t(0)` is the first loss above zero, until which the rate is
    1; a loss below zero has the rate 0.

    Args:
        alpha: how strongly a task that lags is pulled up; 0 only makes the norms equal.
        lr: learning rate of the weights.
    """

    name = "gradnorm"
    needs_gradients = True

    def __init__(self, tasks: Sequence[Task], *, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(tasks)
        self.alpha = check_number(OPTIONS, "alpha", alpha)
        self.lr = check_number(OPTIONS, "lr", lr, above=True)
        count = len(self.tasks)
        self.state = adam_state("weights", torch.ones(count))
        self.state["first_losses"] = torch.full((count,), torch.nan)  # NaN: none yet

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        assert gram is not None
        state, weights = self.state, self.state["weights"]
        first = state["first_losses"]
        begins = first.isnan() & seen & (losses > 0)
        state["first_losses"] = first = torch.where(begins, losses, first)
        norms = gram.diagonal().clamp(min=0).sqrt().to(losses)
        rates = torch.where(first.isnan(), 1.0, losses.clamp(min=0) / first)
        relative = divide(rates, _mean(rates, seen))
        scaled = weights * norms
        target = _mean(scaled, seen) * relative**self.alpha
        adam_step(state, "weights", (scaled - target).sign() * norms, seen, self.lr)
        positive = state["weights"].clamp(min=LEAST_WEIGHT)
        state["weights"] = positive * (len(losses) / positive.sum())
        return TaskWeights(weights, weights)


def _mean(values: Tensor, seen: Tensor) -> Tensor:
    """Mean of the tasks that were seen."""
    return divide(torch.where(seen, values, 0.0).sum(), seen.sum().to(values))
