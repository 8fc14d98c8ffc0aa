"""Models remember how they were built, so that nothing has to be repeated to load one."""

from __future__ import annotations

import contextlib
import inspect
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from nextrec.errors import CheckpointError, ConfigError, did_you_mean, invalid
from nextrec.features import BaseFeature, FeatureSet
from nextrec.models.arguments import check_types

FEATURE = "__feature__"


class Recorded(ABCMeta):
    """Metaclass that records a model's constructor arguments and finishes its construction.

    After ``__init__`` of the outermost class the model gets ``init_arguments``, a flat mapping from
    argument name to what was given, and ``_finish_construction`` is called. A ``seed`` among the
    arguments seeds the initial weights without touching the global streams. NextRec's own models
    get arguments of the annotated types; others may annotate as they like.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Build a model and record its arguments."""
        args, kwargs = _name_positions(cls, args, kwargs)
        if cls.__init__.__module__.startswith("nextrec."):  # type: ignore[misc]
            _check(cls, args, kwargs)
        with _seeded(kwargs.get("seed")):
            model = super().__call__(*args, **kwargs)
            model._fill_linear_layers()
        bound = inspect.signature(cls.__init__).bind(model, *args, **kwargs)  # type: ignore[misc]
        arguments = dict(bound.arguments)
        arguments.pop(next(iter(arguments)))  # self
        arguments = _copied(arguments)  # the caller's lists may change
        for name, parameter in inspect.signature(cls.__init__).parameters.items():  # type: ignore[misc]
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(name, {})
        model.init_arguments = arguments
        model._finish_construction()
        return model


def _check(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    names = list(inspect.signature(cls.__init__).parameters)[1:]
    # Features have errors of their own; the annotations don't know a FeatureSet.
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    check_types(cls.__init__, cls.__name__, given)


def _copied(value: Any) -> Any:
    """Containers copied, what they hold as it is."""
    if type(value) is dict:
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if type(value) is list else value


def _name_positions(
    cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional arguments that 0.3.1 took and the constructor does not become keywords.

    They are the feature lists of a model with groups, and what follows the constructor's own
    positions, in 0.3.1's order (``then_positional``).
    """
    groups = [f"{group}_{kind}_features" for group in cls.groups for kind in KINDS]
    parameters = inspect.signature(cls.__init__).parameters.values()
    own = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    count = len(own)
    names = [*groups, *own, *cls.then_positional]
    if len(args) > len(names):
        return args, kwargs  # Python says what is wrong
    given = dict(zip(names, args, strict=False))
    kept = tuple(given.pop(name) for name in own if name in given) if not groups else ()
    twice = sorted(set(given) & set(kwargs))
    if twice:
        raise ConfigError(f"{cls.__name__}: {twice[0]!r} is given twice.")
    return kept[:count], {**given, **kwargs}


KINDS = ("dense", "sparse", "sequence")


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ConfigError(invalid("model", "seed", "an integer in [0, 2**32), or None", seed))
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        yield


def unexpected(owner: str, options: Mapping[str, Any], known: Any) -> ConfigError:
    """The error for keywords that a model does not take."""
    told = [f"`{name}`.{did_you_mean(name, known)}" for name in options]
    return ConfigError(f"{owner} does not take " + " ".join(told))


def to_plain(value: Any, where: str) -> Any:
    """Arguments as JSON values.

    Raises:
        ConfigError: a value (a module, a function) has no JSON form; ``where`` is named.
    """
    if isinstance(value, BaseFeature):
        return {FEATURE: value.to_dict()}
    if isinstance(value, FeatureSet):
        return [to_plain(feature, where) for feature in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ConfigError(f"`{where}` has keys that are no strings, which JSON can't keep.")
        return {key: to_plain(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(each, where) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.device):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ConfigError(f"`{where}` is a {type(value).__name__}, which can't be written as JSON.")


def from_plain(value: Any) -> Any:
    """Undo :func:`to_plain`."""
    if isinstance(value, list):
        return [from_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {FEATURE}:
        try:
            return BaseFeature.from_dict(value[FEATURE])
        except TypeError as error:
            raise CheckpointError(str(error)) from error
    return {key: from_plain(each) for key, each in value.items()}
