"""Log-odds of a chain of events against products of probabilities."""

from __future__ import annotations

import math

import torch

from nextrec.layers.chain import ChainPredictionLayer, chain_logits


def test_products_of_conditional_probabilities():
    torch.manual_seed(0)
    z = 3 * torch.randn(50, 4, dtype=torch.float64)
    y = chain_logits(z)
    for row in range(50):
        p = 1.0
        for step in range(4):
            p *= 1 / (1 + math.exp(-float(z[row, step])))
            assert math.isclose(float(y[row, step].sigmoid()), p, rel_tol=1e-12)


def test_one_step_is_the_logit():
    z = torch.randn(5, 1)
    assert torch.equal(chain_logits(z), z)


def test_probabilities_never_grow_along_the_chain():
    z = 30 * torch.randn(1000, 5)
    p = chain_logits(z).sigmoid()
    assert bool((p[:, 1:] <= p[:, :-1]).all())


def test_extreme_logits_keep_their_digits_and_a_gradient():
    z = torch.tensor([[200.0, 200.0], [-200.0, 5.0], [60.0, -150.0]], requires_grad=True)
    y = chain_logits(z)
    expected = [200 - math.log(2), -200 - math.log1p(math.exp(-5)), -150.0]
    torch.testing.assert_close(y[:, 1], torch.tensor(expected))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(y, torch.zeros(3, 2))
    loss.backward()
    assert bool(torch.isfinite(z.grad).all())
    assert float(z.grad[0, 0]) > 0.1  # a certain mistake is felt in every step of the chain


def test_head_takes_what_an_uneven_sigmoid_adds():
    head = ChainPredictionLayer(["binary"] * 3, use_bias=False)
    z = torch.tensor([[0.0, 1.0, -1.0], [2.0, 1.0, 1.5]])
    capped = torch.tensor([[0.0, 0.0, -1.0], [2.0, 1.0, 1.0]])
    assert torch.equal(head(z), capped.sigmoid())
    logits = ChainPredictionLayer(["binary"] * 3, use_bias=False, return_logits=True)
    assert torch.equal(logits(z), z)
