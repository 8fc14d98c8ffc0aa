from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest
from contract.zoo import Case, cases

from nextrec.cli.signatures import own_parameters
from nextrec.errors import ConfigError
from nextrec.models.arguments import check_types

OWN = [case for case in cases() if case.cls.__module__.startswith("nextrec.models.ranking")]
PLAIN = [case for case in OWN if not case.params]


def build(
    whole: int = 1,
    number: float = 0.5,
    flag: bool = False,
    word: str | None = None,
    option: Literal["a", "b"] = "a",
    widths: Sequence[int] = (),
    groups: Sequence[Sequence[str]] | None = None,
    params: Mapping[str, Any] | None = None,
    anything: Any = None,
    thing: object = None,
) -> None:
    """Arguments of every kind."""


@pytest.mark.parametrize(
    "given",
    [
        {"whole": np.int64(3), "number": 2, "flag": np.bool_(True), "word": "x", "option": "c"},
        {
            "number": np.float32(0.5),
            "widths": (8, 4),
            "groups": [["a"], ("b",)],
            "params": {"x": 1},
        },
        {"widths": [], "groups": None, "word": None, "anything": object, "thing": 3},
        {"unknown": 3},
    ],
)
def test_right_types_pass(given: dict[str, Any]) -> None:
    check_types(build, "M", given)


@pytest.mark.parametrize(
    ("name", "value", "must_be"),
    [
        ("whole", 2.0, "an integer"),
        ("whole", True, "an integer"),
        ("whole", None, "an integer"),
        ("number", float("nan"), "a finite number"),
        ("number", "0.5", "a finite number"),
        ("number", False, "a finite number"),
        ("flag", "false", "True or False"),
        ("flag", 1, "True or False"),
        ("word", 3, "a string or None"),
        ("option", ["a"], "one of a, b"),
        ("widths", 8, "a list of integers"),
        ("widths", [8, 2.5], "a list of integers"),
        ("groups", ["ab"], "a list of lists of strings or None"),
        ("params", [], "a mapping of names to values or None"),
        ("params", {1: 2}, "a mapping of names to values or None"),
    ],
)
def test_wrong_types_are_told(name: str, value: Any, must_be: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_types(build, "M", {name: value})
    assert str(error.value) == f"M: `{name}` must be {must_be}; got {value!r}."


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_every_own_argument_refuses_a_wrong_type(case: Case) -> None:
    for name in own_parameters(case.cls):
        for wrong in (object(), 2 + 1j):
            with pytest.raises(ConfigError, match=f"{case.cls.__name__}: `{name}` must be"):
                case.build(**{name: wrong})


@pytest.mark.parametrize("case", OWN, ids=lambda case: case.name)
def test_rates_and_counts_refuse_what_is_none(case: Case) -> None:
    for name, parameter in own_parameters(case.cls).items():
        if name.endswith("dropout"):
            for rate in (1.0, -0.1):
                with pytest.raises(ConfigError, match=rf"`{name}` must be a number in \[0, 1\)"):
                    case.build(**{name: rate})
        elif type(parameter.default) is int or name in ("low_rank", "rank", "num_tokens"):
            with pytest.raises(ConfigError, match=f"`{name}` must"):
                case.build(**{name: -1})


@pytest.mark.parametrize("case", OWN, ids=lambda case: case.name)
def test_the_output_of_a_tower_is_not_a_parameter(case: Case) -> None:
    for name in own_parameters(case.cls):
        if name.endswith("_params"):
            for wrong in ({"output_dim": 77}, {"dims": [0]}, {"dims": [4], "dropout": 1.0}):
                with pytest.raises(ConfigError):
                    case.build(**{name: wrong})


@pytest.mark.parametrize("name", ["DIN", "DIEN", "DMIN"])
def test_hidden_units_are_positive(name: str) -> None:
    case = next(case for case in PLAIN if case.name == name)
    with pytest.raises(ConfigError, match="hidden_units` must be"):
        case.build(attention_hidden_units=[8, 0])
