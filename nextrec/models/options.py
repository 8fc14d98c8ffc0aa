"""Arguments that every model takes, beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import torch
from torch import nn


class CompileOptions(TypedDict, total=False):
    """How a model is trained; the arguments of :meth:`BaseModel.compile`."""

    optimizer: str | type[torch.optim.Optimizer] | torch.optim.Optimizer
    """Name, class or instance. Default ``adam``."""
    optimizer_params: dict[str, Any] | None
    """``lr`` and the like; ``groups`` overrides them for embedding, dense, bias_norm."""
    scheduler: Any
    """Name, class, factory or instance; ``None`` keeps the learning rate."""
    scheduler_params: dict[str, Any] | None
    loss: str | nn.Module | Sequence[str | nn.Module] | None
    """One for all tasks or one a task. Default by task: bce, mse, ce."""
    loss_params: dict[str, Any] | Sequence[dict[str, Any]] | None
    loss_weights: float | Sequence[float] | str | None
    """A number, one a task, or the name of a balancer: ``equal``, ``uncertainty``, ``gradnorm``,
    ``dwa``, ``rlw``, ``pcgrad``, ``cagrad``, ``mgda``, ``imtl_g``, ``imtl_l``, ``imtl``,
    ``nash_mtl``, ``famo``."""
    loss_weights_params: dict[str, Any] | None
    """Options of the balancer."""


class ModelOptions(CompileOptions, total=False):
    """Arguments of every model's constructor."""

    target: str | Sequence[str] | None
    """Label columns. Default ``["label"]``."""
    id_columns: str | Sequence[str] | None
    """Columns carried through to predictions."""
    task: str | Sequence[str]
    """``binary``, ``regression``, ``multiclass``, ``multilabel``; one, or one a target."""
    num_classes: int | Sequence[int] | None
    """Classes of each multiclass target."""
    device: str | torch.device
    """``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``."""
    embedding_l1_reg: float
    """L1 of the rows that a batch looks up."""
    embedding_l2_reg: float
    embedding_reg_scope: Literal["batch", "table"]
    """Penalised in a step: the rows that its batch looks up, or every row of every table. ``table``
    (the penalty of most papers' code) trains the tables with dense gradients, so a step costs what
    the vocabulary does. Default ``batch``."""
    dense_l1_reg: float
    """L1 of the weights of linear maps; never of biases and norms."""
    dense_l2_reg: float
    early_stop_patience: int
    """Epochs without a better monitor before training stops."""
    session_id: str | None
    """Name of the run's folder; made from the time when left out."""
    linear_init: str | None
    """Initial weights of linear layers, by a name of ``get_initializer`` such as ``xavier_normal``;
    their biases are then zero. Default ``None``: as torch does, or as the model's paper says."""
    seed: int | None
    """Seed of the initial weights."""


POSITIONAL_OPTIONS = (
    "optimizer",
    "optimizer_params",
    "loss",
    "loss_params",
    "device",
    "embedding_l1_reg",
    "dense_l1_reg",
    "embedding_l2_reg",
    "dense_l2_reg",
)
"""What 0.3.1's constructors took by position at their end, in its order."""

COMPILE_KEYS = tuple(CompileOptions.__annotations__)
