"""Dynamic weight average (Liu, Johns, Davison; CVPR 2019, arXiv:1803.10704)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nextrec.loss.balancing.base import OPTIONS, Balancer, TaskWeights
from nextrec.loss.reduction import check_number, divide
from nextrec.tasks import Task


class DynamicWeightAverage(Balancer):
    r"""More weight for the tasks whose training loss fell less from one epoch to the next.

    .. math::
        w_t = T\, \mathrm{softmax}_t\bigl(r_t / \tau\bigr), \qquad
        r_t = \frac{L_t(e - 1)}{L_t(e - 2)}

    where :math:`L_t(e)` is the mean over the batches of epoch e. The weights are 1 in the first two
    epochs.

    Args:
        temperature: :math:`\tau`; large values make the weights alike.
    """

    name = "dwa"

    def __init__(self, tasks: Sequence[Task], *, temperature: float = 2.0) -> None:
        super().__init__(tasks)
        self.temperature = check_number(OPTIONS, "temperature", temperature, above=True)
        zeros = torch.zeros(len(self.tasks))
        self.state = {"sums": zeros, "counts": zeros}  # of this epoch
        # Means of the last two epochs; NaN where there was none.
        self.state |= {"last": torch.full_like(zeros, torch.nan)}
        self.state |= {"before_last": self.state["last"]}

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        state = self.state
        state["sums"] = state["sums"] + torch.where(seen, losses, 0.0)
        state["counts"] = state["counts"] + seen.to(losses)
        ratios = state["last"] / state["before_last"]
        ratios = torch.where(ratios.isfinite(), ratios, 1.0)
        weights = len(losses) * torch.softmax(ratios / self.temperature, dim=0)
        return TaskWeights(weights, weights)

    def end_epoch(self) -> None:
        """The epoch's means become the last ones."""
        sums, counts = self.state["sums"], self.state["counts"]
        mean = torch.where(counts > 0, divide(sums, counts), self.state["last"])
        zeros = torch.zeros_like(sums)
        self.state = {
            "sums": zeros, "counts": zeros, "last": mean, "before_last": self.state["last"]
        }  # fmt: skip
