"""What a training loop of the user's own calls on a model, as 0.3.1 had it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nextrec.errors import DataError
from nextrec.layers.tables import EmbeddingTables
from nextrec.models.inputs import preparer
from nextrec.optim import group_parameters

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel


def get_input(
    model: BaseModel, batch: Any, require_labels: bool
) -> tuple[Mapping[str, Tensor], Tensor | None]:
    """Columns and labels of a batch on the model's device; labels ``(B,)`` or ``(B, T)``."""
    ready = preparer(model, None, require_labels)(batch)
    labels = ready.labels
    if labels is None:
        if require_labels:
            raise DataError("the batch has no labels.")
        return ready.features, None
    return ready.features, labels.squeeze(1) if labels.shape[1] == 1 else labels


def compute_loss(model: BaseModel, y_pred: Tensor, y_true: Tensor | None) -> Tensor:
    """The objective of predictions, which are turned back into logits first."""
    if y_true is None:
        raise DataError("compute_loss: `y_true` is None.")
    scores = y_pred.reshape(-1, model.num_logits)
    labels = y_true.reshape(len(scores), -1)
    parts = []
    for task in model.tasks:
        part = scores[:, task.logits]
        if task.kind == "multiclass":
            part = part.clamp_min(torch.finfo(part.dtype).tiny).log()
        elif task.kind != "regression":
            part = torch.logit(part, eps=torch.finfo(part.dtype).eps)
        parts.append(part)
    return model.objective(torch.cat(parts, dim=1), labels)


def penalties(model: BaseModel) -> Tensor:
    """L1 and L2 of whole tables and of the weights of linear maps.

    ``fit`` does not use it: there only the rows that a batch looks up are penalised.
    """
    total = torch.zeros((), device=model.device)
    tables = [
        module.weight(storage)
        for module in model.modules()
        if isinstance(module, EmbeddingTables)
        for storage in module.storages.values()
    ]
    for weight in tables:
        total = total + model.embedding_l1_reg * weight.abs().sum()
        total = total + model.embedding_l2_reg * weight.square().sum()
    for weight in group_parameters(model, exclude=tables)["dense"]:
        total = total + model.dense_l1_reg * weight.abs().sum()
        total = total + model.dense_l2_reg * weight.square().sum()
    return total
