"""The code in README and docs runs, their configs are valid, their tables are those measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[tuple[Path, str]]:
    return [
        (path, block)
        for path in DOCUMENTS
        for block in re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.S)
    ]


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if "```python" in p.read_text()])
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one document run one after the other, in one namespace and an empty folder."""
    monkeypatch.chdir(tmp_path)
    code = "\n".join(block for each, block in blocks("python") if each == path)
    namespace = {"__name__": "document"}
    run = compile(code, path.name, "exec")
    exec(run, namespace)
    assert len(namespace) > 2


def test_readme_shows_the_error_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert any("DataError" in block for _, block in blocks("python"))


@pytest.mark.parametrize(("path", "text"), blocks("yaml"))
def test_configs_have_no_problem_but_absent_data(path: Path, text: str, tmp_path: Path) -> None:
    from nextrec.cli.check import check_config

    config = tmp_path / "config.yaml"
    config.write_text(text)
    for name in re.findall(r"\w+\.parquet", text):
        (tmp_path / name).touch()
    assert check_config(config).config.model.name


def test_commands_named_in_documents_exist() -> None:
    commands = {
        line.split()[1]
        for _, block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("nextrec ")
    }
    done = subprocess.run(
        [sys.executable, "-m", "nextrec", "--help"], capture_output=True, text=True, check=True
    )
    assert commands
    assert all(command in done.stdout for command in commands), commands


def test_tables_are_those_of_the_results() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
