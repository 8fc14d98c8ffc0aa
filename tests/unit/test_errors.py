"""The exception tree and the one message form."""

from __future__ import annotations

import inspect
import pickle

import pytest

from nextrec import errors
from nextrec.errors import did_you_mean, invalid, unknown_option

TREE = {
    "NextRecError": Exception,
    "ConfigError": ValueError,
    "FeatureError": ValueError,
    "DataError": ValueError,
    "NotFittedError": errors.NextRecError,
    "CheckpointError": errors.NextRecError,
    "TrainingError": errors.NextRecError,
    "MissingDependencyError": ImportError,
}


def test_the_tree_is_complete():
    found = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, BaseException) and value.__module__ == errors.__name__
    }
    assert found == TREE.keys()
    assert all(f"``{name}``" in errors.__doc__ for name in TREE)


@pytest.mark.parametrize("name", TREE)
def test_every_error_is_a_nextrec_error_and_its_builtin_kind(name):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.NextRecError)
    assert issubclass(kind, TREE[name])


def test_missing_dependency_names_package_extra_and_command():
    error = errors.MissingDependencyError("onnx", "export", "export")
    assert (error.package, error.extra) == ("onnx", "export")
    assert "pip install 'nextrec[export]'" in str(error)


def test_errors_survive_a_process_boundary():
    error = pickle.loads(pickle.dumps(errors.DataError("feature 'a', row 3: value 7")))
    assert isinstance(error, errors.DataError)
    assert str(error) == "feature 'a', row 3: value 7"


@pytest.mark.parametrize(
    ("word", "options", "expected"),
    [
        ("adm", ["adam", "sgd"], " Did you mean 'adam'?"),
        ("ADAM", ["adam", "sgd"], " Did you mean 'adam'?"),
        ("deepfm", ["DeepFM", "DCN"], " Did you mean 'DeepFM'?"),
        ("zzz", ["adam", "sgd"], ""),
        (3, ["adam"], ""),
        ("adam", [], ""),
    ],
)
def test_did_you_mean(word, options, expected):
    assert did_you_mean(word, options) == expected


def test_message_forms():
    assert invalid("MLP", "dims", "a list", "x") == "MLP: `dims` must be a list; got 'x'."
    message = unknown_option("compile", "loss", iter(["bce", "mse"]), "bc")
    assert message == "compile: `loss` must be one of bce, mse; got 'bc'. Did you mean 'bce'?"
