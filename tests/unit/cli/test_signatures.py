"""What constructors take, for every model of the zoo."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from nextrec.cli.models import paper, without_markup
from nextrec.cli.signatures import feature_kinds, own_parameters, parameter_types, type_text
from nextrec.models.options import ModelOptions
from nextrec.models.zoo import load_zoo


@pytest.mark.parametrize("name", load_zoo())
def test_every_model_says_what_it_takes(name):
    model = load_zoo()[name]
    own, types = own_parameters(model), parameter_types(model)
    assert set(types) == set(own) | set(ModelOptions.__annotations__)
    assert all(types[each] is not Any for each in own), "a parameter without a type"
    assert not [each for each in types if each.endswith("_features")]
    assert model.groups or feature_kinds(model)
    assert len(paper(model)) > 10


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (list[int] | None, "list[int] | None"),
        (Literal["a", "b"], "Literal['a', 'b']"),
        (dict[str, Any], "dict[str, Any]"),
    ],
)
def test_types_as_one_writes_them(hint, text):
    assert type_text(hint) == text


def test_markup_is_left_out():
    text = "``dims`` of :class:`~nextrec.layers.mlp.MLP`, :math:`x_i`\n\n.. math::\n    y = x\n"
    assert without_markup(text) == "dims of MLP, x_i\n\n    y = x\n"
