"""The public surface of ``import nextrec``."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nextrec

ROOT = Path(__file__).resolve().parents[2]

PUBLIC = {
    "DenseFeature", "SparseFeature", "SequenceFeature", "FeatureSet",
    "Batch", "RecDataLoader",
    "BaseModel", "DataProcessor", "AFM", "AFN", "AITM", "APG", "AutoInt", "BST", "CrossStitch",
    "DCN", "DCNv2", "DCNv3", "DeepFM", "DIEN", "DIN", "DLRM", "DMIN", "DMR", "DNN", "EDCN",
    "ESCM2", "ESMM", "ETA", "EulerNet", "FFM", "FiBiNET", "FinalMLP", "FinalNet", "FM", "FmFM",
    "FwFM", "GDCN", "HiFormer", "HMoE", "HoME", "LR", "M2M", "MaskNet", "MMOE", "NFM",
    "OneTrans", "ONN", "PEPNet", "PLE", "PNN", "POSO", "RankMixer", "SDIM", "ShareBottom",
    "SIM", "SNRTrans", "STAR", "STEM", "WideDeep", "WuKong", "xDeepFM",
    "load", "seed_everything",
    "NextRecError", "ConfigError", "FeatureError", "DataError", "NotFittedError",
    "CheckpointError", "TrainingError", "MissingDependencyError",
    "__version__",
}  # fmt: skip


def test_the_surface_is_this_list():
    assert set(nextrec.__all__) == PUBLIC
    assert len(nextrec.__all__) == len(PUBLIC)
    assert set(dir(nextrec)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_name_resolves_at_its_home(name):
    value = getattr(nextrec, name)
    assert value.__name__ == name
    assert value.__module__ == nextrec._HOMES[name]
    assert inspect.getdoc(value)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(inspect.getsource(nextrec))
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node)
    )
    seen = {node.names[0].asname: node.module for node in block.body}
    assert seen == nextrec._HOMES


def test_import_loads_no_heavy_library():
    heavy = {"torch", "pandas", "numpy", "polars", "pyarrow", "pydantic", "rich", "typer"}
    code = f"import nextrec, sys; sys.exit(' '.join(set(sys.modules) & {heavy!r}) or 0)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, f"import nextrec loads {run.stderr}"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'DeepFMM'"):
        nextrec.DeepFMM  # noqa: B018


def test_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert nextrec.__version__ == project["version"]
