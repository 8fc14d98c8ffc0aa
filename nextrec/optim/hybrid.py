"""One optimizer over dense parameters and tables in row mode.

Both halves appear in one list of parameter groups, the very dicts that they read their options
from, so that schedulers of ``torch.optim.lr_scheduler`` act on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nextrec.errors import CheckpointError, ConfigError
from nextrec.optim.row_table import Penalty
from nextrec.optim.rowwise import RowOptimizer


@dataclass(frozen=True)
class WholeTable:
    """A table that trains with dense gradients, all of its rows penalised in every step."""

    weight: nn.Parameter
    penalties: tuple[Penalty, ...] = ()
    """``(start, stop, l1, l2)`` of ranges of rows, as in :class:`RowTable`."""

    def penalise(self) -> None:
        """Add the penalties' gradient to the weight's."""
        if self.weight.grad is None:  # no feature of this step's graph read it
            self.weight.grad = torch.zeros_like(self.weight)
        for start, stop, l1, l2 in self.penalties:
            grad, rows = self.weight.grad[start:stop], self.weight[start:stop]
            grad.add_(rows, alpha=2 * l2)
            if l1:
                grad.add_(rows.sign(), alpha=l1)


class HybridOptimizer(Optimizer):
    """A ``torch.optim`` optimizer for dense gradients beside a row optimizer for tables.

    Args:
        name: what it is called in checkpoints; one is read only by the same name.
        dense: optimizer of the dense parameters, with named groups; ``None`` without any.
        rows: optimizer of the tables; ``None`` without any.
        row_group: the tables' parameter group, the dict that the rule of ``rows`` reads.

    Raises:
        ConfigError: there is nothing to train.
    """

    def __init__(
        self,
        name: str,
        dense: Optimizer | None,
        rows: RowOptimizer | None,
        row_group: dict[str, Any] | None = None,
    ) -> None:
        dense_groups = dense.param_groups if dense is not None else []
        groups = [*([row_group] if row_group is not None else []), *dense_groups]
        if not groups:
            raise ConfigError(f"{name}: no parameter requires a gradient, nothing to train.")
        super().__init__([dict(group) for group in groups], {})
        self.param_groups = groups  # the same dicts as the two halves read
        self.name = name
        self.dense = dense
        self.rows = rows
        self.whole_tables: Sequence[WholeTable] = ()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Only the constructor adds groups: a group must belong to one of the halves."""
        if hasattr(self, "dense"):
            raise ConfigError(f"{self.name}: groups can't be added later; build it again.")
        super().add_param_group(param_group)

    # One step, in the order the trainer calls.

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients and the recorded lookups."""
        super().zero_grad(set_to_none)
        if self.rows is not None:
            self.rows.clear()

    @torch.no_grad()
    def add_penalties(self, l1: float, l2: float) -> None:
        """Add the gradient of ``l1 * sum|w| + l2 * sum w^2`` of the group ``dense``.

        Tables have their own penalties: in row mode of the rows looked up, which the step adds;
        else of all their rows, which are added here.
        """
        for table in self.whole_tables:
            table.penalise()
        if not (l1 or l2):
            return
        for weight in self._group("dense"):
            if weight.grad is not None:
                weight.grad.add_(weight, alpha=2 * l2).add_(weight.sign(), alpha=l1)

    @torch.no_grad()
    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Scale all gradients so that their common 2-norm is at most ``max_norm``.

        A table's part is the norm of its merged rows, which is the norm of its dense gradient.
        Nothing waits for the device.

        Returns:
            The norm before scaling.
        """
        dense = self.dense.param_groups if self.dense is not None else []
        grads = [p.grad for group in dense for p in group["params"] if p.grad is not None]
        if self.rows is not None:
            grads += self.rows.gradients()
        return clip_grads_(grads, max_norm)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update dense parameters and the rows that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.dense is not None:
            self.dense.step()
        if self.rows is not None:
            self.rows.step()
        return loss

    # Weights as dense training would have them.

    def flush(self) -> None:
        """Bring every row of every table up to date in place."""
        if self.rows is not None:
            self.rows.flush()

    @torch.no_grad()
    def current(self, weight: nn.Parameter) -> Tensor:
        """Return an up-to-date copy of any parameter, changing nothing."""
        if self.rows is not None:
            for table in self.rows.tables:
                if table.weight is weight:
                    return self.rows.current(table)
        return weight.detach().clone()

    # Checkpoints.

    def tensors_and_meta(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the whole state as tensors by name (for safetensors) and plain values (JSON).

        The tensors are the live ones: write or copy them before the next step. Tables are saved
        beside it as they are stored; :meth:`flush` is not needed, and training goes on from
        both to the same bits.
        """
        tensors, meta = _dense_state(self.dense) if self.dense is not None else ({}, {})
        groups = [{k: v for k, v in g.items() if k != "params"} for g in self.param_groups]
        meta = {"optimizer": self.name, "groups": groups, "dense": meta, "step": 0}
        if self.rows is not None:
            meta["step"] = self.rows.now
            tensors |= {f"rows.{name}": each for name, each in self.rows.tensors().items()}
        return tensors, meta

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Continue from :meth:`tensors_and_meta`, also after a round trip through JSON.

        Raises:
            CheckpointError: the state is of another optimizer or of other parameters.
        """
        if meta["optimizer"] != self.name:
            raise CheckpointError(
                f"optimizer state: it is of {meta['optimizer']!r}, but training uses {self.name!r}"
            )
        saved = {group["name"]: group for group in meta["groups"]}
        if list(saved) != [group["name"] for group in self.param_groups]:
            raise CheckpointError(f"optimizer state: it has the groups {list(saved)}")
        if self.dense is not None:
            _restore_dense(self.dense, tensors, meta["dense"])
        if self.rows is not None:
            self.rows.restore(_under("rows.", tensors), meta["step"])
        for group in self.param_groups:
            group.update(_plain_to_options(saved[group["name"]]))

    def state_dict(self) -> dict[str, Any]:
        """Return :meth:`tensors_and_meta` as ``{"tensors": ..., "meta": ...}``."""
        tensors, meta = self.tensors_and_meta()
        return {"tensors": tensors, "meta": meta}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.restore(state_dict["tensors"], state_dict["meta"])

    def _group(self, name: str) -> list[nn.Parameter]:
        groups = (group for group in self.param_groups if group["name"] == name)
        return [parameter for group in groups for parameter in group["params"]]


def clip_grads_(grads: list[Tensor], max_norm: float) -> Tensor:
    """Scale gradients in place to a common 2-norm of at most ``max_norm``; return the old norm.

    >>> grads = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    >>> clip_grads_(grads, 1.0), [round(float(g), 4) for g in grads]
    (tensor(5.), [0.6, 0.8])
    """
    if not grads:
        return torch.zeros(())
    device = grads[0].device
    norms = [torch.linalg.vector_norm(grad).to(device) for grad in grads]
    total = torch.linalg.vector_norm(torch.stack(norms))
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(scale.to(grad.device))
    return total


def _dense_state(dense: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Flatten torch's state of each parameter into tensors by name and the values beside them."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, state in dense.state_dict()["state"].items():
        for key, value in state.items():
            kind = tensors if isinstance(value, Tensor) else values
            kind[f"dense.{index}.{key}"] = value
    return tensors, values


def _restore_dense(
    dense: Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Load a flattened state, keeping the group dicts that others hold."""
    groups = dense.param_groups
    parameters = [parameter for group in groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**_under("dense.", tensors), **_under("dense.", values)}.items():
        index, key = name.split(".", 1)
        if int(index) >= len(parameters):
            raise CheckpointError(f"optimizer state: no parameter has the tensor dense.{name}")
        if isinstance(value, Tensor):
            value = value.clone()
            shape = parameters[int(index)].shape
            if value.ndim and value.shape != shape:
                message = f"'dense.{name}' has shape {tuple(value.shape)}, not {tuple(shape)}"
                raise CheckpointError(f"optimizer state: {message}")
        state.setdefault(int(index), {})[key] = value
    dense.load_state_dict({"state": state, "param_groups": dense.state_dict()["param_groups"]})
    dense.param_groups = groups


def _under(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}


def _plain_to_options(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved options as the optimizers hold them: JSON turned their tuples into lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()}
