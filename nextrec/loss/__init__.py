"""Losses: of rows, of pairs, of lists, and the objective that makes one scalar of all tasks."""

from nextrec.loss.labels import check_labels
from nextrec.loss.listwise import (
    ApproxNDCGLoss,
    InfoNCELoss,
    ListMLELoss,
    ListNetLoss,
    SampledSoftmaxLoss,
)
from nextrec.loss.loss_utils import LOSSES, VALID_TASK_TYPES, get_loss_fn, get_loss_kwargs
from nextrec.loss.objective import Objective
from nextrec.loss.pairwise import BPRLoss, HingeLoss, TripletLoss
from nextrec.loss.pointwise import (
    ClassBalancedFocalLoss,
    CosineContrastiveLoss,
    FocalLoss,
    WeightedBCELoss,
)

__all__ = [
    "LOSSES",
    "VALID_TASK_TYPES",
    "ApproxNDCGLoss",
    "BPRLoss",
    "ClassBalancedFocalLoss",
    "CosineContrastiveLoss",
    "FocalLoss",
    "HingeLoss",
    "InfoNCELoss",
    "ListMLELoss",
    "ListNetLoss",
    "Objective",
    "SampledSoftmaxLoss",
    "TripletLoss",
    "WeightedBCELoss",
    "check_labels",
    "get_loss_fn",
    "get_loss_kwargs",
]
