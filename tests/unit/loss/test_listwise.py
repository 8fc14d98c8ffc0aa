from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import ndcg_score
from torch.autograd import gradcheck

from nextrec.errors import ConfigError, DataError
from nextrec.loss import (
    ApproxNDCGLoss,
    InfoNCELoss,
    ListMLELoss,
    ListNetLoss,
    SampledSoftmaxLoss,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def grades(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(seed)).double()


def softmax(values: list[float]) -> list[float]:
    exps = [math.exp(v) for v in values]
    return [e / sum(exps) for e in exps]


def listnet(scores: list[float], labels: list[float], temperature: float) -> float:
    given_ = softmax([s / temperature for s in scores])
    return -sum(p * math.log(q) for p, q in zip(softmax(labels), given_, strict=True))


def listmle(scores: list[float], labels: list[float]) -> float:
    order = sorted(range(len(labels)), key=lambda i: -labels[i])
    total = 0.0
    for i in range(len(order)):
        total += math.log(sum(math.exp(scores[j]) for j in order[i:])) - scores[order[i]]
    return total


def approx_ndcg(scores: list[float], labels: list[float], temperature: float, k: int) -> float:
    terms = []
    for i, s in enumerate(scores):
        rank = 1.0
        for j, other in enumerate(scores):
            if j != i:
                rank += 1 / (1 + math.exp(-(other - s) / temperature))
        terms.append((2 ** labels[i] - 1) / math.log2(1 + rank))
    best = sorted(labels, reverse=True)[:k]
    ideal = sum((2**y - 1) / math.log2(2 + i) for i, y in enumerate(best))
    return 1 - sum(sorted(terms, reverse=True)[:k]) / ideal


LISTS = [
    (ListNetLoss(2.0, "none"), lambda s, y: listnet(s, y, 2.0)),
    (ListMLELoss("none"), listmle),
    (ApproxNDCGLoss(0.7, "none"), lambda s, y: approx_ndcg(s, y, 0.7, len(s))),
]


@pytest.mark.parametrize(("loss", "formula"), LISTS)
def test_lists_are_their_formula(loss, formula):
    scores, labels = draw(6, 5), grades(6, 5)
    pairs = zip(scores.tolist(), labels.tolist(), strict=True)
    expected = torch.tensor([formula(s, y) for s, y in pairs], dtype=torch.float64)
    torch.testing.assert_close(loss(scores, labels), expected)
    for reduction, total in (("mean", expected.mean()), ("sum", expected.sum())):
        twin = type(loss)(loss.temperature) if hasattr(loss, "temperature") else type(loss)()
        twin.reduction = reduction
        torch.testing.assert_close(twin(scores, labels), total)


@pytest.mark.parametrize(("loss", "formula"), LISTS)
def test_ragged_lists_are_their_real_items(loss, formula):
    scores, labels = draw(4, 5), grades(4, 5) + 1
    lengths = [5, 3, 1, 0]
    mask = torch.arange(5) < torch.tensor(lengths).unsqueeze(-1)
    mask = mask.flip(-1)  # padding in front, to show that its place doesn't matter
    scores[~mask], labels[~mask] = math.nan, math.nan
    scores.requires_grad_()
    values = loss(scores, labels, mask=mask)
    values.sum().backward()
    for b, length in enumerate(lengths):
        real_scores, real_labels = scores[b][mask[b]].tolist(), labels[b][mask[b]].tolist()
        expected = formula(real_scores, real_labels) if length else 0.0
        assert values[b].item() == pytest.approx(expected, abs=1e-12)
    assert torch.isfinite(scores.grad).all()
    assert torch.equal(scores.grad[~mask], torch.zeros(int((~mask).sum()), dtype=torch.float64))
    mean = type(loss)() if not hasattr(loss, "temperature") else type(loss)(loss.temperature)
    expected_mean = values[:3].mean()  # the empty list is no list
    torch.testing.assert_close(mean(scores, labels, mask=mask), expected_mean)


@pytest.mark.parametrize(
    "loss", [ListNetLoss(2.0), ListMLELoss(), ApproxNDCGLoss(0.7)], ids=lambda x: type(x).__name__
)
def test_gradients_of_lists(loss):
    scores, labels = draw(2, 4).requires_grad_(), grades(2, 4) + 1
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    assert gradcheck(lambda s: loss(s, labels), scores)
    assert gradcheck(lambda s: loss(s, labels, mask=mask), scores)


@pytest.mark.parametrize("size", [100.0, 1e4])
@pytest.mark.parametrize("loss", [ListNetLoss(), ListMLELoss(), ApproxNDCGLoss()])
def test_extreme_scores(loss, size):
    scores = torch.tensor([[size, -size, 0.0], [-size, size, 0.0]], requires_grad=True)
    value = loss(scores, torch.tensor([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0]]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(scores.grad).all()


def test_listnet_temperature_is_of_scores_only():
    scores, labels = draw(3, 4), grades(3, 4)
    torch.testing.assert_close(
        ListNetLoss(temperature=4.0)(scores * 4, labels), ListNetLoss()(scores, labels)
    )


def test_listmle_of_one_label_keeps_the_given_order():
    scores, labels = draw(1, 4), torch.ones(1, 4)
    assert ListMLELoss()(scores, labels).item() == pytest.approx(
        listmle(scores[0].tolist(), [3.0, 2.0, 1.0, 0.0])
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), length=st.integers(1, 8), temperature=st.sampled_from([0.1, 0.3, 1.0, 10.0]))
def test_approx_ndcg_stays_between_0_and_1(data, length, temperature):
    shape = (3, length)
    # Round scores beside real ones, so that ties come up often.
    element = st.floats(-20, 20, width=32) | st.sampled_from([0.0, 1.0])
    scores = data.draw(arrays.arrays(np.float64, shape, elements=element))
    labels = data.draw(arrays.arrays(np.float64, shape, elements=st.integers(0, 4).map(float)))
    labels[:, 0] = 1.0
    k = data.draw(st.integers(1, length + 2))
    values = ApproxNDCGLoss(temperature, "none")(
        torch.from_numpy(scores), torch.from_numpy(labels), k
    )
    for value, s, y in zip(values.tolist(), scores.tolist(), labels.tolist(), strict=True):
        # The loop has no clamp: the bounds are the formula's own.
        unclamped = approx_ndcg(s, y, temperature, k)
        assert -1e-9 <= unclamped <= 1
        assert value == pytest.approx(unclamped, abs=1e-9)
        assert 0 <= value <= 1


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
def test_approx_ndcg_cut_at_k_is_its_formula(k):
    scores, labels = draw(6, 5), grades(6, 5) + 1
    values = ApproxNDCGLoss(0.7, "none")(scores, labels, k)
    expected = [
        approx_ndcg(s, y, 0.7, k) for s, y in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64))
    assert gradcheck(lambda s: ApproxNDCGLoss(0.7)(s, labels, k), scores.requires_grad_())


