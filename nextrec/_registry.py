"""A table from names to objects that answers a wrong name with the likely one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from nextrec.errors import ConfigError, unknown_option

T = TypeVar("T")


class Registry(Generic[T]):
    """Objects of one kind by case-insensitive name; several names may mean one object.

    >>> colours = Registry("paint", "colour")
    >>> colours.add("red", "#f00", aliases=("crimson",))
    '#f00'
    >>> colours["Crimson"]
    '#f00'
    >>> list(colours)
    ['red']
    """

    def __init__(self, owner: str, parameter: str) -> None:
        self.owner = owner
        self.parameter = parameter
        self._objects: dict[str, T] = {}
        self._names: dict[str, str] = {}

    def add(self, name: str, value: T, aliases: tuple[str, ...] = ()) -> T:
        """Store ``value`` under ``name`` and its aliases; a second owner of a name is a bug."""
        for each in (name, *aliases):
            if self._names.get(each.lower(), name) != name:
                raise ValueError(f"{self.parameter} {each!r} is registered already")
            self._names[each.lower()] = name
        self._objects[name] = value
        return value

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda value: self.add(name, value, aliases)

    def __getitem__(self, name: str) -> T:
        key = self._names.get(str(name).lower())
        if key is None:
            raise ConfigError(unknown_option(self.owner, self.parameter, self._names, name))
        return self._objects[key]

    def __contains__(self, name: object) -> bool:
        return str(name).lower() in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)
