from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nextrec.errors import ConfigError
from nextrec.loss import (
    LOSSES,
    VALID_TASK_TYPES,
    get_loss_fn,
    get_loss_kwargs,
    listwise,
    pairwise,
    pointwise,
)

NAMES = {
    "bce": nn.BCELoss,
    "binary_crossentropy": nn.BCELoss,
    "weighted_bce": pointwise.WeightedBCELoss,
    "focal": pointwise.FocalLoss,
    "focal_loss": pointwise.FocalLoss,
    "crossentropy": nn.CrossEntropyLoss,
    "ce": nn.CrossEntropyLoss,
    "mse": nn.MSELoss,
    "mae": nn.L1Loss,
    "huber": nn.HuberLoss,
    "cosine_contrastive": pointwise.CosineContrastiveLoss,
    "bpr": pairwise.BPRLoss,
    "hinge": pairwise.HingeLoss,
    "triplet": pairwise.TripletLoss,
    "sampled_softmax": listwise.SampledSoftmaxLoss,
    "softmax": listwise.SampledSoftmaxLoss,
    "infonce": listwise.InfoNCELoss,
    "listnet": listwise.ListNetLoss,
    "listmle": listwise.ListMLELoss,
    "approx_ndcg": listwise.ApproxNDCGLoss,
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    assert type(get_loss_fn(name)) is NAMES[name]
    assert type(get_loss_fn(name.upper())) is NAMES[name]
    assert get_loss_fn(name, reduction="sum").reduction == "sum"


@pytest.mark.parametrize("name", ["cb_focal", "class_balanced_focal"])
def test_class_balanced_focal_needs_its_counts(name):
    loss = get_loss_fn(name, class_counts=[90, 10])
    assert type(loss) is pointwise.ClassBalancedFocalLoss
    with pytest.raises(ConfigError, match="must have 'class_counts'"):
        get_loss_fn(name)


def test_every_name_of_the_registry_is_tested():
    assert set(LOSSES) - {"cb_focal"} <= set(NAMES)


def test_by_default_probabilities_go_in_and_logits_on_demand():
    x = torch.tensor([0.3, -2.0, 1.0])
    y = torch.tensor([1.0, 0.0, 0.0])
    for name in ("bce", "weighted_bce", "focal"):
        on_probabilities, on_logits = get_loss_fn(name), get_loss_fn(name, logits=True)
        torch.testing.assert_close(on_probabilities(x.sigmoid(), y), on_logits(x, y))
    torch.testing.assert_close(
        get_loss_fn("bce", logits=True)(x, y), F.binary_cross_entropy_with_logits(x, y)
    )


def test_keywords_reach_the_loss():
    assert get_loss_fn("focal", gamma=1.5, alpha=0.25).gamma == 1.5
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    weighted = get_loss_fn("ce", weight=[1, 2, 3], label_smoothing=0.1)
    expected = F.cross_entropy(x, y, torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1)
    torch.testing.assert_close(weighted(x, y), expected)
    p = torch.tensor([0.0, 5.0])
    huber = get_loss_fn("huber", delta=2.0)(p, torch.zeros(2))
    assert huber.item() == pytest.approx((0 + 2.0 * (5.0 - 1.0)) / 2)


def test_modules_and_functions():
    module = nn.MSELoss()
    assert get_loss_fn(module) is module
    p, y = torch.tensor([0.2]), torch.tensor([1.0])
    assert get_loss_fn(F.binary_cross_entropy)(p, y) == F.binary_cross_entropy(p, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": None}, "get_loss_fn: `loss` must be one of bce, .* a function; got None"),
        ({"loss": 3}, "`loss` must be"),
        ({"loss": nn.MSELoss}, "`loss` must be"),
        ({"loss": "focall"}, r"Did you mean 'focal'\?"),
        ({"loss": "focal", "gama": 1.0}, r"loss 'focal': `loss_params`.*Did you mean 'gamma'\?"),
        ({"loss": "bce", "reduction": "avg"}, "`reduction` must be one of mean, sum, none"),
        ({"loss": "huber", "delta": 0}, "`delta` must be a number above 0"),
        ({"loss": "ce", "weight": [1, -1]}, "`weight`"),
        ({"loss": "ce", "label_smoothing": 2}, "`label_smoothing`"),
        ({"loss": nn.MSELoss(), "gamma": 1.0}, "loss_params"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        get_loss_fn(**arguments)


def test_keywords_of_one_task():
    assert get_loss_kwargs(None) == {}
    shared = {"gamma": 1.0}
    assert get_loss_kwargs(shared, 3) == shared
    assert get_loss_kwargs(shared) is not shared
    assert get_loss_kwargs([{"a": 1}, None], 0) == {"a": 1}
    assert get_loss_kwargs([{"a": 1}, None], 1) == {}
    assert get_loss_kwargs([{"a": 1}], 2) == {}


def test_task_types():
    assert VALID_TASK_TYPES == ("binary", "multiclass", "multilabel", "regression")
