"""YAML that remembers where everything stands.

The values of a document are plain Python; for each of them the document also knows the line and
column of its key and of itself, so that whatever is found wrong later can be pointed at. Scalars
follow YAML 1.2's core schema: ``1e-3`` is a number, ``no`` and ``2024-01-01`` are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from nextrec.cli.document import Document, KeyPath, Place, Problem

TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"

_CORE_SCHEMA = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
    ("merge", re.compile(r"^<<$"), ["<"]),
)


def read(path: Path) -> Document:
    """Read a YAML file; what is wrong with it stands in the document's problems."""
    source = str(path)
    try:
        return parse(path.read_text(encoding="utf-8"), source)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        problem = Problem(Place(source, line, 1), "the file is not UTF-8 text.")
        return Document(source, problems=[problem])


def parse(text: str, source: str) -> Document:
    """Parse YAML text; ``source`` names it in messages.

    >>> document = parse("fit:\\n  epochs: 3\\n", "a.yaml")
    >>> document.values, str(document.value(("fit", "epochs")))
    ({'fit': {'epochs': 3}}, 'a.yaml:2:11')
    """
    document = Document(source)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.problems.append(Problem(_place(source, mark), _told(error)))
    except yaml.YAMLError as error:  # a character that YAML does not allow
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        reason = getattr(error, "reason", str(error))
        document.problems.append(Problem(Place(source, line, 1), f"not YAML: {reason}."))
    else:
        if node is not None:
            document.values = _Builder(document).build(node, ())
    return document


def dump(values: Any, flow: bool = False) -> str:
    """YAML text that :func:`parse` reads back to the same values; ``flow`` puts it on one line."""
    layout: dict[str, Any] = {"width": 100, "default_flow_style": False}
    if flow:
        layout = {"width": float("inf"), "default_flow_style": True}
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **layout)
    return str(text).strip() if flow else str(text)


# -- from nodes to values ------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars by YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own attribute)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else."""


for _name, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(TAG + _name, _pattern, _first)
    _Dumper.add_implicit_resolver(TAG + _name, _pattern, _first)


class _Builder:
    """Builds values out of nodes and writes their places into the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._open: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        """The value of a node that stands at ``path``."""
        place = _place(self.document.source, node.start_mark)
        self.document.value_places[path] = place
        if any(node is each for each in self._open):
            self._add(place, "the alias refers to what it stands in.")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            return self._scalar(node)  # type: ignore[arg-type]
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._check_tag(node, "map")
        values: dict[str, Any] = {}
        own: dict[str, int] = {}
        # Merged keys come first, so that the mapping's own ones replace them.
        for key_node, value_node in (*self._merged(node), *node.value):
            if key_node.tag == MERGE:
                continue
            place = _place(self.document.source, key_node.start_mark)
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{TAG}str":
                self._add(place, f"a key must be text; quote {_shown(key_node)}.")
                continue
            if any(key_node is each for each, _ in node.value):
                if key in own:
                    self._add(place, f"`{key}` stands here twice, first on line {own[key]}.")
                    continue
                own[key] = place.line
            self.document.key_places[(*path, key)] = place
            values[key] = self.build(value_node, (*path, key))
        return values

    def _merged(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Pairs that ``<<`` brings in; of several mappings the first one wins."""
        for key_node, value_node in node.value:
            if key_node.tag != MERGE:
                continue
            several = isinstance(value_node, yaml.SequenceNode)
            for each in reversed(value_node.value) if several else [value_node]:
                if isinstance(each, yaml.MappingNode) and each is not node:
                    yield from self._merged(each)
                    yield from each.value
                else:
                    place = _place(self.document.source, each.start_mark)
                    self._add(place, "`<<` merges mappings, each given by an alias.")

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        self._check_tag(node, "seq")
        items = []
        for number, each in enumerate(node.value):
            place = _place(self.document.source, each.start_mark)
            self.document.key_places[(*path, number)] = place
            items.append(self.build(each, (*path, number)))
        return items

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix(TAG), node.value
        try:
            return _SCALARS[kind](text)
        except KeyError:
            self._check_tag(node, "str")
        except ValueError:
            place = _place(self.document.source, node.start_mark)
            self._add(place, f"{text!r} is not of the type that its tag !!{kind} says.")
        return None

    def _check_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != TAG + kind:
            place = _place(self.document.source, node.start_mark)
            self._add(place, f"the tag {node.tag!r} is not allowed here.")

    def _add(self, place: Place, text: str) -> None:
        self.document.problems.append(Problem(place, text))


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _real(text: str) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _real,
    "str": str,
    "merge": str,
}


def _place(source: str, mark: Any) -> Place:
    return Place(source, mark.line + 1, mark.column + 1)


def _shown(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "what is not"


def _told(error: yaml.MarkedYAMLError) -> str:
    parts = [error.context, error.problem]
    return f"not YAML: {', '.join(part for part in parts if part)}."
