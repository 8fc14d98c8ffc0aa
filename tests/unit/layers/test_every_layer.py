"""What holds for every layer, whatever its equation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from nextrec import layers
from nextrec.layers.fm import BILINEAR_TYPES
from nextrec.layers.gating import ExpertBank, ExpertMixture
from nextrec.tasks import make_tasks

L, D, F = 4, 6, 3  # sequence length, width, fields


def numbers(*shape):
    return lambda rows: torch.randn(rows, *shape)


def ids(count):
    return lambda rows: torch.randint(count, (rows,))


def mask(*shape):
    return lambda rows: torch.rand(rows, *shape) < 0.7


# name -> (layer, one function ``rows -> tensor`` for each of its inputs)
LAYERS = {
    "Dice": (lambda: layers.Dice(D), [numbers(D)]),
    "Dice of a sequence": (lambda: layers.Dice(D), [numbers(L, D), mask(L)]),
    "MLP": (lambda: layers.MLP(D, dims=[5, 4], dropout=0.1), [numbers(D)]),
    "MLP with dice": (lambda: layers.MLP(D, dims=[5, 4], activation="dice"), [numbers(D)]),
    "MLP without norm": (lambda: layers.MLP(D, dims=[5], norm="none"), [numbers(D)]),
    "MLP with layer norm": (lambda: layers.MLP(D, False, [5], norm="layer"), [numbers(D)]),
    "LR": (lambda: layers.LR(D), [numbers(D)]),
    "AveragePooling": (layers.AveragePooling, [numbers(L, D), mask(1, L)]),
    "SumPooling": (layers.SumPooling, [numbers(L, D), mask(1, L)]),
    "MaxPooling": (layers.MaxPooling, [numbers(L, D), mask(1, L)]),
    "ConcatPooling": (layers.ConcatPooling, [numbers(L, D), mask(1, L)]),
    "self-attention": (lambda: layers.MultiHeadSelfAttention(D), [numbers(F, D)]),
    "masked self-attention": (
        lambda: layers.MultiHeadSelfAttention(D),
        [numbers(F, D), mask(F)],
    ),
    "attention pooling": (
        lambda: WithMask(layers.AttentionPoolingLayer(D, [5, 4], "dice")),
        [numbers(D), numbers(L, D), mask(L)],
    ),
    "attention pooling without softmax": (
        lambda: layers.AttentionPoolingLayer(D, [5], "prelu", use_softmax=False),
        [numbers(D), numbers(L, D), lambda rows: torch.randint(0, L + 1, (rows,))],
    ),
    "CrossLayer": (lambda: layers.CrossLayer(D), [numbers(D), numbers(D)]),
    "CrossNetwork": (lambda: layers.CrossNetwork(D, 2), [numbers(D)]),
    "CrossNetV2": (lambda: layers.CrossNetV2(D, 2), [numbers(D)]),
    "CrossNetMix": (lambda: layers.CrossNetMix(D, 2, 2, 3), [numbers(D)]),
    "CrossNetMix of one": (lambda: layers.CrossNetMix(D, 2, 2, 1), [numbers(D)]),
    "GatedCrossNetwork": (lambda: layers.GatedCrossNetwork(D, 2), [numbers(D)]),
    "FM": (layers.FM, [numbers(F, D)]),
    "CIN": (lambda: layers.CIN(F, [4, 2]), [numbers(F, D)]),
    "FieldGate": (lambda: layers.FieldGate(F), [numbers(F, D)]),
    "InstanceGuidedMask": (lambda: layers.InstanceGuidedMask(D, 8, 4), [numbers(D)]),
    "NLinear": (lambda: layers.NLinear(F, 2, D), [numbers(F, 2)]),
    "AutoDis": (lambda: layers.AutoDis(F, D, 4), [numbers(F)]),
    "PeriodicEmbedding": (lambda: layers.PeriodicEmbedding(F, D, 4), [numbers(F)]),
    "TokenFeedForward": (lambda: layers.TokenFeedForward(F, D, 2), [numbers(F, D)]),
    "target attention": (
        lambda: layers.MultiHeadTargetAttention(D, 2),
        [numbers(D), numbers(L, D), mask(L)],
    ),
    "transformer block": (lambda: layers.TransformerBlock(D, 2), [numbers(L, D), mask(L)]),
    "causal transformer block": (
        lambda: layers.TransformerBlock(D, 2, norm="pre", causal=True),
        [numbers(L, D), mask(L)],
    ),
    "SENETLayer": (lambda: layers.SENETLayer(F), [numbers(F, D)]),
    **{
        kind: (lambda kind=kind: layers.BiLinearInteractionLayer(D, F, kind), [numbers(F, D)])
        for kind in BILINEAR_TYPES
    },
    "ExpertBank": (lambda: ExpertBank(2, D, [5, 4]), [numbers(D)]),
    "ExpertBank of own inputs": (
        lambda: ExpertBank(2, D, [5], activation="dice", norm="layer"),
        [numbers(2, D)],
    ),
    "GateBank": (lambda: layers.GateBank(2, D, 3), [numbers(2, D)]),
    "GeneratedLinear": (lambda: layers.GeneratedLinear(3, D, 5), [numbers(D), numbers(3)]),
    "StarLinear": (lambda: layers.StarLinear(3, D, 5), [numbers(D), ids(3)]),
    "PartitionedNorm": (lambda: layers.PartitionedNorm(3, D), [numbers(D), ids(3)]),
    "ExpertMixture": (lambda: ExpertMixture(D, 2, 3), [numbers(D), numbers(2, 5)]),
    "PredictionLayer": (
        lambda: layers.PredictionLayer(["binary", "multiclass"], [1, 3]),
        [numbers(4)],
    ),
    "PredictionLayer of one": (
        lambda: layers.PredictionLayer.of(make_tasks("binary", ["y"])),
        [numbers(1)],
    ),
}


class WithMask(nn.Module):
    """Attention pooling with its mask in the third place."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool
        self.out_features = pool.out_features

    def forward(self, query, keys, mask):
        return self.pool(query, keys, mask=mask)


