"""Errors and options of ESMM, ESCM2 and AITM."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.models.multi_task.aitm import AITM
from nextrec.models.multi_task.escm2 import ESCM2
from nextrec.models.multi_task.esmm import ESMM

CHAIN = ["click", "cart", "buy"]
X = {"price": torch.tensor([0.5, -1.0, 2.0]), "user": torch.tensor([0, 1, 5])}


def features() -> dict:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [SparseFeature("user", 6, embedding_dim=4)],
        "seed": 0,
    }


@pytest.mark.parametrize("model", [ESMM, AITM])
def test_a_chain_has_two_steps(model: type) -> None:
    with pytest.raises(ConfigError, match=r"`target` must be at least two events.*\['click'\]"):
        model(**features(), target="click")


@pytest.mark.parametrize("model", [ESMM, AITM])
@pytest.mark.parametrize("task", [["binary", "regression"], ["multilabel"]])
def test_a_chain_is_of_events(model: type, task: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"`task` must be binary for every step.*'{task[-1]}'"):
        model(**features(), target=CHAIN[:2], task=task)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (ESMM, {"ctr_params": {"dims": [4]}}, r"`ctr_params` must be None with 3 targets"),
        (ESMM, {"cvr_params": {"dims": [4]}}, r"`cvr_params` must be None with 3 targets"),
        (
            ESMM,
            {"ctr_params": {}, "tower_params_list": [{}, {}, {}]},
            "`tower_params_list` takes the place of `ctr_params`",
        ),
        (ESMM, {"tower_params_list": [{}]}, r"one mapping a target \(3\)"),
        (ESMM, {"tower_params_list": [{}, {"dim": [4]}, {}]}, r"list\[1\]`.*Did you mean 'dims'"),
        (ESCM2, {}, r"`target` must be two events.*'cart'"),
        (ESCM2, {"target": "click"}, r"`target` must be two events.*'click'"),
        (ESCM2, {"target": CHAIN[:2], "task": ["binary", "regression"]}, "`task` must be binary"),
        (ESCM2, {"target": CHAIN[:2], "estimator": "ipw"}, "`estimator`.*Did you mean 'ips'"),
        (ESCM2, {"target": CHAIN[:2], "counterfactual_weight": 0.0}, "`counterfactual_weight`"),
        (ESCM2, {"target": CHAIN[:2], "global_weight": -1.0}, "`global_weight`"),
        (ESCM2, {"target": CHAIN[:2], "min_propensity": 0.0}, r"`min_propensity`.*\(0, 1\]"),
        (
            ESCM2,
            {"target": CHAIN[:2], "global_weight": 0.5, "loss_weights": [1.0, 2.0]},
            "`loss_weights` take the place of `global_weight`",
        ),
        (
            ESCM2,
            {"target": CHAIN[:2], "estimator": "ips", "imputation_params": {"dims": [4]}},
            "`imputation_params` has no use",
        ),
        (AITM, {"calibrator_weight": -0.1}, "`calibrator_weight`"),
        (AITM, {"bottom_params": {"dim": [4]}}, "Did you mean 'dims'"),
    ],
)
def test_wrong_arguments_are_named(model: type, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model(**features(), **{"target": CHAIN, **options})


def test_esmm_takes_the_arguments_of_0_3_1_by_position() -> None:
    columns = features()
    lists = columns["dense_features"], columns["sparse_features"], []
    model = ESMM(*lists, {"dims": [8]}, {"dims": [4]}, ["c", "b"], ["binary", "binary"], "sgd")
    assert model.target == ["c", "b"]
    assert [tower.mlp[0].out_features for tower in model.towers] == [8, 4]
    assert ESMM(*lists, {"dims": [8]}, {"dims": [4]}).target == ["ctr", "ctcvr"]


@pytest.mark.parametrize(
    ("model", "options"),
    [(ESMM, {}), (AITM, {"consistent": True}), (ESCM2, {"target": CHAIN[:2]})],
)
def test_probabilities_never_grow_along_the_chain(model: type, options: dict) -> None:
    predictor = model(**features(), **{"target": CHAIN, **options}).eval()
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.mul_(30)
    p = predictor({"price": torch.linspace(-3, 3, 200), "user": torch.arange(200) % 6})
    assert (p[:, 1:] <= p[:, :-1]).all()


@pytest.mark.parametrize(("model", "options"), [(ESMM, {}), (AITM, {"consistent": True})])
def test_probabilities_of_an_exported_chain_never_grow(
    model: type, options: dict, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from nextrec.export import export_onnx

    predictor = model(**features(), target=CHAIN, **options)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.mul_(3)
        for tower in list(predictor.towers)[1:]:
            tower.mlp[-1].bias.add_(12)  # later steps are all but certain
    path = export_onnx(predictor, tmp_path / "chain.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = 20_000
    x = {"price": torch.linspace(-6, 6, rows).unsqueeze(1), "user": torch.arange(rows) % 6}
    (p,) = session.run(None, {name: each.numpy() for name, each in x.items()})
    assert (p[:, 1:] <= p[:, :-1]).all()


def test_conditional_probabilities_multiply_to_the_predictions() -> None:
    model = ESMM(**features(), target=CHAIN).eval()
    torch.testing.assert_close(model.conditional(X).cumprod(1), model(X))


def test_the_global_weight_is_the_loss_weight_of_the_conversion() -> None:
    options = {**features(), "target": CHAIN[:2]}
    weights = ESCM2(**options, global_weight=0.25).objective.loss_weights
    assert weights.tolist() == [1.0, 0.25]
    assert ESCM2(**options, loss_weights=[2.0, 3.0]).objective.loss_weights.tolist() == [2.0, 3.0]


def test_the_global_weight_stays_when_the_optimizer_changes() -> None:
    model = ESCM2(**features(), target=CHAIN[:2], global_weight=0.25)
    model.compile(optimizer="sgd")
    assert model.objective.loss_weights.tolist() == [1.0, 0.25]
    model.compile(loss_weights=[2.0, 3.0])
    assert model.objective.loss_weights.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("estimator", ["ips", "dr"])
def test_a_batch_without_any_label_has_no_loss(estimator: str) -> None:
    model = ESCM2(**features(), target=CHAIN[:2], estimator=estimator)
    loss = model.objective(model.training_outputs(X), torch.full((3, 2), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_imputation_has_a_tower_only_where_it_is_used() -> None:
    ips = ESCM2(**features(), target=CHAIN[:2], estimator="ips")
    assert ips.imputation is None
    assert set(ips.training_outputs(X)["auxiliary"]) == {"counterfactual"}
    dr = ESCM2(**features(), target=CHAIN[:2], imputation_params={"dims": [3]})
    assert dr.imputation.mlp[0].out_features == 3
    assert set(dr.training_outputs(X)["auxiliary"]) == {"counterfactual", "imputation"}


@pytest.mark.parametrize("options", [{"consistent": True}, {"calibrator_weight": 0.0}])
def test_nothing_is_calibrated_where_nothing_can_be(options: dict) -> None:
    model = AITM(**features(), target=CHAIN, **options)
    assert isinstance(model.training_outputs(X), torch.Tensor)


def test_gates_tell_what_a_step_takes_over() -> None:
    gates = AITM(**features(), target=CHAIN).gates(X)
    assert list(gates) == ["cart", "buy"]
    for weights in gates.values():
        assert weights.shape == (3, 2)
        assert not weights.requires_grad
        torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_no_click_counts_for_more_than_the_least_propensity_allows() -> None:
    model = ESCM2(**features(), target=CHAIN[:2], estimator="ips", min_propensity=0.2).eval()
    with torch.no_grad():
        model.towers[0].mlp[-1].bias.fill_(-20)  # nobody is expected to click
    outputs, labels = model.training_outputs(X), torch.tensor([[1.0, 1.0]]).expand(3, 2)
    error = -torch.log(model.conditional(X)[:, 1])
    risk = outputs["auxiliary"]["counterfactual"](labels, torch.ones(3, 2))
    torch.testing.assert_close(risk, 0.5 * (error / 0.2).mean())
    weights = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])  # two clicks of no weight
    risk = outputs["auxiliary"]["counterfactual"](labels, weights)
    torch.testing.assert_close(risk, 0.5 * error[0] / 0.2)


def test_the_imputation_trains_the_conversion_too() -> None:
    model = ESCM2(**features(), target=CHAIN[:2])
    imputation = model.training_outputs(X)["auxiliary"]["imputation"]
    imputation(torch.ones(3, 2), torch.ones(3, 2)).backward()
    assert model.towers[1].mlp[-1].weight.grad.any()
    assert not model.towers[0].mlp[-1].weight.grad.any()  # the propensity is left alone
