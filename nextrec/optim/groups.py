"""Which trainable weights are decayed: every parameter in exactly one group, by module type."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

GROUPS = ("embedding", "dense", "bias_norm")
"""Group names: tables in row mode; weights; biases, norms and slopes, which get no decay."""


def group_parameters(
    module: nn.Module, exclude: Iterable[nn.Parameter] = ()
) -> dict[str, list[nn.Parameter]]:
    """Split the trainable parameters into ``dense`` and ``bias_norm``.

    ``bias_norm`` are the parameters of normalisation layers (a class of ``torch.nn`` or one named
    ``...Norm...``), the slopes of PReLU and Dice, and vectors: biases, whatever they are called.
    A parameter shared by several modules counts once, where it is met first.

    Args:
        module: the model.
        exclude: parameters left out, such as the tables in row mode.

    >>> groups = group_parameters(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    >>> [tuple(p.shape) for p in groups["dense"]], [tuple(p.shape) for p in groups["bias_norm"]]
    ([(3, 2)], [(3,), (3,), (3,)])
    """
    groups: dict[str, list[nn.Parameter]] = {"dense": [], "bias_norm": []}
    seen = {id(parameter) for parameter in exclude}
    for owner in module.modules():
        norm = isinstance(owner, nn.PReLU) or _is_norm(owner)
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                undecayed = norm or _is_bias(name) or parameter.dim() < 2
                groups["bias_norm" if undecayed else "dense"].append(parameter)
    return groups


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _is_bias(name: str) -> bool:
    """Whether a parameter's own name says bias: ``bias``, ``in_proj_bias``, ``bias_ih_l0``."""
    return "bias" in name.lower().split("_")
