from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nextrec.errors import ConfigError, DataError
from nextrec.loss import (
    BPRLoss,
    CosineContrastiveLoss,
    FocalLoss,
    ListNetLoss,
    Objective,
    WeightedBCELoss,
)
from nextrec.tasks import make_tasks

BINARY = make_tasks("binary", ["click"])
REGRESSION = make_tasks("regression", ["stay"])
CLASSES = make_tasks("multiclass", ["kind"], 3)
LABELS = make_tasks("multilabel", ["x", "y"])
NAN = math.nan


class Recorder(nn.Module):
    """Keeps what it was called with and returns what it is told to."""

    def __init__(self, function, **attributes):
        super().__init__()
        self.function = function
        self.calls = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, inputs, labels):
        self.calls.append((inputs.detach().clone(), labels.detach().clone()))
        return self.function(inputs, labels)


def test_a_module_of_the_users_own_gets_probabilities_of_observed_rows():
    loss = Recorder(F.binary_cross_entropy)
    logits, labels = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0], [NAN], [0.0]])
    value = Objective(BINARY, loss)(logits, labels)
    ((inputs, given),) = loss.calls
    torch.testing.assert_close(inputs, logits[[0, 2], 0].sigmoid())
    torch.testing.assert_close(given, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(value, F.binary_cross_entropy(inputs, given))


def test_a_module_may_ask_for_logits():
    loss = Recorder(F.binary_cross_entropy_with_logits, logits=True)
    Objective(BINARY, loss)(torch.tensor([[4.0]]), torch.tensor([[1.0]]))
    assert loss.calls[0][0].tolist() == [4.0]


def test_functions_of_torch_get_what_they_take():
    x, y = torch.randn(6, 1), torch.tensor([[1.0], [0.0]] * 3)
    expected = F.binary_cross_entropy_with_logits(x, y)
    for function in (F.binary_cross_entropy_with_logits, F.binary_cross_entropy):
        torch.testing.assert_close(Objective(BINARY, function)(x, y), expected)
    x, y = torch.randn(6, 3), torch.tensor([[0.0], [1.0], [2.0]] * 2)
    expected = F.cross_entropy(x, y[:, 0].long())
    torch.testing.assert_close(Objective(CLASSES, F.cross_entropy)(x, y), expected)


def test_subclasses_of_torch_losses_get_logits():
    class Mine(nn.BCEWithLogitsLoss):
        pass

    x, y = torch.randn(6, 1), torch.tensor([[1.0], [0.0]] * 3)
    torch.testing.assert_close(
        Objective(BINARY, Mine())(x, y), F.binary_cross_entropy_with_logits(x, y)
    )


def test_values_by_row_are_weighted_and_masked():
    def squares(inputs, labels):
        return (inputs - labels).square()

    x, y = torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([[0.0], [0.0], [NAN]])
    weight = torch.tensor([1.0, 3.0, 5.0])
    for loss in (Recorder(squares), Recorder(squares, reduction="none")):
        value = Objective(REGRESSION, loss)(x, y, weight)
        assert value.item() == pytest.approx((1 + 3 * 4) / 4)
    assert len(loss.calls[0][0]) == 3  # with reduction="none" no row was selected


def test_one_number_can_not_be_weighted():
    objective = Objective(REGRESSION, Recorder(F.mse_loss))
    x, y = torch.ones(3, 1), torch.zeros(3, 1)
    assert objective(x, y).item() == 1.0
    with pytest.raises(ConfigError, match="sample_weight"):
        objective(x, y, torch.ones(3))


def test_a_module_is_not_called_without_rows():
    loss = Recorder(F.mse_loss)
    x = torch.ones(2, 1, requires_grad=True)
    value = Objective(REGRESSION, loss)(x, torch.full((2, 1), NAN))
    value.backward()
    assert loss.calls == []
    assert value.item() == 0.0
    assert torch.equal(x.grad, torch.zeros(2, 1))


def test_one_row_by_value_and_by_number():
    x, y = torch.ones(1, 1), torch.zeros(1, 1)
    for function in (F.mse_loss, lambda a, b: (a - b).square()):
        assert Objective(REGRESSION, Recorder(function))(x, y).item() == 1.0


def test_a_wrong_number_of_values_is_refused():
    loss = Recorder(lambda inputs, labels: torch.zeros(2))
    with pytest.raises(ConfigError, match=r"one a label \(3,\); got \(2,\)"):
        Objective(REGRESSION, loss)(torch.ones(3, 1), torch.zeros(3, 1))


def test_a_module_over_rows_of_labels():
    x = torch.randn(4, 2)
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0], [NAN, NAN], [1.0, 1.0]])
    loss = nn.MultiLabelSoftMarginLoss()
    value = Objective(LABELS, loss)(x, y)
    torch.testing.assert_close(value, loss(x[[0, 1, 3]], y[[0, 1, 3]]))
    y[0, 0] = NAN
    with pytest.raises(DataError, match=r"'x\+y': a row has labels that are not observed"):
        Objective(LABELS, loss)(x, y)
    by_label = Recorder(lambda p, t: (p - t).square(), reduction="none")
    expected = (x.sigmoid() - y).square()[~y.isnan()].mean()
    torch.testing.assert_close(Objective(LABELS, by_label)(x, y), expected)


