"""Conflict-averse gradient descent (Liu, Liu, Jin, Stone, Liu; NeurIPS 2021, arXiv:2110.14048)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nextrec.loss.balancing.base import OPTIONS, GradientBalancer
from nextrec.loss.balancing.simplex import linear_plus_norm
from nextrec.loss.reduction import check_number
from nextrec.tasks import Task

LEAST_NORM = 5e-4
"""Of g_w, relative to the vectors it is the sum of: where these cancel, products of float32
gradients say nothing below."""


class CAGrad(GradientBalancer):
    r"""Near the mean gradient, the direction that is best for the task it helps least.

    .. math::
        \max_d \min_t\ g_t \cdot d \quad\text{where}\quad
        \lVert d - g_0 \rVert \le c \lVert g_0 \rVert, \qquad g_0 = \tfrac{1}{T} \sum_t g_t

    By its dual, :math:`d = g_0 + c \lVert g_0 \rVert\, g_w / \lVert g_w \rVert` with the convex
    combination :math:`g_w` that minimises
    :math:`g_w \cdot g_0 + c \lVert g_0 \rVert \lVert g_w \rVert`. The result is d times T.

    Args:
        c: how far from the mean gradient; 0 gives the mean itself. The paper proves that below 1
            the mean loss converges.
    """

    name = "cagrad"

    def __init__(self, tasks: Sequence[Task], *, c: float = 0.4) -> None:
        super().__init__(tasks)
        self.c = check_number(OPTIONS, "c", c)

    def combine(self, gram: np.ndarray) -> np.ndarray:
        """See :class:`GradientBalancer`."""
        count = len(gram)
        with_mean = gram.mean(axis=1)  # of each gradient with g_0
        radius = self.c * np.sqrt(max(with_mean.mean(), 0.0))
        if count == 1 or radius == 0:
            return np.ones(count)
        weights = linear_plus_norm(gram, with_mean, radius)
        # Where no direction helps all tasks g_w is zero, and below this its norm is rounding.
        least = LEAST_NORM * (weights @ np.sqrt(gram.diagonal()))
        norm = max(np.sqrt(max(weights @ gram @ weights, 0.0)), least)
        return 1.0 + count * radius / norm * weights
