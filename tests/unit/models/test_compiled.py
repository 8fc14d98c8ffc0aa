from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError
from nextrec.features import SequenceFeature, SparseFeature
from nextrec.models.compiled import row_tables_of
from nextrec.optim import HybridOptimizer
from nextrec.training.trainer import length_of


def model(cls: Any = nextrec.DeepFM, **options: Any) -> nextrec.BaseModel:
    return cls(
        sparse_features=[
            SparseFeature("user", 9, embedding_dim=4, l2_reg=0.5),
            SparseFeature("item", 7, embedding_name="items", embedding_dim=4),
            SparseFeature("fixed", 5, embedding_dim=4, trainable=False),
        ],
        sequence_features=[SequenceFeature("liked", 7, 5, embedding_name="items", embedding_dim=4)],
        **{"seed": 1, **options},
    )


X = {
    "user": torch.tensor([1, 2]),
    "item": torch.tensor([0, 3]),
    "fixed": torch.tensor([4, 4]),
    "liked": torch.tensor([[1, 0], [0, 0]]),
}


def test_every_trained_table_gets_row_gradients() -> None:
    built = model()
    pairs = row_tables_of(built)
    # The embeddings of width 4, and the first-order weights of width 1; the frozen one stays out.
    assert [tuple(table.weight.shape) for _, table in pairs] == [(16, 4), (21, 1)]
    assert [table.padding_rows.tolist() for _, table in pairs] == [[9], [9]]


def test_strengths_of_the_model_and_of_the_features_add_up() -> None:
    built = model(nextrec.DCN, embedding_l1_reg=0.1, embedding_l2_reg=0.2)
    [(_, table)] = row_tables_of(built)
    assert table.penalties == [(0, 9, 0.1, 0.7), (9, 16, 0.1, 0.2)]
    [(_, plain)] = row_tables_of(model(nextrec.DCN))
    assert plain.penalties == [(0, 9, 0.0, 0.5)]


def test_each_parameter_is_trained_once() -> None:
    built = model()
    optimizer = built.compiled.build(built)
    assert isinstance(optimizer, HybridOptimizer)
    trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(trained) == len(set(trained))
    assert set(trained) == {id(p) for p in built.parameters() if p.requires_grad}
    assert [group["name"] for group in optimizer.param_groups] == [
        "embedding",
        "dense",
        "bias_norm",
    ]


def test_the_optimizer_lasts_until_compile_is_called_again() -> None:
    built = model(optimizer_params={"lr": 0.1})
    first = built.compiled.build(built)
    assert built.compiled.build(built) is first
    built.compile(optimizer="sgd", optimizer_params={"lr": 0.2})
    second = built.compiled.build(built)
    assert second is not first
    assert second.param_groups[0]["lr"] == 0.2


def test_options_by_group_reach_the_tables() -> None:
    groups = {"embedding": {"lr": 0.5}, "dense": {"weight_decay": 0.1}}
    built = model(optimizer="adamw", optimizer_params={"lr": 0.1, "groups": groups})
    by_name = {group["name"]: group for group in built.compiled.build(built).param_groups}
    assert by_name["embedding"]["lr"] == 0.5
    assert (by_name["dense"]["lr"], by_name["dense"]["weight_decay"]) == (0.1, 0.1)
    assert by_name["bias_norm"]["weight_decay"] == 0


def test_an_optimizer_of_ones_own_keeps_dense_gradients() -> None:
    built = nextrec.DCN(sparse_features=[SparseFeature("user", 9)])
    own = torch.optim.SGD(built.parameters(), lr=0.1)
    built.compile(optimizer=own)
    assert built.compiled.build(built) is own
    assert built.compiled.row_tables == []
    with built.compiled.row_mode()():
        built.logits({"user": torch.tensor([1])}).sum().backward()
    assert built.embedding.embed_dict.width_4.grad is not None


def test_an_optimizer_of_another_model_is_refused() -> None:
    built, other = (nextrec.DCN(sparse_features=[SparseFeature("user", 9)]) for _ in range(2))
    built.compile(optimizer=torch.optim.SGD(other.parameters(), lr=0.1))
    with pytest.raises(ConfigError, match="no parameter of this model"):
        built.compiled.build(built)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, "instance"])
def test_penalties_without_a_named_optimizer_are_refused(optimizer: Any) -> None:
    built = model()
    if optimizer == "instance":
        optimizer = torch.optim.Adam(built.parameters())
    with pytest.raises(ConfigError, match="`l2_reg of user` needs an optimizer given by name"):
        built.compile(optimizer=optimizer)


