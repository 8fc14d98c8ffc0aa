"""What models of a chain of events (click, cart, purchase) have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nextrec.errors import ConfigError, invalid
from nextrec.layers.chain import chain_logits
from nextrec.tasks import Task


def check_chain(owner: str, tasks: Sequence[Task]) -> None:
    """Refuse tasks that are no chain of binary events.

    Raises:
        ConfigError: fewer than two targets, or one that is not binary.

    >>> from nextrec.tasks import make_tasks
    >>> check_chain("AITM", make_tasks("binary", ["click"]))
    Traceback (most recent call last):
    nextrec.errors.ConfigError: AITM: `target` must be at least two events in the order of the \
chain; got ['click'].
    """
    names = [task.name for task in tasks]
    if len(tasks) < 2 and tasks[0].kind != "multilabel":
        must_be = "at least two events in the order of the chain"
        raise ConfigError(invalid(owner, "target", must_be, names))
    kinds = [task.kind for task in tasks]
    if set(kinds) != {"binary"}:
        raise ConfigError(invalid(owner, "task", f"binary for every step of {names}", kinds))


def joint_logits(conditional: Tensor) -> Tensor:
    """:func:`~nextrec.layers.chain.chain_logits` in at least float32.

    Sums of logarithms lose their last digits in half precision.

    >>> joint_logits(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return chain_logits(conditional.to(torch.promote_types(conditional.dtype, torch.float32)))
