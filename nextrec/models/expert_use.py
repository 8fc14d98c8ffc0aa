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


@torch.no_grad()
def expert_use(
    model: BaseModel,
    loader: Iterable[Any],
    prepare: Callable[[Any], Batch],
    precision: str = "fp32",
) -> dict[str, list[float]]:
    """Mixture -> mean weight of each of its experts over a few thousand rows.

    A model says its weights by a method ``gates(x) -> {name: (B, E)}``; without one the answer is
    empty. The model is in evaluation mode meanwhile, and no random stream moves.
    """
    gates = getattr(model, "gates", None)
    if gates is None:
        return {}
    sums: dict[str, Tensor] = {}
    rows, was_training = 0, model.training
    model.eval()
    try:
        with unmoved(loader):
            for raw in loader:
                batch = prepare(raw)
                with autocast_for(model.device, precision):
                    found = gates(batch.features)
                for name, weights in found.items():
                    total = weights.float().sum(0).cpu().double()
                    sums[name] = sums[name] + total if name in sums else total
                rows += len(batch)
                if rows >= ROWS:
                    break
    finally:
        model.train(was_training)
    return {name: (total / rows).tolist() for name, total in sums.items()}
