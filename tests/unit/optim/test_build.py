from __future__ import annotations

import pytest
import torch
from torch import nn

from nextrec.errors import ConfigError
from nextrec.optim import OPTIMIZERS, HybridOptimizer, RowTable, build_optimizer, group_parameters
from nextrec.optim.build import fastest_loop


def parts() -> dict:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    table = RowTable(nn.Parameter(torch.ones(5, 2)))
    return {"groups": group_parameters(model), "row_tables": [table]}


@pytest.mark.parametrize(
    ("name", "dense"),
    [
        ("adam", torch.optim.Adam),
        ("AdamW", torch.optim.AdamW),
        ("lazy_adam", torch.optim.Adam),
        ("SGD", torch.optim.SGD),
        ("Adagrad", torch.optim.Adagrad),
        ("rowwise_adagrad", torch.optim.Adagrad),
        ("RMSprop", torch.optim.RMSprop),
    ],
)
def test_names_and_their_dense_counterparts(name, dense):
    optimizer = build_optimizer(name, **parts())
    assert isinstance(optimizer, HybridOptimizer)
    assert type(optimizer.dense) is dense
    assert optimizer.rows is not None
    assert type(optimizer.rows.rule) is OPTIMIZERS[name].rule
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3] * 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_are_torchs_but_the_learning_rate(name):
    spec = OPTIMIZERS[name]
    assert spec.rule.defaults["lr"] == 1e-3
    for key, value in spec.rule.defaults.items():
        assert key == "lr" or value == spec.dense_defaults[key]


def test_groups_override_and_biases_are_not_decayed():
    overrides = {"embedding": {"lr": 1e-2}, "dense": {"betas": [0.8, 0.99]}}
    params = {"lr": 1e-3, "weight_decay": 1e-5, "groups": overrides}
    optimizer = build_optimizer("adam", params, **parts())
    found = {g["name"]: (g["lr"], g["weight_decay"], g["betas"]) for g in optimizer.param_groups}
    assert found == {
        "embedding": (1e-2, 1e-5, (0.9, 0.999)),
        "dense": (1e-3, 1e-5, (0.8, 0.99)),
        "bias_norm": (1e-3, 0.0, (0.9, 0.999)),
    }
    params["groups"] = {"bias_norm": {"weight_decay": 1e-5}}
    assert build_optimizer("adam", params, **parts()).param_groups[2]["weight_decay"] == 1e-5
    assert "groups" in params  # the user's dict is left as it was


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("adm", {}, "Did you mean 'adam'"),
        ("adam", {"learning_rate": 1}, "no option 'learning_rate'"),
        ("adam", {"beta": (0.9, 0.9)}, "Did you mean 'betas'"),
        ("adam", {"amsgrad": True}, "amsgrad.*torch.optim.Adam "),
        ("rmsprop", {"momentum": 0.9}, "momentum.*torch.optim.RMSprop"),
        ("rmsprop", {"centered": True}, "centered"),
        ("sgd", {"maximize": True}, "maximize"),
        ("sgd", {"momentum": 1.0}, "momentum"),
        ("sgd", {"nesterov": True}, "momentum"),
        ("sgd", {"nesterov": 1, "momentum": 0.9}, "nesterov"),
        ("adam", {"lr": -1}, "lr"),
        ("adam", {"lr": "1e-3"}, "lr.*'1e-3'"),
        ("adam", {"lr": float("nan")}, "lr"),
        ("adam", {"betas": (0.9,)}, "betas"),
        ("adam", {"betas": (0.9, 1.0)}, "betas"),
        ("adam", {"betas": (0.99, 0.9)}, "betas"),
        ("adagrad", {"eps": True}, "eps"),
        ("adam", {"groups": {"embeddings": {}}}, "Did you mean 'embedding'"),
        ("adam", {"groups": {"embedding": 0.1}}, "groups"),
        ("adam", {"groups": {"bias_norm": {"lrr": 1}}}, "Did you mean 'lr'"),
        (3, {}, "optimizer"),
        (nn.Linear, {}, "optimizer"),
        (torch.optim.Adam, {"momentum": 0.9}, "Adam can't be built.*momentum"),
        (torch.optim.SGD, {"lr": -1.0}, "SGD can't be built"),
    ],
)
def test_what_is_wrong_is_said(name, params, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(name, params, **parts())


def test_all_problems_are_said_at_once():
    params = {"lr": -1, "momentun": 1, "groups": {"bias_norm": {"eps": -2}}}
    with pytest.raises(ConfigError) as caught:
        build_optimizer("adam", params, owner="config.yaml", **parts())
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("config.yaml: ") for line in lines)


