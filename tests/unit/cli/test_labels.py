"""Which columns are labels, and how words become numbers."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from nextrec.cli.labels import choose_targets, target_of
from nextrec.data.profile import Profile, profile_columns
from nextrec.errors import ConfigError


def profiles(**columns) -> list[Profile]:
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    return profile_columns(list(columns), table.to_batches())


def test_targets():
    columns = profiles(click=[0, 1], stay=[0.5, 1.5], LABEL=[0, 1], name=["a", "b"])
    assert [each.name for each in choose_targets(columns, [])] == ["LABEL"]
    assert [each.name for each in choose_targets(columns, ["stay", "click"])] == ["stay", "click"]


@pytest.mark.parametrize(
    ("values", "task", "learn", "classes"),
    [
        ([0, 1, 1], "binary", None, None),
        ([True, False, True], "binary", None, None),
        ([0.5, 1.5, 2.0], "regression", None, None),
        ([1, 2, 1], "binary", {"label_map": {"1": 0, "2": 1}}, None),
        ([-1.0, 1.0, 1.0], "binary", {"label_map": {"-1": 0, "1": 1}}, None),
        (["yes", "no", "yes"], "binary", {"label_map": {"no": 0, "yes": 1}}, None),
        (["1", "0", "1"], "binary", {"label_map": {"0": 0, "1": 1}}, None),
        (["1.5", "0", "1"], "regression", {"target_type": "regression"}, None),
        (
            ["b", "a", "c"],
            "multiclass",
            {"target_type": "multiclass", "label_map": {"a": 0, "b": 1, "c": 2}},
            3,
        ),
    ],
)
def test_tasks(values, task, learn, classes):
    found = target_of(*profiles(label=values))
    assert (found.task, found.learn, found.num_classes) == (task, learn, classes)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["clik"], "`--target` must be a column of the data (click, name, when, far, one); got "
         "'clik'. Did you mean 'click'?"),
        (["name"], "got 'name: text with more than 100 different values'"),
        (["when"], "must be a column of numbers, or of a few words; got 'when: vector'"),
        (["far"], "must be a column of finite numbers; got 'far: 1 infinite ones'"),
        (["one"], "got 'one: text with one value only'"),
    ],
)  # fmt: skip
def test_wrong_targets(wanted, message):
    data = profiles(
        click=[0, 1] * 51,
        name=[f"n{i}" for i in range(102)],
        when=[[0.5]] * 102,
        far=[float("inf")] + [1.0] * 101,
        one=["a"] * 102,
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        choose_targets(data, wanted)


def test_no_column_that_looks_like_a_label():
    with pytest.raises(ConfigError, match=r"name it by --target\. The columns are a, b\."):
        choose_targets(profiles(a=[0, 1], b=[0, 1]), [])
