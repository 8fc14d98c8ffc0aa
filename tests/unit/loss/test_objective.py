from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from nextrec.errors import ConfigError, DataError
from nextrec.loss import FocalLoss, Objective, WeightedBCELoss
from nextrec.tasks import Task, make_tasks

NAN = math.nan
BINARY = make_tasks("binary", ["click"])
TWO = make_tasks("binary", ["click", "buy"])
CLASSES = make_tasks("multiclass", ["kind"], 3)
LABELS = make_tasks("multilabel", ["x", "y", "z"])
MIXED = make_tasks(["binary", "regression", "multiclass"], ["click", "stay", "kind"], 3)


def batch(tasks: tuple[Task, ...], rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits and labels that the tasks can mean."""
    generator = torch.Generator().manual_seed(seed)
    width = sum(task.size for task in tasks)
    logits = torch.randn(rows, width, generator=generator, dtype=torch.float64) * 2
    columns = []
    for task in tasks:
        count = len(task.targets)
        if task.kind == "regression":
            columns.append(torch.randn(rows, count, generator=generator, dtype=torch.float64))
        else:
            classes = task.size if task.kind == "multiclass" else 2
            drawn = torch.randint(0, classes, (rows, count), generator=generator)
            columns.append(drawn.double())
    return logits, torch.cat(columns, dim=1)


SETTINGS = {
    "one binary": (BINARY, None, None),
    "fused": (TWO, None, None),
    "weighted": (TWO, "weighted_bce", {"pos_weight": 2.0}),
    "balanced": (TWO, "weighted_bce", {"auto_balance": True}),
    "focal": (TWO, "focal", {"alpha": 0.25}),
    "focal classes": (CLASSES, "focal", {"alpha": [0.2, 0.3, 0.5]}),
    "class balanced": (TWO, "cb_focal", {"class_counts": [90, 10]}),
    "weighted classes": (CLASSES, "ce", {"weight": [1.0, 2.0, 0.5]}),
    "multilabel": (LABELS, None, None),
    "multilabel focal": (LABELS, "focal", None),
    "mixed": (MIXED, None, None),
    "robust": (MIXED, ["bce", "huber", "focal"], None),
    "own module": (MIXED, [lambda p, y: F.binary_cross_entropy(p, y), None, None], None),
    "own values": (MIXED, [lambda p, y: (p - y).abs(), "mae", None], None),
}
ALL = pytest.mark.parametrize("name", SETTINGS)
WEIGHTABLE = pytest.mark.parametrize("name", [name for name in SETTINGS if name != "own module"])


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "reference"),
    [
        (BINARY, lambda z, y: F.binary_cross_entropy_with_logits(z, y)),
        (make_tasks("regression", ["stay"]), lambda z, y: F.mse_loss(z, y)),
        (CLASSES, lambda z, y: F.cross_entropy(z, y[:, 0].long())),
        (LABELS, lambda z, y: F.binary_cross_entropy_with_logits(z, y)),
    ],
)
def test_defaults_by_kind_of_task(tasks, reference):
    logits, labels = batch(tasks, 40)
    torch.testing.assert_close(Objective(tasks)(logits, labels), reference(logits, labels))


def test_the_loss_is_the_weighted_sum_of_the_tasks():
    logits, labels = batch(MIXED, 20)
    parts = torch.stack(
        [
            F.binary_cross_entropy_with_logits(logits[:, 0], labels[:, 0]),
            F.mse_loss(logits[:, 1], labels[:, 1]),
            F.cross_entropy(logits[:, 2:], labels[:, 2].long()),
        ]
    )
    for weights in (None, 0.5, [1.0, 2.0, 0.0], np.array([3.0, 1.0, 1.0]), torch.ones(3)):
        objective = Objective(MIXED, loss_weights=weights)
        torch.testing.assert_close(objective.task_losses(logits, labels), parts)
        scale = torch.as_tensor(1.0 if weights is None else weights, dtype=torch.float64)
        torch.testing.assert_close(objective(logits, labels), (scale * parts).sum())


def test_losses_and_keywords_by_task():
    logits, labels = batch(MIXED, 20)
    objective = Objective(
        MIXED,
        [WeightedBCELoss(2.0), "huber", "ce"],
        [None, {"delta": 0.5}, {"label_smoothing": 0.1}],
    )
    parts = [
        WeightedBCELoss(2.0, logits=True)(logits[:, 0], labels[:, 0]),
        F.huber_loss(logits[:, 1], labels[:, 1], delta=0.5),
        F.cross_entropy(logits[:, 2:], labels[:, 2].long(), label_smoothing=0.1),
    ]
    torch.testing.assert_close(objective.task_losses(logits, labels), torch.stack(parts))


def test_fused_and_single_binary_losses_agree():
    logits, labels = batch(TWO, 30)
    labels[::3, 0] = NAN
    weight = torch.rand(30, 2, dtype=torch.float64)
    fused = Objective(TWO)
    single = Objective(TWO, WeightedBCELoss())  # the same formula by the general way
    assert fused._fused
    assert not single._fused
    for each in (None, weight, weight[:, 0]):
        torch.testing.assert_close(
            fused.task_losses(logits, labels, each), single.task_losses(logits, labels, each)
        )


def test_a_sum_is_a_sum_over_observed_rows():
    logits, labels = batch(BINARY, 10)
    labels[3] = NAN
    seen = ~labels.isnan()
    for loss, params in (("bce", {"reduction": "sum"}), (nn.BCELoss(reduction="sum"), None)):
        value = Objective(BINARY, loss, params)(logits, labels)
        expected = F.binary_cross_entropy_with_logits(logits[seen], labels[seen], reduction="sum")
        torch.testing.assert_close(value, expected)
    focal = Objective(BINARY, FocalLoss(reduction="sum"))(logits, labels)
    expected = FocalLoss(reduction="sum", logits=True)(logits[seen], labels[seen])
    torch.testing.assert_close(focal, expected)


def test_logits_keyword_of_a_named_loss_changes_nothing():
    logits, labels = batch(BINARY, 10)
    values = [
        Objective(BINARY, "focal", params)(logits, labels)
        for params in (None, {"logits": True}, {"logits": False})
    ]
    assert values[0] == values[1] == values[2]


def test_auxiliary_losses_are_added_as_they_are():
    logits, labels = batch(BINARY, 10)
    aux = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    objective = Objective(BINARY, loss_weights=2.0)
    total = objective({"logits": logits, "auxiliary": {"balance": aux, "again": aux}}, labels)
    total.backward()
    torch.testing.assert_close(total, objective(logits, labels) + 0.5)
    assert aux.grad.item() == 2.0
    torch.testing.assert_close(objective({"logits": logits}, labels), objective(logits, labels))
    with pytest.raises(DataError, match="`balance` must be a scalar tensor"):
        objective({"logits": logits, "auxiliary": {"balance": torch.zeros(2)}}, labels)


# -- what is not observed ------------------------------------------------------------------------


@ALL
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), mask=st.lists(st.booleans(), min_size=1, max_size=12))
def test_masking_rows_equals_dropping_them(name, seed, mask):
    tasks, loss, params = SETTINGS[name]
    objective = Objective(tasks, loss, params)
    keep = torch.tensor(mask)
    logits, labels = batch(tasks, len(mask), seed)
    masked = torch.where(keep.unsqueeze(-1), labels, torch.full_like(labels, NAN))
    whole = logits.clone().requires_grad_()
    value = objective(whole, masked)
    value.backward()
    if not keep.any():
        assert value.item() == 0.0
        assert torch.equal(whole.grad, torch.zeros_like(whole))
        return
    part = logits[keep].clone().requires_grad_()
    expected = objective(part, labels[keep])
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(whole.grad[keep], part.grad)
    assert torch.equal(whole.grad[~keep], torch.zeros_like(whole.grad[~keep]))


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.integers(1, 10))
def test_each_task_has_its_own_mean(data, rows):
    logits, labels = batch(MIXED, rows)
    cells = st.lists(st.booleans(), min_size=rows * 3, max_size=rows * 3)
    seen = torch.tensor(data.draw(cells)).reshape(rows, 3)
    values = Objective(MIXED).task_losses(
        logits, torch.where(seen, labels, torch.full_like(labels, NAN))
    )
    for index, task in enumerate(MIXED):
        rows_seen = seen[:, index]
        expected = 0.0
        if rows_seen.any():
            alone = make_tasks(task.kind, task.targets, 3 if task.kind == "multiclass" else None)
            part = logits[rows_seen][:, task.logits]
            expected = Objective(alone)(part, labels[rows_seen][:, task.labels]).item()
        assert values[index].item() == pytest.approx(expected)


def test_labels_of_a_multilabel_row_are_masked_one_by_one():
    logits, labels = batch(LABELS, 10)
    labels[2, 1] = labels[5, :2] = labels[7] = NAN
    seen = ~labels.isnan()
    expected = F.binary_cross_entropy_with_logits(logits[seen], labels[seen])
    torch.testing.assert_close(Objective(LABELS)(logits, labels), expected)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@ALL
def test_a_task_without_observed_labels_sends_a_zero_gradient(name):
    tasks, loss, params = SETTINGS[name]
    logits, labels = batch(tasks, 6)
    logits.requires_grad_()
    labels[:, tasks[0].labels] = NAN
    with torch.autograd.detect_anomaly(check_nan=True):
        losses = Objective(tasks, loss, params).task_losses(logits, labels)
        losses.sum().backward()
    assert losses[0].item() == 0.0
    assert torch.equal(logits.grad[:, tasks[0].logits], torch.zeros(6, tasks[0].size).double())
    if len(tasks) > 1:
        assert (losses[1:] > 0).all()
        assert (logits.grad[:, tasks[1].logits] != 0).any()


@ALL
def test_one_row(name):
    tasks, loss, params = SETTINGS[name]
    logits, labels = batch(tasks, 1)
    value = Objective(tasks, loss, params)(logits.requires_grad_(), labels)
    value.backward()
    assert value.dim() == 0
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


# -- sample weights ------------------------------------------------------------------------------


@WEIGHTABLE
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_weights_equal_repeated_rows(name, seed, counts):
    tasks, loss, params = SETTINGS[name]
    objective = Objective(tasks, loss, params)
    logits, labels = batch(tasks, len(counts), seed)
    repeats = torch.tensor(counts)
    value = objective(logits, labels, repeats.float())
    if repeats.sum() == 0:
        assert value.item() == 0.0
        return
    rows = torch.repeat_interleave(torch.arange(len(counts)), repeats)
    torch.testing.assert_close(value, objective(logits[rows], labels[rows]))
    # The same weights for every column.
    by_column = repeats.float().unsqueeze(-1).expand_as(labels)
    torch.testing.assert_close(objective(logits, labels, by_column), value)
    torch.testing.assert_close(objective(logits, labels, repeats.unsqueeze(-1)), value)


@WEIGHTABLE
def test_weights_of_1_change_nothing_and_their_scale_does_not_matter(name):
    tasks, loss, params = SETTINGS[name]
    objective = Objective(tasks, loss, params)
    logits, labels = batch(tasks, 20)
    labels[3:7, 0] = NAN if tasks is not LABELS else 1.0
    plain = objective(logits, labels)
    torch.testing.assert_close(objective(logits, labels, torch.ones(20)), plain)
    torch.testing.assert_close(objective(logits, labels, torch.full((20,), 0.01).double()), plain)


def test_weights_by_column_weigh_each_task():
    logits, labels = batch(TWO, 12)
    weight = torch.rand(12, 2, dtype=torch.float64)
    losses = Objective(TWO).task_losses(logits, labels, weight)
    values = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    torch.testing.assert_close(losses, (weight * values).sum(0) / weight.sum(0))


def test_the_weight_of_what_is_not_observed_may_be_anything():
    logits, labels = batch(TWO, 4)
    labels[1] = NAN
    weight = torch.tensor([1.0, NAN, 1.0, 1.0], dtype=torch.float64)
    value = Objective(TWO)(logits, labels, weight)
    torch.testing.assert_close(value, Objective(TWO)(logits, labels))


# -- gradients and extremes ----------------------------------------------------------------------


@WEIGHTABLE
def test_gradients_with_weights_and_missing_labels(name):
    tasks, loss, params = SETTINGS[name]
    objective = Objective(tasks, loss, params)
    logits, labels = batch(tasks, 5)
    labels[1] = NAN
    weight = torch.tensor([1.0, 1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
    assert gradcheck(lambda z: objective(z, labels, weight), logits.requires_grad_())


@pytest.mark.parametrize("name", [name for name in SETTINGS if not name.startswith("own")])
@pytest.mark.parametrize("size", [100.0, -100.0])
def test_extreme_logits(name, size):
    tasks, loss, params = SETTINGS[name]
    logits, labels = batch(tasks, 8)
    logits = (logits.sign() * size).float().requires_grad_()
    labels[2] = NAN
    value = Objective(tasks, loss, params)(logits, labels)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


def test_half_precision_logits_are_summed_in_float32():
    logits, labels = batch(MIXED, 300)
    labels[0, 2] = NAN
    value = Objective(MIXED)(logits.bfloat16(), labels)
    assert value.dtype == torch.float32
    expected = Objective(MIXED)(logits.bfloat16().float(), labels)
    torch.testing.assert_close(value, expected)
    many = make_tasks("multiclass", ["item"], 1000)  # class 999 is no bfloat16 number
    logits = torch.zeros(1, 1000, dtype=torch.bfloat16)
    logits[0, 999] = 50.0
    assert Objective(many)(logits, torch.tensor([[999.0]])).item() == pytest.approx(0.0, abs=1e-6)


def test_no_value_leaves_the_device():
    """On the meta device anything that reads a value fails."""
    for name, (tasks, loss, params) in SETTINGS.items():
        if name.startswith("own"):
            continue
        objective = Objective(tasks, loss, params, loss_weights=2.0).to("meta")
        logits, labels = (each.to("meta") for each in batch(tasks, 8))
        value = objective(logits.requires_grad_(), labels, torch.ones(8, device="meta"))
        value.backward()
        assert value.device.type == "meta"


# -- shapes and arguments ------------------------------------------------------------------------


def test_one_column_may_be_flat():
    logits, labels = batch(BINARY, 6)
    objective = Objective(BINARY)
    expected = objective(logits, labels)
    assert objective(logits[:, 0], labels[:, 0]) == expected
    assert objective(logits, labels[:, 0].long()) == expected


def test_the_state_dict_is_empty():
    objective = Objective(TWO, [WeightedBCELoss(2.0), FocalLoss(alpha=0.3)], loss_weights=[1, 2])
    assert objective.state_dict() == {}
    assert len(list(objective.buffers())) == 3


@pytest.mark.parametrize(
    ("logits", "labels", "weight", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), None, r"`logits` must be \(B, 2\)"),
        (torch.zeros(4), torch.zeros(4, 2), None, "`logits`"),
        (torch.zeros(4, 2), torch.zeros(3, 2), None, r"`labels` must be \(4, 2\)"),
        (torch.zeros(4, 2), torch.zeros(4), None, r"a column for each of \['click', 'buy'\]"),
        (torch.zeros(4, 2), None, None, "`labels` must be a tensor"),
        (torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(2), "`sample_weight`"),
        (torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, 3), "`sample_weight`"),
    ],
)
def test_wrong_shapes_are_refused(logits, labels, weight, message):
    with pytest.raises(DataError, match=message):
        Objective(TWO)(logits, labels, weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "bcee"}, r"Did you mean 'bce'\?"),
        ({"loss": ["bce"]}, r"`loss` must be one, or one a task \(2: click, buy\)"),
        ({"loss": ["bce"] * 3}, "`loss`"),
        ({"loss": ["bce", 5]}, "`loss` must be one of"),
        ({"loss": nn.BCELoss}, "`loss` must be one of"),
        ({"loss": nn.BCELoss(), "loss_params": {"gamma": 1.0}}, "loss_params"),
        ({"loss_params": [{}, {}, {}]}, "`loss_params` must be a dict, or a list with one a task"),
        ({"loss_params": "gamma"}, "`loss_params`"),
        ({"loss_params": ["gamma", "alpha"]}, "`loss_params`"),
        ({"loss_params": {"gama": 1.0}, "loss": "focal"}, r"Did you mean 'gamma'\?"),
        ({"loss_weights": [1.0]}, r"`loss_weights` must be a number, or a list with one a task"),
        ({"loss_weights": "ab"}, "`loss_weights`"),
        ({"loss_weights": {"click": 1.0}}, "`loss_weights`"),
        ({"loss_weights": [1.0, "b"]}, "`loss_weights` must be a number of at least 0"),
        ({"loss_weights": [1.0, -1.0]}, "`loss_weights`"),
        ({"loss_weights": [1.0, NAN]}, "`loss_weights`"),
        ({"loss_weights": True}, "`loss_weights`"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ConfigError, match=message):
        Objective(TWO, **options)


def test_every_problem_is_in_one_error():
    with pytest.raises(ConfigError) as error:
        Objective(MIXED, ["ce", "bce", "mse"])
    for target in ("click", "stay", "kind"):
        assert f"target {target!r}" in str(error.value)


def test_fewer_keywords_than_tasks_leave_the_rest_without():
    objective = Objective(TWO, "focal", [{"gamma": 1.0}])
    assert [each.loss.gamma for each in objective.losses] == [1.0, 2.0]


def test_an_auxiliary_loss_may_read_the_labels():
    objective = Objective(make_tasks(["binary", "binary"], ["click", "buy"]))
    logits = torch.zeros(3, 2, requires_grad=True)
    labels = torch.tensor([[1.0, 1.0], [0.0, float("nan")], [1.0, 0.0]])
    seen = {}

    def risk(filled, weights):
        seen["labels"], seen["weights"] = filled, weights
        return (weights[:, 1] * filled[:, 1]).sum() * 3 + logits.sum()

    plain = objective(logits, labels, torch.tensor([1.0, 1.0, 0.5]))
    total = objective(
        {"logits": logits, "auxiliary": {"risk": risk}}, labels, torch.tensor([1.0, 1.0, 0.5])
    )
    assert (total - plain).item() == 3.0
    assert seen["labels"].tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    assert seen["weights"].tolist() == [[1.0, 1.0], [1.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize("value", [torch.zeros(2), 1.0, lambda labels, weights: labels])
def test_an_auxiliary_loss_that_is_no_scalar_is_refused(value):
    objective = Objective(make_tasks(["binary"], ["click"]))
    with pytest.raises(DataError, match="auxiliary loss: `extra` must be a scalar tensor"):
        objective({"logits": torch.zeros(3, 1), "auxiliary": {"extra": value}}, torch.zeros(3, 1))
