"""Losses of a positive against its negatives.

Shapes: B batch, K negatives a row, D width. A ``mask`` ``(B, K)`` is True for real negatives;
padded ones count in no sum and no mean.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, DataError, invalid, unknown_option
from nextrec.loss.reduction import check_mask, check_number, check_reduction, reduce_loss

Distance = Literal["euclidean", "squared_euclidean", "cosine"]


class BPRLoss(nn.Module):
    """Bayesian personalised ranking: ``-log sigmoid(s_pos - s_neg)``, as a softplus.

    The gradient at a badly ordered pair tends to -1 and never dies.

    Source: Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian Personalized Ranking
    from Implicit Feedback", UAI 2009.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> BPRLoss()(torch.tensor([1.0]), torch.tensor([[1.0, 1.0]]))
    tensor(0.6931)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction("BPRLoss", reduction)

    def forward(self, pos_score: Tensor, neg_score: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of ``pos_score (B,)`` against ``neg_score (B,)`` or ``(B, K)``."""
        difference = score_differences("BPRLoss", pos_score, neg_score, mask)
        return reduce_loss(F.softplus(-difference), self.reduction, mask)


class HingeLoss(nn.Module):
    """Pairwise hinge: ``max(0, margin - (s_pos - s_neg))``.

    Args:
        margin: by how much a positive should lead.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> HingeLoss(margin=1.0)(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0]))
    tensor(0.2500)
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = check_number("HingeLoss", "margin", margin)
        self.reduction = check_reduction("HingeLoss", reduction)

    def forward(self, pos_score: Tensor, neg_score: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of ``pos_score (B,)`` against ``neg_score (B,)`` or ``(B, K)``."""
        difference = score_differences("HingeLoss", pos_score, neg_score, mask)
        return reduce_loss(F.relu(self.margin - difference), self.reduction, mask)


class TripletLoss(nn.Module):
    """Triplet loss: ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Source: Schroff, Kalenichenko, Philbin, "FaceNet: A Unified Embedding for Face Recognition and
    Clustering", CVPR 2015 (there with the squared distance).

    Args:
        margin: by how much the positive should be nearer.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        distance: ``"euclidean"``, ``"squared_euclidean"`` or ``"cosine"`` (``1 - cos``).

    >>> a = torch.zeros(1, 2)
    >>> TripletLoss()(a, torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]]))
    tensor(4.)
    """

    def __init__(
        self, margin: float = 1.0, reduction: str = "mean", distance: Distance = "euclidean"
    ) -> None:
        super().__init__()
        self.margin = check_number("TripletLoss", "margin", margin)
        self.reduction = check_reduction("TripletLoss", reduction)
        if distance not in get_args(Distance):
            options = get_args(Distance)
            raise ConfigError(unknown_option("TripletLoss", "distance", options, distance))
        self.distance = distance

    def forward(
        self, anchor: Tensor, positive: Tensor, negative: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Loss of ``anchor``, ``positive (B, D)`` and ``negative (B, D)`` or ``(B, K, D)``."""
        near = self._distance(anchor, positive)  # (B,)
        if negative.dim() == anchor.dim() + 1:
            anchor = anchor.unsqueeze(-2)  # (B, 1, D)
        far = self._distance(anchor, negative)  # (B,) or (B, K)
        lead = score_differences("TripletLoss", -near, -far, mask)
        return reduce_loss(F.relu(self.margin - lead), self.reduction, mask)

    def _distance(self, left: Tensor, right: Tensor) -> Tensor:
        if self.distance == "cosine":
            return 1 - F.cosine_similarity(left, right, dim=-1)
        if self.distance == "squared_euclidean":
            return (left - right).square().sum(-1)
        # Its gradient at distance 0 is 0, where a square root of a sum would give NaN.
        return torch.linalg.vector_norm(left - right, dim=-1)


def score_differences(
    owner: str, pos_score: Tensor, neg_score: Tensor, mask: Tensor | None = None
) -> Tensor:
    """``s_pos - s_neg`` in the shape of ``neg_score``, 0 where the mask is False."""
    if neg_score.dim() == pos_score.dim() + 1:
        pos_score = pos_score.unsqueeze(-1)  # (B, 1)
    aligned = pos_score.dim() == neg_score.dim() and pos_score.shape[:1] == neg_score.shape[:1]
    if not aligned or (pos_score.shape != neg_score.shape and pos_score.shape[-1] != 1):
        must_be = f"(B,) or (B, K) beside positives {tuple(pos_score.shape)}"
        raise DataError(invalid(owner, "negatives", must_be, tuple(neg_score.shape)))
    difference = pos_score - neg_score
    if mask is None:
        return difference
    check_mask(owner, mask, neg_score)
    return torch.where(mask, difference, torch.zeros_like(difference))