def test_row_mode_is_on_inside_its_block_only() -> None:
    built = model()
    built.compiled.build(built)
    tables = built.embedding.embed_dict
    with built.compiled.row_mode()():
        built.logits(X).sum().backward()
        assert tables.width_4.grad is None
        [(_, table), _] = built.compiled.row_tables
        rows, _ = table.gradient()
        assert rows.tolist() == [1, 2, 9, 10, 12]
    assert all(storage.reader is None for storage in tables.storages.values())
    built.logits(X).sum().backward()
    assert tables.width_4.grad is not None


def test_measuring_in_row_mode_keeps_no_lookups() -> None:
    built = model()
    built.compiled.build(built)
    data = {"user": [1] * 50, "item": [2] * 50, "fixed": [0] * 50, "liked": [[1]] * 50}
    with built.compiled.row_mode()():
        built.predict(data, batch_size=5)
        assert all(table._tape == [] for _, table in built.compiled.row_tables)


def test_a_scheduler_is_built_over_the_optimizer() -> None:
    built = model(scheduler="warmup_linear", scheduler_params={"warmup_steps": 2})
    built.compiled.build(built)
    handle = built.compiled.build_scheduler(length_of(range(4)), epochs=2, mode="min")
    assert handle is not None
    assert handle.optimizer is built.compiled.instance
    assert handle.last_lr == [0.0005] * 3
    assert model().compiled.scheduler is None


def test_unknown_names_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'rmsprop'"):
        model(optimizer="rmspop")
    with pytest.raises(ConfigError, match="Did you mean 'plateau'"):
        model(scheduler="platau")


def test_whole_tables_are_penalised_as_by_a_loss_of_one_s_own() -> None:
    """Two steps of Adam on loss + l1 sum|E| + l2 sum E^2, against torch's."""
    options = {"embedding_l1_reg": 0.01, "embedding_l2_reg": 0.1, "embedding_reg_scope": "table"}
    ours, own = model(**options), model()
    data = {name: values.numpy() for name, values in X.items()} | {"label": np.array([1.0, 0.0])}
    settings = {"epochs": 2, "batch_size": 2, "shuffle": False, "max_grad_norm": None}
    ours.fit(data, **settings, seed=0, report=False, checkpoint=False)
    tables = {name: p for name, p in own.named_parameters() if "width_" in name and p.requires_grad}
    first = {name: p.detach().clone() for name, p in tables.items()}
    optimizer = torch.optim.Adam(own.parameters(), lr=1e-3)
    own.train()
    for _ in range(2):
        optimizer.zero_grad()
        loss = own.objective(own.logits(X), torch.tensor([[1.0], [0.0]]))
        for weight in tables.values():
            loss = loss + 0.01 * weight.abs().sum() + 0.1 * weight.square().sum()
        user = own.embedding.embed_dict.width_4[:9], own.linear.weights.embed_dict.width_1[:9]
        loss = loss + sum(0.5 * rows.square().sum() for rows in user)  # the feature's own
        loss.backward()
        optimizer.step()
    fitted = dict(ours.named_parameters())
    for name, weight in tables.items():
        torch.testing.assert_close(fitted[name], weight, rtol=1e-4, atol=1e-6)
        padding = 9  # of the histories
        untouched = [row for row in range(len(weight)) if row != padding]
        assert (fitted[name][untouched] != first[name][untouched]).any(1).all()


def test_whole_tables_are_a_group_of_their_own() -> None:
    built = model(embedding_l2_reg=0.1, embedding_reg_scope="table")
    groups = built.compiled.build(built).param_groups
    assert [group["name"] for group in groups] == ["embedding", "dense", "bias_norm"]
    plain = model(nextrec.DCN, embedding_reg_scope="table", optimizer="adam")
    plain.compiled.build(plain)
    assert plain.compiled.row_tables == []  # a feature's own l2_reg counts too


@pytest.mark.parametrize("optimizer", ["lazy_adam", "rowwise_adagrad"])
def test_optimizers_of_rows_know_no_whole_tables(optimizer: str) -> None:
    with pytest.raises(ConfigError, match="`embedding_reg_scope` must be 'batch' with"):
        model(embedding_l2_reg=0.1, embedding_reg_scope="table", optimizer=optimizer)
    with pytest.raises(ConfigError, match="Did you mean 'table'"):
        model(embedding_reg_scope="tables")


def test_linear_layers_start_as_they_are_told() -> None:
    built = model(linear_init="xavier_normal", mlp_params={"dims": [300, 300]})
    weight, bias = built.mlp.mlp[4].weight, built.mlp.mlp[4].bias
    assert abs(weight.std().item() * 300**0.5 - 1) < 0.02
    assert not bias.any()
    again = model(linear_init="xavier_normal", mlp_params={"dims": [300, 300]})
    assert torch.equal(again.mlp.mlp[4].weight, weight)
    with pytest.raises(ConfigError, match="Did you mean 'xavier_normal'"):
        model(linear_init="xavier_norm")
