"""The row optimizer: state of the tables, and one step over the rows that have a gradient.

Shapes: R rows of a table, U of them touched, D width.

A lookup never writes. It gathers the rows, moves the gathered copy by what the rows owe, and
leaves table and state alone; only a step writes, and only rows with a gradient. So the weights
depend on the steps alone, not on how often or by which worker a row was read in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nextrec.errors import CheckpointError
from nextrec.optim.merging import MergeCache
from nextrec.optim.row_rules import RowRule, rule_shapes
from nextrec.optim.row_table import RowBlock, RowTable

_CHUNK = 1 << 20  # numbers brought up to date at once: several such blocks fit a cache
_CACHE_LINE = 64


class RowOptimizer:
    """One update rule over the tables of one parameter group.

    A table that isn't looked up in a step takes the step with a gradient of zero.

    Args:
        tables: they read through this optimizer from now on.
        rule: the update rule, with the group's options.
    """

    def __init__(self, tables: Sequence[RowTable], rule: RowRule) -> None:
        self.tables = list(tables)
        self.rule = rule
        self.now = 0
        self._flushed_at = 0
        self._states: list[dict[str, Tensor]] = [{} for _ in self.tables]
        merges = MergeCache()
        for table in self.tables:
            table.source, table.merges = self, merges

    # What the tables ask.

    def load(self, table: RowTable, rows: Tensor) -> RowBlock:
        """Gather distinct ``rows`` with their state, weights moved by what they owe."""
        state = {name: each.index_select(0, rows) for name, each in self._state(table).items()}
        last = state.pop("last", None)
        block = RowBlock(rows, table.weight.detach().index_select(0, rows), state, last)
        if self.rule.moves_idle_rows and self.now:
            self.rule.settle(block, self.now)
        return block

    def owes(self, table: RowTable) -> bool:
        """Whether a stored row may lag behind dense training."""
        moves = self.rule.moves_idle_rows and table.weight.requires_grad
        return moves and self._flushed_at != self.now

    # One step.

    def gradients(self) -> list[Tensor]:
        """Return the merged gradients ``(U, D)`` of the tables that have one."""
        return [merged[1] for table in self.tables if (merged := table.merged()) is not None]

    @torch.no_grad()
    def step(self) -> None:
        """Update the rows that have a gradient, and forget the step's lookups."""
        touched = [(table, table.merged()) for table in self.tables]  # read at the step before
        self.now += 1
        self.rule.begin(self.now)
        for table, merged in touched:
            if merged is not None:
                block, grad = merged
                self._catch_up(block, self.now - 1)
                self.rule.update(block, grad, self.now)
                self._store(table, block)
            table.clear()

    def clear(self) -> None:
        """Forget the lookups and gradients of the step."""
        for table in self.tables:
            table.clear()
            table.weight.grad = None

    # All rows.

    @torch.no_grad()
    def flush(self) -> None:
        """Bring every row up to date in place. Costs the table's size; reads are plain after."""
        for table in self.tables:
            for rows in self._lagging(table):
                block = self.load(table, rows)
                self._catch_up(block, self.now)
                self._store(table, block)
        self._flushed_at = self.now

    @torch.no_grad()
    def current(self, table: RowTable) -> Tensor:
        """Return an up-to-date copy ``(R, D)`` of a table; changes nothing."""
        copy = table.weight.detach().clone()
        for rows in self._lagging(table):
            copy.index_copy_(0, rows, self.load(table, rows).weight)
        return copy

    # Checkpoints.

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name; a table that was never looked up has none."""
        named = {f"{i}.{k}": v for i, state in enumerate(self._states) for k, v in state.items()}
        sums = self.rule.sums.tensors() if self.rule.sums is not None else {}
        return named | {f"sums.{name}": tensor for name, tensor in sums.items()}

    def restore(self, tensors: Mapping[str, Tensor], now: int) -> None:
        """Continue from :meth:`tensors` taken after step ``now``; the tensors are copied.

        Raises:
            CheckpointError: a tensor is missing, unknown or of another shape.
        """
        left = dict(tensors)
        states = [self._restored(i, table, left) for i, table in enumerate(self.tables)]
        if self.rule.sums is not None:
            shapes = self.rule.sums.shapes(now)
            sums = {name: _take(left, f"sums.{name}", shape) for name, shape in shapes.items()}
            self.rule.sums.restore(sums)
        if left:
            raise CheckpointError(f"optimizer state: no table has the tensors {sorted(left)}")
        self._states, self.now, self._flushed_at = states, now, 0
        for table in self.tables:
            table.clear()

    def _restored(self, i: int, table: RowTable, left: dict[str, Tensor]) -> dict[str, Tensor]:
        if not any(name.startswith(f"{i}.") for name in left):
            return {}
        shapes = rule_shapes(self.rule, *table.weight.shape)
        state = {name: _take(left, f"{i}.{name}", shape) for name, shape in shapes.items()}
        return {name: each.to(table.weight.device, copy=True) for name, each in state.items()}

    # Storage.

    def _state(self, table: RowTable) -> dict[str, Tensor]:
        """Return a table's state, made at first use and kept on the table's device."""
        i, weight = self.tables.index(table), table.weight
        state, device = self._states[i], weight.device
        for name, shape in rule_shapes(self.rule, *weight.shape).items():
            if name not in state:
                dtype = torch.int32 if name == "last" else weight.dtype
                state[name] = untouched_zeros(shape, dtype, device)
            elif state[name].device != device:
                state[name] = state[name].to(device)
        return state

    def _catch_up(self, block: RowBlock, now: int) -> None:
        """Bring state to ``now``; weights were moved when the block was loaded."""
        if self.rule.ages:
            self.rule.age(block, now)

    def _store(self, table: RowTable, block: RowBlock) -> None:
        table.weight.index_copy_(0, block.rows, block.weight)
        for name, stored in self._state(table).items():
            if name == "last":
                stored.index_fill_(0, block.rows, self.now)
            else:
                stored.index_copy_(0, block.rows, block.state[name])

    def _lagging(self, table: RowTable) -> Iterator[Tensor]:
        """Yield the rows that owe something, some at a time."""
        if not self.owes(table):
            return
        last = self._state(table)["last"]
        shrinks = self.rule.sums is not None and self.rule.sums.shrinks
        size = math.ceil(_CHUNK / table.weight.shape[1])
        for start in range(0, len(last), size):
            part = last[start : start + size]
            lags = part < self.now
            if not shrinks:  # a row that never had a gradient has no momentum
                lags &= part > 0
            rows = lags.nonzero().squeeze(1).add_(start)
            if len(rows):
                yield rows


def untouched_zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return zeros that, on a CPU, take memory only where they are written.

    ``torch.zeros`` writes every page; numpy's come from ``calloc``, so the state of a table of
    which few rows are ever seen costs those rows. They start at a cache line, as torch's do: a
    row of width 16 is then one line and not two.
    """
    if device.type != "cpu":
        return torch.zeros(*shape, dtype=dtype, device=device)
    size = math.prod(shape) * torch.empty((), dtype=dtype).element_size()
    memory = np.zeros(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(*shape)


def _take(left: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """Remove and return a tensor that must have ``shape``."""
    if name not in left:
        raise CheckpointError(f"optimizer state: it lacks the tensor {name!r}")
    found = left.pop(name)
    if tuple(found.shape) != shape:
        message = f"optimizer state: {name!r} has shape {tuple(found.shape)}, not {shape}"
        raise CheckpointError(message)
    return found