def test_a_cold_approx_ndcg_is_ndcg():
    scores, labels = draw(20, 6), grades(20, 6) + 1
    value = ApproxNDCGLoss(temperature=1e-4)(scores, labels)
    gains = 2 ** labels.numpy() - 1
    assert value.item() == pytest.approx(1 - ndcg_score(gains, scores.numpy()), abs=1e-3)
    # Cut at k, it is 1 - NDCG@k where the relevant items are among the first k.
    one_hot = torch.nn.functional.one_hot(scores.topk(2).indices[:, 1], 6).double()
    cut = ApproxNDCGLoss(temperature=1e-4)(scores, one_hot, k=3).item()
    assert cut == pytest.approx(1 - ndcg_score(one_hot.numpy(), scores.numpy(), k=3), abs=1e-3)


def test_relevant_items_below_the_cut_are_pulled_up():
    scores = torch.tensor([[5.0, 4.0, 3.0, 0.0]], requires_grad=True)
    ApproxNDCGLoss()(scores, torch.tensor([[0.0, 0.0, 0.0, 1.0]]), k=2).backward()
    assert scores.grad[0, 3] < 0
    assert (scores.grad[0, :3] > 0).all()


def test_a_list_without_relevant_items_is_left_out():
    scores, labels = draw(2, 3).requires_grad_(), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    value = ApproxNDCGLoss()(scores, labels)
    value.backward()
    assert value.item() == pytest.approx(approx_ndcg(scores[0].tolist(), [1.0, 0.0, 0.0], 1.0, 3))
    assert torch.equal(scores.grad[1], torch.zeros(3, dtype=torch.float64))
    assert ApproxNDCGLoss()(scores, labels * 0).item() == 0.0


