"""Softmax over real positions."""

from __future__ import annotations

import torch

from nextrec.layers.softmax import masked_softmax


def test_is_the_softmax_of_what_is_real():
    torch.manual_seed(0)
    scores = (10 * torch.randn(3, 4)).requires_grad_()
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    weights = masked_softmax(scores, mask)
    torch.testing.assert_close(weights[0, mask[0]], torch.softmax(scores[0, mask[0]], -1))
    assert weights[2].tolist() == [0, 1, 0, 0]
    assert not weights[~mask].any()
    weights.square().sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad[~mask].any()
