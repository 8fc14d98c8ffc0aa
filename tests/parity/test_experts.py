"""Models that share experts against their papers' formulas, number by number in float64."""

from __future__ import annotations

import math

import pytest
import torch
from parity.pieces import (
    ROWS,
    Vector,
    X,
    affine,
    check,
    dot,
    features,
    flat,
    mlp,
    ready,
    relu,
    sigmoid,
    vectors,
)
from torch import Tensor, nn

from nextrec.layers.gating import ExpertLinear
from nextrec.models.multi_task.cross_stitch import CrossStitch
from nextrec.models.multi_task.hmoe import HMoE
from nextrec.models.multi_task.home import HoME
from nextrec.models.multi_task.mmoe import MMOE
from nextrec.models.multi_task.ple import PLE
from nextrec.models.multi_task.poso import POSO
from nextrec.models.multi_task.snr_trans import SNRTrans
from nextrec.models.multi_task.stem import STEM

Matrix = list[Vector]
TARGETS = ["click", "buy", "like"]
TOWERS = [{"dims": [4]}, {"dims": [3, 2]}, {"dims": []}]
SHAPE = {"target": TARGETS, "tower_params_list": TOWERS}


def softmax(scores: Vector) -> Vector:
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def add(a: Vector, b: Vector) -> Vector:
    return [p + q for p, q in zip(a, b, strict=True)]


def times(a: Vector, b: Vector) -> Vector:
    return [p * q for p, q in zip(a, b, strict=True)]


def mixture(weights: Vector, experts: Matrix) -> Vector:
    return [dot(weights, [h[d] for h in experts]) for d in range(len(experts[0]))]


def linear(layer: ExpertLinear, e: int, x: Vector) -> Vector:
    y = [dot(row, x) for row in layer.weight[e].tolist()]
    return y if layer.bias is None else add(y, layer.bias[e].tolist())


def norm(layer: nn.BatchNorm1d, e: int, x: Vector) -> Vector:
    part = slice(e * len(x), (e + 1) * len(x))
    mean, variance = layer.running_mean[part].tolist(), layer.running_var[part].tolist()
    scale, shift = layer.weight[part].tolist(), layer.bias[part].tolist()
    return [
        s * (v - m) / math.sqrt(q + layer.eps) + b
        for v, m, q, s, b in zip(x, mean, variance, scale, shift, strict=True)
    ]


def hidden(layers: list[nn.Module], e: int, x: Vector) -> Vector:
    """The layers of one expert of a bank."""
    for layer in layers:
        if isinstance(layer, ExpertLinear):
            x = linear(layer, e, x)
        elif isinstance(layer, nn.BatchNorm1d):
            x = norm(layer, e, x)
        elif isinstance(layer, nn.SiLU):
            x = [v * sigmoid(v) for v in x]
        elif isinstance(layer, nn.ReLU):
            x = relu(x)
        else:
            assert isinstance(layer, nn.Identity), layer
    return x


def expert(bank: nn.Module, e: int, x: Vector) -> Vector:
    return hidden(list(bank.bank), e, x)


def parts(values: Vector, count: int) -> Matrix:
    size = len(values) // count
    return [values[i * size : (i + 1) * size] for i in range(count)]


def test_mmoe() -> None:
    model = ready(MMOE(**features(), expert_params={"dims": [5, 4]}, num_experts=2, **SHAPE))
    expected, used = [], []
    for row in range(ROWS):
        x = flat(model.embedding, row)
        experts = [expert(model.experts, e, x) for e in range(2)]
        gates = [softmax(s) for s in parts(affine(model.task_gates.gate, x), 3)]
        used.append(gates)
        mixed = [mixture(g, experts) for g in gates]
        expected.append([mlp(t, m)[0] for t, m in zip(model.towers, mixed, strict=True)])
    check(model, expected)
    same_gates(model, {name: [g[t] for g in used] for t, name in enumerate(TARGETS)})


def same_gates(model: nn.Module, expected: dict[str, Matrix]) -> None:
    gates = model.gates(X)
    assert gates.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(gates[name], torch.tensor(weights, dtype=torch.float64))


# -- PLE and POSO over PLE -----------------------------------------------------------------------


