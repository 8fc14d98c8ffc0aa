"""What is wrong with a config: a list that grows check by check and becomes one error."""

from __future__ import annotations

from nextrec.cli.document import Document, KeyPath, Place, Problem
from nextrec.errors import ConfigError


class Findings:
    """The problems of one document, and which of its values they make useless."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = list(document.problems)
        self.broken: set[KeyPath] = set()
        """Paths whose values later checks must not read."""

    def add(self, path: KeyPath, text: str) -> None:
        """Say that the value at ``path`` is wrong."""
        self._add(self.document.value(path), path, text)

    def add_key(self, path: KeyPath, text: str) -> None:
        """Say that the key that ends ``path`` is wrong."""
        self._add(self.document.key(path), path, text)

    def _add(self, place: Place, path: KeyPath, text: str) -> None:
        self.broken.add(path)
        for line in text.splitlines():  # some errors of the library hold several problems
            if (problem := Problem(place, line)) not in self.problems:
                self.problems.append(problem)

    def touches(self, path: KeyPath) -> bool:
        """Whether something at ``path``, above it or below it is wrong."""
        return any(path[: len(each)] == each[: len(path)] for each in self.broken)

    def good_part(self) -> Document:
        """The document without the values that were found wrong."""
        return self.document.without(self.broken)

    def raise_any(self) -> None:
        """Raise one ConfigError that lists every problem in the order of the file."""
        if not self.problems:
            return
        lines = [f"  {problem}" for problem in sorted(self.problems, key=_order)]
        count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
        raise ConfigError("\n".join([f"{self.document.source} has {count}:", *lines]))


def _order(problem: Problem) -> tuple[bool, Place]:
    return (problem.place.line == 0, problem.place)  # the file first, then the command line


def dotted(path: KeyPath) -> str:
    """A path as ``--set`` takes it.

    >>> dotted(("features", "sparse", 0))
    'features.sparse.0'
    """
    return ".".join(map(str, path))
