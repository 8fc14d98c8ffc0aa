"""Losses of a whole list: one positive among candidates, or an order against graded labels.

Shapes: B batch (lists), K negatives, L items of a list, D width. A ``mask`` is True for real items
or negatives; padded ones take no probability, no rank and no gradient, and a list with nothing
real in it counts in no mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, DataError, invalid
from nextrec.loss.reduction import check_mask, check_number, check_reduction, reduce_loss


class SampledSoftmaxLoss(nn.Module):
    """Cross entropy of the positive among itself and its negatives.

    ``-log(exp(s_pos) / (exp(s_pos) + sum_k exp(s_neg_k)))``. For negatives drawn with probability
    ``q``, pass ``s - log q`` for every score to estimate the full softmax.

    Source: Jean, Cho, Memisevic, Bengio, "On Using Very Large Target Vocabulary for Neural Machine
    Translation", ACL 2015.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (one value a row).

    >>> SampledSoftmaxLoss()(torch.zeros(1), torch.zeros(1, 3))
    tensor(1.3863)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction("SampledSoftmaxLoss", reduction)

    def forward(self, pos_logits: Tensor, neg_logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of ``pos_logits (B,)`` against ``neg_logits (B, K)`` and a mask ``(B, K)``."""
        return _first_of("SampledSoftmaxLoss", pos_logits, neg_logits, mask, self.reduction)


class InfoNCELoss(nn.Module):
    """Cross entropy of the positive key by dot products: ``s = query . key / temperature``.

    Source: van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive
    Coding", arXiv:1807.03748, 2018.

    Args:
        temperature: above 0; small ones stress the hardest negatives.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (one value a row).

    >>> q = torch.tensor([[1.0, 0.0]])
    >>> InfoNCELoss(temperature=1.0)(q, q, q.unsqueeze(1))
    tensor(0.6931)
    """

    def __init__(self, temperature: float = 0.07, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_number("InfoNCELoss", "temperature", temperature, above=True)
        self.reduction = check_reduction("InfoNCELoss", reduction)

    def forward(
        self, query: Tensor, pos_key: Tensor, neg_keys: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Loss of ``query``, ``pos_key (B, D)`` and ``neg_keys (B, K, D)``, mask ``(B, K)``."""
        query = query / self.temperature
        pos_logits = (query * pos_key).sum(-1)  # (B,)
        neg_logits = torch.einsum("bd,bkd->bk", query, neg_keys)
        return _first_of("InfoNCELoss", pos_logits, neg_logits, mask, self.reduction)


class ListNetLoss(nn.Module):
    """Cross entropy between the top-one probabilities of labels and of scores.

    ``-sum_i softmax(y)_i log softmax(s / temperature)_i``.

    Source: Cao, Qin, Liu, Tsai, Li, "Learning to Rank: From Pairwise Approach to Listwise
    Approach", ICML 2007.

    Args:
        temperature: above 0, of the scores; labels are taken as they are.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (one value a list).

    >>> ListNetLoss()(torch.zeros(1, 4), torch.tensor([[3.0, 0.0, 0.0, 1.0]]))
    tensor(1.3863)
    """

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_number("ListNetLoss", "temperature", temperature, above=True)
        self.reduction = check_reduction("ListNetLoss", reduction)

    def forward(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of scores ``(B, L)`` against labels ``(B, L)``."""
        scores, labels, mask = _lists("ListNetLoss", scores, labels, mask)
        wanted = F.softmax(_pad(labels, mask), dim=-1)  # (B, L)
        log_given = F.log_softmax(_pad(scores / self.temperature, mask), dim=-1)
        values = -(wanted * torch.where(mask, log_given, torch.zeros_like(log_given))).sum(-1)
        return reduce_loss(values, self.reduction, mask.any(-1))


class ListMLELoss(nn.Module):
    """Negative log-likelihood of the labels' order under the Plackett-Luce model of the scores.

    With ``p`` the items by falling label: ``sum_i (logsumexp_{j >= i} s_p(j) - s_p(i))``. Items of
    one label keep the order they come in.

    Source: Xia, Liu, Wang, Zhang, Li, "Listwise Approach to Learning to Rank: Theory and
    Algorithm", ICML 2008.

    Args:
        reduction: ``"mean"`` over lists, ``"sum"`` or ``"none"`` (one value a list).

    >>> ListMLELoss()(torch.zeros(1, 3), torch.tensor([[2.0, 1.0, 0.0]]))  # log 3!
    tensor(1.7918)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction("ListMLELoss", reduction)

    def forward(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of scores ``(B, L)`` against labels ``(B, L)``."""
        scores, labels, mask = _lists("ListMLELoss", scores, labels, mask)
        order = labels.sort(dim=-1, descending=True, stable=True).indices
        ordered, real = _pad(scores, mask).gather(-1, order), mask.gather(-1, order)
        # Wherever padding falls in the order, it adds exp(lowest) = 0 to the sums from the end.
        log_sums = ordered.flip(-1).logcumsumexp(-1).flip(-1)  # (B, L)
        steps = torch.where(real, log_sums - ordered, torch.zeros_like(ordered))
        return reduce_loss(steps.sum(-1), self.reduction, mask.any(-1))


class ApproxNDCGLoss(nn.Module):
    """``1 - NDCG`` with ranks smoothed by sigmoids, between 0 and 1.

    ``rank_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / temperature)``, a term of the gain is
    ``(2^y_i - 1) / log2(1 + rank_i)``, and the loss is 1 minus the terms' sum divided by that of
    the ideal order. With ``k`` both sums keep their k largest terms. A cut of the first sum at rank
    k instead would give relevant items below it no gradient, and in a list without a relevant item
    above it nothing at all. Smooth ranks lie within the hull of the permutations and the discount
    is convex, hence the bounds. Lists without a relevant item have no order and are left out.

    Source: Qin, Liu, Li, "A General Approximation Framework for Direct Optimization of Information
    Retrieval Measures", Information Retrieval 13, 2010.

    Args:
        temperature: above 0. With 1 the ranks of scores less than 1 apart are nearly equal; 0.1
            follows NDCG more closely.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (one value a list).

    >>> loss = ApproxNDCGLoss(temperature=0.01)
    >>> labels = torch.tensor([[1.0, 0.0, 2.0]])
    >>> bool(loss(labels, labels) < 1e-6), bool(loss(-labels, labels, k=2) > 0.3)
    (True, True)
    """

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_number("ApproxNDCGLoss", "temperature", temperature, above=True)
        self.reduction = check_reduction("ApproxNDCGLoss", reduction)

    def forward(
        self, scores: Tensor, labels: Tensor, k: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Loss of scores ``(B, L)`` against labels of at least 0 ``(B, L)``, cut at ``k``."""
        scores, labels, mask = _lists("ApproxNDCGLoss", scores, labels, mask)
        length = scores.shape[-1]
        if k is not None and (not isinstance(k, int) or k < 1):
            raise ConfigError(invalid("ApproxNDCGLoss", "k", "an integer of at least 1", k))
        cut = length if k is None else min(k, length)
        gains = torch.where(mask, torch.exp2(labels) - 1, torch.zeros_like(labels))  # (B, L)
        terms = gains / torch.log2(1 + self._ranks(scores, mask))
        places = torch.arange(2, cut + 2, device=scores.device, dtype=scores.dtype)
        ideal = (gains.topk(cut, dim=-1).values / places.log2()).sum(-1)  # (B,)
        given = terms.topk(cut, dim=-1).values.sum(-1)
        ordered = ideal > 0
        ndcg = given / torch.where(ordered, ideal, torch.ones_like(ideal))
        values = torch.where(ordered, 1 - ndcg, torch.zeros_like(ndcg)).clamp(min=0)  # rounding
        return reduce_loss(values, self.reduction, ordered)

    def _ranks(self, scores: Tensor, mask: Tensor) -> Tensor:
        above = scores.unsqueeze(-2) - scores.unsqueeze(-1)  # (B, L, L): s_j - s_i at [i, j]
        beaten = torch.sigmoid(above / self.temperature) * mask.unsqueeze(-2)
        return 0.5 + beaten.sum(-1)  # an item meets itself at sigmoid(0) = 0.5


def _first_of(
    owner: str, pos_logits: Tensor, neg_logits: Tensor, mask: Tensor | None, reduction: str
) -> Tensor:
    """Cross entropy of class 0 over ``[pos_logits (B,); neg_logits (B, K)]``."""
    pos_logits = pos_logits.reshape(-1, 1)
    if neg_logits.dim() != 2 or len(neg_logits) != len(pos_logits):
        must_be = f"({len(pos_logits)}, K) beside {len(pos_logits)} positives"
        raise DataError(invalid(owner, "negatives", must_be, tuple(neg_logits.shape)))
    if mask is None:
        mask = torch.ones_like(neg_logits, dtype=torch.bool)
    else:
        check_mask(owner, mask, neg_logits)
    logits = torch.cat([pos_logits, _pad(neg_logits, mask)], dim=-1)  # (B, 1 + K)
    return reduce_loss(-F.log_softmax(logits, dim=-1)[:, 0], reduction, mask.any(-1))


def _lists(
    owner: str, scores: Tensor, labels: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, labels and mask of one shape ``(B, L)``; what is padded is 0."""
    if scores.dim() != 2 or scores.shape != labels.shape:
        must_be = f"of the scores' shape (B, L), here {tuple(scores.shape)}"
        raise DataError(invalid(owner, "labels", must_be, tuple(labels.shape)))
    labels = labels.to(scores.dtype)
    if mask is None:
        return scores, labels, torch.ones_like(scores, dtype=torch.bool)
    check_mask(owner, mask, scores)
    zeros = torch.zeros_like(scores)
    return torch.where(mask, scores, zeros), torch.where(mask, labels, zeros), mask


def _pad(values: Tensor, mask: Tensor) -> Tensor:
    """The lowest finite number where the mask is False: it has no weight in a softmax.

    Minus infinity would make NaN of a list without a real item.
    """
    return values.masked_fill(~mask, torch.finfo(values.dtype).min)
