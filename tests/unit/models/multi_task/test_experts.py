from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.layers.mlp import MLP
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.cross_stitch import CrossStitch
from nextrec.models.multi_task.hmoe import HMoE
from nextrec.models.multi_task.home import HoME
from nextrec.models.multi_task.mmoe import MMOE
from nextrec.models.multi_task.ple import PLE, CGCLayer
from nextrec.models.multi_task.poso import POSO
from nextrec.models.multi_task.sequential_towers import SequentialTowers
from nextrec.models.multi_task.snr_trans import SNRTrans
from nextrec.models.multi_task.stem import STEM
from nextrec.tasks import make_tasks

FEATURES = {
    "dense_features": [DenseFeature("price")],
    "sparse_features": [SparseFeature("item", 9, embedding_dim=4)],
}
GROUPS = {
    "main_dense_features": FEATURES["dense_features"],
    "pc_sparse_features": FEATURES["sparse_features"],
}
X = {"price": torch.randn(6), "item": torch.arange(6)}
GATED = {"architecture": "mmoe", "expert_hidden_dims": [4]}
MODELS = [MMOE, PLE, HMoE, STEM, HoME, CrossStitch, SNRTrans]


def build(cls: type[BaseModel], **options: Any) -> BaseModel:
    features = GROUPS if cls is POSO else FEATURES
    return cls(**features, **{"target": ["click", "buy"], **options})


@pytest.mark.parametrize("cls", MODELS)
def test_tasks_may_mix_kinds_and_labels_be_missing(cls: type[BaseModel]) -> None:
    model = build(
        cls,
        target=["click", "stars", "stay"],
        task=["binary", "multiclass", "regression"],
        num_classes=4,
    )
    outputs = model.training_outputs(X)
    nan = float("nan")
    labels = torch.tensor([[1.0, 3.0, nan], [nan, 0.0, 2.5], [0.0, nan, nan]] * 2)
    loss = model.objective(outputs, labels)
    assert model.logits(X).shape == (6, 6)
    assert torch.isfinite(loss)
    loss.backward()
    assert {"click", "stars"} <= {name.split(", ")[-1] for name in model.gates(X)}


