"""How the loss of one task is called: what it takes, and how labels are left out.

Shapes: B batch, S logits of the task (1, its classes or its labels), n its label columns.

Losses known to be computed element by element are weighted by multiplication, with weight 0 where
a label was not observed. Any other module gets the observed rows only. Both get labels without NaN.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, DataError, invalid
from nextrec.loss.listwise import (
    ApproxNDCGLoss,
    InfoNCELoss,
    ListMLELoss,
    ListNetLoss,
    SampledSoftmaxLoss,
)
from nextrec.loss.pairwise import BPRLoss, HingeLoss, TripletLoss
from nextrec.loss.pointwise import (
    ClassBalancedFocalLoss,
    CosineContrastiveLoss,
    FocalLoss,
    WeightedBCELoss,
)
from nextrec.loss.reduction import PointwiseLoss, divide
from nextrec.tasks import Task

ONE_LOGIT = ("binary", "multilabel")
"""Kinds whose logits are log-odds, so that a sigmoid gives probabilities."""


@dataclass(frozen=True)
class Fit:
    """Which tasks a loss can train, and on what."""

    kinds: tuple[str, ...]
    on_logits: bool = True
    """Otherwise on predictions: the probabilities of 0/1 labels, the values of a regression."""


FITS: dict[type[nn.Module], Fit] = {
    nn.BCEWithLogitsLoss: Fit(ONE_LOGIT),
    WeightedBCELoss: Fit(ONE_LOGIT),
    FocalLoss: Fit((*ONE_LOGIT, "multiclass")),
    ClassBalancedFocalLoss: Fit((*ONE_LOGIT, "multiclass")),
    nn.CrossEntropyLoss: Fit(("multiclass",)),
    nn.MSELoss: Fit((*ONE_LOGIT, "regression"), on_logits=False),
    nn.L1Loss: Fit((*ONE_LOGIT, "regression"), on_logits=False),
    nn.HuberLoss: Fit((*ONE_LOGIT, "regression"), on_logits=False),
    nn.SmoothL1Loss: Fit((*ONE_LOGIT, "regression"), on_logits=False),
    **dict.fromkeys((BPRLoss, HingeLoss, TripletLoss, CosineContrastiveLoss), Fit(())),
    **dict.fromkeys((SampledSoftmaxLoss, InfoNCELoss), Fit(())),
    **dict.fromkeys((ListNetLoss, ListMLELoss, ApproxNDCGLoss), Fit(())),
}
"""Losses whose computation is known, by their exact class: a subclass may do anything."""


ON_LOGITS = (nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)
"""Classes of torch whose subclasses take logits of 0/1 labels."""


def make_task_loss(task: Task, loss: nn.Module) -> ElementLoss | RowsLoss:
    """Wrap a loss for a task.

    Raises:
        ConfigError: the loss can't train a task of this kind.
    """
    if type(loss) is nn.BCELoss:  # on probabilities; the same loss of logits doesn't saturate
        loss = nn.BCEWithLogitsLoss(loss.weight, reduction=loss.reduction)
    fit = FITS.get(type(loss))
    if fit is None:
        # Predictions, as 0.3.1 gave a module of the user's own, unless it asks for logits.
        on_logits = isinstance(loss, ON_LOGITS) or getattr(loss, "logits", False) is True
        by_element = getattr(loss, "reduction", None) == "none"
        return (ElementLoss if by_element else RowsLoss)(task, loss, on_logits)
    if task.kind not in fit.kinds:
        kinds = ", ".join(fit.kinds) or "no single rows but pairs or lists of a match model"
        raise ConfigError(
            f"target {task.name!r}: the loss {type(loss).__name__} trains {kinds}; "
            f"the task is {task.kind}."
        )
    _check_class_weights(task, loss)
    wrapper = CrossEntropyOfTask if isinstance(loss, nn.CrossEntropyLoss) else ElementLoss
    return wrapper(task, _by_element(loss), fit.on_logits, loss.reduction == "sum")


class ElementLoss(nn.Module):
    """Weighted mean (or sum) of a loss with one value a label.

    The loss gets ``(B,)`` inputs and labels of one label column, ``(B, C)`` and ``(B,)`` for C
    classes, ``(B, n)`` and ``(B, n)`` for a multilabel task.
    """

    def __init__(self, task: Task, loss: nn.Module, on_logits: bool, total: bool = False) -> None:
        super().__init__()
        self.task = task
        self.loss = loss
        self.on_logits = on_logits
        self.total = total

    @property
    def is_plain_bce(self) -> bool:
        """The mean of unweighted binary cross entropy: what may be fused over tasks."""
        loss = self.loss
        plain = isinstance(loss, nn.BCEWithLogitsLoss) and type(loss) in FITS
        return plain and loss.weight is None and loss.pos_weight is None and not self.total

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor, weighted: bool) -> Tensor:
        """Loss of ``logits (B, S)``, labels ``(B, n)`` and their weights ``(B, n)``."""
        inputs, labels, weight = columns(self.task, logits, labels, weight, self.on_logits)
        values = self._weighted(inputs, labels, weight)
        return values.sum() if self.total else divide(values.sum(), self._mass(labels, weight))

    def _weighted(self, inputs: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        if isinstance(self.loss, PointwiseLoss):
            return self.loss(inputs, labels, weight)
        return by_label(self.task, self.loss(inputs, labels), labels) * weight

    def _mass(self, labels: Tensor, weight: Tensor) -> Tensor:
        """What the mean divides by."""
        return weight.sum()


class CrossEntropyOfTask(ElementLoss):
    """torch's cross entropy, whose mean counts a row by its class's weight, ignored ones not."""

    loss: nn.CrossEntropyLoss

    def _weighted(self, inputs: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        loss = self.loss
        values = F.cross_entropy(
            inputs,
            labels,
            None if loss.weight is None else loss.weight.to(inputs),
            ignore_index=loss.ignore_index,
            reduction="none",
            label_smoothing=loss.label_smoothing,
        )
        return values * weight

    def _mass(self, labels: Tensor, weight: Tensor) -> Tensor:
        if self.loss.weight is not None:
            weight = weight * self.loss.weight.to(weight)[labels]
        if self.loss.ignore_index >= 0:
            weight = weight * (labels != self.loss.ignore_index)
        return weight.sum()


class RowsLoss(nn.Module):
    """A loss about which nothing is known, called with the observed rows only.

    It may return one value a label, or one number for all rows; then there is nothing that sample
    weights could multiply. Selecting rows waits for the device; a module with the attribute
    ``reduction = "none"`` states that each value depends on its own row, and is not selected for.
    """

    is_plain_bce = False

    def __init__(self, task: Task, loss: nn.Module, on_logits: bool) -> None:
        super().__init__()
        self.task = task
        self.loss = loss
        self.on_logits = on_logits

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor, weighted: bool) -> Tensor:
        """Loss of ``logits (B, S)``, labels ``(B, n)`` and their weights ``(B, n)``."""
        seen = weight > 0
        rows = seen.any(-1).nonzero().squeeze(-1)
        if len(rows) == 0:
            return logits[:0].sum()  # an exact 0 in the graph
        if self.task.kind == "multilabel" and not seen[rows].all():
            raise DataError(
                f"target {self.task.name!r}: a row has labels that are not observed beside "
                f"observed ones, which the loss {_name(self.loss)} can't leave out. Give it "
                "`reduction = 'none'` and one value a label."
            )
        logits, labels, weight = logits[rows], labels[rows], weight[rows]
        inputs, labels, weight = columns(self.task, logits, labels, weight, self.on_logits)
        values = self.loss(inputs, labels)
        if values.numel() == 1 and (values.dim() == 0 or weight.numel() > 1):
            if weighted:
                must_be = "absent, or the loss one value a label: one number can't be weighted"
                raise ConfigError(invalid(_name(self.loss), "sample_weight", must_be, "weights"))
            return values.reshape(())
        return divide((by_label(self.task, values, labels) * weight).sum(), weight.sum())


def columns(
    task: Task, logits: Tensor, labels: Tensor, weight: Tensor, on_logits: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, labels and weights in the shapes and types that losses of this kind take."""
    inputs = logits.sigmoid() if task.kind in ONE_LOGIT and not on_logits else logits
    if task.kind == "multilabel":
        return inputs, labels, weight  # (B, n) each
    if task.kind == "multiclass":
        return inputs, labels[:, 0].long(), weight[:, 0]  # (B, C), (B,), (B,)
    return inputs[:, 0], labels[:, 0], weight[:, 0]  # (B,) each


