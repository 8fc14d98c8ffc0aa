"""FAMO, fast adaptive multitask optimization (Liu, Feng, Stone, Liu; NeurIPS 2023,
arXiv:2306.03792)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nextrec.errors import ConfigError, TrainingError, invalid
from nextrec.loss.balancing.base import OPTIONS, Balancer, TaskWeights
from nextrec.loss.balancing.small_adam import adam_state, adam_step
from nextrec.loss.reduction import check_number
from nextrec.tasks import Task

EPS = 1e-8
ROUNDING = 1e-6
"""How far below its least value a loss may lie, relative to 1 and to that value."""


class FAMO(Balancer):
    r"""Lowers all losses at the same rate, judged by the losses alone.

    With :math:`z = \mathrm{softmax}(\xi)` and losses above their least values, the model descends

    .. math::
        c \sum_t z_t \log L_t, \qquad c = \Bigl(\sum_t z_t / L_t\Bigr)^{-1}

    times T, and :math:`\xi` moves by how much the step lowered each :math:`\log L_t` on the same
    batch: its gradient is :math:`J^\top (\log L - \log L')`, with the Jacobian J of the softmax and
    weight decay :math:`\gamma`. It takes one more forward pass a step instead of T backward ones.
    The logits learn by Adam, as in the authors' code; their algorithm writes a plain step.

    Args:
        lr: learning rate of the logits.
        gamma: their weight decay.
        min_losses: the least value of each loss, or of all. A loss below it, which has no
            logarithm, ends the training with a ``TrainingError``.
    """

    name = "famo"
    looks_again = True

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        lr: float = 0.025,
        gamma: float = 1e-3,
        min_losses: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__(tasks)
        self.lr = check_number(OPTIONS, "lr", lr, above=True)
        self.gamma = check_number(OPTIONS, "gamma", gamma)
        self.least = _least(min_losses, len(self.tasks))
        self.state = adam_state("logits", torch.zeros(len(self.tasks)))
        self.state["logs"] = torch.zeros(len(self.tasks))  # of the losses before the update
        self._lowest = torch.full((len(self.tasks),), torch.inf)

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        self._lowest = torch.where(seen, losses, torch.inf).minimum(self._lowest.to(losses))
        if losses.device.type == "cpu":  # elsewhere at the end of the epoch: looking waits
            self._refuse_below()
        above = self._above(losses)
        self.state["logs"] = above.log()
        shares = self._shares(seen)  # 0 where unseen
        weights = shares / above
        weights = seen.sum() * weights / weights.sum().clamp(min=torch.finfo(above.dtype).tiny)
        return TaskWeights(weights, weights)

    def after_update(self, losses: Tensor, seen: Tensor) -> None:
        """Give more weight to the tasks whose loss fell less."""
        fallen = torch.where(seen, self.state["logs"] - self._above(losses).log(), 0.0)
        shares = self._shares(seen)
        grad = shares * (fallen - (shares * fallen).sum())
        adam_step(self.state, "logits", grad, seen, self.lr, weight_decay=self.gamma)

    def end_epoch(self) -> None:
        """Refuse losses below their least value."""
        self._refuse_below()

    def _refuse_below(self) -> None:
        lowest = self._lowest.tolist()
        self._lowest = torch.full_like(self._lowest, torch.inf)
        for task, value, least in zip(self.tasks, lowest, self.least.tolist(), strict=True):
            if value < least - ROUNDING * (1 + abs(least)):
                raise TrainingError(
                    f"famo: the loss of {task.name!r} is {value:g}, below its least value "
                    f"{least:g}; say a lower one by `min_losses` in `loss_weights_params`."
                )

    def _above(self, losses: Tensor) -> Tensor:
        return (losses - self.least.to(losses)).clamp(min=0) + EPS

    def _shares(self, seen: Tensor) -> Tensor:
        logits = self.state["logits"].masked_fill(~seen, -torch.inf)
        return torch.softmax(logits, dim=0).nan_to_num()  # NaN where no task was seen


def _least(given: float | Sequence[float], count: int) -> Tensor:
    values = list(given) if isinstance(given, (list, tuple)) else [given] * count
    owner, name = OPTIONS, "min_losses"
    if len(values) != count:
        raise ConfigError(invalid(owner, name, f"one number, or one a task ({count})", given))
    return torch.tensor([check_number(owner, name, v, least=-1e30) for v in values])
