"""The config's sections say what the Python interface takes, in the same words."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from nextrec.cli.config import COLUMNS, ENTRIES, CompileSection, FitSection, TrainConfig
from nextrec.cli.processing import ADDERS
from nextrec.data.preprocessor import DataProcessor
from nextrec.features import FEATURE_KINDS

MISSING = dataclasses.MISSING
SMALLEST = {
    "data": {"train": "a.csv"},
    "features": {"dense": ["x"]},
    "model": {"name": "DCN"},
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_entries_have_the_arguments_of_the_feature_classes(kind):
    fields = {each.name: each for each in dataclasses.fields(FEATURE_KINDS[kind])}
    fields.pop("pretrained_weight", None)  # an array has no place in YAML
    entry = ENTRIES[kind].model_fields
    assert set(entry) == set(fields)
    for name, field in fields.items():
        assert entry[name].is_required() == (field.default is MISSING), name
        if not entry[name].is_required():
            assert entry[name].default == field.default, name


def test_fit_has_the_options_of_fit():
    from nextrec.models.fit_options import FitOptions

    fields = {each.name: each.default for each in dataclasses.fields(FitOptions)}
    elsewhere = {"validation_split", "split_by", "split_column"}  # they stand under data
    objects = {"callbacks", "resume", "processor"}  # --resume, and a section of its own
    section = {name: each.default for name, each in FitSection.model_fields.items()}
    assert section == {k: v for k, v in fields.items() if k not in elsewhere | objects}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_have_the_arguments_of_the_processor(kind):
    parameters = dict(inspect.signature(getattr(DataProcessor, ADDERS[kind])).parameters)
    parameters.pop("self")
    parameters.pop("pad_value", None)  # 0 is all it can be
    entry = COLUMNS[kind].model_fields
    assert set(entry) == set(parameters)
    for name, parameter in parameters.items():
        assert entry[name].is_required() == (parameter.default is parameter.empty), name
        if not entry[name].is_required():
            default = parameter.default
            assert entry[name].default == (list(default) if name == "parts" else default), name


def test_compile_has_the_arguments_of_compile():
    from nextrec.models.base import BaseModel
    from nextrec.models.options import COMPILE_KEYS

    parameters = inspect.signature(BaseModel.compile).parameters
    assert set(CompileSection.model_fields) == set(COMPILE_KEYS)
    for name, field in CompileSection.model_fields.items():
        assert field.default == parameters[name].default, name


def test_a_name_alone_is_a_feature():
    config = TrainConfig.model_validate(SMALLEST)
    assert config.features.dense[0].name == "x"
    assert config.fit == FitSection()


def test_null_means_absent_unless_it_means_something():
    values = {
        **SMALLEST,
        "features": {"dense": ["x"], "sparse": None},
        "compile": None,
        "fit": {"max_grad_norm": None, "epochs": None},
    }
    config = TrainConfig.model_validate(values)
    assert config.features.sparse == []
    assert config.fit.max_grad_norm is None
    assert config.fit.epochs == 1


def test_the_schema_describes_every_section():
    schema = TrainConfig.model_json_schema()
    assert set(schema["properties"]) == {
        "data", "processor", "features", "model", "compile", "fit", "output"
    }  # fmt: skip
    assert schema["required"] == ["data", "features", "model"]
    definitions = schema["$defs"]
    assert definitions["FitSection"]["properties"]["epochs"]["minimum"] == 1
    assert "description" in definitions["FitSection"]["properties"]["seed"]
    name, mapping = definitions["DenseEntry"]["anyOf"]
    assert name["type"] == "string"
    assert set(mapping["properties"]) == set(ENTRIES["dense"].model_fields)
    assert definitions["SparseEntry"]["required"] == ["name", "vocab_size"]


def test_the_schema_takes_a_single_column_of_the_processor():
    kinds = TrainConfig.model_json_schema()["$defs"]["ProcessorSection"]["properties"]
    several, single = kinds["sparse"]["anyOf"]
    assert several == {"type": "array", "items": single}
