"""From the logits and labels of all tasks to the one scalar that is trained.

Shapes: B batch, S logits of all tasks, T label columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, DataError, invalid
from nextrec.loss.loss_utils import LossLike, get_loss_fn, get_loss_kwargs
from nextrec.loss.reduction import check_number, divide
from nextrec.loss.task_loss import make_task_loss
from nextrec.tasks import Task

DEFAULT_LOSSES = {"binary": "bce", "regression": "mse", "multiclass": "ce", "multilabel": "bce"}
"""Loss of each kind of task when none is named."""


class Objective(nn.Module):
    """The sum of the tasks' losses, each a mean over what was observed of its labels.

    ``sum_t loss_weight_t * (sum_b w_bt l_bt / sum_b w_bt) + sum of auxiliary losses``, where ``w``
    is 0 for a NaN label (not observed), else the sample weight or 1. A task without an observed
    label in the batch gives an exact 0 with gradient 0.

    Losses by name, and this package's and torch's own loss modules, are computed from logits,
    whatever their ``logits`` argument says; the names ``mse``, ``mae`` and ``huber`` on a 0/1 task
    compare probabilities with labels. Their ``reduction`` may be ``"sum"`` for ``sum_b w_bt l_bt``.
    A module or function of your own gets inputs and labels of one task, without NaN:

    * binary ``(B,)`` and multilabel ``(B, n)``: probabilities, as ``model(x)`` returns them, or
      logits if it has an attribute ``logits = True``; regression ``(B,)``: values; multiclass:
      logits ``(B, C)`` and class numbers ``(B,)``;
    * only observed rows, unless it has ``reduction = "none"``; it returns one value a label, or one
      number for all rows (then sample weights are refused).

    Args:
        tasks: of :func:`~nextrec.tasks.make_tasks`.
        loss: a name, a module or a function for every task, or a list with one (or ``None``) a
            task. ``None``: by the kind of task, ``bce``, ``mse``, ``ce``, ``bce``.
        loss_params: keywords of named losses: a dict for every task, or a list with one a task.
        loss_weights: a number for every task, or a list with one a task. Default 1.

    Raises:
        ConfigError: a loss is unknown or can't train its task, or a list has the wrong length.

    >>> from nextrec.tasks import make_tasks
    >>> objective = Objective(make_tasks(["binary", "regression"], ["click", "stay"]))
    >>> objective(torch.zeros(2, 2), torch.tensor([[1.0, 3.0], [0.0, float("nan")]]))
    tensor(9.6931)
    """

    loss_weights: Tensor | None

    def __init__(
        self,
        tasks: Sequence[Task],
        loss: LossLike | Sequence[LossLike | None] | None = None,
        loss_params: dict[str, Any] | Sequence[dict[str, Any] | None] | None = None,
        loss_weights: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.losses = _losses(self.tasks, loss, loss_params)
        weights = _loss_weights(self.tasks, loss_weights)
        self.register_buffer("loss_weights", weights, persistent=False)
        self._fused = all(
            task.kind == "binary" and each.is_plain_bce
            for task, each in zip(self.tasks, self.losses, strict=True)
        )

    def forward(
        self,
        outputs: Tensor | Mapping[str, Any],
        labels: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """The scalar to minimise.

        Args:
            outputs: logits ``(B, S)``, or ``{"logits": (B, S), "auxiliary": {name: loss}}``. An
                auxiliary loss is a scalar, or what computes it from the labels ``(B, T)`` and the
                weights ``(B, T)`` that are 0 where a label was not observed.
            labels: ``(B, T)``, NaN = not observed; ``(B,)`` for one column.
            sample_weight: non-negative, ``(B,)`` for whole rows or ``(B, T)``.
        """
        losses = self.task_losses(outputs, labels, sample_weight)  # tasks
        if self.loss_weights is not None:
            losses = losses * self.loss_weights.to(losses)
        auxiliary = self.auxiliary_loss(outputs, labels, sample_weight)
        return losses.sum() if auxiliary is None else losses.sum() + auxiliary

    def auxiliary_loss(
        self,
        outputs: Tensor | Mapping[str, Any],
        labels: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor | None:
        """The sum of the auxiliary losses, a scalar; ``None`` where there are none."""
        named = {} if isinstance(outputs, Tensor) else outputs.get("auxiliary") or {}
        if not named:
            return None
        logits, labels = self._check(outputs["logits"], labels)  # type: ignore[index]
        observed = _observed(labels, sample_weight, logits.dtype)
        total = logits.new_zeros(())
        for name, value in named.items():
            loss = value(*observed) if callable(value) else value
            if not isinstance(loss, Tensor) or loss.dim() != 0:
                got = tuple(loss.shape) if isinstance(loss, Tensor) else loss
                raise DataError(invalid("auxiliary loss", name, "a scalar tensor", got))
            total = total + loss
        return total

    def task_losses(
        self,
        outputs: Tensor | Mapping[str, Any],
        labels: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of each task, without loss weights and auxiliary losses: ``(tasks,)``."""
        logits = outputs if isinstance(outputs, Tensor) else outputs["logits"]
        logits, labels = self._check(logits, labels)
        labels, weight = _observed(labels, sample_weight, logits.dtype)  # (B, T) each
        if self._fused:
            values = F.binary_cross_entropy_with_logits(logits, labels, weight, reduction="none")
            return divide(values.sum(0), weight.sum(0))
        losses = [
            each(
                logits[:, task.logits],
                labels[:, task.labels],
                weight[:, task.labels],
                weighted=sample_weight is not None,
            )
            for task, each in zip(self.tasks, self.losses, strict=True)
        ]
        return torch.stack(losses)

    def other_loss(
        self,
        outputs: Tensor | Mapping[str, Any],
        labels: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor | None:
        """What a subclass or the auxiliary losses add to the tasks' losses; ``None``: nothing.

        Balancing leaves it as it is.
        """
        if type(self).forward is Objective.forward:
            return self.auxiliary_loss(outputs, labels, sample_weight)
        losses = self.task_losses(outputs, labels, sample_weight)
        if self.loss_weights is not None:
            losses = losses * self.loss_weights.to(losses)
        return self(outputs, labels, sample_weight) - losses.sum()

    def seen(self, labels: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Whether a batch has an observed label of each task: bool ``(tasks,)``."""
        labels = labels.reshape(len(labels), -1)
        weight = _observed(labels, sample_weight, torch.float32)[1]  # (B, T)
        return torch.stack([(weight[:, task.labels] > 0).any() for task in self.tasks])

    def _check(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both with two dimensions, logits in at least float32."""
        width = sum(task.size for task in self.tasks)
        targets = [name for task in self.tasks for name in task.targets]
        if not isinstance(labels, Tensor):
            raise DataError(invalid("objective", "labels", f"a tensor of {targets}", labels))
        logits = logits.unsqueeze(-1) if logits.dim() == 1 and width == 1 else logits
        labels = labels.unsqueeze(-1) if labels.dim() == 1 and len(targets) == 1 else labels
        if logits.dim() != 2 or logits.shape[1] != width:
            must_be = f"(B, {width})"
            raise DataError(invalid("objective", "logits", must_be, tuple(logits.shape)))
        if labels.shape != (len(logits), len(targets)):
            must_be = f"({len(logits)}, {len(targets)}): a column for each of {targets}"
            raise DataError(invalid("objective", "labels", must_be, tuple(labels.shape)))
        return logits.to(torch.promote_types(logits.dtype, torch.float32)), labels


def _observed(
    labels: Tensor, sample_weight: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Labels with 0 for NaN, and their weights with 0 there.

    A NaN label must be replaced before the loss: weight 0 times NaN is NaN, and so is its gradient.
    """
    missing = torch.isnan(labels)
    filled = labels.to(dtype).masked_fill(missing, 0)
    if sample_weight is None:
        return filled, (~missing).to(dtype)
    if sample_weight.shape not in {labels.shape, labels.shape[:1], (len(labels), 1)}:
        must_be = f"({len(labels)},) or {tuple(labels.shape)}"
        raise DataError(invalid("objective", "sample_weight", must_be, tuple(sample_weight.shape)))
    columns = sample_weight.to(dtype).reshape(len(labels), -1).expand_as(labels)
    return filled, columns.masked_fill(missing, 0)


def _losses(
    tasks: Sequence[Task],
    loss: LossLike | Sequence[LossLike | None] | None,
    loss_params: dict[str, Any] | Sequence[dict[str, Any] | None] | None,
) -> nn.ModuleList:
    """A wrapped loss for each task; every problem in one error."""
    given: list[Any] = list(loss) if isinstance(loss, (list, tuple)) else [loss] * len(tasks)
    if len(given) != len(tasks):
        raise ConfigError(invalid("compile", "loss", f"one, or one a task ({_names(tasks)})", loss))
    each_params = loss_params if isinstance(loss_params, (list, tuple)) else [loss_params]
    dicts = all(each is None or isinstance(each, dict) for each in each_params)
    if not dicts or len(each_params) > len(tasks):
        must_be = f"a dict, or a list with one a task ({_names(tasks)})"
        raise ConfigError(invalid("compile", "loss_params", must_be, loss_params))
    losses, problems = nn.ModuleList(), []
    for index, (task, each) in enumerate(zip(tasks, given, strict=True)):
        keywords = get_loss_kwargs(loss_params, index)
        keywords.pop("logits", None)  # what a loss is computed from is not the user's to say here
        try:
            module = get_loss_fn(
                DEFAULT_LOSSES[task.kind] if each is None else each, logits=True, **keywords
            )
            losses.append(make_task_loss(task, module))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return losses


def _loss_weights(tasks: Sequence[Task], weights: float | Sequence[float] | None) -> Tensor | None:
    if weights is None:
        return None
    plain = weights.tolist() if hasattr(weights, "tolist") else weights  # arrays and tensors
    given = [plain] * len(tasks) if isinstance(plain, Real) else plain
    if not isinstance(given, (list, tuple)) or len(given) != len(tasks):
        must_be = f"a number, or a list with one a task ({_names(tasks)})"
        raise ConfigError(invalid("compile", "loss_weights", must_be, weights))
    return torch.tensor([check_number("compile", "loss_weights", each) for each in given])


def _names(tasks: Sequence[Task]) -> str:
    return f"{len(tasks)}: {', '.join(task.name for task in tasks)}"