def cgc(layer: nn.Module, xs: Matrix, shared: Vector | None, scale: Matrix | None = None):
    """Outputs of the tasks and the shared one, and the gates; ``scale`` by expert, own first."""
    own_count, shared_count = layer.num_own, layer.num_shared
    own: list[Matrix] = []
    for t, x in enumerate(xs):
        if isinstance(layer.specific_experts, nn.ModuleList):
            own.append([expert(layer.specific_experts[t], e, x) for e in range(own_count)])
        else:
            places = range(t * own_count, (t + 1) * own_count)
            own.append([expert(layer.specific_experts, e, x) for e in places])
    common = [expert(layer.shared_experts, e, shared) for e in range(shared_count)]
    if scale is not None:
        own = [
            [times(h, scale[t * own_count + e]) for e, h in enumerate(each)]
            for t, each in enumerate(own)
        ]
        common = [times(h, scale[len(xs) * own_count + e]) for e, h in enumerate(common)]
    gates = [softmax(linear(layer.task_gates.linear, t, x)) for t, x in enumerate(xs)]
    ys = [mixture(gates[t], common + own[t]) for t in range(len(xs))]
    if layer.shared_gate is None:
        return ys, None, gates
    everything = [h for each in own for h in each] + common
    shared_gate = softmax(affine(layer.shared_gate[0], shared))
    return ys, mixture(shared_gate, everything), [*gates, shared_gate]


@pytest.mark.parametrize(
    "options",
    [
        {"specific_expert_params": {"dims": [4]}},
        {"specific_expert_params": [{"dims": [4]}, {"dims": [6, 4]}, {"dims": [4]}]},
        {"specific_expert_params": {"dims": [4]}, "num_shared_experts": 0},
        {"num_specific_experts": 0, "num_levels": 3},
    ],
)
def test_ple(options: dict) -> None:
    counts = {"num_shared_experts": 3, "num_specific_experts": 2, "num_levels": 2}
    model = ready(
        PLE(**features(), shared_expert_params={"dims": [5, 4]}, **counts | options, **SHAPE)
    )
    expected = []
    gates: dict[str, Matrix] = {}
    for row in range(ROWS):
        x = flat(model.embedding, row)
        xs, shared = [x] * 3, x
        for number, layer in enumerate(model.cgc_layers, start=1):
            xs, shared, found = cgc(layer, xs, shared)
            for name, weights in zip([*TARGETS, "shared"], found, strict=False):
                gates.setdefault(f"level {number}, {name}", []).append(weights)
        assert shared is None
        expected.append([mlp(t, m)[0] for t, m in zip(model.towers, xs, strict=True)])
    check(model, expected)
    same_gates(model, gates)


def pc_gate(bank: nn.Module, e: int, pc: Vector) -> Vector:
    return [1.5 * sigmoid(z) for z in linear(bank.out, e, expert(bank.hidden, e, pc))]


@pytest.mark.parametrize("chain", [True, False])
@pytest.mark.parametrize("transfer", ["tower", "logit", "none"])
def test_poso_over_progressive_layers(transfer: str, chain: bool) -> None:
    every = features()
    model = ready(
        POSO(
            main_dense_features=every["dense_features"],
            main_sparse_features=every["sparse_features"],
            main_sequence_features=every["sequence_features"],
            pc_sparse_features=every["sparse_features"][:1],
            architecture="ple",
            expert_hidden_dims=[5, 4],
            num_shared_experts=1,
            num_specific_experts=2,
            num_levels=2,
            expert_gate_scale_factor=1.5,
            transfer=transfer,
            chain=chain,
            **SHAPE,
        )
    )
    ple, expected = model.ple, []
    for row in range(ROWS):
        x, pc = flat(model.embedding, row), vectors(model.embedding, row)["user"]
        xs, shared = [x] * 3, x
        for layer, bank in zip(ple.cgc_layers, ple.pc_gates, strict=True):
            xs, shared, _ = cgc(layer, xs, shared, [pc_gate(bank, e, pc) for e in range(7)])
        logits = towers(model.towers, xs, transfer)
        if chain:
            reached, logits = 1.0, list(logits)
            for t, z in enumerate(logits):
                reached *= sigmoid(z)
                logits[t] = math.log(reached) - math.log(1 - reached)
        expected.append(logits)
    check(model, expected)


