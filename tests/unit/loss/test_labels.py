from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nextrec.errors import DataError
from nextrec.loss import check_labels
from nextrec.tasks import make_tasks

NAN, INF = math.nan, math.inf
MIXED = make_tasks(["binary", "regression", "multiclass"], ["click", "stay", "kind"], 3)
GOOD = [[0.0, -1.5, 2.0], [1.0, NAN, 0.0], [NAN, 1e30, NAN]]


@pytest.mark.parametrize("convert", [np.array, torch.tensor, lambda rows: rows])
def test_good_labels_pass(convert):
    check_labels(convert(GOOD), MIXED)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 2.0, r"labels: `click` must be 0 or 1, or NaN where not observed; got 2.0"),
        (0, 0.5, "`click` must be 0 or 1"),
        (0, INF, "`click` must be 0 or 1"),
        (1, INF, "`stay` must be finite.*got inf"),
        (1, -INF, "`stay` must be finite.*got -inf"),
        (2, 3.0, "`kind` must be a class number from 0 to 2.*got 3.0"),
        (2, -1.0, "`kind` must be a class number"),
        (2, 0.5, "`kind` must be a class number"),
        (2, INF, "`kind` must be a class number"),
    ],
)
def test_a_bad_label_is_named_with_row_and_value(column, value, message):
    labels = np.array(GOOD * 3)
    labels[4, column] = labels[7, column] = value
    with pytest.raises(DataError, match=message + r".*First of 2 such rows: row 4\."):
        check_labels(labels, MIXED)


def test_every_bad_target_is_named_at_once():
    labels = np.array(GOOD)
    labels[0, 0], labels[1, 2] = 7.0, 9.0
    with pytest.raises(DataError) as error:
        check_labels(labels, MIXED)
    assert "`click`" in str(error.value)
    assert "`kind`" in str(error.value)


def test_multilabel_names_its_column():
    tasks = make_tasks("multilabel", ["x", "y"])
    check_labels(np.array([[1, 0], [0, 1]]), tasks)
    with pytest.raises(DataError, match="`y` must be 0 or 1"):
        check_labels(np.array([[1, 0], [0, 3]]), tasks)


def test_one_column_may_be_flat_and_of_any_numbers():
    one = make_tasks("binary", ["click"])
    for dtype in (np.int64, np.uint8, np.float32, np.bool_):
        check_labels(np.array([0, 1, 1], dtype=dtype), one)
        check_labels(np.array([0, 1, 1], dtype=dtype), make_tasks("multiclass", ["kind"], 3))
    check_labels(np.zeros(0), one)
    with pytest.raises(DataError, match=r"`click` must be 0 or 1.*got -1"):
        check_labels(np.array([0, -1]), one)


def test_wrong_shapes_and_types():
    with pytest.raises(DataError, match="a column for each of"):
        check_labels(np.zeros((2, 2)), MIXED)
    with pytest.raises(DataError, match="a column for each of"):
        check_labels(np.zeros(2), MIXED)
    with pytest.raises(DataError, match="`dtype` must be numbers"):
        check_labels(np.array(["a"]), make_tasks("binary", ["click"]))
