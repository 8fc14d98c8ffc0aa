"""What may not stand in a file, whatever it does there."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "nextrec").rglob("*.py"))
NOT_OURS = {"dist", "build", "nextrec_logs", "__pycache__", "node_modules"}
# Written in two parts, so that this file does not hold what it looks for.
MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("work", "tmp", "root", "home"))
# It reads the pickles of 0.3.1 instruction by instruction, through an allow-list of inert names.
READS_PICKLES = ROOT / "nextrec" / "data" / "legacy_processor.py"
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def project_files() -> Iterator[Path]:
    """Files of the project; hidden folders are tools' and environments', but for CI's."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in NOT_OURS and (not name.startswith(".") or name == ".ci")
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]  # fmt: skip
        yield from (Path(folder) / name for name in files)


def test_no_file_holds_a_path_of_one_machine():
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary
        for number, line in enumerate(text.splitlines(), 1):
            if any(each in line for each in MACHINE_PATHS):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def unsafe(node: ast.AST) -> str | None:
    """Why a node may run code out of data; None when it may not."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names]
        heads = {name.split(".")[0] for name in (*names, getattr(node, "module", None) or "")}
        return f"imports {bad}" if (bad := ", ".join(heads & UNSAFE_MODULES)) else None
    if not isinstance(node, ast.Call):
        return None
    function = ast.unparse(node.func)
    options = {each.arg: ast.unparse(each.value) for each in node.keywords}
    if function in ("eval", "exec", "compile", "__import__"):
        return f"calls {function}"
    if function == "torch.load" and options.get("weights_only") != "True":
        return "calls torch.load without weights_only=True"
    if options.get("allow_pickle", "False") != "False" or function.endswith(".read_pickle"):
        return "reads pickles"
    return None


def rude(node: ast.AST) -> str | None:
    """Why a node is no library code; None when it may be."""
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "catches everything without saying so"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
        return "prints"
    return None


def offences(check, files) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{node.lineno} {why}"  # type: ignore[attr-defined]
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (why := check(node))
    ]


def test_nothing_runs_code_out_of_data():
    others = [path for path in FILES if path != READS_PICKLES]
    assert not (found := offences(unsafe, others)), "\n".join(found)


def test_one_file_reads_pickles_and_nothing_else_that_is_unsafe():
    found = offences(unsafe, [READS_PICKLES])
    assert len(found) == 1
    assert found[0].endswith("imports pickle")


def test_library_code_is_polite():
    library = [path for path in FILES if "cli" not in path.relative_to(ROOT).parts]
    assert not (found := offences(rude, library)), "\n".join(found)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import pickle", "imports pickle"),
        ("from joblib import load", "imports joblib"),
        ("eval('1')", "calls eval"),
        ("model.eval()", None),
        ("torch.load(path)", "calls torch.load without weights_only=True"),
        ("torch.load(path, weights_only=True)", None),
        ("np.load(path, allow_pickle=True)", "reads pickles"),
        ("np.load(path, allow_pickle=False)", None),
        ("import torch", None),
    ],
)
def test_the_reader_of_unsafe_code(source, why):
    found = [each for node in ast.walk(ast.parse(source)) if (each := unsafe(node))]
    assert found == ([why] if why else [])


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("try:\n    f()\nexcept:\n    pass", "catches everything without saying so"),
        ("try:\n    f()\nexcept ValueError:\n    pass", None),
        ("print(1)", "prints"),
        ("console.print(1)", None),
    ],
)
def test_the_reader_of_rude_code(source, why):
    found = [each for node in ast.walk(ast.parse(source)) if (each := rude(node))]
    assert found == ([why] if why else [])
