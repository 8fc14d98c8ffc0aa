from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from nextrec.errors import CheckpointError, ConfigError
from nextrec.optim import (
    OPTIMIZERS,
    HybridOptimizer,
    RowTable,
    build_optimizer,
    clip_grads_,
    group_parameters,
)


class Small(nn.Module):
    """Two tables, looked up by the same ids, and a tower."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide = nn.Parameter(torch.randn(40, 1) * 0.1)
        self.deep = nn.Parameter(torch.randn(40, 4) * 0.1)
        self.tower = nn.Sequential(nn.Linear(8, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 1))
        self.tables: list[RowTable] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.tables:
            wide, deep = (table(ids) for table in self.tables)
        else:
            wide, deep = (nn.functional.embedding(ids, w) for w in (self.wide, self.deep))
        return self.tower(deep.flatten(1)).squeeze(1) + wide.sum((1, 2))


def build(name: str = "adam", **params) -> tuple[Small, HybridOptimizer]:
    model = Small()
    model.tables = [RowTable(model.wide), RowTable(model.deep)]
    groups = group_parameters(model, exclude=[model.wide, model.deep])
    optimizer = build_optimizer(name, params, groups=groups, row_tables=model.tables)
    assert isinstance(optimizer, HybridOptimizer)
    return model, optimizer


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(0, 40, (16, 2), generator=generator)
    return ids, (ids.sum(1) % 2).float()


def backward(model: Small, step: int) -> None:
    ids, labels = batch(step)
    nn.functional.binary_cross_entropy_with_logits(model(ids), labels).backward()


def train(model: Small, optimizer: torch.optim.Optimizer, steps: range, clip: float | None = 0.05):
    for step in steps:
        optimizer.zero_grad()
        backward(model, step)
        if clip and isinstance(optimizer, HybridOptimizer):
            optimizer.clip_grad_norm_(clip)
        elif clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()


TORCH = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize("name", TORCH)
def test_trains_as_torch_does(name):
    options = {"lr": 0.02, **({"momentum": 0.9} if name == "sgd" else {})}
    # torch decays all parameters of AdamW, so the group that isn't decayed asks for it.
    decay = {"groups": {"bias_norm": {"weight_decay": 1e-2}}} if name == "adamw" else {}
    model, optimizer = build(name, **options, **decay)
    reference = Small()
    dense = TORCH[name](reference.parameters(), **options)
    train(model, optimizer, range(40))
    train(reference, dense, range(40))
    for key, weight in model.named_parameters():
        expected = reference.get_parameter(key).detach()
        torch.testing.assert_close(optimizer.current(weight), expected, rtol=1e-4, atol=1e-5)
    optimizer.flush()
    ids, _ = batch(99)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), reference(ids), rtol=1e-3, atol=1e-4)


def test_clip_is_the_norm_of_dense_gradients():
    model, optimizer = build()
    reference = Small()
    backward(model, 0)
    backward(model, 1)
    backward(reference, 0)
    backward(reference, 1)
    expected = nn.utils.clip_grad_norm_(reference.parameters(), 0.01)
    torch.testing.assert_close(optimizer.clip_grad_norm_(0.01), expected)
    torch.testing.assert_close(optimizer.clip_grad_norm_(10.0), torch.tensor(0.01))
    torch.testing.assert_close(model.tower[0].weight.grad, reference.tower[0].weight.grad)
    found = model.tables[1].gradient()
    assert found is not None
    assert reference.deep.grad is not None
    torch.testing.assert_close(found[1], reference.deep.grad[found[0]])


def test_clip_without_gradients():
    assert clip_grads_([], 1.0) == 0
    assert build()[1].clip_grad_norm_(1.0) == 0


def test_penalties_of_the_group_dense_alone():
    model, optimizer = build()
    backward(model, 0)
    before = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    optimizer.add_penalties(l1=0.1, l2=0.01)
    for name, weight in model.tower.named_parameters():
        added = weight.grad - before[f"tower.{name}"]
        penalty = 0.1 * weight.sign() + 0.02 * weight if name in {"0.weight", "3.weight"} else 0
        torch.testing.assert_close(added, penalty * torch.ones_like(added))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restores_to_the_same_bits_through_safetensors_and_json(name):
    model, optimizer = build(name, lr=0.02, **({"momentum": 0.9} if name == "sgd" else {}))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    train(model, optimizer, range(7))
    scheduler.step()
    tensors, meta = optimizer.tensors_and_meta()
    assert all(isinstance(each, torch.Tensor) for each in tensors.values())
    blob = save({key: each.contiguous() for key, each in tensors.items()})
    resumed_model, resumed = build(name, **({"momentum": 0.9} if name == "sgd" else {}))
    resumed_model.load_state_dict(copy.deepcopy(model.state_dict()))
    resumed.restore(load(blob), json.loads(json.dumps(meta)))
    assert [g["lr"] for g in resumed.param_groups] == [g["lr"] for g in optimizer.param_groups]
    assert [g["name"] for g in resumed.param_groups] == ["embedding", "dense", "bias_norm"]
    train(model, optimizer, range(7, 12))
    train(resumed_model, resumed, range(7, 12))
    for key, weight in model.named_parameters():
        other = resumed_model.get_parameter(key)
        assert torch.equal(weight, other), key
        assert torch.equal(optimizer.current(weight), resumed.current(other)), key


def test_state_dict_round_trip_and_group_identity():
    model, optimizer = build()
    train(model, optimizer, range(3))
    state = copy.deepcopy(optimizer.state_dict())
    groups = list(optimizer.param_groups)
    optimizer.load_state_dict(state)
    assert all(a is b for a, b in zip(groups, optimizer.param_groups, strict=True))
    assert optimizer.dense is not None
    assert optimizer.dense.param_groups[0] is optimizer.param_groups[1]


def test_two_restored_from_one_state_go_their_own_ways():
    model, optimizer = build()
    train(model, optimizer, range(3))
    state = copy.deepcopy(optimizer.state_dict())
    kept = copy.deepcopy(state["tensors"])
    for start in (10, 20):
        other_model, other = build()
        other.load_state_dict(state)
        train(other_model, other, range(start, start + 2))
    assert all(torch.equal(each, kept[key]) for key, each in state["tensors"].items())


def test_restore_refuses_the_state_of_something_else():
    model, optimizer = build()
    train(model, optimizer, range(2))
    tensors, meta = optimizer.tensors_and_meta()
    with pytest.raises(CheckpointError, match="'adam', but training uses 'sgd'"):
        build("sgd")[1].restore(tensors, meta)
    with pytest.raises(CheckpointError, match="groups"):
        optimizer.restore(tensors, {**meta, "groups": meta["groups"][:1]})
    with pytest.raises(CheckpointError, match=r"dense\.0\.exp_avg"):
        optimizer.restore({**tensors, "dense.0.exp_avg": torch.zeros(3, 3)}, meta)
    with pytest.raises(CheckpointError, match=r"dense\.99"):
        optimizer.restore({**tensors, "dense.99.exp_avg": torch.zeros(3)}, meta)
    with pytest.raises(CheckpointError, match=r"rows|0\.last"):
        optimizer.restore({k: v for k, v in tensors.items() if k != "rows.0.last"}, meta)


def test_torchs_schedulers_act_on_every_group():
    model, optimizer = build("adam", lr=0.1, groups={"embedding": {"lr": 0.4}})
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5**i)
    train(model, optimizer, range(1))
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.05, 0.05]
    assert optimizer.rows is not None
    assert optimizer.rows.rule.group["lr"] == 0.2
    assert optimizer.dense is not None
    assert [group["lr"] for group in optimizer.dense.param_groups] == [0.05, 0.05]


def test_learning_rate_zero_moves_nothing():
    model, optimizer = build("adam", lr=0.0)
    before = copy.deepcopy(model.state_dict())
    train(model, optimizer, range(3))
    optimizer.flush()
    assert all(torch.equal(before[key], each) for key, each in model.state_dict().items())


def test_no_table():
    model = Small()
    optimizer = build_optimizer("adam", {"lr": 0.02}, groups=group_parameters(model))
    reference = Small()
    train(model, optimizer, range(5))
    train(reference, torch.optim.Adam(reference.parameters(), lr=0.02), range(5))
    optimizer.flush()
    for key, weight in model.named_parameters():
        torch.testing.assert_close(weight, reference.get_parameter(key))
    tensors, meta = optimizer.tensors_and_meta()
    optimizer.restore(tensors, json.loads(json.dumps(meta)))


def test_no_dense_parameter():
    table = RowTable(nn.Parameter(torch.ones(5, 2)))
    optimizer = build_optimizer("adam", {"lr": 0.1}, groups={}, row_tables=[table])
    for _ in range(2):
        optimizer.zero_grad()
        table(torch.tensor([1])).sum().backward()
        optimizer.add_penalties(0.1, 0.1)
        assert optimizer.clip_grad_norm_(1.0) > 0
        optimizer.step()
    assert table.weight[1, 0] < 0.85
    assert table.weight[0, 0] == 1
    optimizer.restore(*optimizer.tensors_and_meta())


def test_nothing_to_train():
    with pytest.raises(ConfigError, match="nothing to train"):
        build_optimizer("adam", groups={"dense": [], "bias_norm": []})


def test_groups_are_added_by_the_constructor_alone():
    with pytest.raises(ConfigError, match="groups"):
        build()[1].add_param_group({"params": [nn.Parameter(torch.ones(1))]})


def test_closure_and_zero_grad():
    model, optimizer = build()

    def closure():
        optimizer.zero_grad()
        loss = model(batch(0)[0]).square().mean()
        loss.backward()
        return loss

    first, second = optimizer.step(closure), optimizer.step(closure)
    assert second < first
    backward(model, 0)
    optimizer.zero_grad()
    assert model.tables[0].gradient() is None
    assert model.tower[0].weight.grad is None
