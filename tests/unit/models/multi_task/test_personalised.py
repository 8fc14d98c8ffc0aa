"""Errors and options of PEPNet, APG, STAR and M2M."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.models.multi_task.apg import APG
from nextrec.models.multi_task.m2m import M2M
from nextrec.models.multi_task.pepnet import PEPNet
from nextrec.models.multi_task.star import STAR

USER = SparseFeature("user", 6, embedding_dim=4)
PLACE = SparseFeature("place", 5, embedding_dim=3)
PRICE = DenseFeature("price")
X = {
    "price": torch.tensor([0.5, -1.0, 2.0]),
    "user": torch.tensor([0, 1, 5]),
    "place": torch.tensor([0, 1, 4]),
}
MAIN = {"main_dense_features": [PRICE], "main_sparse_features": [USER], "seed": 0}
OTHERS = {PEPNet: ("domain", "prior"), M2M: ("scenario",), STAR: ("domain",)}
BOTH = {"target": ["click", "stay"], "task": ["binary", "regression"]}


def build(model: type, **options: object) -> torch.nn.Module:
    if model is APG:
        return APG([PRICE], [USER, PLACE], **options)
    places = {f"{group}_sparse_features": [PLACE] for group in OTHERS[model]}
    return model(**MAIN, **places, **options)


@pytest.mark.parametrize(
    ("model", "group"),
    [(PEPNet, "main"), (PEPNet, "domain"), (PEPNet, "prior"), (M2M, "main"), (M2M, "scenario")],
)
def test_every_group_has_a_feature(model: type, group: str) -> None:
    groups = {
        f"{each}_sparse_features": [PLACE] for each in ("main", *OTHERS[model]) if each != group
    }
    with pytest.raises(FeatureError, match=f"{model.__name__} needs at least one {group} feature"):
        model(**groups)


@pytest.mark.parametrize(
    "domain",
    [
        {},
        {"domain_sparse_features": [PLACE, USER]},
        {"domain_dense_features": [PRICE]},
        {"domain_sparse_features": [PLACE], "domain_dense_features": [PRICE]},
    ],
)
def test_the_domain_is_one_sparse_feature(domain: dict) -> None:
    with pytest.raises(FeatureError, match="the domain is one sparse feature"):
        STAR(**MAIN, **domain)


def test_star_needs_a_main_feature() -> None:
    with pytest.raises(FeatureError, match="at least one main feature"):
        STAR(domain_sparse_features=[PLACE])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (PEPNet, {"gate_hidden_dim": 0}, "`gate_hidden_dim` must be a positive integer"),
        (PEPNet, {"gate_scale": 0.0}, "`gate_scale` must be a number above 0"),
        (PEPNet, {"tower_params_list": [{}, {}]}, r"one mapping a target \(1\)"),
        (PEPNet, {"tower_params_list": [{}]}, r"list\[0\]`: `dims` must be at least one width"),
        (PEPNet, {"tower_params_list": [{"dim": [4]}]}, r"list\[0\]`.*Did you mean 'dims'"),
        (PEPNet, {"tower_params_list": [{"dims": [4], "norm": "bach"}]}, "mean 'batch'"),
        (APG, {"rank": 0}, "`rank` must be a positive integer"),
        (APG, {"rank": 8, "inner_dim": 4}, "`inner_dim` must be None, or an integer of at least"),
        (
            APG,
            {"condition_feature_names": ["usr"]},
            "`condition_feature_names`.*Did you mean 'user'",
        ),
        (APG, {"mlp_params": {"dims": []}}, "`dims` must be at least one width"),
        (APG, {"mlp_params": {"dims": [0]}}, "`dims` must be a list of positive integers"),
        (APG, {"mlp_params": {"output_dim": 3}}, "got 'output_dim'"),
        (APG, {"mlp_params": {"dims": [3], "activation": "rely"}}, "Did you mean 'relu'"),
        (STAR, {"mlp_params": {"norm": "batch"}}, "dims, dropout, activation; got 'norm'"),
        (STAR, {"mlp_params": {"dropout": 1.0}}, "`dropout` must be a number in"),
        (STAR, {"auxiliary_params": {"dim": [3]}}, "`auxiliary_params`.*Did you mean 'dims'"),
        (M2M, {"num_experts": 0}, "`num_experts` must be a positive integer"),
        (M2M, {"meta_layers": 0}, "`meta_layers` must be a positive integer"),
        (M2M, {"residual_layers": 0}, "`residual_layers` must be a positive integer"),
        (M2M, {"expert_params": {"dim": [3]}}, "Did you mean 'dims'"),
        (M2M, {"scenario_params": {"dim": [3]}}, "`scenario_params`.*Did you mean 'dims'"),
        (M2M, {"tower_params_list": [{}, {}]}, r"one mapping a target \(1\)"),
    ],
)
def test_wrong_arguments_are_named(model: type, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(model, **options)


@pytest.mark.parametrize("model", [PEPNet, APG, STAR, M2M])
def test_takes_targets_of_several_kinds(model: type) -> None:
    options = {"target": ["a", "b", "c"], "task": ["binary", "regression", "multiclass"]}
    outputs = build(model, **options, num_classes=3)
    assert outputs.logits(X).shape == (3, 5)
    labels = torch.tensor([[1.0, torch.nan, 2.0], [0.0, 3.0, torch.nan], [1.0, 0.5, 0.0]])
    assert torch.isfinite(outputs.objective(outputs.training_outputs(X), labels))


def test_pepnet_gates_are_between_0_and_the_scale() -> None:
    model = build(PEPNet, **BOTH, gate_scale=3.0, tower_params_list=[{"dims": [4]}] * 2)
    gates = model.gates(X)
    assert {name: tuple(gate.shape) for name, gate in gates.items()} == {
        "domain": (3, 5),
        "layer 1, click": (3, 4),
        "layer 1, stay": (3, 4),
    }
    for gate in gates.values():
        assert ((gate > 0) & (gate < 3)).all()
        assert not gate.requires_grad


def test_m2m_gates_are_weights_of_the_experts() -> None:
    gates = build(M2M, **BOTH, num_experts=3).gates(X)
    assert list(gates) == ["click", "stay"]
    for weights in gates.values():
        assert weights.shape == (3, 3)
        torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_m2m_scenarios_choose_experts() -> None:
    model = build(M2M, **BOTH).eval()
    same_person = {**X, "price": torch.zeros(3), "user": torch.zeros(3, dtype=torch.long)}
    with torch.no_grad():
        model.embedding.embed_dict["place"].weight.normal_()
    weights = model.gates(same_person)["click"]
    assert (weights[0] - weights[1]).abs().max() > 1e-4


@pytest.mark.parametrize("vocabulary", [5, 100])
def test_star_predicts_for_domains_never_seen(vocabulary: int) -> None:
    place = SparseFeature("place", vocabulary, embedding_dim=3)
    model = STAR(**MAIN, domain_sparse_features=[place])
    model.logits({**X, "place": torch.tensor([2, 2, 3])})
    for training in (True, False):
        unseen = model.train(training).logits({**X, "place": torch.tensor([0, 1, 4])})
        assert torch.isfinite(unseen).all()


def test_star_takes_the_domain_as_a_main_feature_too() -> None:
    model = STAR(main_sparse_features=[USER, PLACE], domain_sparse_features=[PLACE])
    assert torch.isfinite(model.logits(X)).all()


def test_apg_costs_a_row_no_more_than_its_core() -> None:
    model = build(APG, rank=4, mlp_params={"dims": [16]})
    assert model.layers[0].core.generator.out_features == 4 * 4