def test_refused_options_at_their_default_are_accepted():
    adam = build_optimizer("adam", {"amsgrad": False}, **parts())
    rmsprop = build_optimizer("rmsprop", {"momentum": 0, "centered": False}, **parts())
    for optimizer in (adam, rmsprop):
        assert "embedding" in [group["name"] for group in optimizer.param_groups]


def test_without_tables_torchs_options_are_all_there():
    groups = parts()["groups"]
    optimizer = build_optimizer("adam", {"amsgrad": True}, groups=groups)
    assert optimizer.param_groups[0]["amsgrad"]
    with pytest.raises(ConfigError, match="embedding"):
        build_optimizer("adam", {"groups": {"embedding": {"lr": 1.0}}}, groups=groups)


def test_fast_loop_unless_the_user_chose():
    optimizer = build_optimizer("adam", **parts())
    assert optimizer.param_groups[1]["fused"]
    optimizer = build_optimizer("adam", {"foreach": True}, **parts())
    assert not optimizer.param_groups[1]["fused"]
    assert optimizer.param_groups[1]["foreach"]
    assert fastest_loop(torch.optim.RMSprop, {}) == {"foreach": True}
    accelerator = {"dense": [nn.Parameter(torch.ones(1, device="meta"))]}
    assert fastest_loop(torch.optim.Adam, accelerator) == {}


def test_instance_is_returned_as_it_is():
    own = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
    assert build_optimizer(own, {"lr": 1}, groups={}) is own
    assert own.param_groups[0]["lr"] == 0.5


def test_class_is_built_over_all_parameters():
    given = parts()
    optimizer = build_optimizer(torch.optim.Adam, {"eps": 1e-4}, groups=given["groups"])
    assert type(optimizer) is torch.optim.Adam
    (group,) = optimizer.param_groups
    assert len(group["params"]) == 4
    assert (group["lr"], group["eps"]) == (1e-3, 1e-4)
    params = {"lr": 0.1, "groups": {"bias_norm": {"lr": 0.2}}}
    optimizer = build_optimizer(torch.optim.SGD, params, groups=given["groups"])
    assert [(g["name"], g["lr"]) for g in optimizer.param_groups] == [
        ("dense", 0.1),
        ("bias_norm", 0.2),
    ]


def test_a_group_of_tables_without_row_mode_trains_with_dense_gradients():
    table = nn.Parameter(torch.ones(3, 2))
    optimizer = build_optimizer("sgd", {"lr": 0.5}, groups={"embedding": [table], "dense": []})
    table.grad = torch.ones(3, 2)
    optimizer.step()
    assert torch.equal(table, torch.full((3, 2), 0.5))
    assert optimizer.param_groups[0]["name"] == "embedding"
    with pytest.raises(ConfigError, match="row mode"):
        build_optimizer("sgd", groups={"embedding": [table]}, row_tables=parts()["row_tables"])


@pytest.mark.parametrize("name", ["adagrad", "rowwise_adagrad"])
def test_adagrad_starts_every_parameter_at_its_initial_value(name):
    layer = nn.Linear(3, 2)
    params = {"initial_accumulator_value": 0.1}
    optimizer = build_optimizer(name, params, groups=group_parameters(layer))
    starts = {float(state["sum"].max()) for state in optimizer.dense.state.values()}
    assert len(starts) == 1
    assert starts.pop() == pytest.approx(0.1)
