"""``--set``: where values go and what is refused."""

from __future__ import annotations

import pytest

from nextrec.cli.overrides import apply_overrides
from nextrec.cli.yaml_lines import parse

TEXT = """
fit:
  epochs: 1
model:
  params: {mlp_params: {dims: [8]}}
features:
  dense: [price, age]
output:
"""


def applied(*overrides: str):
    document = parse(TEXT, "c.yaml")
    apply_overrides(document, overrides)
    return document


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("fit.epochs=3", ("fit", "epochs"), 3),
        ("fit.min_delta=1e-4", ("fit", "min_delta"), 1e-4),
        ("fit.monitor=", ("fit", "monitor"), None),
        ("fit.monitor=a=b", ("fit", "monitor"), "a=b"),
        (
            "model.params.mlp_params.dims=[64,32]",
            ("model", "params", "mlp_params", "dims"),
            [64, 32],
        ),
        ("compile.optimizer_params.lr=0.1", ("compile", "optimizer_params", "lr"), 0.1),
        ("output.session=x", ("output", "session"), "x"),
        ("features.dense.1=size", ("features", "dense", 1), "size"),
        ("features.dense.0={name: a}", ("features", "dense", 0, "name"), "a"),
    ],
)
def test_values_are_put_where_the_path_leads(override, path, value):
    document = applied(override)
    assert document.problems == []
    assert document.get(path) == value
    assert str(document.value(path)) == f"--set {override}"


def test_a_replaced_value_forgets_the_lines_below_it():
    document = applied("model.params={a: {b: 1}}")
    assert str(document.value(("model", "params", "mlp_params"))).startswith("--set")
    assert str(document.value(("fit", "epochs"))) == "c.yaml:3:11"


def test_the_last_of_several_wins():
    assert applied("fit.epochs=3", "fit.epochs=4").get(("fit", "epochs")) == 4


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "fit.epochs",
            "must be a dotted path, =, and a value, such as fit.epochs=3.",
        ),
        ("fit..x=1", "must be a dotted path, =, and a value, such as fit.epochs=3."),
        ("fit.epochs.x=1", "`fit.epochs` is the value 1, which has nothing below it."),
        ("features.dense.2=a", "'2' must be a position from 0 to 1."),
        ("features.dense.x=a", "'x' must be a position from 0 to 1."),
        ("fit.epochs=a: b: c", "not YAML: mapping values are not allowed here."),
    ],
)
def test_problems_name_the_override(override, problem):
    assert [str(each) for each in applied(override).problems] == [f"--set {override}: {problem}"]


def test_a_long_override_is_cut_in_messages():
    (problem,) = applied("fit.epochs" + "x" * 100).problems
    assert str(problem.place) == f"--set fit.epochs{'x' * 50}..."
