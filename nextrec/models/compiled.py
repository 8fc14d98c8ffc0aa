"""How a model is trained, from the names of ``compile`` to an optimizer with row tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.layers.tables import EmbeddingTables, Storage
from nextrec.loss.balancing import Balancer
from nextrec.optim import (
    OPTIMIZERS,
    SCHEDULERS,
    HybridOptimizer,
    RowTable,
    SchedulerHandle,
    WholeTable,
    build_optimizer,
    build_scheduler,
    group_parameters,
)
from nextrec.training.trainer import row_gradients

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel


LENGTHS = {
    "cosine": "T_max",
    "linear": "total_iters",
    "polynomial": "total_iters",
    "onecycle": "total_steps",
    "warmup_cosine": "total_steps",
    "warmup_linear": "total_steps",
}
"""Schedules that take the length of training, and the option that would say it instead."""


@dataclass
class Compiled:
    """The arguments of ``compile``, and the optimizer that the first fit makes of them."""

    optimizer: Any
    optimizer_params: dict[str, Any] | None
    scheduler: Any
    scheduler_params: dict[str, Any] | None
    losses: dict[str, Any] = field(default_factory=dict)
    """``loss``, ``loss_params`` and ``loss_weights``: what an objective is made of."""
    balancer: Balancer | None = field(default=None, repr=False)
    """Weighs the tasks in each step; what it has learned stays until ``compile`` is called."""
    balancing: dict[str, Any] = field(default_factory=dict)
    """``loss_weights`` and ``loss_weights_params`` where the former is a balancer's name."""
    instance: torch.optim.Optimizer | None = field(default=None, repr=False)
    row_tables: list[tuple[Storage, RowTable]] = field(default_factory=list, repr=False)
    rates: list[float] | None = field(default=None, repr=False)
    """Learning rates of the groups before any schedule moved them."""

    def __getstate__(self) -> dict[str, Any]:
        """A copied model makes an optimizer of its own: the built one is tied to its weights."""
        return {**self.__dict__, "instance": None, "row_tables": [], "rates": None}

    def check(self, model: BaseModel) -> None:
        """Refuse unknown names before anything is trained."""
        if isinstance(self.optimizer, str) and self.optimizer not in OPTIMIZERS:
            raise ConfigError(unknown_option("compile", "optimizer", OPTIMIZERS, self.optimizer))
        if isinstance(self.scheduler, str) and self.scheduler not in SCHEDULERS:
            raise ConfigError(unknown_option("compile", "scheduler", SCHEDULERS, self.scheduler))
        penalties = ("embedding_l1_reg", "embedding_l2_reg", "dense_l1_reg", "dense_l2_reg")
        asked = [name for name in penalties if getattr(model, name)]
        for feature in model.features.embedded:
            asked += [
                f"{name} of {feature.name}"
                for name in ("l1_reg", "l2_reg")
                if getattr(feature, name)
            ]
        by_row = ("lazy_adam", "rowwise_adagrad")
        if model.embedding_reg_scope == "table" and self.optimizer in by_row:
            must_be = f"'batch' with `optimizer` {self.optimizer!r}, which knows no whole tables"
            raise ConfigError(invalid(model.model_name, "embedding_reg_scope", must_be, "table"))
        if not isinstance(self.optimizer, str) and asked:
            raise ConfigError(
                f"compile: `{asked[0]}` needs an optimizer given by name; with an optimizer of "
                "your own use its weight_decay, or add the penalty in your own loop."
            )

    def build(self, model: BaseModel) -> torch.optim.Optimizer:
        """The optimizer, the same one until ``compile`` is called again."""
        if self.instance is None:
            whole = _whole_tables(model) if penalises_whole_tables(model) else []
            if isinstance(self.optimizer, str) and not whole:
                self.row_tables = row_tables_of(model)
            tables = [table for _, table in self.row_tables]
            apart = [*(table.weight for table in tables), *(table.weight for table in whole)]
            groups = group_parameters(model, exclude=apart)
            if whole:
                groups = {"embedding": [table.weight for table in whole], **groups}
            self.instance = build_optimizer(
                self.optimizer,
                self.optimizer_params or {},
                groups=groups,
                row_tables=tables,
                owner="compile",
            )
            if isinstance(self.instance, HybridOptimizer):
                self.instance.whole_tables = whole
            _refuse_stranger(self.instance, model)
        return self.instance

    def build_scheduler(
        self, steps_per_epoch: int | None, epochs: int, mode: str
    ) -> SchedulerHandle | None:
        """A scheduler over the built optimizer; ``mode`` says which way its metric is better."""
        assert self.instance is not None
        self._reset_rates()
        return build_scheduler(
            self.scheduler,
            self.instance,
            self.scheduler_params or {},
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            mode=mode,
        )

    def _reset_rates(self) -> None:
        """Begin a schedule anew where an earlier fit's has moved the rates."""
        assert self.instance is not None
        own = hasattr(self.scheduler, "step") and not isinstance(self.scheduler, type)
        if self.scheduler is None or own:
            return
        groups = self.instance.param_groups
        if self.rates is None:
            self.rates = [group["lr"] for group in groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate
            group.pop("initial_lr", None)

    def follows_length(self) -> bool:
        """Whether the schedule is laid out over the whole training, however long it is."""
        option = LENGTHS.get(self.scheduler.lower()) if isinstance(self.scheduler, str) else None
        return option is not None and option not in (self.scheduler_params or {})

    def row_mode(self) -> Callable[[], AbstractContextManager[None]]:
        """Context in which the model's tables keep row gradients."""
        return lambda: row_gradients(self.row_tables)


def _refuse_stranger(optimizer: torch.optim.Optimizer, model: BaseModel) -> None:
    """Refuse an optimizer of another model: it would train nothing here."""
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ConfigError("compile: `optimizer` has no parameter of this model.")


def row_tables_of(model: BaseModel) -> list[tuple[Storage, RowTable]]:
    """A row table for each trained storage of the model."""
    pairs = []
    for storage, weight in _trained(model):
        padding = torch.tensor(storage.padding_rows, dtype=torch.long, device=weight.device)
        pairs.append((storage, RowTable(weight, padding, _penalties(model, storage))))
    return pairs


def penalises_whole_tables(model: BaseModel) -> bool:
    """Whether the tables train with dense gradients, as each step penalises all of their rows."""
    return model.embedding_reg_scope == "table" and any(
        _penalties(model, storage) for storage, _ in _trained(model)
    )


def _whole_tables(model: BaseModel) -> list[WholeTable]:
    """Each trained storage with the penalties of all its rows."""
    return [
        WholeTable(weight, tuple(_penalties(model, storage))) for storage, weight in _trained(model)
    ]


def _trained(model: BaseModel) -> Iterator[tuple[Storage, nn.Parameter]]:
    for module in model.modules():
        if isinstance(module, EmbeddingTables):
            for storage in module.storages.values():
                weight = module.weight(storage)
                if weight.requires_grad:
                    yield storage, weight


def _penalties(model: BaseModel, storage: Storage) -> list[tuple[int, int, float, float]]:
    """Row ranges with their L1 and L2 strengths."""
    ranges = []
    for table, rows in storage.spans():
        l1 = model.embedding_l1_reg + table.l1_reg
        l2 = model.embedding_l2_reg + table.l2_reg
        if l1 or l2:
            ranges.append((rows.start, rows.stop, l1, l2))
    return ranges