def towers(module: nn.Module, xs: Matrix, transfer: str) -> Vector:
    if transfer == "none":
        return [mlp(tower, x)[0] for tower, x in zip(module, xs, strict=True)]
    logits: Vector = []
    earlier: Vector = []
    for net, head, x in zip(module.hidden, module.heads, xs, strict=True):
        h = mlp(net, x + earlier)
        logits += affine(head, h)
        earlier = h if transfer == "tower" else logits[-1:]
    return logits


# -- HMoE ----------------------------------------------------------------------------------------


def test_hmoe() -> None:
    kinds = {"task": ["binary", "binary", "multiclass"], "num_classes": 3}
    model = ready(
        HMoE(**features(), expert_params={"dims": [5, 4]}, num_experts=2, **SHAPE, **kinds)
    )
    expected = []
    for row in range(ROWS):
        x = flat(model.embedding, row)
        experts = [expert(model.experts, e, x) for e in range(2)]
        gates = [softmax(s) for s in parts(affine(model.task_gates.gate, x), 3)]
        scores = [mlp(model.towers[t], mixture(gates[t], experts)) for t in range(3)]
        relations = [softmax(s) for s in parts(affine(model.relations.gate, x), 3)]
        logits: Vector = []
        for t in range(3):
            seen = []
            for s in range(3):
                alike = (s == 2) == (t == 2)
                seen.append(scores[s] if alike else affine(model.maps[f"{s}_to_{t}"], scores[s]))
            logits += mixture(relations[t], seen)
        expected.append(logits)
    check(model, expected)


# -- CrossStitch and SNR-Trans -------------------------------------------------------------------


@pytest.mark.parametrize("per_unit", [True, False])
def test_cross_stitch(per_unit: bool) -> None:
    options = {"network_params": {"dims": [5, 4]}, "per_unit": per_unit}
    model = ready(CrossStitch(**features(), **options, **SHAPE))
    bank, expected = list(model.networks.bank), []
    for row in range(ROWS):
        h = [flat(model.embedding, row)] * 3
        for number, alpha in enumerate(model.stitches):
            layers = bank[number * 4 : number * 4 + 4]
            u = [hidden(layers, t, x) for t, x in enumerate(h)]
            weights = alpha.tolist()
            h = [
                [
                    sum(weights[t][s][d if per_unit else 0] * u[s][d] for s in range(3))
                    for d in range(len(u[0]))
                ]
                for t in range(3)
            ]
        expected.append([mlp(t, x)[0] for t, x in zip(model.towers, h, strict=True)])
    check(model, expected)


def test_snr_trans() -> None:
    model = ready(
        SNRTrans(
            **features(), expert_params={"dims": [5, 4]}, num_experts=2, l0_weight=0.5, **SHAPE
        )
    )
    expected = []
    for row in range(ROWS):
        h = [flat(model.embedding, row)] * 2
        for bank, connections in zip(model.levels, model.connections, strict=True):
            u = [expert(bank, e, x) for e, x in enumerate(h)]
            switches = [
                [min(1.0, max(0.0, sigmoid(a) * 1.2 - 0.1)) for a in line]
                for line in connections.switches.log_alpha.tolist()
            ]
            h = []
            for j, line in enumerate(switches):
                total = [0.0] * 4
                for e, z in enumerate(line):
                    matrix = connections.weight[j, :, e].tolist()
                    total = add(total, [z * dot(weights, u[e]) for weights in matrix])
                h.append(total)
        expected.append([mlp(t, x)[0] for t, x in zip(model.towers, h, strict=True)])
    check(model, expected)
    opened = sum(
        sigmoid(a - 2 / 3 * math.log(0.1 / 1.1))
        for each in model.connections
        for a in each.switches.log_alpha.flatten().tolist()
    )
    assert model.training_outputs(X)["auxiliary"]["l0"].item() == pytest.approx(0.5 * opened)


