"""The gradients of several losses of one forward pass, and their combinations.

Shapes: K losses, T <= K of them tasks, P parameters, n numbers of one parameter.

A table in row mode is one parameter: its gradient is that of the looked-up rows, with duplicates
merged, so that nothing of the table's size is made and inner products are those of the dense
gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nextrec.loss.balancing import TaskWeights
from nextrec.optim import RowTable


@dataclass
class ParameterGradients:
    """One parameter, what receives its gradient, and the gradients of all losses."""

    weight: nn.Parameter
    targets: list[Tensor]
    """The parameter, or the looked-up leaves of its table, or both."""
    stacks: list[Tensor]
    """``(K, n)`` of each target."""
    gram: Tensor
    """``(T, T)`` inner products of the tasks' gradients."""


class TaskGradients:
    """Gradients of tasks over the parameters that their losses reach.

    A parameter is *shared* where the gradients of at least two tasks are not zero. What one task
    reaches alone, such as its tower, is that task's own.

    Args:
        losses: ``(T,)``, one graph.
        other: a loss beside the tasks, in the same graph; it is never weighed.
        parameters: of the module; those that need no gradient or get none are left out.
        tables: row tables whose lookups are in the graph.

    The graph is freed.
    """

    def __init__(
        self,
        losses: Tensor,
        other: Tensor | None,
        parameters: Iterable[nn.Parameter],
        tables: Sequence[RowTable] = (),
    ) -> None:
        self.tasks = len(losses)
        dense = [parameter for parameter in parameters if parameter.requires_grad]
        leaves = [leaf for table in tables for leaf in table.leaves()]
        scalars = [*losses.unbind(), *([] if other is None else [other])]
        stacks = iter(_stacked_gradients(scalars, [*dense, *leaves]))
        whole = {id(p): (p, stack) for p in dense if (stack := next(stacks)) is not None}
        self.parts: list[ParameterGradients] = []
        for table in tables:
            found = [next(stacks) for _ in table.leaves()]
            if any(stack is not None for stack in found):
                _, matrix = whole.pop(id(table.weight), (None, None))
                self.parts.append(self._of_table(table, found, matrix))
        self.parts += [
            ParameterGradients(weight, [weight], [stack], self._gram(stack))
            for weight, stack in whole.values()
        ]

    def gram(self, weights: Iterable[nn.Parameter] | None = None) -> Tensor:
        """Inner products ``(T, T)`` of the task gradients over the shared parameters.

        Args:
            weights: count these parameters only.
        """
        chosen = None if weights is None else {id(weight) for weight in weights}
        grams = [p.gram for p in self.parts if chosen is None or id(p.weight) in chosen]
        if not grams:
            return torch.zeros(self.tasks, self.tasks)
        stacked = torch.stack(grams)  # (P, T, T)
        return torch.where(_shared(stacked)[:, None, None], stacked, 0.0).sum(0)

    def assign(self, weights: TaskWeights) -> None:
        """Make the weighted sum the gradient of every parameter and looked-up row."""
        if not self.parts:
            return
        shared = _shared(torch.stack([part.gram for part in self.parts]))  # (P,)
        factors = torch.where(shared[:, None], weights.shared, weights.own)  # (P, T)
        for part, row in zip(self.parts, factors.unbind(), strict=True):
            for target, stack in zip(part.targets, part.stacks, strict=True):
                others = stack[self.tasks :].sum(0) if len(stack) > self.tasks else 0.0
                combined = torch.mv(stack[: self.tasks].t(), row.to(stack)) + others
                target.grad = combined.view_as(target)

    def _of_table(
        self, table: RowTable, found: list[Tensor | None], matrix: Tensor | None
    ) -> ParameterGradients:
        """Of the lookups in a table, and of its weight where that is used as a matrix too."""
        rows, merged = table.merge_each(found)  # (U,), (K, U, D)
        pairs = [
            (leaf, stack)
            for leaf, stack in zip(table.leaves(), found, strict=True)
            if stack is not None
        ]
        total = merged.flatten(1)
        if matrix is not None:
            total = matrix.view(len(matrix), *table.weight.shape).index_add(1, rows, merged)
            if table.padding_rows is not None:
                total[:, table.padding_rows.to(total.device)] = 0.0
            total = total.flatten(1)
            pairs.append((table.weight, matrix))
        targets, stacks = (list(each) for each in zip(*pairs, strict=True))
        return ParameterGradients(table.weight, targets, stacks, self._gram(total))

    def _gram(self, stack: Tensor) -> Tensor:
        tasks = stack[: self.tasks]
        return tasks @ tasks.t()


def _shared(grams: Tensor) -> Tensor:
    """Which parameters ``(P,)`` at least two tasks reach, from their Gram matrices."""
    return (grams.diagonal(dim1=1, dim2=2) > 0).sum(1) >= 2


def _stacked_gradients(losses: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of all losses by each input, ``(K, n)``; ``None`` where none reaches it."""
    found = []
    for index, loss in enumerate(losses):
        keep = index + 1 < len(losses)
        found.append(torch.autograd.grad(loss, inputs, retain_graph=keep, allow_unused=True))
    stacks: list[Tensor | None] = []
    for grads, each in zip(zip(*found, strict=True), inputs, strict=True):
        if all(grad is None for grad in grads):
            stacks.append(None)
            continue
        rows = [torch.zeros_like(each) if grad is None else grad for grad in grads]
        stacks.append(torch.stack(rows).flatten(1))  # (K, n)
    return stacks
