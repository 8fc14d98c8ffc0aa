"""From logits to predictions, task by task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.tasks import TASK_KINDS, Task


class PredictionLayer(nn.Module):
    r"""Add a bias to the logits and turn each task's slice into its prediction.

    .. math::
        z = x + b, \qquad
        \hat y_t = \begin{cases}
            \sigma(z_t) & \text{binary, multilabel (each column by itself)} \\
            \mathrm{softmax}(z_t) & \text{multiclass} \\
            z_t & \text{regression}
        \end{cases}

    Args:
        task_type: ``binary``, ``multilabel``, ``multiclass`` or ``regression``, or a list of them.
        task_dims: logits of each task: one number for all, or one a task. Default: 1 each.
        use_bias: learn the bias b, from 0; leave it out where a linear layer has one already.
        return_logits: return z.

    Shape: ``(..., total_dim)`` -> the same, without the last axis if it is 1: ``(B, 1)`` becomes
    ``(B,)``. A vector ``(total_dim,)`` is one row. Half precision becomes float32.

    Raises:
        ConfigError: an unknown task type, dimensions that don't fit the tasks, or logits of
            another width.

    >>> PredictionLayer("binary")(torch.zeros(4, 1))
    tensor([0.5000, 0.5000, 0.5000, 0.5000], grad_fn=<SqueezeBackward1>)
    >>> PredictionLayer(["binary", "multiclass"], [1, 3])(torch.zeros(4, 4)).shape
    torch.Size([4, 4])
    """

    def __init__(
        self,
        task_type: str | Sequence[str] = "binary",
        task_dims: int | Sequence[int] | None = None,
        use_bias: bool = True,
        return_logits: bool = False,
    ) -> None:
        super().__init__()
        self.task_types = [task_type] if isinstance(task_type, str) else list(task_type)
        for each in self.task_types:
            if each not in TASK_KINDS:
                raise ConfigError(unknown_option("PredictionLayer", "task_type", TASK_KINDS, each))
        self.task_dims = _dims(task_dims, len(self.task_types))
        self.total_dim = self.out_features = sum(self.task_dims)
        self.return_logits = return_logits
        self.bias = nn.Parameter(torch.zeros(self.total_dim)) if use_bias else None

    @classmethod
    def of(
        cls, tasks: Sequence[Task], use_bias: bool = False, return_logits: bool = False
    ) -> PredictionLayer:
        """Build the layer for a model's tasks.

        >>> from nextrec.tasks import make_tasks
        >>> PredictionLayer.of(make_tasks(["binary", "multiclass"], ["a", "b"], 3)).task_dims
        [1, 3]
        """
        kinds, sizes = [task.kind for task in tasks], [task.size for task in tasks]
        return cls(kinds, sizes, use_bias, return_logits)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = x.unsqueeze(0) if x.dim() == 1 else x
        if x.shape[-1] != self.total_dim:
            must_be = f"of shape (..., {self.total_dim})"
            raise ConfigError(invalid("PredictionLayer", "x", must_be, tuple(x.shape)))
        # Probabilities near 1 need more digits than half precision has.
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        z = x if self.bias is None else x + self.bias
        y = z if self.return_logits else self._predict(z)
        return y.squeeze(-1) if self.total_dim == 1 else y

    def _predict(self, z: Tensor) -> Tensor:
        kinds = set(self.task_types)
        if kinds <= {"binary", "multilabel"}:
            return torch.sigmoid(z)
        if kinds == {"regression"}:
            return z
        parts = z.split(self.task_dims, dim=-1)
        return torch.cat(
            [_activate(kind, part) for kind, part in zip(self.task_types, parts, strict=True)], -1
        )


def _activate(kind: str, z: Tensor) -> Tensor:
    if kind == "regression":
        return z
    return torch.softmax(z, -1) if kind == "multiclass" else torch.sigmoid(z)


def _dims(task_dims: int | Sequence[int] | None, tasks: int) -> list[int]:
    if task_dims is None:
        return [1] * tasks
    dims = [task_dims] if isinstance(task_dims, int) else list(task_dims)
    if len(dims) not in (1, tasks) or any(not isinstance(dim, int) or dim < 1 for dim in dims):
        must_be = f"a positive integer, or one a task ({tasks})"
        raise ConfigError(invalid("PredictionLayer", "task_dims", must_be, task_dims))
    return dims * tasks if len(dims) == 1 else dims
