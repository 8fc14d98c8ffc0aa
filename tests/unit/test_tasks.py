"""Tasks: which label columns they read and which logits they own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.errors import ConfigError
from nextrec.tasks import TASK_KINDS, make_tasks

SINGLE = ("binary", "regression", "multiclass")


def test_one_kind_serves_every_target():
    tasks = make_tasks("binary", ["click", "buy"])
    assert [(task.kind, task.name, task.size) for task in tasks] == [
        ("binary", "click", 1),
        ("binary", "buy", 1),
    ]
    assert [task.labels for task in tasks] == [slice(0, 1), slice(1, 2)]
    assert [task.logits for task in tasks] == [slice(0, 1), slice(1, 2)]


def test_multiclass_owns_a_logit_a_class_and_one_label_column():
    tasks = make_tasks(["multiclass", "regression", "multiclass"], ["a", "b", "c"], [3, 4])
    assert [task.size for task in tasks] == [3, 1, 4]
    assert [task.logits for task in tasks] == [slice(0, 3), slice(3, 4), slice(4, 8)]
    assert [task.labels for task in tasks] == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_one_number_of_classes_serves_every_multiclass_target():
    assert [task.size for task in make_tasks("multiclass", ["a", "b"], 5)] == [5, 5]


@pytest.mark.parametrize("kind", ["multilabel", ["multilabel"]])
def test_multilabel_is_one_task_over_all_targets(kind):
    (task,) = make_tasks(kind, ["x", "y", "z"])
    assert task.name == "x+y+z"
    assert task.size == 3
    assert task.logits == task.labels == slice(0, 3)


def test_no_targets_are_no_tasks():
    assert make_tasks("binary", []) == ()


@given(kinds=st.lists(st.sampled_from(SINGLE), min_size=1, max_size=6), data=st.data())
def test_slices_tile_logits_and_labels(kinds, data):
    count = kinds.count("multiclass")
    classes = data.draw(st.lists(st.integers(2, 9), min_size=count, max_size=count))
    targets = [f"t{number}" for number in range(len(kinds))]
    tasks = make_tasks(kinds, targets, classes)
    logits = np.arange(sum(task.size for task in tasks))
    labels = np.arange(len(targets))
    assert np.concatenate([logits[task.logits] for task in tasks]).tolist() == logits.tolist()
    assert np.concatenate([labels[task.labels] for task in tasks]).tolist() == labels.tolist()
    assert [task.size for task in tasks if task.kind == "multiclass"] == classes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("binry", ["a"]), r"MMOE: `task` must be one of .* Did you mean 'binary'\?"),
        (("binary", ["a", "a"]), r"MMOE: `target` must be a list of different names"),
        ((["binary", "multilabel"], ["a", "b"]), r"MMOE: `task` 'multilabel' stands alone"),
        ((["binary", "binary"], ["a", "b", "c"]), r"`task` must be one kind or one a target \(3"),
        ((["binary", "binary"], ["a"]), r"`task` must be one kind or one a target \(1"),
        (("multiclass", ["a"]), r"`num_classes` must be the number of classes .* got None"),
        (("multiclass", ["a"], 1), r"`num_classes` must be .*at least 2.* got 1"),
        (("multiclass", ["a", "b"], [3]), r"each of the 2 multiclass targets; got \[3\]"),
        (
            ("binary", ["a"], [3]),
            r"`num_classes` must be None without a multiclass target .* got \[3\]",
        ),
    ],
)
def test_contradictions_are_config_errors(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_tasks(*arguments, owner="MMOE")


def test_the_kinds_are_the_documented_four():
    assert TASK_KINDS == ("binary", "regression", "multiclass", "multilabel")