@pytest.mark.parametrize("cls", [*MODELS, POSO])
def test_towers_are_one_a_target(cls: type[BaseModel]) -> None:
    with pytest.raises(ConfigError, match=r"`tower_params_list` must be a list of one mapping"):
        build(cls, tower_params_list=[{"dims": [4]}])


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (MMOE, {"num_experts": 0}, "MMOE: `num_experts` must be a positive integer; got 0"),
        (MMOE, {"expert_params": {"dim": [4]}}, "Did you mean 'dims'"),
        (HMoE, {"num_experts": -1}, "HMoE: `num_experts` must be a positive integer"),
        (PLE, {"num_levels": 0}, "PLE: `num_levels` must be a positive integer"),
        (PLE, {"num_shared_experts": -1}, "PLE: `num_shared_experts` must be an integer of at"),
        (PLE, {"num_specific_experts": -1}, "PLE: `num_specific_experts` must be an integer of"),
        (PLE, {"num_shared_experts": 0}, "at least 2 experts .*; got 0 \\+ 1"),
        (PLE, {"num_specific_experts": 0}, "at least 2 experts .*; got 1 \\+ 0"),
        (PLE, {"shared_expert_params": {"dims": [8]}}, "of one last width .*; got \\[8, 128\\]"),
        (PLE, {"specific_expert_params": [{}]}, "`specific_expert_params` must be a mapping, or"),
        (STEM, {"num_specific_experts": 0}, "STEM: `num_specific_experts` must be a positive"),
        (SNRTrans, {"num_levels": 0}, "SNRTrans: `num_levels` must be a positive integer"),
        (SNRTrans, {"l0_weight": -1.0}, "SNRTrans: `l0_weight` must be at least 0; got -1.0"),
        (CrossStitch, {"self_weight": 1.5}, "`self_weight` must be a number in \\[0, 1\\]"),
        (HoME, {"gate_rank": 0}, "HoME: `gate_rank` must be a positive integer"),
        (HoME, {"task_groups": [["clik"], ["buy"]]}, "Did you mean 'click'"),
        (HoME, {"task_groups": [["click"]]}, "groups that hold each of click, buy once"),
        (HoME, {"task_groups": [["click", "buy"], ["buy"]]}, "groups that hold each of"),
        (HoME, {"task_groups": [["click", "buy"], []]}, "groups that hold each of"),
        (POSO, {"architecture": "plee"}, "Did you mean 'ple'"),
        (POSO, {"architecture": "ple"}, "`dims` must be at least one width"),
        (POSO, {"transfer": "tower"}, "`transfer` has no use with `architecture` 'mlp'"),
        (POSO, {"architecture": "mmoe", "transfer": "towr"}, "Did you mean 'tower'"),
        (POSO, {"gate_hidden_dim": 0}, "POSOGate: `hidden_dim` must be a positive integer; got 0"),
        (POSO, {"gate_scale_factor": 0.0}, "POSOGate: `scale_factor` must be a number above 0"),
        (POSO, {**GATED, "expert_gate_hidden_dim": 0}, "POSOGateBank: `hidden_dim` must be a pos"),
        (POSO, {**GATED, "expert_gate_scale_factor": -2.0}, "POSOGateBank: `scale_factor` must"),
        (POSO, {"tower_params_list": [{"dims": [0]}] * 2}, "`dims` must be a list of positive"),
        (POSO, {"tower_params_list": [{"dims": 3}] * 2}, "`dims` must be a list of positive"),
        (POSO, {"tower_params_list": [{"dropout": 0.1}] * 2}, "`dims` must be at least one width"),
        (POSO, {"tower_params_list": [{"dims": [3], "dropout": 1.5}] * 2}, "`dropout` must be a"),
        (POSO, {"tower_params_list": [{"dims": [3], "dropout": [0.1]}] * 2}, "one number for all"),
        (POSO, {"chain": True, "target": ["click"]}, "`chain` needs two or more binary targets"),
        (POSO, {"chain": True, "task": ["binary", "regression"]}, "`chain` needs two or more"),
    ],
)
def test_wrong_options_are_named(cls: type[BaseModel], options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(cls, **options)


def test_stem_needs_a_table() -> None:
    with pytest.raises(FeatureError, match="STEM needs at least one sparse or sequence feature"):
        STEM([DenseFeature("price")], target=["click", "buy"])


def test_stem_has_a_table_a_task_beside_the_shared_one() -> None:
    names = [name for name in build(STEM).state_dict() if name.endswith("item.weight")]
    assert names == [
        "embedding.embed_dict.item.weight",
        "task_embeddings.0.embed_dict.item.weight",
        "task_embeddings.1.embed_dict.item.weight",
    ]


# -- 0.3.1 ---------------------------------------------------------------------------------------


class OldMixture(nn.Module):
    """The modules of 0.3.1's MMOE that have parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(MLP(width, False, [6, 4]) for _ in range(3))
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 3), nn.Softmax(dim=1)) for _ in range(2)
        )
        self.towers = nn.ModuleList(MLP(4, True, [3]) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        experts = torch.stack([expert(x) for expert in self.experts], dim=1)
        mixed = [(gate(x).unsqueeze(-1) * experts).sum(1) for gate in self.gates]
        return torch.cat([tower(each) for tower, each in zip(self.towers, mixed, strict=True)], 1)


def test_mmoe_reads_the_state_of_0_3_1() -> None:
    model = build(MMOE, expert_params={"dims": [6, 4]}, tower_params_list=[{"dims": [3]}] * 2)
    old = OldMixture(model.embedding.out_features).eval()
    missing, unexpected = model.load_state_dict(old.state_dict(), strict=False)
    assert unexpected == []
    assert all(name.startswith("embedding.") for name in missing)
    flat = model.eval().embedding.flat(X)
    torch.testing.assert_close(model.logits(X), old(flat))


class OldLevel(nn.Module):
    """0.3.1's CGC layer: its modules and what it computes."""

    def __init__(self, width: int, shapes: list[list[int]]) -> None:
        super().__init__()
        self.shared_experts = nn.ModuleList(MLP(width, False, [5, 4]) for _ in range(2))
        self.specific_experts = nn.ModuleList(
            nn.ModuleList(MLP(width, False, dims) for _ in range(3)) for dims in shapes
        )
        self.task_gates = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 5), nn.Softmax(dim=1)) for _ in shapes
        )
        self.shared_gate = nn.Sequential(nn.Linear(width, 8), nn.Softmax(dim=1))

    def forward(self, tasks: list[Tensor], shared: Tensor) -> tuple[list[Tensor], Tensor]:
        common = [expert(shared) for expert in self.shared_experts]
        outputs, everything = [], []
        for x, experts, gate in zip(tasks, self.specific_experts, self.task_gates, strict=True):
            own = [expert(x) for expert in experts]
            everything += own
            outputs.append((gate(x).unsqueeze(-1) * torch.stack(common + own, 1)).sum(1))
        stacked = torch.stack(everything + common, 1)
        return outputs, (self.shared_gate(shared).unsqueeze(-1) * stacked).sum(1)


