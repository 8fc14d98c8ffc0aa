from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from nextrec.errors import ConfigError, DataError
from nextrec.loss import BPRLoss, HingeLoss, TripletLoss


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def bpr(pos: float, neg: float) -> float:
    return -math.log(1 / (1 + math.exp(neg - pos)))


def hinge(pos: float, neg: float) -> float:
    return max(0.0, 0.7 - (pos - neg))


PAIRS = [(BPRLoss, {}, bpr), (HingeLoss, {"margin": 0.7}, hinge)]


@pytest.mark.parametrize(("loss", "options", "formula"), PAIRS)
def test_pairs_are_their_formula(loss, options, formula):
    pos, neg = draw(6), draw(6, 3, seed=1)
    rows = zip(pos.tolist(), neg.tolist(), strict=True)
    expected = [[formula(p, n) for n in row] for p, row in rows]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(loss(**options, reduction="none")(pos, neg), expected)
    torch.testing.assert_close(loss(**options)(pos, neg), expected.mean())
    torch.testing.assert_close(loss(**options, reduction="sum")(pos, neg), expected.sum())
    torch.testing.assert_close(loss(**options)(pos, neg[:, 0]), expected[:, 0].mean())
    torch.testing.assert_close(loss(**options)(pos.unsqueeze(-1), neg), expected.mean())


@pytest.mark.parametrize(("loss", "options", "formula"), PAIRS)
def test_padded_negatives_do_not_exist(loss, options, formula):
    pos, neg = draw(3), draw(3, 2, seed=1)
    neg[1, 1] = math.nan
    neg[2] = math.inf
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    pairs = [(0, 0), (0, 1), (1, 0)]
    expected = sum(formula(pos[b].item(), neg[b, k].item()) for b, k in pairs) / 3
    neg.requires_grad_()
    value = loss(**options)(pos, neg, mask)
    value.backward()
    assert value.item() == pytest.approx(expected)
    assert torch.equal(neg.grad[~mask], torch.zeros(3, dtype=torch.float64))


def test_bpr_learns_from_its_worst_pairs():
    difference = torch.tensor([-30.0, -100.0, -1000.0, 100.0], requires_grad=True)
    loss = BPRLoss(reduction="none")(difference, torch.zeros(4))
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.tensor([30.0, 100.0, 1000.0, 0.0]))
    torch.testing.assert_close(difference.grad, torch.tensor([-1.0, -1.0, -1.0, 0.0]))


def distance(a: torch.Tensor, b: torch.Tensor, kind: str) -> float:
    if kind == "cosine":
        return 1 - (torch.dot(a, b) / (a.norm() * b.norm())).item()
    squared = sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True))
    return squared if kind == "squared_euclidean" else math.sqrt(squared)


@pytest.mark.parametrize("kind", ["euclidean", "squared_euclidean", "cosine"])
def test_triplet_is_its_formula(kind):
    a, p, n = draw(5, 3), draw(5, 3, seed=1), draw(5, 2, 3, seed=2)
    expected = torch.tensor(
        [
            [
                max(0.0, distance(a[b], p[b], kind) - distance(a[b], n[b, k], kind) + 0.5)
                for k in range(2)
            ]
            for b in range(5)
        ],
        dtype=torch.float64,
    )
    loss = TripletLoss(margin=0.5, reduction="none", distance=kind)
    torch.testing.assert_close(loss(a, p, n), expected)
    torch.testing.assert_close(loss(a, p, n[:, 0]), expected[:, 0])
    mask = torch.tensor([[True, False]]).expand(5, 2)
    mean = TripletLoss(margin=0.5, distance=kind)(a, p, n, mask)
    torch.testing.assert_close(mean, expected[:, 0].mean())


def test_triplet_agrees_with_torch():
    a, p, n = draw(9, 3), draw(9, 3, seed=1), draw(9, 3, seed=2)
    reference = torch.nn.TripletMarginLoss(margin=1.0, eps=0.0)
    torch.testing.assert_close(TripletLoss()(a, p, n), reference(a, p, n))


def test_gradients():
    pos, neg = draw(3).requires_grad_(), draw(3, 2, seed=1).requires_grad_()
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    assert gradcheck(BPRLoss(), (pos, neg))
    assert gradcheck(lambda p, n: BPRLoss()(p, n, mask), (pos, neg))
    assert gradcheck(HingeLoss(), (pos, neg))
    vectors = [draw(3, 2, seed=s).requires_grad_() for s in (1, 2)]
    negatives = draw(3, 2, 2, seed=3).requires_grad_()
    for kind in ("euclidean", "squared_euclidean", "cosine"):
        assert gradcheck(TripletLoss(distance=kind), (*vectors, negatives))


def test_triplet_has_a_gradient_where_anchor_and_positive_coincide():
    a = torch.ones(1, 2, requires_grad=True)
    TripletLoss()(a, torch.ones(1, 2), torch.ones(1, 2)).backward()
    assert torch.isfinite(a.grad).all()


def test_shapes_that_do_not_pair_are_refused():
    for neg in (torch.zeros(4), torch.zeros(2, 3), torch.zeros(3, 2, 2)):
        with pytest.raises(DataError, match="BPRLoss: `negatives`"):
            BPRLoss()(torch.zeros(3), neg)
    with pytest.raises(DataError, match="mask"):
        BPRLoss()(torch.zeros(3), torch.zeros(3, 2), torch.ones(3, 2))


def test_bad_arguments():
    with pytest.raises(ConfigError, match=r"distance.*Did you mean 'cosine'\?"):
        TripletLoss(distance="cosin")
    with pytest.raises(ConfigError, match="margin"):
        HingeLoss(margin=-1.0)
    with pytest.raises(ConfigError, match="reduction"):
        BPRLoss(reduction="avg")
