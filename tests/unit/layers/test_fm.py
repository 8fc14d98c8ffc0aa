from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.layers.fm import (
    BILINEAR_TYPES,
    FM,
    BiLinearInteractionLayer,
    SENETLayer,
)


@pytest.mark.parametrize("fields", [1, 2, 5])
def test_fm_is_the_sum_over_pairs(fields):
    x = torch.randn(3, fields, 4).double()
    pairs = [x[:, i] * x[:, j] for i, j in combinations(range(fields), 2)]
    expected = sum(pairs, torch.zeros(3, 4).double())
    torch.testing.assert_close(FM(reduce_sum=False)(x), expected)
    torch.testing.assert_close(FM()(x), expected.sum(1, keepdim=True))
    assert (FM().out_features, FM(False).out_features) == (1, None)


@pytest.mark.parametrize(("fields", "ratio", "hidden"), [(6, 3, 2), (7, 3, 2), (2, 3, 1)])
def test_senet_is_the_equation(fields, ratio, hidden):
    layer, x = SENETLayer(fields, ratio).double(), torch.randn(3, fields, 4).double()
    w1, w2 = (each for each in layer.parameters())
    assert w1.shape == (hidden, fields)
    for b in range(3):
        z = torch.stack([x[b, f].sum() / 4 for f in range(fields)])
        a = (w2 @ (w1 @ z).clamp(min=0)).clamp(min=0)
        for f in range(fields):
            torch.testing.assert_close(layer(x)[b, f], a[f] * x[b, f])


@pytest.mark.parametrize("kind", BILINEAR_TYPES)
@pytest.mark.parametrize("fields", [2, 5])
def test_bilinear_is_the_equation(kind, fields):
    layer, x = (
        BiLinearInteractionLayer(3, fields, kind).double(),
        torch.randn(4, fields, 3).double(),
    )
    expected = []
    for p, (i, j) in enumerate(combinations(range(fields), 2)):
        w = layer.weight[{"field_all": 0, "field_each": i, "field_interaction": p}[kind]]
        expected.append(torch.stack([(w @ row[i]) * row[j] for row in x]))
    torch.testing.assert_close(layer(x), torch.stack(expected, 1))
    assert layer.num_pairs == len(expected)


def test_bilinear_matrices_start_as_those_of_a_layer_of_their_own():
    weight = BiLinearInteractionLayer(200, 3).weight
    assert weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)


def test_bilinear_refuses_what_it_does_not_know():
    with pytest.raises(ConfigError, match="Did you mean 'field_each'"):
        BiLinearInteractionLayer(3, 5, "field_eac")
    with pytest.raises(ConfigError, match="num_fields"):
        BiLinearInteractionLayer(3, 1)


def test_every_matrix_gets_a_gradient():
    for kind in BILINEAR_TYPES:
        layer = BiLinearInteractionLayer(3, 4, kind)
        layer(torch.randn(5, 4, 3)).square().sum().backward()
        assert (layer.weight.grad.abs().amax((1, 2)) > 0).all()
        assert isinstance(layer.weight, nn.Parameter)