@pytest.mark.parametrize("shapes", [[[5, 4], [5, 4]], [[5, 4], [4]]])
def test_cgc_layer_reads_the_state_of_0_3_1(shapes: list[list[int]]) -> None:
    old = OldLevel(6, shapes).eval()
    arguments = (6, 2, 2, 3, {"dims": [5, 4]}, [{"dims": dims} for dims in shapes])
    layer, last = CGCLayer(*arguments).eval(), CGCLayer(*arguments, shared_output=False).eval()
    state = old.state_dict()
    layer.load_state_dict(state)
    last.load_state_dict(state)  # 0.3.1's last level had a shared gate that nothing read
    assert state.keys() == old.state_dict().keys()
    tasks, shared = [torch.randn(7, 6), torch.randn(7, 6)], torch.randn(7, 6)
    expected, expected_shared = old(tasks, shared)
    outputs, shared_output = layer(tasks, shared)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(shared_output, expected_shared)
    outputs, nothing = last(tasks, shared)
    torch.testing.assert_close(outputs, expected)
    assert nothing is None
    again = CGCLayer(*arguments)
    again.load_state_dict(layer.state_dict())


def test_the_parameters_of_0_3_1_are_as_many() -> None:
    """The golden counts, less two biases of the prediction layer and PLE's unread shared gate."""
    from nextrec.features import SequenceFeature

    columns = (
        [DenseFeature("d0")],
        [
            SparseFeature("s0", 20, embedding_dim=8),
            SparseFeature("s1", 30, embedding_dim=8, embedding_name="item"),
        ],
        [SequenceFeature("seq", 30, 6, "item", embedding_dim=8)],
    )
    dims = {"dims": [16, 8]}
    old = {"target": ["a", "b"], "tower_params_list": [dims, dims]}

    def count(model: BaseModel) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    assert count(MMOE(*columns, dims, 3, **old)) == 3032 - 2
    assert count(PLE(*columns, dims, dims, 1, 1, 2, **old)) == 4105 - 2 - (8 * 3 + 3)


# -- sequences of targets ------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["mlp", "mmoe", "ple"])
def test_probabilities_of_a_chain_never_grow(architecture: str) -> None:
    model = build(
        POSO,
        target=["click", "cart", "buy"],
        architecture=architecture,
        expert_hidden_dims=[8],
        tower_params_list=[{"dims": [4]}] * 3,
        chain=True,
    )
    probabilities = model.eval()(X)
    assert (probabilities[:, 1:] < probabilities[:, :-1]).all()


