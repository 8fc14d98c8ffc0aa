from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from nextrec.errors import ConfigError, DataError
from nextrec.loss import CosineContrastiveLoss, WeightedBCELoss
from nextrec.loss.pointwise import balanced_positive_weight


def draw(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale


def flips(*shape: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, shape, generator=generator).double()


def bce_by_hand(p: float, y: float, w: float) -> float:
    return -(w * y * math.log(p) + (1 - y) * math.log(1 - p))


@pytest.mark.parametrize("pos_weight", [None, 3.0, torch.tensor(3.0)])
@pytest.mark.parametrize("logits", [False, True])
def test_weighted_bce_is_its_formula(pos_weight, logits):
    x, y = draw(20), flips(20)
    w = 1.0 if pos_weight is None else 3.0
    expected = [bce_by_hand(p, t, w) for p, t in zip(x.sigmoid().tolist(), y.tolist(), strict=True)]
    loss = WeightedBCELoss(pos_weight, reduction="none", logits=logits)
    values = loss(x if logits else x.sigmoid(), y)
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64))
    mean = WeightedBCELoss(pos_weight, logits=logits)(x if logits else x.sigmoid(), y)
    assert mean.item() == pytest.approx(sum(expected) / 20)


def test_probabilities_are_clamped_at_1e_6():
    loss = WeightedBCELoss(reduction="none")
    values = loss(torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64), torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(values[:2], torch.full((2,), -math.log(1e-6), dtype=torch.float64))
    assert values[2].item() == pytest.approx(1e-6, rel=1e-5)


def test_half_precision_probabilities_of_0_and_1_stay_finite():
    loss = WeightedBCELoss()
    p = torch.tensor([0.0, 1.0], dtype=torch.float16)
    assert torch.isfinite(loss(p, torch.tensor([1.0, 0.0])))


@pytest.mark.parametrize("x", [100.0, -100.0])
def test_weighted_bce_keeps_its_gradient_at_extreme_logits(x):
    logit = torch.tensor([x], requires_grad=True)
    wrong = torch.tensor([0.0 if x > 0 else 1.0])
    loss = WeightedBCELoss(pos_weight=2.0, logits=True)(logit, wrong)
    loss.backward()
    w = 1.0 if x > 0 else 2.0
    assert loss.item() == pytest.approx(100.0 * w)
    assert logit.grad.item() == pytest.approx(math.copysign(w, x))


def test_balance_is_negatives_per_positive():
    labels = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0])
    assert balanced_positive_weight(labels).item() == pytest.approx(1.5)
    assert balanced_positive_weight(torch.ones(4)).item() == pytest.approx(1 / 4)
    assert balanced_positive_weight(torch.zeros(4)).item() == pytest.approx(4.0)


def test_auto_balance_weighs_both_classes_alike():
    x, y = draw(50), flips(50)
    y[:30] = 0
    loss = WeightedBCELoss(logits=True, auto_balance=True)
    ratio = ((1 - y).sum() / y.sum()).item()
    expected = WeightedBCELoss(pos_weight=ratio, logits=True)
    torch.testing.assert_close(loss(x, y), expected(x, y))


def test_auto_balance_counts_only_what_has_weight():
    x, y = draw(8), torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    loss = WeightedBCELoss(logits=True, auto_balance=True)
    torch.testing.assert_close(loss(x, y, weight), loss(x[:4], y[:4]))
    tiny = loss(x, y, weight * 0.01)  # only proportions matter
    torch.testing.assert_close(tiny, loss(x[:4], y[:4]))


def test_weighted_bce_gradients():
    y = flips(6)
    for loss in (
        WeightedBCELoss(2.5, logits=True),
        WeightedBCELoss(auto_balance=True, logits=True),
    ):
        assert gradcheck(lambda x, loss=loss: loss(x, y), draw(6).requires_grad_())
    p = draw(6, scale=1.0).sigmoid().requires_grad_()
    assert gradcheck(lambda x: WeightedBCELoss(2.5)(x, y), p)


def test_a_column_beside_flat_labels_is_not_broadcast():
    x, y = draw(5), flips(5)
    loss = WeightedBCELoss(logits=True)
    torch.testing.assert_close(loss(x.unsqueeze(-1), y), loss(x, y))
    with pytest.raises(DataError, match="labels"):
        loss(x, y[:4])


def test_integer_labels_are_labels():
    x, y = draw(5), flips(5)
    loss = WeightedBCELoss(logits=True)
    assert loss(x, y.long()) == loss(x, y)


def test_pos_weight_is_not_in_the_state_dict_and_is_checked():
    assert WeightedBCELoss(2.0).state_dict() == {}
    with pytest.raises(ConfigError, match="WeightedBCELoss: `pos_weight`"):
        WeightedBCELoss(pos_weight=-1)


def test_cosine_contrastive_is_its_formula():
    u, i, y = draw(30, 4), draw(30, 4, seed=5), flips(30)
    expected = []
    for a, b, t in zip(u, i, y.tolist(), strict=True):
        cos = (torch.dot(a, b) / (a.norm() * b.norm())).item()
        expected.append(t * max(0.0, 0.3 - cos) + (1 - t) * max(0.0, cos - 0.3))
    values = CosineContrastiveLoss(margin=0.3, reduction="none")(u, i, y)
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64))
    weight = torch.arange(30.0)
    mean = CosineContrastiveLoss(margin=0.3)(u, i, y, weight)
    assert mean.item() == pytest.approx((values * weight).sum().item() / weight.sum().item())


def test_cosine_contrastive_gradients_and_zero_vectors():
    u, i, y = draw(4, 3), draw(4, 3, seed=5), flips(4)
    assert gradcheck(
        lambda a, b: CosineContrastiveLoss()(a, b, y), (u.requires_grad_(), i.requires_grad_())
    )
    zero = torch.zeros(1, 3, requires_grad=True)
    CosineContrastiveLoss()(zero, torch.ones(1, 3), torch.ones(1)).backward()
    assert torch.isfinite(zero.grad).all()


def test_bce_of_the_package_and_of_torch_agree():
    x, y = draw(40), flips(40)
    torch.testing.assert_close(
        WeightedBCELoss(logits=True)(x, y), F.binary_cross_entropy_with_logits(x, y)
    )