def test_parameters_of_a_module_are_trained():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, inputs, labels):
            return (self.scale * inputs - labels).square()

    loss = Scaled()
    objective = Objective(REGRESSION, loss)
    assert list(objective.parameters()) == [loss.scale]
    objective(torch.ones(2, 1), torch.zeros(2, 1)).backward()
    assert loss.scale.grad.item() == 2.0


@pytest.mark.parametrize(
    "loss", [WeightedBCELoss(2.0), WeightedBCELoss(2.0, logits=True), FocalLoss(), nn.BCELoss()]
)
def test_losses_on_probabilities_are_computed_from_logits(loss):
    x = torch.tensor([[100.0], [-100.0]], requires_grad=True)
    value = Objective(BINARY, loss)(x, torch.tensor([[0.0], [1.0]]))
    value.backward()
    weight = 2.0 if isinstance(loss, WeightedBCELoss) else 1.0
    torch.testing.assert_close(x.grad, torch.tensor([[0.5], [-0.5 * weight]]))
    assert loss.reduction == "mean"  # the user's module is left as it was


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_errors_of_a_binary_task_compare_probabilities(name):
    x, y = torch.randn(8, 1), torch.tensor([[1.0], [0.0]] * 4)
    reference = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}[name]
    torch.testing.assert_close(Objective(BINARY, name)(x, y), reference(x.sigmoid(), y))
    torch.testing.assert_close(Objective(REGRESSION, name)(x, y), reference(x, y))


def test_the_mean_of_cross_entropy_by_class_weight_is_torchs():
    x, y = torch.randn(30, 3), torch.randint(0, 3, (30, 1))
    for options in (
        {"weight": [1.0, 2.0, 3.0]},
        {"weight": [1.0, 2.0, 3.0], "label_smoothing": 0.2},
        {"ignore_index": 1},
        {"weight": [1.0, 0.0, 3.0], "reduction": "sum"},
    ):
        tensors = {
            key: torch.tensor(value) if isinstance(value, list) else value
            for key, value in options.items()
        }
        expected = F.cross_entropy(x, y[:, 0], **tensors)
        by_name = Objective(CLASSES, "ce", options)
        torch.testing.assert_close(by_name(x, y.float()), expected)
        by_module = Objective(CLASSES, nn.CrossEntropyLoss(**tensors))
        torch.testing.assert_close(by_module(x, y), expected)
        assert by_name.state_dict() == {}
        assert by_module.state_dict() == {}


@pytest.mark.parametrize(
    ("tasks", "loss", "params", "message"),
    [
        (BINARY, "ce", None, "target 'click': the loss CrossEntropyLoss trains multiclass"),
        (BINARY, nn.CrossEntropyLoss(), None, "trains multiclass; the task is binary"),
        (LABELS, "ce", None, r"target 'x\+y'"),
        (CLASSES, "bce", None, "target 'kind': the loss BCEWithLogitsLoss trains binary"),
        (CLASSES, nn.BCELoss(), None, "the task is multiclass"),
        (CLASSES, "mse", None, "the task is multiclass"),
        (REGRESSION, "bce", None, "the task is regression"),
        (REGRESSION, "focal", None, "the task is regression"),
        (BINARY, "bpr", None, "pairs or lists of a match model"),
        (BINARY, BPRLoss(), None, "pairs or lists"),
        (BINARY, ListNetLoss(), None, "pairs or lists"),
        (BINARY, CosineContrastiveLoss(), None, "pairs or lists"),
        (BINARY, "cb_focal", {"class_counts": [1, 2, 3]}, "each of the 2 classes; got 3"),
        (CLASSES, "focal", {"alpha": [0.5, 0.5]}, "each of the 3 classes; got 2"),
        (CLASSES, "ce", {"weight": [1.0, 1.0]}, "each of the 3 classes; got 2"),
    ],
)
def test_a_loss_that_can_not_train_the_task_is_refused(tasks, loss, params, message):
    with pytest.raises(ConfigError, match=message):
        Objective(tasks, loss, params)
