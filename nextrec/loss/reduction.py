"""What all losses share: from per-element values to one number, and the checks of arguments."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, DataError, invalid

REDUCTIONS = ("mean", "sum", "none")

PROBABILITY_EPS = 1e-6
"""Probabilities given in place of logits are clamped to ``[eps, 1 - eps]``."""


def reduce_loss(values: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    """Reduce per-element losses, where an element of weight 0 does not exist.

    ``mean`` is ``sum(w * l) / sum(w)`` and 0 where nothing has weight, ``sum`` is ``sum(w * l)``,
    ``none`` is ``w * l``. Without weights every ``w`` is 1.

    Args:
        values: finite losses of any shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: non-negative weights or a bool mask, of the same shape.

    >>> reduce_loss(torch.tensor([1.0, 5.0, 9.0]), "mean", torch.tensor([1.0, 1.0, 0.0]))
    tensor(3.)
    """
    if weight is not None:
        weight = weight.to(values.dtype)
        values = values * weight
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    return values.mean() if weight is None else divide(values.sum(), weight.sum())


def divide(total: Tensor, mass: Tensor) -> Tensor:
    """``total / mass``, and ``total`` (then 0, its graph kept) where there is no mass."""
    return total / torch.where(mass > 0, mass, torch.ones_like(mass))


class PointwiseLoss(nn.Module):
    """Base of the losses whose ``forward(inputs, labels, weight=None)`` takes weights.

    A weight of 0 leaves the element out: of the mean, and of any statistic of the batch.
    """

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = check_reduction(type(self).__name__, reduction)


def to_logits(inputs: Tensor, logits: bool) -> Tensor:
    """Inputs as logits, which they are already if ``logits``; otherwise they are probabilities."""
    if logits:
        return inputs
    return torch.logit(inputs, eps=max(PROBABILITY_EPS, torch.finfo(inputs.dtype).eps))


def check_reduction(owner: str, reduction: Any) -> str:
    """The reduction, or a ``ConfigError`` before anything is computed with a wrong one."""
    if reduction not in REDUCTIONS:
        raise ConfigError(invalid(owner, "reduction", f"one of {', '.join(REDUCTIONS)}", reduction))
    return str(reduction)


def check_number(
    owner: str, parameter: str, value: Any, least: float = 0.0, above: bool = False
) -> float:
    """A finite number of at least ``least``, or above it, as a float."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < least or (above and value == least):
        must_be = f"a number {'above' if above else 'of at least'} {least:g}"
        raise ConfigError(invalid(owner, parameter, must_be, value))
    return float(value)


def class_weights(owner: str, parameter: str, value: Any, least: float = 0.0) -> Tensor:
    """Numbers of at least ``least``, one a class (any sequence, array or tensor), or one number.

    Returns:
        ``(C,)`` or ``()``, float64, a copy.
    """
    try:
        # A copy: arrays that pandas hands out may be read-only, which torch warns about.
        plain = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        numbers = np.array(plain, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array([[np.nan]])
    if numbers.ndim > 1 or not np.all(np.isfinite(numbers) & (numbers >= least)):
        must_be = f"one number of at least {least:g} a class"
        raise ConfigError(invalid(owner, parameter, must_be, value))
    return torch.from_numpy(numbers)


def align(owner: str, inputs: Tensor, labels: Tensor) -> Tensor:
    """``inputs`` in the shape of ``labels``, which may differ by a last dimension of 1.

    Plain arithmetic would broadcast ``(B, 1)`` next to ``(B,)`` to ``(B, B)`` without a word.
    """
    if inputs.shape == labels.shape:
        return inputs
    if (*inputs.shape, 1) == (*labels.shape,) or (*inputs.shape,) == (*labels.shape, 1):
        return inputs.reshape(labels.shape)
    must_be = f"of the inputs' shape {tuple(inputs.shape)}"
    raise DataError(invalid(owner, "labels", must_be, tuple(labels.shape)))


def check_mask(owner: str, mask: Tensor, scores: Tensor) -> None:
    """A mask is bool and has the scores' shape."""
    if mask.dtype != torch.bool or mask.shape != scores.shape:
        must_be = f"bool of shape {tuple(scores.shape)}"
        raise DataError(invalid(owner, "mask", must_be, (mask.dtype, tuple(mask.shape))))
