from __future__ import annotations

import torch

from nextrec.layers.linear import LR


def test_is_a_linear_layer_to_one_number():
    lr, x = LR(3), torch.randn(4, 3)
    assert list(lr.state_dict()) == ["fc.weight", "fc.bias"]
    expected = (x * lr.fc.weight).sum(1, keepdim=True) + lr.fc.bias
    torch.testing.assert_close(lr(x), expected)
    assert lr.out_features == lr(x).shape[-1] == 1


def test_the_sigmoid_is_optional():
    plain, squashed, x = LR(3), LR(3, sigmoid=True), torch.randn(4, 3)
    squashed.load_state_dict(plain.state_dict())
    torch.testing.assert_close(squashed(x), 1 / (1 + torch.exp(-plain(x))))
