from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from nextrec.errors import ConfigError
from nextrec.loss import ClassBalancedFocalLoss, FocalLoss
from nextrec.loss.focal import binary_focal, class_balanced_weights, multiclass_focal


def draw(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale


def classes(count: int, size: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, size, (count,), generator=torch.Generator().manual_seed(seed))


def binary_by_hand(p: float, y: float, gamma: float, alpha: tuple[float, float]) -> float:
    if y == 1:
        return -alpha[1] * (1 - p) ** gamma * math.log(p)
    return -alpha[0] * p**gamma * math.log(1 - p)


def close(values: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(
        values, torch.tensor(expected, dtype=values.dtype), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(
    ("alpha", "by_class"),
    [(None, (1.0, 1.0)), (0.25, (0.75, 0.25)), ([0.2, 0.9], (0.2, 0.9))],
)
@pytest.mark.parametrize("logits", [False, True])
def test_binary_focal_is_its_formula(gamma, alpha, by_class, logits):
    x, y = draw(30), classes(30, 2).double()
    loss = FocalLoss(gamma, alpha, reduction="none", logits=logits)
    expected = [
        binary_by_hand(p, t, gamma, by_class)
        for p, t in zip(x.sigmoid().tolist(), y.tolist(), strict=True)
    ]
    inputs = x if logits else x.sigmoid()
    close(loss(inputs, y), expected)
    close(loss(inputs.unsqueeze(-1), y), expected)  # one column of logits
    close(loss(inputs.reshape(10, 3), y.reshape(10, 3)).flatten(), expected)  # ten rows, 3 labels


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25, [0.2, 0.9, 0.5]])
def test_multiclass_focal_is_its_formula(gamma, alpha):
    x, y = draw(30, 3), classes(30, 3)
    expected = []
    for row, label in zip(x.softmax(-1).tolist(), y.tolist(), strict=True):
        weight = 1.0 if alpha is None else alpha[label] if isinstance(alpha, list) else alpha
        expected.append(-weight * (1 - row[label]) ** gamma * math.log(row[label]))
    loss = FocalLoss(gamma, alpha, reduction="none")
    close(loss(x, y), expected)
    close(loss(x, y.unsqueeze(-1)), expected)


def test_gamma_0_is_cross_entropy():
    x, y = draw(30, 4), classes(30, 4)
    torch.testing.assert_close(FocalLoss(0.0)(x, y), F.cross_entropy(x, y))


def test_two_classes_by_softmax_are_the_binary_loss():
    x, y = draw(30), classes(30, 2)
    two = torch.stack([torch.zeros_like(x), x], dim=-1)
    torch.testing.assert_close(multiclass_focal(two, y, 2.0), binary_focal(x, y.double(), 2.0))


def test_a_label_in_between_mixes_both_classes():
    x = draw(5)
    one, zero = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    mixed = 0.3 * binary_focal(x, one, 2.0) + 0.7 * binary_focal(x, zero, 2.0)
    torch.testing.assert_close(binary_focal(x, 0.3 * one, 2.0), mixed)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("x", [100.0, -100.0])
def test_binary_focal_at_extreme_logits(gamma, x):
    logit = torch.tensor([x, x], requires_grad=True)
    labels = torch.tensor([0.0, 1.0])
    values = binary_focal(logit, labels, gamma)
    values.sum().backward()
    wrong, right = (0, 1) if x > 0 else (1, 0)
    assert values[wrong].item() == pytest.approx(100.0)
    assert values[right].item() == pytest.approx(0.0, abs=1e-20)
    assert logit.grad[wrong].item() == pytest.approx(math.copysign(1.0, x))
    assert logit.grad[right].item() == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_multiclass_focal_at_extreme_logits(gamma):
    x = torch.tensor([[100.0, -100.0, 0.0], [100.0, -100.0, 0.0]], requires_grad=True)
    values = multiclass_focal(x, torch.tensor([0, 1]), gamma)
    values.sum().backward()
    assert values[0].item() == pytest.approx(0.0, abs=1e-20)
    assert values[1].item() == pytest.approx(200.0)
    torch.testing.assert_close(x.grad[1], torch.tensor([1.0, -1.0, 0.0]))
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients(gamma):
    y = classes(5, 2).double()
    focal = FocalLoss(gamma, 0.25, logits=True)
    assert gradcheck(lambda x: focal(x, y), draw(5).requires_grad_())
    p = draw(5, scale=1.0).sigmoid().requires_grad_()
    assert gradcheck(lambda x: FocalLoss(gamma)(x, y), p)
    labels = classes(5, 3)
    many = FocalLoss(gamma, [1.0, 2.0, 3.0])
    assert gradcheck(lambda x: many(x, labels), draw(5, 3).requires_grad_())
    balanced = ClassBalancedFocalLoss([5, 20], gamma=gamma)
    assert gradcheck(lambda x: balanced(x, y), draw(5).requires_grad_())


def test_weights_leave_rows_out():
    x, y = draw(6, 3), classes(6, 3)
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    loss = FocalLoss()
    torch.testing.assert_close(loss(x, y, weight), loss(x[:3], y[:3]))
    torch.testing.assert_close(loss(x, y, weight.unsqueeze(-1)), loss(x[:3], y[:3]))


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_class_balanced_weights_are_their_formula(beta):
    counts = [1, 10, 1000]
    raw = [(1 - beta) / (1 - beta**n) for n in counts]
    expected = [each * 3 / sum(raw) for each in raw]
    close(class_balanced_weights(torch.tensor(counts, dtype=torch.float64), beta), expected)


def test_class_balanced_focal_takes_its_weights_by_label():
    counts, x = [90, 10], draw(12)
    y = classes(12, 2)
    w = class_balanced_weights(torch.tensor([90.0, 10.0], dtype=torch.float64), 0.999)
    values = ClassBalancedFocalLoss(counts, beta=0.999, gamma=1.5, reduction="none")(x, y)
    expected = w[y] * binary_focal(x, y.double(), 1.5)
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-9)
    assert w[1] > w[0]


def test_class_balanced_focal_of_classes():
    x, y = draw(12, 3), classes(12, 3)
    loss = ClassBalancedFocalLoss([5, 50, 500], gamma=2.0)
    same = FocalLoss(2.0, class_balanced_weights(torch.tensor([5.0, 50.0, 500.0]), 0.9999))
    torch.testing.assert_close(loss(x, y), same(x, y))
    assert loss.state_dict() == {}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FocalLoss(gamma=-1), "`gamma`"),
        (lambda: FocalLoss(alpha=1.5), "`alpha`"),
        (lambda: FocalLoss(alpha=[0.5, -0.5]), "`alpha`"),
        (lambda: FocalLoss(reduction="avg"), "`reduction`"),
        (lambda: ClassBalancedFocalLoss([5]), "`class_counts`"),
        (lambda: ClassBalancedFocalLoss([5, 0]), "`class_counts`"),
        (lambda: ClassBalancedFocalLoss(None), "`class_counts`"),
        (lambda: ClassBalancedFocalLoss([5, 5], beta=1.0), "`beta`"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_wrong_number_of_class_weights_is_named():
    with pytest.raises(ConfigError, match=r"one weight a class \(3 here\)"):
        FocalLoss(alpha=[0.5, 0.5])(draw(4, 3), classes(4, 3))
    with pytest.raises(ConfigError, match=r"one weight a class \(2 here\)"):
        ClassBalancedFocalLoss([1, 2, 3])(draw(4), classes(4, 2))
