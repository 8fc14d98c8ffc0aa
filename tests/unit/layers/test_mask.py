"""The instance-guided mask."""

from __future__ import annotations

import torch

from nextrec.layers.mask import InstanceGuidedMask


def test_is_two_layers_with_relu_between() -> None:
    torch.manual_seed(0)
    mask = InstanceGuidedMask(5, 7, 3)
    v = torch.randn(4, 5)
    hidden = (v @ mask.fc1.weight.T + mask.fc1.bias).clamp(min=0)
    torch.testing.assert_close(mask(v), hidden @ mask.fc2.weight.T + mask.fc2.bias)
    assert mask.out_features == 3


def test_factors_may_have_any_sign() -> None:
    torch.manual_seed(0)
    factors = InstanceGuidedMask(5, 7, 30)(torch.randn(50, 5))
    assert (factors < 0).any()
    assert (factors > 0).any()