@pytest.fixture(params=LAYERS)
def case(request):
    torch.manual_seed(0)
    build, inputs = LAYERS[request.param]
    layer = build()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return layer, lambda rows: [make(rows) for make in inputs]


def loss(y):
    """Not the plain sum, which a softmax makes constant."""
    return (y.float() * torch.arange(1.0, y.numel() + 1).view(y.shape).sin()).sum()


def test_width_is_what_it_says(case):
    layer, inputs = case
    width = getattr(layer, "out_features", None)
    y = layer(*inputs(3))
    assert y.shape[0] == 3
    if width is not None and y.dim() > 1:
        assert y.shape[-1] == width


def test_every_parameter_and_input_gets_a_finite_gradient(case):
    layer, inputs = case
    tensors = [x.requires_grad_() if x.is_floating_point() else x for x in inputs(8)]
    loss(layer(*tensors)).backward()
    for tensor in [*layer.parameters(), *(x for x in tensors if x.requires_grad)]:
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.any()


def test_one_row_is_that_row_of_a_batch(case):
    layer, inputs = case
    tensors = inputs(5)
    layer(*tensors)
    layer.eval()
    whole = layer(*tensors)
    for row in range(5):
        one = layer(*(x[row : row + 1] for x in tensors))
        assert one.shape == whole[row : row + 1].shape
        torch.testing.assert_close(one, whole[row : row + 1])


def test_one_row_trains(case):
    layer, inputs = case
    y = layer(*inputs(1))
    if y.requires_grad:
        loss(y).backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_bf16_autocast_is_near_fp32(case):
    layer, inputs = case
    layer.eval()  # dropout would differ
    tensors = [x.requires_grad_() if x.is_floating_point() else x for x in inputs(8)]
    expected = layer(*tensors)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(*tensors)
    loss(y).backward()
    largest = expected.abs().max().item()
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.05 * largest)
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_trains_under_bf16_autocast(case):
    layer, inputs = case
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(*inputs(8))
    if y.requires_grad:
        loss(y).backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_gradients_are_those_of_the_function(case):
    layer, inputs = case
    layer.eval().double()
    parameters = {name: p.detach().requires_grad_() for name, p in layer.named_parameters()}
    tensors = [x.double().requires_grad_() if x.is_floating_point() else x for x in inputs(2)]

    def function(*values):
        named = dict(zip(parameters, values[: len(parameters)], strict=True))
        y = functional_call(layer, named, values[len(parameters) :])
        return y.double()

    assert torch.autograd.gradcheck(
        function, (*parameters.values(), *tensors), fast_mode=True, check_undefined_grad=False
    )


def test_exports_for_any_batch_size(case):
    layer, inputs = case
    layer.eval()
    rows = torch.export.Dim("rows")
    example = tuple(inputs(3))
    program = torch.export.export(layer, example, dynamic_shapes=[{0: rows} for _ in example])
    run = program.module()
    for size in (2, 7):
        tensors = inputs(size)
        torch.testing.assert_close(run(*tensors), layer(*tensors))


def test_a_copy_is_equal_and_independent(case):
    layer, inputs = case
    tensors = inputs(3)
    layer.eval()
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(*tensors), layer(*tensors))
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(*tensors), layer(*tensors))
