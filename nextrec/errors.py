"""Exceptions of NextRec.

* ``NextRecError``

  * ``ConfigError`` (also ``ValueError``): a parameter or a YAML key is wrong.

    * ``FeatureError``: feature definitions contradict each other or the model that takes them.

  * ``DataError`` (also ``ValueError``): a column or a batch does not fit the features.
  * ``NotFittedError``: transform or predict before fit.
  * ``CheckpointError``: a saved run or bundle can't be read.
  * ``TrainingError``: training can't go on (a loss that is not finite).
  * ``MissingDependencyError`` (also ``ImportError``): an optional package is absent.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NextRecError(Exception):
    """Base of every error that NextRec raises on purpose."""


class ConfigError(NextRecError, ValueError):
    """A parameter is wrong. The message lists every problem that was found at once."""


class FeatureError(ConfigError):
    """Feature definitions contradict each other or the model that takes them."""


class DataError(NextRecError, ValueError):
    """Data does not fit the features. The message names feature, row and value."""


class NotFittedError(NextRecError):
    """Something was used before it was fitted."""


class CheckpointError(NextRecError):
    """A saved file can't be read. The message names the file and what it lacks."""


class TrainingError(NextRecError):
    """Training stopped because it can't go on. The message names epoch and step."""


class MissingDependencyError(NextRecError, ImportError):
    """An optional dependency is absent. The message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}: "
            f"install it with pip install 'nextrec[{extra}]'"
        )
        self.package = package
        self.extra = extra


def did_you_mean(word: object, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the option nearest to ``word``, or ``""``.

    >>> did_you_mean("adm", ["adam", "sgd"])
    " Did you mean 'adam'?"
    """
    by_lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def invalid(owner: str, parameter: str, must_be: str, got: object) -> str:
    """The one message form for a bad parameter: whose, which, what it must be, what it was.

    >>> invalid("MLP", "dropout", "a number in [0, 1)", 2)
    'MLP: `dropout` must be a number in [0, 1); got 2.'
    """
    return f"{owner}: `{parameter}` must be {must_be}; got {got!r}."


def unknown_option(owner: str, parameter: str, options: Iterable[str], got: object) -> str:
    """The message for a name that is not among the options, with the likely word.

    >>> unknown_option("compile", "optimizer", ["adam", "sgd"], "adm")
    "compile: `optimizer` must be one of adam, sgd; got 'adm'. Did you mean 'adam'?"
    """
    names = list(options)
    return invalid(owner, parameter, f"one of {', '.join(names)}", got) + did_you_mean(got, names)
