"""A config's values, and for each of them the place where it was written."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the document's root to a value: ``("features", "sparse", 0)``."""


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written: a file's line and column, or a command-line option."""

    source: str
    line: int = 0
    """From 1; 0 for what is no file."""
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and where."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass
class Document:
    """Values, their places, and what was wrong with the text itself."""

    source: str
    values: Any = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    key_places: dict[KeyPath, Place] = field(default_factory=dict, repr=False)
    value_places: dict[KeyPath, Place] = field(default_factory=dict, repr=False)

    def __contains__(self, path: KeyPath) -> bool:
        parent = self.get(path[:-1])
        if isinstance(parent, list):
            return isinstance(path[-1], int) and path[-1] < len(parent)
        return not path or (isinstance(parent, dict) and path[-1] in parent)

    def key(self, path: KeyPath) -> Place:
        """Place of the key that leads to a value; of the nearest one above when there is none."""
        return self._nearest(self.key_places, path)

    def value(self, path: KeyPath) -> Place:
        """Place of a value; of the nearest one above when there is none."""
        return self._nearest(self.value_places, path)

    def get(self, path: KeyPath) -> Any:
        """The value at a path, or ``None``."""
        found = self.values
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def without(self, paths: Iterable[KeyPath]) -> Document:
        """A copy that lacks the values at ``paths``; list items become ``None``."""
        rest = Document(
            self.source, copy.deepcopy(self.values), [], self.key_places, self.value_places
        )
        for *head, last in paths:
            parent = rest.get(tuple(head))
            if isinstance(parent, dict):
                parent.pop(last, None)
            elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
                parent[last] = None
        return rest

    def put(self, path: KeyPath, value: Any, place: Place) -> None:
        """Set a value in an existing mapping or list; all that stands below it gets one place."""
        for places in (self.key_places, self.value_places):
            for old in [each for each in places if each[: len(path)] == path]:
                del places[old]
            places[path] = place
        if path:
            self.get(path[:-1])[path[-1]] = value
        else:
            self.values = value

    def wrap(self, path: KeyPath) -> None:
        """Make the value at ``path`` the only item of a list; every place is kept."""
        depth = len(path)
        for places in (self.key_places, self.value_places):
            below = [old for old in places if len(old) > depth and old[:depth] == path]
            moved = {(*path, 0, *old[depth:]): places.pop(old) for old in below}
            places.update(moved)
        self.value_places[(*path, 0)] = self.value(path)
        self.get(path[:-1])[path[-1]] = [self.get(path)]

    def _nearest(self, places: dict[KeyPath, Place], path: KeyPath) -> Place:
        while path and path not in places:
            path = path[:-1]
        return places.get(path, Place(self.source, 1, 1))
