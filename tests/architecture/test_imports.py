"""Who may import whom, read from the syntax trees of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nextrec"
FILES = sorted(PACKAGE.rglob("*.py"))

# Top to bottom; names on one line don't import each other.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("serving",),
    ("export", "retrieval"),
    ("models",),
    ("training",),
    ("data", "layers", "loss", "metrics", "optim"),
    ("features", "tasks"),
    ("_registry", "_files", "_compat"),
    ("errors",),
)
LEVEL = {name: level for level, names in enumerate(reversed(LAYERS)) for name in names}
VAGUE = {"utils", "util", "helpers", "helper", "common", "basic", "misc"}


def module_name(path: Path, root: Path = ROOT) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below ``node``, without what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in child.orelse:  # type: ignore[attr-defined]
                yield from (other, *runtime_nodes(other))
        else:
            yield from (child, *runtime_nodes(child))


def imports(tree: ast.AST, module: str, is_package: bool, modules: set[str]) -> dict[str, int]:
    """Modules of the package that ``module`` imports anywhere, each with the line."""
    found: dict[str, int] = {}
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                up = module.split(".")[: len(module.split(".")) - node.level + is_package]
                start = ".".join([*up, *([node.module] if node.module else [])])
            # `from a import b` reads module a.b where there is one, else a.
            full = [f"{start}.{alias.name}" for alias in node.names]
            names = [name if name in modules else start for name in full]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "nextrec":
                found.setdefault(name, node.lineno)
    return found


@pytest.fixture(scope="module")
def graph() -> dict[str, dict[str, int]]:
    modules = {module_name(path) for path in FILES}
    return {
        module_name(path): imports(
            ast.parse(path.read_text(encoding="utf-8")),
            module_name(path),
            path.name == "__init__.py",
            modules,
        )
        for path in FILES
    }


def breach(module: str, imported: str) -> str | None:
    """Why ``module`` may not import ``imported``; None when it may."""
    if module == "nextrec" or imported == "nextrec":  # the lazy names, and the version
        return None
    here, there = module.split(".")[1], imported.split(".")[1]
    if here not in LEVEL or there not in LEVEL:
        return f"{here if here not in LEVEL else there} has no place in the table"
    if here == there or LEVEL[there] < LEVEL[here]:
        return None
    return f"{here} may not import {there}"


def test_imports_go_down_only(graph):
    breaches = [
        f"{module}:{line} imports {imported}: {why}"
        for module, imported_lines in graph.items()
        for imported, line in imported_lines.items()
        if (why := breach(module, imported))
    ]
    assert not breaches, "\n".join(breaches)


def test_every_module_has_a_place_in_the_table(graph):
    parts = {module.split(".")[1] for module in graph if "." in module}
    assert parts <= LEVEL.keys()


def test_no_import_cycles(graph):
    try:
        TopologicalSorter(
            {module: set(found) - {module} for module, found in graph.items()}
        ).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(reversed(error.args[1])))


def test_no_module_has_a_name_that_says_nothing():
    names = {path: {*path.relative_to(PACKAGE).with_suffix("").parts} for path in FILES}
    vague = [str(path.relative_to(ROOT)) for path, parts in names.items() if parts & VAGUE]
    assert not vague, vague


def test_every_file_has_a_docstring():
    without = [
        str(path.relative_to(ROOT))
        for path in FILES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not without, without


MODULES = {"nextrec.data", "nextrec.data.batch", "nextrec.models.base", "nextrec.errors"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nextrec.data.batch", {"nextrec.data.batch"}),
        ("from nextrec.data import batch", {"nextrec.data.batch"}),
        ("from nextrec.data import Batch", {"nextrec.data"}),
        ("def f():\n    from nextrec.models.base import BaseModel", {"nextrec.models.base"}),
        ("from ..errors import DataError", {"nextrec.errors"}),
        ("from . import batch", {"nextrec.data.batch"}),
        ("if TYPE_CHECKING:\n    import nextrec.models.base\nelse:\n    import nextrec.errors",
         {"nextrec.errors"}),
        ("importlib.import_module('nextrec.models.base')", {"nextrec.models.base"}),
        ("import torch", set()),
    ],
)  # fmt: skip
def test_the_reader_of_imports(source, expected):
    found = imports(ast.parse(source), "nextrec.data.dataloader", False, MODULES)
    assert set(found) == expected


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("nextrec.models.base", "nextrec.training.trainer", True),
        ("nextrec.training.trainer", "nextrec.models.base", False),
        ("nextrec.layers.mlp", "nextrec.loss", False),
        ("nextrec.layers.mlp", "nextrec.layers.init", True),
        ("nextrec.errors", "nextrec.features", False),
        ("nextrec.utils", "nextrec.errors", False),
    ],
)
def test_the_table_is_read_top_to_bottom(module, imported, allowed):
    assert (breach(module, imported) is None) == allowed
