"""Focal losses: cross entropy that fades out what is classified well already.

Shapes: B batch, C classes; ``(...)`` is any shape, the same for inputs, labels and weights. All
terms come from log-sigmoids and log-softmaxes, so neither values nor gradients overflow or vanish
where a probability rounds to 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nextrec.errors import ConfigError, invalid
from nextrec.loss.reduction import (
    PointwiseLoss,
    align,
    check_number,
    class_weights,
    reduce_loss,
    to_logits,
)


def binary_focal(
    logits: Tensor, labels: Tensor, gamma: float, alpha: Tensor | None = None
) -> Tensor:
    """Focal loss of binary labels: ``-alpha_y (1 - p_y)^gamma log p_y``, element by element.

    A label between 0 and 1 gets the mean of both classes' losses in its proportion.

    Args:
        logits: ``(...)``.
        labels: ``(...)``, 0 or 1.
        gamma: how strongly well classified elements are faded out; 0 is cross entropy.
        alpha: weights ``(2,)`` of the classes 0 and 1.

    >>> binary_focal(torch.zeros(1), torch.ones(1), gamma=2.0)
    tensor([0.1733])
    """
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    # exp(gamma * log(1 - p)) has a gradient for every gamma; (1 - p) ** gamma has none at p = 1.
    positive = -labels * torch.exp(gamma * log_not_p) * log_p
    negative = -(1 - labels) * torch.exp(gamma * log_p) * log_not_p
    if alpha is None:
        return positive + negative
    return alpha[1] * positive + alpha[0] * negative


def multiclass_focal(
    logits: Tensor, labels: Tensor, gamma: float, alpha: Tensor | None = None
) -> Tensor:
    """Focal loss of class numbers: ``-alpha_y (1 - p_y)^gamma log p_y``, row by row.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)`` class numbers from 0 to ``C - 1``.
        gamma: how strongly well classified rows are faded out; 0 is cross entropy.
        alpha: weights ``(C,)`` of the classes.

    Returns:
        ``(B,)``.
    """
    labels = labels.long()
    log_p = F.log_softmax(logits, dim=-1)  # (B, C)
    log_p_label = log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # (B,)
    # log(1 - p_y) as the log-sum of all other classes: 1 - exp(log p_y) would round to 0.
    others = log_p.scatter(-1, labels.unsqueeze(-1), float("-inf"))
    values = -torch.exp(gamma * others.logsumexp(-1)) * log_p_label
    return values if alpha is None else alpha[labels] * values


def class_balanced_weights(class_counts: Tensor, beta: float) -> Tensor:
    """Weights ``(C,)`` of classes by the effective number of their rows; their sum is C.

    ``w_c`` is proportional to ``(1 - beta) / (1 - beta^n_c)``.

    >>> class_balanced_weights(torch.tensor([10.0, 10.0]), beta=0.9)
    tensor([1., 1.])
    """
    # 1 - beta^n through expm1 keeps its digits where beta is next to 1.
    log_beta = math.log(beta) if beta > 0 else -math.inf
    weights = (1 - beta) / -torch.expm1(class_counts * log_beta)
    return weights * (len(weights) / weights.sum())


class FocalLoss(PointwiseLoss):
    """Focal loss ``-alpha_y (1 - p_y)^gamma log p_y`` of binary labels or of classes.

    Inputs ``(B, C)`` with class numbers ``(B,)`` are logits of C classes. Inputs of the labels'
    own shape are binary, element by element.

    Source: Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.

    Args:
        gamma: how strongly well classified elements are faded out; 0 is cross entropy.
        alpha: one number: for binary labels the weight of class 1, with ``1 - alpha`` for class
            0; for classes a factor on all of them. A sequence: one weight a class, by label.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        logits: binary inputs are logits; otherwise probabilities, clamped to
            ``[1e-6, 1 - 1e-6]``. Class scores are always logits.

    >>> FocalLoss(gamma=0.0, logits=True)(torch.zeros(2), torch.tensor([1.0, 0.0]))
    tensor(0.6931)
    """

    alpha: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        reduction: str = "mean",
        logits: bool = False,
    ) -> None:
        super().__init__(reduction)
        self.gamma = check_number("FocalLoss", "gamma", gamma)
        if alpha is not None:
            weights = class_weights("FocalLoss", "alpha", alpha).float()
            if weights.dim() == 0 and weights > 1:
                must_be = "a number in [0, 1] or one weight a class"
                raise ConfigError(invalid("FocalLoss", "alpha", must_be, alpha))
            alpha = weights
        self.register_buffer("alpha", alpha, persistent=False)
        self.logits = logits

    def forward(self, inputs: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
        """Loss of ``(...)`` against 0 or 1 ``(...)``, or of ``(B, C)`` against classes ``(B,)``."""
        if inputs.dim() == 2 and inputs.shape[1] > 1 and targets.numel() == inputs.shape[0]:
            targets = targets.reshape(-1)  # (B, 1) -> (B,)
            weight = None if weight is None else weight.reshape(-1)
            alpha = self._alpha_by_class(inputs, inputs.shape[1], binary=False)
            values = multiclass_focal(inputs, targets, self.gamma, alpha)
        else:
            logits = to_logits(align("FocalLoss", inputs, targets), self.logits)
            alpha = self._alpha_by_class(logits, 2, binary=True)
            values = binary_focal(logits, targets.to(logits.dtype), self.gamma, alpha)
        return reduce_loss(values, self.reduction, weight)

    def _alpha_by_class(self, inputs: Tensor, classes: int, binary: bool) -> Tensor | None:
        if self.alpha is None:
            return None
        alpha = self.alpha.to(inputs)
        if alpha.dim() == 0:
            return torch.stack([1 - alpha, alpha]) if binary else alpha.expand(classes)
        if len(alpha) != classes:
            must_be = f"one weight a class ({classes} here)"
            raise ConfigError(invalid(type(self).__name__, "alpha", must_be, alpha.tolist()))
        return alpha


class ClassBalancedFocalLoss(FocalLoss):
    """Focal loss of logits whose class weights follow from the number of rows of each class.

    ``alpha_c`` is proportional to ``(1 - beta) / (1 - beta^n_c)`` and the weights sum to C. Binary
    labels have two classes; their weights are taken by label as well.

    Source: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of
    Samples", CVPR 2019.

    Args:
        class_counts: rows of each class in the training data, each at least 1.
        beta: in ``[0, 1)``; 0 weighs classes alike, near 1 by their inverse counts.
        gamma: see :class:`FocalLoss`.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: as :class:`FocalLoss` with ``logits=True``.

    >>> loss = ClassBalancedFocalLoss([900, 100])
    >>> loss(torch.zeros(2), torch.tensor([0.0, 1.0])).shape
    torch.Size([])
    """

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        beta: float = 0.9999,
        gamma: float = 2.0,
        reduction: str = "mean",
    ) -> None:
        owner = "ClassBalancedFocalLoss"
        counts = class_weights(owner, "class_counts", class_counts, least=1)
        if counts.dim() != 1 or len(counts) < 2:
            must_be = "the rows of each of two or more classes"
            raise ConfigError(invalid(owner, "class_counts", must_be, class_counts))
        if check_number(owner, "beta", beta) >= 1:
            raise ConfigError(invalid(owner, "beta", "a number in [0, 1)", beta))
        weights = class_balanced_weights(counts, beta)
        super().__init__(gamma, weights, reduction, logits=True)
