"""Types of constructor arguments, checked against the annotations before anything is built.

A wrong type would else be found deep in torch, or not at all: ``"false"`` is true, and a negative
or fractional count may pass for a long time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from nextrec.errors import ConfigError, invalid


def check_types(constructor: Callable[..., Any], owner: str, arguments: Mapping[str, Any]) -> None:
    """Raise one error that lists every argument whose type is not that of its annotation.

    What an annotation of another kind than numbers, strings, sequences and mappings allows is
    left to the model, and so are unknown options, for which its error tells the likely word.

    >>> def build(depth: int, widths: Sequence[int] = (), params: Mapping[str, int] | None = None):
    ...     pass
    >>> check_types(build, "Model", {"depth": 2, "widths": [8, 4]})
    >>> check_types(build, "Model", {"depth": 2.5, "widths": 8, "params": None})
    Traceback (most recent call last):
    nextrec.errors.ConfigError: Model: `depth` must be an integer; got 2.5.
    Model: `widths` must be a list of integers; got 8.
    """
    hints = _hints(constructor)
    problems = [
        invalid(owner, name, _told(hints[name]), value)
        for name, value in arguments.items()
        if name in hints and not _fits(value, hints[name])
    ]
    if problems:
        raise ConfigError("\n".join(problems))


@cache
def _hints(constructor: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(constructor)
    return {name: hint for name, hint in hints.items() if _told(hint)}


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        number = isinstance(value, Real) and not isinstance(value, bool)
        return number and math.isfinite(value)
    if origin is Literal:
        return isinstance(value, str)
    if origin is Sequence:
        (item,) = get_args(hint)
        return isinstance(value, (list, tuple)) and all(_fits(each, item) for each in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    return isinstance(value, hint)  # str or None


def _told(hint: Any, plural: bool = False) -> str:
    """The type in words, or nothing for one that is not checked."""
    words = {
        bool: ("True or False", "truth values"),
        int: ("an integer", "integers"),
        float: ("a finite number", "finite numbers"),
        str: ("a string", "strings"),
        NoneType: ("None", "None"),
    }
    if hint in words:
        return words[hint][plural]
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        told = [_told(part, plural) for part in parts]
        return " or ".join(told) if all(told) else ""
    if origin is Literal and all(isinstance(part, str) for part in parts):
        return f"one of {', '.join(parts)}"
    if origin is Sequence and _told(parts[0], plural=True):
        return f"{'lists' if plural else 'a list'} of {_told(parts[0], plural=True)}"
    if origin is Mapping and parts[0] is str:
        return "mappings" if plural else "a mapping of names to values"
    return ""
