"""Adam for the few numbers that a balancer learns beside the model."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN_DECAY, SQUARE_DECAY, EPS = 0.9, 0.999, 1e-8


def adam_state(name: str, start: Tensor) -> dict[str, Tensor]:
    """The numbers ``(T,)`` and what Adam keeps about each, to be held in a balancer's state."""
    zero = torch.zeros_like(start)
    return {name: start, f"{name}.mean": zero, f"{name}.square": zero, f"{name}.steps": zero}


def adam_step(
    state: dict[str, Tensor],
    name: str,
    grad: Tensor,
    seen: Tensor,
    lr: float,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adam (Kingma, Ba, ICLR 2015) for the numbers of the tasks that were seen.

    The others stay as they are, momentum and all.

    Args:
        state: holds :func:`adam_state`; its entries are replaced.
        grad: ``(T,)``.
        seen: ``(T,)`` bool.
        weight_decay: adds ``weight_decay * value`` to the gradient.
    """
    value = state[name]
    grad = grad + weight_decay * value
    steps = state[f"{name}.steps"] + 1
    mean = MEAN_DECAY * state[f"{name}.mean"] + (1 - MEAN_DECAY) * grad
    square = SQUARE_DECAY * state[f"{name}.square"] + (1 - SQUARE_DECAY) * grad * grad
    unbiased = (square / (1 - SQUARE_DECAY**steps)).sqrt()
    moved = value - lr * (mean / (1 - MEAN_DECAY**steps)) / (unbiased + EPS)
    news = {name: moved, f"{name}.mean": mean, f"{name}.square": square, f"{name}.steps": steps}
    state |= {key: torch.where(seen, new, state[key]) for key, new in news.items()}
