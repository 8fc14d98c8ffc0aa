"""The stand-ins for 0.3.1's modules behave as modules and cost no torch."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import nextrec
import nextrec.features
from nextrec import _compat

ROOT = Path(__file__).resolve().parents[2]
TABLES = {**_compat.PACKAGES, **_compat.NAMES}


@pytest.mark.parametrize("path", TABLES)
def test_every_entry_of_the_table_resolves(path):
    module = importlib.import_module(path)
    for name in TABLES[path]:
        assert getattr(module, name) is not None
    assert set(dir(module)) >= set(TABLES[path])


def test_all_forms_of_import_give_one_module():
    import nextrec.basic.features as by_alias
    from nextrec.basic import features as from_package

    assert by_alias is from_package is nextrec.basic.features
    assert by_alias is sys.modules["nextrec.basic.features"]
    assert importlib.util.find_spec("nextrec.basic.features") is by_alias.__spec__


def test_objects_are_todays():
    from nextrec.basic.features import SparseFeature

    assert SparseFeature is nextrec.features.SparseFeature
    assert inspect.getmodule(SparseFeature) is nextrec.features


def test_star_import_brings_the_old_names():
    scope: dict[str, object] = {}
    exec("from nextrec.basic.features import *", scope)
    assert scope.keys() - {"__builtins__"} == set(_compat.NAMES["nextrec.basic.features"])


def test_version_is_a_module_and_a_string():
    from nextrec.__version__ import __version__

    assert __version__ == nextrec.__version__ == str(nextrec.__version__)


def test_unknown_names_fail_as_in_any_module():
    with pytest.raises(ImportError, match="DensFeature"):
        from nextrec.basic.features import DensFeature  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"nextrec\.basic\.feature"):
        importlib.import_module("nextrec.basic.feature")
    assert not hasattr(importlib.import_module("nextrec.basic.features"), "__wrapped__")


def test_an_old_import_gives_no_warning_and_no_torch():
    code = (
        "import nextrec.basic.layers, nextrec.basic.model as model, sys;"
        "from nextrec.basic.features import SparseFeature; from nextrec.utils import embedding;"
        "sys.exit('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT)
    assert run.returncode == 0


def test_registering_again_is_harmless():
    before = nextrec.features.SparseFeature
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _compat.register()
    from nextrec.basic.features import SparseFeature

    assert SparseFeature is before
    assert isinstance(nextrec.__version__, str)
