"""YAML with positions: values, places, and what is wrong with the text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.cli.document import Place
from nextrec.cli.yaml_lines import dump, parse, read


def told(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "c.yaml").problems]


def test_places_of_keys_and_values():
    document = parse("fit:\n  epochs: 3\n  metrics: [auc,\n    gauc]\n", "c.yaml")
    assert document.values == {"fit": {"epochs": 3, "metrics": ["auc", "gauc"]}}
    assert str(document.key(("fit",))) == "c.yaml:1:1"
    assert str(document.value(("fit",))) == "c.yaml:2:3"
    assert str(document.key(("fit", "epochs"))) == "c.yaml:2:3"
    assert str(document.value(("fit", "epochs"))) == "c.yaml:2:11"
    assert str(document.value(("fit", "metrics", 1))) == "c.yaml:4:5"


def test_the_place_of_what_is_absent_is_the_nearest_above():
    document = parse("a:\n  b: 1\n", "c.yaml")
    assert document.key(("a", "c", "d")) == document.key(("a",))
    assert document.value(("x",)) == Place("c.yaml", 1, 1)
    assert ("a", "b") in document
    assert ("a", "c") not in document
    assert ("a", "b", "c") not in document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-2", -2),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        # what YAML 1.1 would turn into something else
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("=", "="),
        ("'5'", "5"),
        ("!!str 5", "5"),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    document = parse(f"a: {text}", "c.yaml")
    assert document.problems == []
    assert document.values["a"] == value
    assert type(document.values["a"]) is type(value)


def test_not_a_number():
    assert math.isnan(parse("a: .nan", "c.yaml").values["a"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3", "c.yaml:4:3: `c` stands here twice, first on line 3."),
        ("a: 1\n1: 2", "c.yaml:2:1: a key must be text; quote 1."),
        ("? [1]\n: 2", "c.yaml:1:3: a key must be text; quote what is not."),
        ("a: &x [*x]", "c.yaml:1:4: the alias refers to what it stands in."),
        ("a: !!int x", "c.yaml:1:4: 'x' is not of the type that its tag !!int says."),
        (
            "a: !!python/object:os.system x",
            "c.yaml:1:4: the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed here.",
        ),
        ("a: !own {b: 1}", "c.yaml:1:4: the tag '!own' is not allowed here."),
        ("a:\n  <<: 3", "c.yaml:2:7: `<<` merges mappings, each given by an alias."),
    ],
)
def test_problems_of_the_document(text, problem):
    assert told(text) == [problem]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1", "c.yaml:1:6"),
        ("a:\n\t- b", "c.yaml:2:1"),
        ("a: 1\nb: c: d", "c.yaml:2:5"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1"),
        ("a: 1\nb: *x", "c.yaml:2:4"),
        ("a: 1\nb: \x01", "c.yaml:2:1"),
    ],
)
def test_what_is_no_yaml(text, place):
    (problem,) = told(text)
    assert problem.startswith(f"{place}: not YAML: ")
    assert parse(text, "c.yaml").values == {}


def test_merged_keys_give_way_to_own_ones_and_are_no_duplicates():
    text = "one: &one {x: 1, y: 1}\ntwo: &two {y: 2, z: 2}\nd:\n  y: 9\n  <<: [*one, *two]\n"
    document = parse(text, "c.yaml")
    assert document.problems == []
    assert document.values["d"] == {"x": 1, "y": 9, "z": 2}
    assert str(document.value(("d", "y"))) == "c.yaml:4:6"
    assert str(document.value(("d", "z"))) == "c.yaml:2:21"


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    (problem,) = read(path).problems
    assert str(problem) == f"{path}:2:1: the file is not UTF-8 text."


def test_without_drops_keys_and_empties_items():
    document = parse("a: {b: 1, c: [1, 2]}", "c.yaml")
    rest = document.without([("a", "b"), ("a", "c", 0), ("x", "y")])
    assert rest.values == {"a": {"c": [None, 2]}}
    assert document.values == {"a": {"b": 1, "c": [1, 2]}}


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
    | st.sampled_from(["no", "1e-3", "010", "1:30", "2024-01-01", "0o7", "~", "=", "<<", "null"])
)
keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(
    st.dictionaries(
        keys,
        st.recursive(
            scalars, lambda each: st.lists(each) | st.dictionaries(keys, each), max_leaves=8
        ),
    ),
    st.booleans(),
)
def test_what_is_written_is_read_back(values, flow):
    document = parse(dump(values, flow=flow), "c.yaml")
    assert document.problems == []
    assert document.values == values
