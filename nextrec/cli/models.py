"""``nextrec models``: the zoo, from the signatures and docstrings of its classes."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap

import typer

from nextrec.cli.signatures import (
    default_text,
    feature_kinds,
    own_parameters,
    parameter_types,
    type_text,
)
from nextrec.cli.tables import columns
from nextrec.errors import ConfigError, unknown_option
from nextrec.models.base import BaseModel
from nextrec.models.options import COMPILE_KEYS
from nextrec.models.zoo import load_zoo

WIDTH = 96


def show_models(name: str | None) -> None:
    """Print every model in short, or one whole."""
    zoo = load_zoo()
    if name is None:
        listed = sorted((zoo[each] for each in zoo), key=lambda model: model.__name__.lower())
        typer.echo("\n\n".join(map(short, listed)))
        return
    if name not in zoo:
        raise ConfigError(unknown_option("models", "name", zoo, name))
    typer.echo(whole(zoo[name]))


def short(model: type[BaseModel]) -> str:
    """Name, what it is, the paper, and its own parameters."""
    own = own_parameters(model)
    parameters = ", ".join(name + default_text(each) for name, each in own.items())
    told = [paper(model), parameters or "no parameters of its own"]
    if model.groups:
        told.append(f"groups of features: {', '.join(model.groups)}")
    lines = [textwrap.indent(textwrap.fill(each, WIDTH), "    ") for each in told if each]
    return "\n".join([f"{model.__name__}: {first_sentence(model)}", *lines])


def whole(model: type[BaseModel]) -> str:
    """Docstring, paper, all parameters with types and defaults, and what features it takes."""
    own, types = own_parameters(model), parameter_types(model)
    rows = [[name, type_text(types[name]), default_text(each)] for name, each in own.items()]
    common = [name for name in types if name not in own and name not in COMPILE_KEYS]
    features = ", ".join(feature_kinds(model))
    if model.groups:
        features = f"in the groups {', '.join(model.groups)} (features.groups)"
    parts = [
        f"{model.__name__}\n{paper(model)}".strip(),
        without_markup(inspect.getdoc(model) or ""),
        "Parameters (model.params):\n" + columns(rows, "  ") if rows else "",
        f"Features: {features}.",
        f"Every model takes: {', '.join(common)}.",
        f"How it is trained (compile): {', '.join(COMPILE_KEYS)}.",
    ]
    return "\n\n".join(part for part in parts if part)


def first_sentence(model: type[BaseModel]) -> str:
    """The first line of the class's docstring."""
    return without_markup((inspect.getdoc(model) or "").partition("\n")[0])


def paper(model: type[BaseModel]) -> str:
    """The first paragraph of the module's docstring on one line: name and source."""
    text = inspect.cleandoc(sys.modules[model.__module__].__doc__ or "")
    return re.sub(r"\s+", " ", text.partition("\n\n")[0])


def without_markup(text: str) -> str:
    """A docstring as a terminal shows it best.

    >>> without_markup("``dims`` of :class:`~nextrec.layers.mlp.MLP`")
    'dims of MLP'
    """
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"\1", text)
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text)
    return re.sub(r"``([^`]*)``", r"\1", text).replace(".. math::\n", "")
