"""The examples in the docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import nextrec.metrics

MODULES = [
    f"nextrec.metrics.{each.name}" for each in pkgutil.iter_modules(nextrec.metrics.__path__)
]


@pytest.mark.parametrize("name", ["nextrec.metrics", *MODULES])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_every_public_function_has_an_example() -> None:
    functions = [
        each
        for name in nextrec.metrics.__all__
        if hasattr(each := getattr(nextrec.metrics, name), "__wrapped__")
    ]
    assert len(functions) > 30
    assert [each.__name__ for each in functions if ">>>" not in (each.__doc__ or "")] == []
