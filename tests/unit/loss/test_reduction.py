from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nextrec.errors import ConfigError, DataError
from nextrec.loss.reduction import (
    align,
    check_mask,
    check_number,
    check_reduction,
    class_weights,
    divide,
    reduce_loss,
)

VALUES = torch.tensor([[1.0, 2.0], [3.0, 6.0]])


def test_reductions_without_weights_are_torch_reductions():
    assert reduce_loss(VALUES, "mean").item() == 3.0
    assert reduce_loss(VALUES, "sum").item() == 12.0
    assert torch.equal(reduce_loss(VALUES, "none"), VALUES)


def test_weights_are_those_of_a_weighted_mean():
    weight = torch.tensor([[1.0, 0.0], [2.0, 0.5]])
    total = 1 + 0 + 6 + 3
    assert reduce_loss(VALUES, "mean", weight).item() == pytest.approx(total / 3.5)
    assert reduce_loss(VALUES, "sum", weight).item() == pytest.approx(total)
    assert torch.equal(reduce_loss(VALUES, "none", weight), VALUES * weight)


def test_a_bool_mask_is_a_weight():
    mask = torch.tensor([[True, False], [True, True]])
    assert reduce_loss(VALUES, "mean", mask).item() == pytest.approx(10 / 3)


def test_nothing_of_weight_is_an_exact_zero_with_a_gradient():
    values = VALUES.clone().requires_grad_()
    loss = reduce_loss(values, "mean", torch.zeros(2, 2))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(values.grad, torch.zeros(2, 2))


def test_divide_is_exact_for_small_masses():
    assert divide(torch.tensor(1e-6), torch.tensor(1e-6)).item() == 1.0


@pytest.mark.parametrize("reduction", ["avg", None, "Mean", 1])
def test_an_unknown_reduction_is_refused(reduction):
    with pytest.raises(ConfigError, match="BPRLoss: `reduction` must be one of mean, sum, none"):
        check_reduction("BPRLoss", reduction)


@pytest.mark.parametrize("value", ["1", None, math.nan, math.inf, -0.5, True, [1.0]])
def test_what_is_no_number_of_at_least_0_is_refused(value):
    with pytest.raises(ConfigError, match="L: `p` must be a number of at least 0"):
        check_number("L", "p", value)


def test_numbers_of_every_library_are_floats():
    for value in (1, 1.0, np.float32(1), np.int64(1)):
        assert check_number("L", "p", value) == 1.0
    assert check_number("L", "p", -1, least=-1) == -1.0
    with pytest.raises(ConfigError, match="above 0"):
        check_number("L", "p", 0, above=True)


def test_class_weights_take_lists_read_only_arrays_and_tensors():
    array = np.array([1.0, 2.0])
    array.setflags(write=False)
    for value in ([1, 2], array, torch.tensor([1.0, 2.0])):
        assert class_weights("L", "w", value).tolist() == [1.0, 2.0]
    assert class_weights("L", "w", 0.5).shape == ()


@pytest.mark.parametrize("value", [[[1.0]], [-1.0, 2.0], [math.nan, 1.0], "ab", ["a"], [None]])
def test_what_are_no_class_weights_is_refused(value):
    with pytest.raises(ConfigError, match="L: `w` must be one number of at least 0 a class"):
        class_weights("L", "w", value)


def test_align_only_adds_or_drops_a_last_dimension_of_1():
    column, flat = torch.zeros(3, 1), torch.zeros(3)
    assert align("L", column, flat).shape == (3,)
    assert align("L", flat, column).shape == (3, 1)
    assert align("L", torch.zeros(1, 1), torch.zeros(1)).shape == (1,)
    for labels in (torch.zeros(1, 3), torch.zeros(4), torch.zeros(3, 2)):
        with pytest.raises(DataError, match="labels"):
            align("L", flat, labels)


def test_a_mask_is_bool_and_of_the_scores_shape():
    with pytest.raises(DataError, match="mask"):
        check_mask("L", torch.ones(2, 2), VALUES)
    with pytest.raises(DataError, match="mask"):
        check_mask("L", torch.ones(2, dtype=torch.bool), VALUES)