# -- STEM ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_levels", [1, 2])
def test_stem(num_levels: int) -> None:
    counts = {"num_shared_experts": 3, "num_specific_experts": 2, "num_levels": num_levels}
    model = ready(STEM(**features(), expert_params={"dims": [4]}, **counts, **SHAPE))
    expected = []
    for row in range(ROWS):
        xs = [flat(layer, row) for layer in (*model.task_embeddings, model.embedding)]
        for layer in model.levels:
            experts = [expert(layer.specific_experts, e, xs[e // 2]) for e in range(6)]
            experts += [expert(layer.shared_experts, e, xs[3]) for e in range(3)]
            reads = [add(x, xs[3]) for x in xs[:3]] + [xs[3]]
            mixtures = 4 if layer.shared_output else 3
            gates = [softmax(linear(layer.gates.linear, t, reads[t])) for t in range(mixtures)]
            xs = [mixture(g, experts) for g in gates]
        assert len(xs) == 3
        expected.append([mlp(t, x)[0] for t, x in zip(model.towers, xs, strict=True)])
    check(model, expected)


def test_stem_trains_a_task_with_its_own_tables_alone() -> None:
    model = ready(STEM(**features(), expert_params={"dims": [4]}, **SHAPE))
    model.logits(X)[:, 1].sum().backward()

    def trained(module: nn.Module) -> bool:
        return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())

    assert [trained(layer) for layer in model.task_embeddings] == [False, True, False]
    assert trained(model.embedding)
    specific = model.levels[0].specific_experts.bank[0].weight.grad
    assert [bool(each.any()) for each in specific] == [False, True, False]


# -- HoME ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_experts", [1, 2])
def test_home(num_experts: int) -> None:
    model = ready(
        HoME(
            **features(),
            expert_params={"dims": [4]},
            num_experts=num_experts,
            task_groups=[["click", "like"], ["buy"]],
            gate_rank=2,
            num_feature_gates=num_experts,
            **SHAPE,
        )
    )
    own, group_of, n = softmax, [0, 1, 0], num_experts
    if n == 1:
        own = lambda scores: [sigmoid(s) for s in scores]  # noqa: E731
    expected = []
    for row in range(ROWS):
        x = flat(model.embedding, row)
        meta = home_groups(model, x, n, own)
        shared = [expert(model.experts, e, meta[0]) for e in range(n)]
        logits = []
        for t, g in enumerate(group_of):
            m = meta[1 + g]
            groups = [expert(model.experts, (1 + g) * n + e, m) for e in range(n)]
            tasks = [expert(model.experts, (3 + t) * n + e, m) for e in range(n)]
            weights = softmax(linear(model.task_gates.linear, t, m + meta[0]))
            selves = own(linear(model.self_gates.linear, t, m))
            y = add(mixture(weights, shared + groups + tasks), mixture(selves, tasks))
            logits += mlp(model.towers[t], y)
        expected.append(logits)
    check(model, expected)


def home_groups(model: nn.Module, x: Vector, n: int, own) -> Matrix:
    """The first level: shared, then the two groups."""
    views, gates = [], model.feature_gates
    for c in range(3):
        each = [
            [2 * sigmoid(z) for z in linear(gates.up, c * n + i, linear(gates.down, c * n + i, x))]
            for i in range(n)
        ]
        weights = [1.0] if n == 1 else softmax(linear(gates.mixture.linear, c, x))
        views.append(times(x, mixture(weights, each)))
    h = [[expert(model.meta_experts, c * n + e, views[c]) for e in range(n)] for c in range(3)]
    weights = [softmax(affine(model.shared_gate.gate, x))]
    weights += [softmax(s) for s in parts(affine(model.group_gates.gate, x), 2)]
    seen = [h[0] + h[1] + h[2], h[0] + h[1], h[0] + h[2]]
    selves = [own(linear(model.meta_self_gates.linear, c, x)) for c in range(3)]
    return [add(mixture(weights[c], seen[c]), mixture(selves[c], h[c])) for c in range(3)]


def test_gates_sum_to_one_in_both_modes() -> None:
    model = HoME(**features(), task_groups=[["like"], ["buy", "click"]], **SHAPE)
    x = {
        name: values.float() if values.is_floating_point() else values for name, values in X.items()
    }
    for training in (True, False):
        for weights in model.train(training).gates(x).values():
            ones: Tensor = torch.ones(ROWS)
            torch.testing.assert_close(weights.sum(1), ones)
