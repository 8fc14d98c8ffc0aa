"""Losses of one row at a time: weighted cross entropy and the contrast of two vectors.

Shapes: B batch, D width; ``(...)`` is any shape, the same for inputs, labels and weights. The
plain losses of one row (cross entropies, squared, absolute and Huber errors) are torch's own; the
focal losses are in :mod:`nextrec.loss.focal`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nextrec.loss.focal import ClassBalancedFocalLoss, FocalLoss
from nextrec.loss.reduction import PointwiseLoss, align, check_number, reduce_loss, to_logits

__all__ = [
    "ClassBalancedFocalLoss",
    "CosineContrastiveLoss",
    "FocalLoss",
    "WeightedBCELoss",
    "balanced_positive_weight",
]


def balanced_positive_weight(labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Negatives per positive in a batch, a count of 0 taken as 1; weights count as rows.

    >>> balanced_positive_weight(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor(3.)
    """
    weight = torch.ones_like(labels) if weight is None else weight.to(labels.dtype)
    positives, negatives = (weight * labels).sum(), (weight * (1 - labels)).sum()
    one = torch.ones_like(positives)
    return torch.where(negatives > 0, negatives, one) / torch.where(positives > 0, positives, one)


class WeightedBCELoss(PointwiseLoss):
    """Binary cross entropy with a weight on positives: ``-[w y log p + (1 - y) log(1 - p)]``.

    Args:
        pos_weight: ``w``; a number, or a tensor that broadcasts to the labels. Default 1.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        logits: inputs are logits; otherwise probabilities, clamped to ``[1e-6, 1 - 1e-6]``
            (beyond that they have no gradient, so train on logits).
        auto_balance: without a ``pos_weight``, take the batch's negatives per positive.

    Shape: inputs and labels ``(...)``.

    >>> WeightedBCELoss(pos_weight=3.0, logits=True)(torch.zeros(2), torch.tensor([1.0, 0.0]))
    tensor(1.3863)
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        pos_weight: float | Tensor | None = None,
        reduction: str = "mean",
        logits: bool = False,
        auto_balance: bool = False,
    ) -> None:
        super().__init__(reduction)
        if pos_weight is not None and not isinstance(pos_weight, Tensor):
            pos_weight = torch.tensor(check_number("WeightedBCELoss", "pos_weight", pos_weight))
        self.register_buffer("pos_weight", pos_weight, persistent=False)
        self.logits = logits
        self.auto_balance = auto_balance

    def forward(self, inputs: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """Loss of logits (or probabilities) ``(...)`` against labels and weights ``(...)``."""
        logits = to_logits(align("WeightedBCELoss", inputs, labels), self.logits)
        labels = labels.to(logits.dtype)
        pos_weight = self.pos_weight
        if pos_weight is not None:
            pos_weight = pos_weight.to(logits)
        elif self.auto_balance:
            pos_weight = balanced_positive_weight(labels, weight)
        values = F.binary_cross_entropy_with_logits(
            logits, labels, pos_weight=pos_weight, reduction="none"
        )
        return reduce_loss(values, self.reduction, weight)


class CosineContrastiveLoss(PointwiseLoss):
    """Pull pairs with label 1 above a cosine of ``margin`` and push pairs with label 0 below it.

    ``y max(0, m - cos(u, i)) + (1 - y) max(0, cos(u, i) - m)``.

    Args:
        margin: ``m``, at least -1.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> u = torch.tensor([[1.0, 0.0]])
    >>> CosineContrastiveLoss(margin=0.25)(u, u, torch.tensor([0.0]))
    tensor(0.7500)
    """

    def __init__(self, margin: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = check_number("CosineContrastiveLoss", "margin", margin, least=-1.0)

    def forward(
        self, user_emb: Tensor, item_emb: Tensor, labels: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Loss of vectors ``(B, D)`` and ``(B, D)`` against labels and weights ``(B,)``."""
        cosine = F.cosine_similarity(user_emb, item_emb, dim=-1)  # (B,)
        cosine = align("CosineContrastiveLoss", cosine, labels)
        labels = labels.to(cosine.dtype)
        values = labels * F.relu(self.margin - cosine) + (1 - labels) * F.relu(cosine - self.margin)
        return reduce_loss(values, self.reduction, weight)
