"""Impartial learning (Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang; ICLR 2021,
openreview IMPnRXEWpvr)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nextrec.loss.balancing.base import OPTIONS, Balancer, GradientBalancer, TaskWeights
from nextrec.loss.balancing.small_adam import adam_state, adam_step
from nextrec.loss.reduction import check_number
from nextrec.tasks import Task

RIDGE = 1e-6
"""Added to the cosine of a task with itself: those of parallel gradients differ by rounding alone,
which would choose their coefficients."""


def equal_projections(gram: np.ndarray) -> np.ndarray:
    r"""Coefficients with sum 1 whose combination has the same projection onto every gradient.

    The paper's closed form is, in terms of norms :math:`n` and cosines :math:`C`, the solution of
    :math:`C \beta = \lambda 1` with :math:`\alpha_t = \beta_t / n_t`. With three tasks or more a
    coefficient may be negative.
    """
    norms = np.sqrt(gram.diagonal())
    cosines = gram / np.outer(norms, norms) + RIDGE * np.eye(len(gram))
    alphas = np.linalg.solve(cosines, np.ones(len(gram))) / norms
    return alphas / alphas.sum()


class IMTLG(GradientBalancer):
    r"""Gradient balance: every task gets an equal share of the combined gradient.

    .. math::
        g \cdot u_1 = \dots = g \cdot u_T, \qquad g = \sum_t \alpha_t g_t, \quad
        \sum_t \alpha_t = 1, \quad u_t = g_t / \lVert g_t \rVert

    times T (:func:`equal_projections`).
    """

    name = "imtl_g"

    def combine(self, gram: np.ndarray) -> np.ndarray:
        """See :class:`GradientBalancer`."""
        return len(gram) * equal_projections(gram)


class _Scales:
    """The learned scales of IMTL-L, in the state of a balancer."""

    def __init__(self, balancer: Balancer, lr: float) -> None:
        self.balancer = balancer
        self.lr = check_number(OPTIONS, "lr", lr, above=True)
        balancer.state = adam_state("log_scale", torch.zeros(len(balancer.tasks)))

    def step(self, losses: Tensor, seen: Tensor) -> Tensor:
        """The scales of this step; they move for the next one."""
        scales = self.balancer.state["log_scale"].exp()
        adam_step(self.balancer.state, "log_scale", scales * losses - 1, seen, self.lr)
        return scales


class IMTLL(Balancer):
    r"""Loss balance: learned scales keep the tasks' losses alike, near 1.

    .. math::
        \sum_t e^{s_t} L_t - s_t

    with s from 0, learned by Adam beside the model's optimizer.

    Args:
        lr: learning rate of the scales.
    """

    name = "imtl_l"

    def __init__(self, tasks: Sequence[Task], *, lr: float = 1e-3) -> None:
        super().__init__(tasks)
        self.scales = _Scales(self, lr)

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        scales = self.scales.step(losses, seen)
        return TaskWeights(scales, scales)


class IMTL(GradientBalancer):
    """Both: the scaled losses of :class:`IMTLL`, and :class:`IMTLG` of their gradients.

    A task's own parameters get the gradient of its scaled loss.

    Args:
        lr: learning rate of the scales.
    """

    name = "imtl"

    def __init__(self, tasks: Sequence[Task], *, lr: float = 1e-3) -> None:
        super().__init__(tasks)
        self.scales = _Scales(self, lr)

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        assert gram is not None
        scales = self.scales.step(losses, seen)
        scaled = gram * torch.outer(scales, scales).to(gram)
        return TaskWeights(scales * self._coefficients(scaled, seen).to(losses), scales)

    def combine(self, gram: np.ndarray) -> np.ndarray:
        """See :class:`GradientBalancer`."""
        return len(gram) * equal_projections(gram)
