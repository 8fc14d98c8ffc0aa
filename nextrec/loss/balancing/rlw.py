"""Random loss weighting (Lin, Ye, Zhang, Tsang; TMLR 2022, arXiv:2111.10603)."""

from __future__ import annotations

import torch
from torch import Tensor

from nextrec.loss.balancing.base import Balancer, TaskWeights


class RandomWeights(Balancer):
    r"""New weights in every step, drawn without looking at anything: a baseline for the others.

    .. math::
        w = T\, \mathrm{softmax}(\epsilon), \qquad \epsilon_t \sim N(0, 1)

    The draw is of torch's stream on the CPU, which checkpoints keep. Of the tasks in a batch only
    those with a label share the weight.
    """

    name = "rlw"

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        drawn = torch.randn(len(losses)).to(losses).masked_fill(~seen, -torch.inf)
        shares = torch.softmax(drawn, dim=0).nan_to_num()  # NaN where no task was seen
        weights = seen.sum() * shares
        return TaskWeights(weights, weights)
