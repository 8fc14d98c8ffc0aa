from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.layers.head import PredictionLayer
from nextrec.tasks import make_tasks


def sigmoid(z):
    return 1 / (1 + torch.exp(-z))


def test_each_task_has_its_activation():
    head = PredictionLayer(["binary", "regression", "multiclass", "binary"], [1, 2, 3, 1])
    torch.nn.init.normal_(head.bias)
    x = torch.randn(5, 7)
    z = x + head.bias
    exps = torch.exp(z[:, 3:6])
    expected = [sigmoid(z[:, :1]), z[:, 1:3], exps / exps.sum(1, keepdim=True), sigmoid(z[:, 6:])]
    torch.testing.assert_close(head(x), torch.cat(expected, 1))
    assert head.total_dim == head.out_features == 7
    assert head.task_types == ["binary", "regression", "multiclass", "binary"]
    assert head.task_dims == [1, 2, 3, 1]


def test_multilabel_is_a_sigmoid_a_column():
    head, x = PredictionLayer("multilabel", 3), torch.randn(4, 3)
    torch.testing.assert_close(head(x), sigmoid(x))


def test_dimensions_default_to_one_and_one_number_is_for_all():
    assert PredictionLayer(["binary", "regression"]).task_dims == [1, 1]
    assert PredictionLayer(["multiclass", "multiclass"], 3).task_dims == [3, 3]
    assert PredictionLayer(["multiclass", "multiclass"], [3]).task_dims == [3, 3]


def test_the_bias_starts_at_zero_and_is_optional():
    assert torch.equal(PredictionLayer("multiclass", 3).bias, torch.zeros(3))
    head = PredictionLayer("regression", use_bias=False)
    assert head.bias is None
    assert not list(head.parameters())


@pytest.mark.parametrize("rows", [1, 4])
def test_one_number_a_row_loses_its_axis_and_a_row_never_does(rows):
    assert PredictionLayer("binary")(torch.randn(rows, 1)).shape == (rows,)
    assert PredictionLayer(["binary", "binary"])(torch.randn(rows, 2)).shape == (rows, 2)
    assert PredictionLayer("multiclass", 3)(torch.randn(rows, 3)).shape == (rows, 3)
    assert PredictionLayer("binary")(torch.randn(rows, 6, 1)).shape == (rows, 6)


def test_a_vector_is_one_row():
    assert PredictionLayer("multiclass", 3)(torch.randn(3)).shape == (1, 3)
    assert PredictionLayer("binary")(torch.randn(1)).shape == (1,)


def test_logits_pass_with_their_bias():
    head = PredictionLayer(["binary", "multiclass"], [1, 2], return_logits=True)
    torch.nn.init.normal_(head.bias)
    x = torch.randn(3, 3)
    torch.testing.assert_close(head(x), x + head.bias)


def test_probabilities_of_half_precision_logits_do_not_saturate():
    x = torch.tensor([[6.0], [7.0], [8.0]], dtype=torch.bfloat16)
    y = PredictionLayer("binary", use_bias=False)(x)
    assert y.dtype == torch.float32
    assert (y < 1).all()
    assert y.unique().numel() == 3


def test_is_built_for_the_tasks_of_a_model():
    head = PredictionLayer.of(make_tasks(["binary", "multiclass"], ["a", "b"], 3))
    assert (head.task_types, head.task_dims, head.bias) == (["binary", "multiclass"], [1, 3], None)
    assert PredictionLayer.of(make_tasks("multilabel", ["a", "b"]), use_bias=True).bias.shape == (
        2,
    )


def test_errors_name_what_is_wrong():
    with pytest.raises(ConfigError, match="Did you mean 'binary'"):
        PredictionLayer("binry")
    for dims in ([1, 2], [0, 1, 1], 0, [1.5, 1, 1], []):
        with pytest.raises(ConfigError, match="task_dims"):
            PredictionLayer(["binary"] * 3, dims)
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        PredictionLayer(["binary"] * 3)(torch.randn(4, 2))
