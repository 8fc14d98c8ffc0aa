"""What the constructors of models take: names, types, defaults."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

KINDS = ("dense", "sparse", "sequence")


def own_parameters(model: type[BaseModel]) -> dict[str, inspect.Parameter]:
    """Parameters that this model alone takes, without its features.

    >>> from nextrec.models.ranking.deepfm import DeepFM
    >>> list(own_parameters(DeepFM))
    ['mlp_params']
    """
    return {
        name: parameter
        for name, parameter in _parameters(model).items()
        if parameter.kind is not parameter.VAR_KEYWORD
        and not name.endswith(tuple(f"{kind}_features" for kind in KINDS))
        and name not in ModelOptions.__annotations__
    }


def parameter_types(model: type[BaseModel]) -> dict[str, Any]:
    """Every parameter that a config may give, with its type; the common ones come last."""
    hints = get_type_hints(model.__init__)
    own = {name: hints.get(name, Any) for name in own_parameters(model)}
    return {**own, **get_type_hints(ModelOptions)}


def feature_kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """Kinds of features that the model takes beside its groups."""
    names = _parameters(model)
    return tuple(kind for kind in KINDS if f"{kind}_features" in names)


def _parameters(model: type[BaseModel]) -> dict[str, inspect.Parameter]:
    # Not of the class: its metaclass takes any arguments, to record them.
    named = dict(inspect.signature(model.__init__).parameters)
    named.pop("self")
    return named


def type_text(hint: Any) -> str:
    """A type as one writes it.

    >>> type_text(int | None), type_text(list[str])
    ('int | None', 'list[str]')
    """
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return hint.__name__
    text = str(hint).replace("NoneType", "None")
    for prefix in ("typing.", "collections.abc.", "torch.optim.optimizer.", "torch.nn.modules."):
        text = text.replace(prefix, "")
    return text.replace("module.Module", "nn.Module")


def default_text(parameter: inspect.Parameter) -> str:
    """``=value``, or nothing for a parameter that must be given."""
    return "" if parameter.default is parameter.empty else f"={parameter.default!r}"
