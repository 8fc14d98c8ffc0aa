"""What a public data set is: one description each, and the table of all of them.

A description is data: where the set comes from and on what terms, which files its folder holds,
what their columns mean, and the counts that were published. Everything else reads it: the loaders
to find and name columns, the checks to count, ``nextrec data`` to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from nextrec._registry import Registry
from nextrec.errors import ConfigError, unknown_option

Role = Literal["user", "item", "time", "label", "weight", "categorical", "numeric", "list", "other"]
Kind = Literal["int", "real", "text", "list"]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    role: Role
    meaning: str
    kind: Kind = "text"
    """Type of its values: integers, real numbers, text, or lists of integers."""
    also: tuple[str, ...] = ()
    """Other names that files give it in their header."""
    optional: bool = False
    """Not every layout of the file has it."""
    allowed: tuple[float, ...] = ()
    """The only values that it may have; empty: any."""


@dataclass(frozen=True)
class TableDescription:
    """A table and the files that may hold it."""

    name: str
    files: tuple[str, ...]
    """Names or patterns, the preferred one first; the first that is there is read."""
    columns: tuple[Column, ...]
    layout: str = "with a header"
    """How a file that is neither CSV with a header nor Parquet is written."""


@dataclass(frozen=True)
class Count:
    """A published number: rows of a table, or distinct values or the sum of a column of it."""

    table: str
    number: int
    column: str | None = None
    of: Literal["rows", "distinct", "sum"] = "rows"

    @property
    def label(self) -> str:
        """The count's name.

        >>> Count("ratings", 6040, "user_id", "distinct").label
        'ratings: distinct user_id'
        """
        return f"{self.table}: {self.of}" + (f" {self.column}" if self.column else "")


@dataclass(frozen=True)
class Schema:
    """What the columns of one table are for; :attr:`categorical` is without user and item."""

    user: str | None
    item: str | None
    time: str | None
    labels: tuple[str, ...]
    weight: str | None
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    lists: tuple[str, ...]
    other: tuple[str, ...]
    """Kept, but no feature: titles, raw answers that a label is made from."""

    @classmethod
    def of(cls, columns: Iterable[Column]) -> Schema:
        """Sort columns by role; of user, item, time and weight the first counts."""
        columns = list(columns)

        def names(role: Role) -> tuple[str, ...]:
            return tuple(column.name for column in columns if column.role == role)

        one = {role: next(iter(names(role)), None) for role in ("user", "item", "time", "weight")}
        return cls(
            **one,
            labels=names("label"),
            categorical=names("categorical"),
            numeric=names("numeric"),
            lists=names("list"),
            other=names("other"),
        )

    @property
    def sparse(self) -> tuple[str, ...]:
        """User, item and the categorical columns."""
        return (*(name for name in (self.user, self.item) if name), *self.categorical)


@dataclass(frozen=True)
class DatasetDescription:
    """A public data set."""

    name: str
    what: str
    rows: int | None
    """Published events or examples; ``None``: as many as its part has."""
    task: str
    licence: str
    """Its terms in one line; the source has them whole."""
    citation: str
    source: str
    """Page to get it from."""
    tables: tuple[TableDescription, ...]
    layouts: tuple[tuple[str, ...], ...]
    """Tables that belong together; a folder must hold some table of one of these."""
    counts: tuple[Count, ...] = ()
    notes: tuple[str, ...] = ()
    """What one must know before comparing numbers."""

    def table(self, name: str) -> TableDescription:
        """The table of this name."""
        by_name = {table.name: table for table in self.tables}
        if name not in by_name:
            raise ConfigError(unknown_option(self.name, "table", by_name, name))
        return by_name[name]

    def columns_of(self, table: str, present: Collection[str]) -> list[Column]:
        """The described columns of a table that are among those present, in order."""
        return [column for column in self.table(table).columns if column.name in present]


DATASETS: Registry[DatasetDescription] = Registry("datasets", "name")
"""Every data set by name."""
LOADERS: dict[str, Callable[..., Any]] = {}
"""The loader of each, by the name in :data:`DATASETS`."""

Loader = TypeVar("Loader", bound=Callable[..., Any])


def loads(description: DatasetDescription, *aliases: str) -> Callable[[Loader], Loader]:
    """Decorator: register a data set together with the function that loads it."""

    def register(loader: Loader) -> Loader:
        DATASETS.add(description.name, description, aliases)
        LOADERS[description.name] = loader
        return loader

    return register


def describe(name: str) -> DatasetDescription:
    """The description of a data set.

    Raises:
        ConfigError: there is none of this name; tells the likely one.

    >>> describe("frape")
    Traceback (most recent call last):
    ...
    nextrec.errors.ConfigError: ... got 'frape'. Did you mean 'frappe'?
    """
    return DATASETS[name]
