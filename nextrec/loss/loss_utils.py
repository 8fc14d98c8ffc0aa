"""Losses by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from nextrec._registry import Registry
from nextrec.errors import ConfigError, invalid, unknown_option
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
from nextrec.loss.reduction import check_number, check_reduction, class_weights
from nextrec.tasks import TASK_KINDS

VALID_TASK_TYPES: tuple[str, ...] = tuple(sorted(TASK_KINDS))
"""Kinds of task."""

LOSSES: Registry[Callable[..., nn.Module]] = Registry("get_loss_fn", "loss")
"""Name -> what builds the loss; the builder's parameters are the keywords it takes."""

LossLike = str | nn.Module | Callable[[Tensor, Tensor], Tensor]
"""What stands for a loss: a name, a module, or a function of inputs and labels."""


def get_loss_fn(loss: LossLike | None = None, *, logits: bool = False, **kw: Any) -> nn.Module:
    """Build a loss by name, or take a module as it is.

    Args:
        loss: a name in :data:`LOSSES`, a module, or a function of inputs and labels.
        logits: build the form that takes logits. By default ``bce``, ``weighted_bce`` and
            ``focal`` take probabilities of binary labels, as in a loop over ``model(x)``. Scores
            of classes are always logits, and ``cb_focal`` takes nothing but logits.
        **kw: keywords of the loss; only with a name.

    Raises:
        ConfigError: no loss, an unknown name, or a keyword that the loss does not take or lacks.

    >>> get_loss_fn("bce")
    BCELoss()
    >>> get_loss_fn("bce", logits=True)
    BCEWithLogitsLoss()
    >>> get_loss_fn("hinge", margin=0.5).margin
    0.5
    """
    if isinstance(loss, str):
        return _build(loss, logits, kw)
    if isinstance(loss, type) or not callable(loss):
        must_be = f"one of {', '.join(LOSSES)}, a module or a function"
        raise ConfigError(invalid("get_loss_fn", "loss", must_be, loss))
    if kw:
        must_be = "empty beside a loss that is not a name"
        raise ConfigError(invalid("get_loss_fn", "loss_params", must_be, kw))
    return loss if isinstance(loss, nn.Module) else FunctionLoss(loss)


def get_loss_kwargs(
    loss_params: dict[str, Any] | Sequence[dict[str, Any] | None] | None, index: int = 0
) -> dict[str, Any]:
    """Keywords of the loss of task ``index``: a dict serves every task, a list has one a task.

    >>> get_loss_kwargs([{"gamma": 1.0}], 0), get_loss_kwargs([{"gamma": 1.0}], 1)
    ({'gamma': 1.0}, {})
    """
    if isinstance(loss_params, dict):
        return dict(loss_params)
    given = list(loss_params or ())
    return dict(given[index] or {}) if index < len(given) else {}


class FunctionLoss(nn.Module):
    """A function of inputs and labels as a module."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        takes_logits = (F.binary_cross_entropy_with_logits, F.cross_entropy)
        self.logits = bool(getattr(function, "logits", function in takes_logits))

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Call the function."""
        return self.function(inputs, labels)


def _build(name: str, logits: bool, keywords: dict[str, Any]) -> nn.Module:
    build = LOSSES[name]
    parameters = inspect.signature(build).parameters
    owner = f"loss {name!r}"
    options = [each for each in parameters if each != "logits"]
    for key in keywords:
        if key not in parameters:
            raise ConfigError(unknown_option(owner, "loss_params", options, key))
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in keywords:
            raise ConfigError(f"{owner}: `loss_params` must have {key!r}; got {keywords!r}.")
    return build(**keywords, **({"logits": logits} if "logits" in parameters else {}))


@LOSSES.register("bce", "binary_crossentropy")
def _bce(reduction: str = "mean", logits: bool = False) -> nn.Module:
    loss = nn.BCEWithLogitsLoss if logits else nn.BCELoss
    return loss(reduction=check_reduction("bce", reduction))


LOSSES.add("weighted_bce", WeightedBCELoss)
LOSSES.add("focal", FocalLoss, aliases=("focal_loss",))
LOSSES.add("cb_focal", ClassBalancedFocalLoss, aliases=("class_balanced_focal",))


@LOSSES.register("crossentropy", "ce")
def _cross_entropy(
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> nn.Module:
    if weight is not None:
        weight = class_weights("ce", "weight", weight).float()
    if check_number("ce", "label_smoothing", label_smoothing) > 1:
        raise ConfigError(invalid("ce", "label_smoothing", "a number in [0, 1]", label_smoothing))
    reduction = check_reduction("ce", reduction)
    return nn.CrossEntropyLoss(
        weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


@LOSSES.register("mse")
def _mse(reduction: str = "mean") -> nn.Module:
    return nn.MSELoss(reduction=check_reduction("mse", reduction))


@LOSSES.register("mae")
def _mae(reduction: str = "mean") -> nn.Module:
    return nn.L1Loss(reduction=check_reduction("mae", reduction))


@LOSSES.register("huber")
def _huber(delta: float = 1.0, reduction: str = "mean") -> nn.Module:
    delta = check_number("huber", "delta", delta, above=True)
    return nn.HuberLoss(reduction=check_reduction("huber", reduction), delta=delta)


LOSSES.add("cosine_contrastive", CosineContrastiveLoss)
LOSSES.add("bpr", BPRLoss)
LOSSES.add("hinge", HingeLoss)
LOSSES.add("triplet", TripletLoss)
LOSSES.add("sampled_softmax", SampledSoftmaxLoss, aliases=("softmax",))
LOSSES.add("infonce", InfoNCELoss)
LOSSES.add("listnet", ListNetLoss)
LOSSES.add("listmle", ListMLELoss)
LOSSES.add("approx_ndcg", ApproxNDCGLoss)
