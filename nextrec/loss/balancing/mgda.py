"""Multiple gradient descent (Sener, Koltun; NeurIPS 2018, arXiv:1810.04650)."""

from __future__ import annotations

import numpy as np

from nextrec.loss.balancing.base import GradientBalancer
from nextrec.loss.balancing.simplex import min_norm_point


class MGDA(GradientBalancer):
    r"""The shortest convex combination of the task gradients, which no task's loss rises along.

    .. math::
        \min_{w \ge 0,\ \sum w = 1} \Bigl\lVert \sum_t w_t g_t \Bigr\rVert^2

    times T. It is zero, and training stops there, wherever no direction helps all tasks
    (Pareto-stationary points). The minimum is found exactly, where the paper's Frank-Wolfe comes
    near it.
    """

    name = "mgda"

    def combine(self, gram: np.ndarray) -> np.ndarray:
        """See :class:`GradientBalancer`."""
        return len(gram) * min_norm_point(gram)
