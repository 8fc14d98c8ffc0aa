"""Atomic files: whole or not at all, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nextrec._files import atomic_path, write_text

ROOT = Path(__file__).resolve().parents[2]


def test_content_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "model.json"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across file systems is no rename
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["model.json"]


def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = write_text(tmp_path / "model.json", "old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.json"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    path = write_text(tmp_path / "model.json", "old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_text() == "old"


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "model.json"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ends last


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "model.json", "old")
    code = (
        "import os, signal, sys\n"
        "from nextrec._files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT)
    assert run.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_text_is_utf8_and_the_path_comes_back(tmp_path):
    path = write_text(str(tmp_path / "note.txt"), "Misérables\n")
    assert path == tmp_path / "note.txt"
    assert path.read_bytes() == "Misérables\n".encode()
