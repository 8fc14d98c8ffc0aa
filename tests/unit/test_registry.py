"""Name look-up: case, aliases, second owners, wrong names."""

from __future__ import annotations

import pytest

from nextrec._registry import Registry
from nextrec.errors import ConfigError


@pytest.fixture
def losses() -> Registry[int]:
    registry: Registry[int] = Registry("compile", "loss")
    registry.add("bce", 1, aliases=("binary_crossentropy",))
    registry.add("mse", 2)
    return registry


@pytest.mark.parametrize("name", ["bce", "BCE", "binary_crossentropy", "Binary_CrossEntropy"])
def test_names_and_aliases_ignore_case(losses, name):
    assert losses[name] == 1
    assert name in losses


def test_iteration_gives_each_object_once(losses):
    assert list(losses) == ["bce", "mse"]
    assert len(losses) == 2


def test_wrong_name_lists_the_names_and_the_likely_one(losses):
    with pytest.raises(ConfigError) as caught:
        losses["bcee"]
    assert str(caught.value) == (
        "compile: `loss` must be one of bce, binary_crossentropy, mse; got 'bcee'. "
        "Did you mean 'bce'?"
    )
    assert "bcee" not in losses


@pytest.mark.parametrize("name", [None, 3])
def test_what_is_no_name_is_a_config_error(losses, name):
    assert name not in losses
    with pytest.raises(ConfigError, match=f"got {name}"):
        losses[name]


@pytest.mark.parametrize("name", ["bce", "Binary_crossentropy"])
def test_a_name_has_one_owner(losses, name):
    with pytest.raises(ValueError, match="registered already"):
        losses.add("other", 3, aliases=(name,))


def test_the_owner_may_replace_its_object(losses):
    losses.add("mse", 5)
    assert losses["mse"] == 5
    assert len(losses) == 2


def test_decorator_registers_and_returns_the_object():
    registry: Registry[type] = Registry("model", "name")

    @registry.register("DeepFM", "deep_fm")
    class Model:
        pass

    assert registry["deep_fm"] is registry["deepfm"] is Model