def softmax_by_hand(pos: float, negs: list[float]) -> float:
    return -math.log(math.exp(pos) / (math.exp(pos) + sum(math.exp(n) for n in negs)))


def test_sampled_softmax_is_its_formula():
    pos, neg = draw(5), draw(5, 3, seed=1)
    expected = torch.tensor(
        [softmax_by_hand(p, n) for p, n in zip(pos.tolist(), neg.tolist(), strict=True)],
        dtype=torch.float64,
    )
    torch.testing.assert_close(SampledSoftmaxLoss("none")(pos, neg), expected)
    torch.testing.assert_close(SampledSoftmaxLoss()(pos, neg), expected.mean())
    torch.testing.assert_close(SampledSoftmaxLoss("sum")(pos.unsqueeze(-1), neg), expected.sum())


def test_sampled_softmax_of_ragged_negatives():
    pos, neg = draw(3), draw(3, 2, seed=1)
    neg[1, 1] = math.nan
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    neg.requires_grad_()
    values = SampledSoftmaxLoss("none")(pos, neg, mask)
    values.sum().backward()
    expected = [
        softmax_by_hand(pos[0].item(), neg[0].tolist()),
        softmax_by_hand(pos[1].item(), neg[1, :1].tolist()),
        0.0,
    ]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(neg.grad[~mask], torch.zeros(3, dtype=torch.float64))
    assert SampledSoftmaxLoss()(pos, neg, mask).item() == pytest.approx(sum(expected) / 2)


def test_infonce_is_its_formula():
    query, key, negatives = draw(4, 3), draw(4, 3, seed=1), draw(4, 2, 3, seed=2)
    expected = [
        softmax_by_hand(
            (query[b] @ key[b]).item() / 0.5,
            [(query[b] @ negatives[b, k]).item() / 0.5 for k in range(2)],
        )
        for b in range(4)
    ]
    loss = InfoNCELoss(temperature=0.5, reduction="none")
    torch.testing.assert_close(
        loss(query, key, negatives), torch.tensor(expected, dtype=torch.float64)
    )


def test_gradients_of_softmaxes():
    mask = torch.tensor([[True, True], [True, False]])
    pos, neg = draw(2).requires_grad_(), draw(2, 2, seed=1).requires_grad_()
    assert gradcheck(lambda p, n: SampledSoftmaxLoss()(p, n, mask), (pos, neg))
    vectors = [draw(2, 3, seed=s).requires_grad_() for s in (1, 2)]
    negatives = draw(2, 2, 3, seed=3).requires_grad_()
    assert gradcheck(InfoNCELoss(0.5), (*vectors, negatives))


def test_extreme_logits_of_softmaxes():
    pos = torch.tensor([-100.0, 100.0], requires_grad=True)
    values = SampledSoftmaxLoss("none")(pos, torch.tensor([[100.0], [-100.0]]))
    values.sum().backward()
    torch.testing.assert_close(values, torch.tensor([200.0, 0.0]))
    torch.testing.assert_close(pos.grad, torch.tensor([-1.0, 0.0]))


def test_bad_shapes_and_arguments():
    with pytest.raises(DataError, match="labels"):
        ListNetLoss()(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(DataError, match="labels"):
        ListMLELoss()(torch.zeros(3), torch.zeros(3))
    with pytest.raises(DataError, match="negatives"):
        SampledSoftmaxLoss()(torch.zeros(3), torch.zeros(2, 4))
    with pytest.raises(DataError, match="mask"):
        ListMLELoss()(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3))
    for build in (InfoNCELoss, ListNetLoss, ApproxNDCGLoss):
        with pytest.raises(ConfigError, match=r"`temperature` must be a number above 0"):
            build(temperature=0.0)
    with pytest.raises(ConfigError, match="`k`"):
        ApproxNDCGLoss()(torch.zeros(2, 3), torch.ones(2, 3), k=0)
