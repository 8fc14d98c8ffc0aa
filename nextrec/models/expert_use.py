"""How much a trained model's mixtures use each of their experts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nextrec.data.batch import Batch
from nextrec.models.inputs import unmoved
from nextrec.training.device import autocast_for

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

ROWS = 4096
"""Rows after which no further batch is looked at."""
ROUNDING = 1e-3
"""How far the weights of a row may be from a sum of 1."""


@torch.no_grad()
def expert_use(
    model: BaseModel,
    loader: Iterable[Any],
    prepare: Callable[[Any], Batch],
    precision: str = "fp32",
) -> dict[str, list[float]]:
    """Mixture -> mean weight of each of its experts over a few thousand rows.

    A model says its weights by a method ``gates(x) -> {name: (B, E)}``; without one the answer is
    empty. Left out are gates that share nothing out, such as PEPNet's scales of units, SNR-Trans's
    switches and signed sums: a mixture's weights are not negative, and sum to 1 in each row. The
    model is in evaluation mode meanwhile, and no random stream moves.
    """
    gates = getattr(model, "gates", None)
    if gates is None:
        return {}
    sums: dict[str, Tensor] = {}
    others: set[str] = set()
    rows, was_training = 0, model.training
    model.eval()
    try:
        with unmoved(loader):
            for raw in loader:
                batch = prepare(raw)
                with autocast_for(model.device, precision):
                    found = gates(batch.features)
                for name, weights in found.items():
                    if not _is_mixture(weights):
                        others.add(name)
                    total = weights.float().sum(0).cpu().double()
                    sums[name] = sums[name] + total if name in sums else total
                rows += len(batch)
                if rows >= ROWS:
                    break
    finally:
        model.train(was_training)
    return {name: (total / rows).tolist() for name, total in sums.items() if name not in others}


def _is_mixture(weights: Tensor) -> bool:
    """Whether each row ``(B, E)`` shares a whole out to the experts."""
    sums = weights.float().sum(1)
    return bool((weights >= 0).all()) and bool(((sums - 1).abs() <= ROUNDING).all())
