"""Nash-MTL, learning as a bargaining game (Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik,
Fetaya; ICML 2022, arXiv:2202.01017)."""

from __future__ import annotations

import math

import numpy as np

from nextrec.loss.balancing.base import GradientBalancer

RIDGE = 1e-6
"""Added to the cosine of a task with itself: gradients that cancel have no solution without it."""
STEPS = 100


def bargain(gram: np.ndarray) -> np.ndarray:
    r"""The positive solution of :math:`G \alpha = 1 / \alpha`, element by element.

    With norms n and cosines C it is :math:`\alpha = \beta / n`, where :math:`\beta` minimises the
    convex :math:`\tfrac{1}{2} \beta^\top C \beta - \sum_t \log \beta_t`; found by Newton's method,
    to rounding, where the paper takes a few steps of a convex solver.

    >>> bargain(np.diag([4.0, 0.25])).round(5).tolist()
    [0.5, 2.0]
    """
    norms = np.sqrt(gram.diagonal())
    cosines = gram / np.outer(norms, norms) + RIDGE * np.eye(len(gram))
    # The best of all equal ones, which for two tasks is the solution.
    beta = np.full(len(gram), math.sqrt(len(gram) / float(cosines.sum())))
    for _ in range(STEPS):
        grad = cosines @ beta - np.reciprocal(beta)
        # In units of beta itself: the barrier's part of the Hessian is the identity.
        hessian = beta[:, None] * cosines * beta + np.eye(len(beta))
        step = -np.linalg.solve(hessian, beta * grad)  # relative to beta
        decrease = math.sqrt(max(float(-(beta * grad) @ step), 0.0))
        if decrease < 1e-12:
            break
        # The damped step of a self-concordant function: it stays positive and always descends.
        beta = beta * (1 + step / (1 + decrease if decrease > 0.25 else 1.0))
    return beta / norms


class NashMTL(GradientBalancer):
    r"""The Nash bargaining solution: no task could gain a share without others losing a larger one.

    The direction in a ball that maximises :math:`\sum_t \log (g_t \cdot d)` is
    :math:`\sum_t \alpha_t g_t` with

    .. math::
        G \alpha = 1 / \alpha, \qquad \alpha > 0

    It does not change when a loss is scaled. Its norm is :math:`\sqrt{T}`, whatever those of the
    gradients: ``max_grad_norm`` of ``fit`` bounds it.
    """

    name = "nash_mtl"

    def combine(self, gram: np.ndarray) -> np.ndarray:
        """See :class:`GradientBalancer`."""
        return bargain(gram)
