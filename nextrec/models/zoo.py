"""Every model by name. A new model is a new file under ``nextrec/models``; nothing is listed."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from nextrec._registry import Registry

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

MODELS: Registry[type[BaseModel]] = Registry("models", "model")
"""Model classes by name; a class enters when it is defined."""


def load_zoo() -> Registry[type[BaseModel]]:
    """Import every module under ``nextrec.models`` and return the registry."""
    package = importlib.import_module("nextrec.models")
    for module in pkgutil.walk_packages(package.__path__, "nextrec.models."):
        importlib.import_module(module.name)
    return MODELS


def find_model(name: str) -> type[BaseModel]:
    """The class of a name.

    Raises:
        ConfigError: no such model, with the likely one.
    """
    return MODELS[name] if name in MODELS else load_zoo()[name]
