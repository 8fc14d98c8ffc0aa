"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# CI draws the same examples for the same code; everywhere else they are new in every run.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

# One thread, before torch or polars read it: workers share the cores already, and the small batches
# of tests are slower with more.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture(autouse=True)
def _own_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Session folders of a test lie in the test's own folder."""
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path / "nextrec_logs"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public data sets beside the project, which most machines don't have."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the public data sets beside the project (../shared/data)")
    return folder
