"""What all balancers share: the question of a step, its answer, and what is remembered.

Shapes: T tasks.

Methods that combine the task gradients ``g_t`` give the shared parameters ``sum_t a_t g_t``, and
their coefficients depend on the gradients through inner products alone: the Gram matrix
``G[s, t] = g_s . g_t``. So a balancer sees T x T numbers, whatever the model's size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nextrec.errors import CheckpointError
from nextrec.tasks import Task

OPTIONS = "compile: loss_weights_params"
"""Who is named where a balancer's option is wrong."""


class TaskWeights(NamedTuple):
    """What the tasks' gradients are multiplied by, ``(T,)`` each."""

    shared: Tensor
    """Over parameters that at least two tasks' losses reach."""
    own: Tensor
    """Over the parameters of one task alone."""


class Balancer(ABC):
    """Weighs the tasks of each step.

    Weights that a paper normalises to a sum of one are multiplied by T here: NextRec adds the
    tasks' losses where the papers average them. A task without an observed label in the batch takes
    no part in that step.

    Args:
        tasks: of the model, in order.

    Attributes:
        state: all that a step remembers for later ones, by name; it goes into checkpoints, and not
            into saved models.
    """

    name: ClassVar[str]
    """What ``compile(loss_weights=...)`` calls it."""
    needs_gradients: ClassVar[bool] = False
    """Whether it asks for the Gram matrix, which costs a backward pass a task."""
    looks_again: ClassVar[bool] = False
    """Whether it asks for the losses of the same batch after the update."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self.state: dict[str, Tensor] = {}

    def weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None = None) -> TaskWeights:
        """The weights of this step.

        Args:
            losses: ``(T,)``, without a graph.
            seen: ``(T,)`` bool, whether the batch has a label of the task.
            gram: ``(T, T)`` inner products of the task gradients over the shared parameters, for a
                balancer that needs them.
        """
        self.state = {name: each.to(losses) for name, each in self.state.items()}
        return self._weigh(losses, seen, gram)

    @abstractmethod
    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        """:meth:`weigh`, with the state on the losses' device."""

    def after_update(  # noqa: B027 - most have nothing to do
        self, losses: Tensor, seen: Tensor
    ) -> None:
        """Take the losses of the same batch under the new weights, where :attr:`looks_again`."""

    def end_epoch(self) -> None:  # noqa: B027
        """An epoch has ended."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run must know."""
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up :meth:`state_dict`.

        Raises:
            CheckpointError: it is of another balancer or of other tasks.
        """
        shapes = {name: tuple(each.shape) for name, each in self.state.items()}
        found = {name: tuple(each.shape) for name, each in state.items()}
        if found != shapes:
            raise CheckpointError(f"{self.name}: its state must be {shapes}; got {found}.")
        self.state = {name: each.clone() for name, each in state.items()}


class GradientBalancer(Balancer):
    """A balancer that combines the task gradients over the shared parameters.

    A parameter of one task alone gets the plain gradient of that task's loss. Left out of a step's
    combination are tasks without a label in the batch, and those whose gradient is zero.
    """

    needs_gradients = True

    def _weigh(self, losses: Tensor, seen: Tensor, gram: Tensor | None) -> TaskWeights:
        assert gram is not None
        own = torch.ones_like(losses)
        return TaskWeights(self._coefficients(gram, seen).to(losses), own)

    def _coefficients(self, gram: Tensor, seen: Tensor) -> Tensor:
        """One number a task ``(T,)``; 1 for those left out, whose gradient is zero anyway."""
        inner = gram.detach().cpu().double().numpy()
        weights = np.ones(len(inner))
        active = np.flatnonzero(seen.cpu().numpy() & (inner.diagonal() > 0))
        # What is not finite is left to the check of the loss, which says where it came from.
        if len(active) and np.isfinite(inner).all():
            weights[active] = self.combine(inner[np.ix_(active, active)])
        return torch.from_numpy(weights)

    @abstractmethod
    def combine(self, gram: np.ndarray) -> np.ndarray:
        """Coefficients ``(A,)`` of the A tasks that take part, from their Gram matrix ``(A, A)``.

        The diagonal is above zero.
        """