def test_a_chain_is_multiplied_in_full_precision() -> None:
    model = build(POSO, tower_params_list=[{"dims": [4]}] * 2, chain=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.logits(X).dtype == torch.float32


@pytest.mark.parametrize(("by_logit", "width"), [(True, 3), (False, 5)])
def test_a_tower_reads_the_one_before(by_logit: bool, width: int) -> None:
    tasks = make_tasks(["multiclass", "binary"], ["stars", "buy"], 3)
    towers = SequentialTowers("Model", tasks, 4, [{"dims": [5]}, {"dims": [2]}], by_logit).eval()
    assert towers.hidden[1].mlp[0].in_features == 4 + width
    x = torch.randn(50, 2, 4)
    changed = x.clone()
    changed[:, 0] += 1
    before, after = towers(x), towers(changed)
    assert before.shape == (50, 4)
    assert (before[:, 3] != after[:, 3]).any()


def test_a_later_step_trains_the_tower_before() -> None:
    towers = SequentialTowers(
        "Model", make_tasks("binary", ["click", "buy"]), 4, [{"dims": [5]}] * 2
    )
    towers(torch.randn(50, 2, 4))[:, 1].sum().backward()
    assert towers.hidden[0].mlp[0].weight.grad.any()


def test_poso_over_a_perceptron_has_no_gates() -> None:
    model = build(POSO, tower_params_list=[{"dims": [4]}] * 2)
    assert model.gates(X) == {}
    mixed = build(POSO, architecture="mmoe", expert_hidden_dims=[8])
    assert {name: tuple(w.shape) for name, w in mixed.gates(X).items()} == {
        "click": (6, 4),
        "buy": (6, 4),
    }


@pytest.mark.parametrize("task", ["binary", ["binary", "regression"]])
def test_hmoe_keeps_a_task_out_of_the_towers_of_others(task: str | list[str]) -> None:
    model = build(HMoE, task=task)
    model.logits(X)[:, 0].sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in model.towers[0].parameters())
    assert not any(p.grad is not None and p.grad.any() for p in model.towers[1].parameters())


# -- switches ------------------------------------------------------------------------------------


def test_switches_are_drawn_in_training_alone() -> None:
    model = build(SNRTrans, expert_params={"dims": [4], "norm": "none"})
    torch.manual_seed(0)
    assert not torch.equal(model.logits(X), model.logits(X))
    gates = model.gates(X)
    model.eval()
    assert torch.equal(model.logits(X), model.logits(X))
    assert all(torch.equal(each, gates[name]) for name, each in model.gates(X).items())


def test_switches_learn_from_the_tasks_too() -> None:
    model = build(SNRTrans, expert_params={"dims": [4]}, l0_weight=0.0)
    model.logits(X).square().sum().backward()
    assert all(each.switches.log_alpha.grad.any() for each in model.connections)


def test_the_price_of_connections_is_an_auxiliary_loss() -> None:
    free, paid = build(SNRTrans, l0_weight=0.0), build(SNRTrans, l0_weight=2.0)
    assert free.training_outputs(X)["auxiliary"]["l0"] == 0
    probability = 1 / (1 + (0.1 / 1.1) ** (2 / 3))  # of a switch at its start
    connections = 3 * 3 + 3 * 2
    price = paid.training_outputs(X)["auxiliary"]["l0"].item()
    assert price == pytest.approx(2 * connections * probability)


def test_stitches_start_near_the_tasks_own_networks() -> None:
    model = build(CrossStitch, self_weight=0.8, per_unit=True)
    for name, weights in model.gates(X).items():
        own = 0 if re.search("click", name) else 1
        expected = torch.tensor([0.8, 0.2] if own == 0 else [0.2, 0.8]).expand(6, 2)
        torch.testing.assert_close(weights, expected)
