from __future__ import annotations

import json
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import nextrec.loss

API = json.loads((Path(__file__).parents[2] / "compat" / "api-0.3.1.json").read_text("utf-8"))


def test_every_name_of_0_3_1_is_exported_with_its_parameters():
    modules = {name: names for name, names in API.items() if name.startswith("nextrec.loss.")}
    assert len(modules) == 4
    for module, names in modules.items():
        for name in names:
            assert name in nextrec.loss.__all__
            assert getattr(import_module(module), name) is getattr(nextrec.loss, name)


def methods() -> list[tuple[str, str, str]]:
    """Class, method and its 0.3.1 parameters as text."""
    return [
        (name, method, text)
        for module, names in API.items()
        if module.startswith("nextrec.loss.")
        for name, entry in names.items()
        if isinstance(entry, dict)
        for method, text in entry["methods"].items()
    ]


@pytest.mark.parametrize(("name", "method", "text"), methods())
def test_parameters_and_defaults_of_0_3_1_are_kept(name, method, text):
    scope: dict[str, Any] = {}
    exec(f"from __future__ import annotations\ndef old({text}): ...", scope)
    old = signature(scope["old"]).parameters
    new = signature(getattr(getattr(nextrec.loss, name), method)).parameters
    assert list(new)[: len(old)] == list(old)
    assert [new[key].default for key in old] == [each.default for each in old.values()]


def test_all_is_what_is_there():
    for name in nextrec.loss.__all__:
        assert hasattr(nextrec.loss, name)
