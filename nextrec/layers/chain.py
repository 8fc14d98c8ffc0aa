"""Probabilities along a chain of events, each of which needs the one before it.

A purchase follows a click: what a model learns is the probability of each step given the one
before, and what is observed is whether the chain came this far.

Letters: B rows, N steps of the chain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nextrec.layers.head import PredictionLayer


def chain_logits(conditional: Tensor) -> Tensor:
    r"""Log-odds that a chain of events reaches each step.

    .. math::
        p_n = \prod_{m \le n} \sigma(z_m), \qquad
        1 - p_n = \sum_{m \le n} p_{m-1} \sigma(-z_m), \qquad
        y_n = \log p_n - \log(1 - p_n)

    So :math:`\sigma(y_n)` never grows along the chain. Nothing is rounded where a probability is
    near 0 or 1: the second equation, the chain ends at one of its steps, has no difference in it.

    Args:
        conditional: ``(..., N)``, the log-odds z of each step given the one before.

    Returns:
        ``(..., N)``; the first column is the input's.

    >>> torch.sigmoid(chain_logits(torch.zeros(1, 3)))
    tensor([[0.5000, 0.2500, 0.1250]])
    """
    reached = F.logsigmoid(conditional).cumsum(-1)  # log p_n
    fails = F.logsigmoid(-conditional)
    ends = torch.cat([fails[..., :1], reached[..., :-1] + fails[..., 1:]], dim=-1)
    steps = [conditional[..., 0]]
    for n in range(1, conditional.shape[-1]):
        odds = reached[..., n] - ends[..., : n + 1].logsumexp(-1)
        steps.append(torch.minimum(odds, steps[-1]))  # equal ones may differ in the last digit
    return torch.stack(steps, dim=-1)


class ChainPredictionLayer(PredictionLayer):
    """The head of a chain: probabilities that never grow along it, to the last digit.

    The logits of :func:`chain_logits` do not grow, but a sigmoid may: ONNX Runtime's approximation
    is off by a few units of the last digit, which in places makes it fall.

    >>> ChainPredictionLayer("binary", 3, use_bias=False)(torch.tensor([[0.0, 1.0, -1.0]]))
    tensor([[0.5000, 0.5000, 0.2689]])
    """

    def _predict(self, z: Tensor) -> Tensor:
        reached: list[Tensor] = []
        for step in torch.sigmoid(z).unbind(-1):
            reached.append(torch.minimum(step, reached[-1]) if reached else step)
        return torch.stack(reached, dim=-1)
