"""PCGrad, "gradient surgery" (Yu, Kumar, Gupta, Levine, Hausman, Finn; NeurIPS 2020,
arXiv:2001.06782)."""

from __future__ import annotations

import numpy as np
import torch

from nextrec.loss.balancing.base import GradientBalancer


class PCGrad(GradientBalancer):
    r"""Each task's gradient loses what points against another's; the results are added.

    For each task i, over the other tasks j in a random order:

    .. math::
        g_i \leftarrow g_i - \frac{g_i \cdot g_j}{\lVert g_j \rVert^2}\, g_j
        \quad\text{where } g_i \cdot g_j < 0

    with the :math:`g_j` as they were before. The order is drawn from torch's stream on the CPU,
    which checkpoints keep.
    """

    name = "pcgrad"

    def combine(self, gram: np.ndarray) -> np.ndarray:
        """See :class:`GradientBalancer`."""
        count = len(gram)
        coefficients = np.eye(count)  # row i: the projected gradient i in terms of all gradients
        for i, row in enumerate(coefficients):
            for j in torch.randperm(count).tolist():
                inner = row @ gram[:, j]
                if j != i and inner < 0:
                    row[j] -= inner / gram[j, j]
        return coefficients.sum(axis=0)