def by_label(task: Task, values: Tensor, labels: Tensor) -> Tensor:
    """Losses in the labels' shape, or an error where there isn't one a label."""
    if values.numel() != labels.numel():
        must_be = f"one number, or one a label {tuple(labels.shape)}"
        raise ConfigError(invalid(f"loss of {task.name!r}", "values", must_be, tuple(values.shape)))
    return values.reshape(labels.shape)


def _by_element(loss: nn.Module) -> nn.Module:
    """A copy that takes logits and reduces nothing; its weights stay out of the state dict."""
    copied: Any = copy.deepcopy(loss)
    copied.reduction = "none"
    if isinstance(loss, PointwiseLoss):
        copied.logits = True
    for name, buffer in list(copied.named_buffers()):
        copied.register_buffer(name, buffer, persistent=False)
    return copied


def _check_class_weights(task: Task, loss: nn.Module) -> None:
    alpha = loss.alpha if isinstance(loss, FocalLoss) else None
    weight = loss.weight if isinstance(loss, nn.CrossEntropyLoss) else alpha
    classes = task.size if task.kind == "multiclass" else 2
    if isinstance(weight, Tensor) and weight.dim() == 1 and len(weight) != classes:
        raise ConfigError(
            f"target {task.name!r}: {_name(loss)} must have one class weight or count for each of "
            f"the {classes} classes; got {len(weight)}."
        )


def _name(loss: nn.Module) -> str:
    return type(loss).__name__
