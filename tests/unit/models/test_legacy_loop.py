"""What a training loop of the user's own calls: inputs, loss, penalties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import DataError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature

ROWS = 12


def model(**options: Any) -> nextrec.BaseModel:
    return nextrec.DCN(
        [DenseFeature("price")],
        [SparseFeature("user", 9, embedding_dim=4, init_params={"std": 0.5})],
        [SequenceFeature("liked", 7, 3, embedding_dim=4, init_params={"std": 0.5})],
        **{"seed": 1, **options},
    )


def batch(**labels: Any) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(0)
    return {
        "features": {
            "price": torch.randn(ROWS, generator=rng),
            "user": torch.randint(0, 9, (ROWS,), generator=rng),
            "liked": torch.randint(0, 7, (ROWS, 3), generator=rng),
        },
        "labels": labels or None,
    }


def zeros_and_ones() -> torch.Tensor:
    return torch.arange(ROWS) % 2


# -- inputs ------------------------------------------------------------------------------------


def test_one_target_is_one_column() -> None:
    x, y = model().get_input(batch(label=zeros_and_ones()))
    assert set(x) == {"price", "user", "liked"}
    assert x["user"].dtype == torch.int64
    assert x["price"].dtype == torch.float32
    assert torch.equal(y, zeros_and_ones().float())


def test_several_targets_are_columns_in_their_order() -> None:
    given = batch(b=torch.ones(ROWS), a=torch.zeros(ROWS), other=torch.full((ROWS,), 7.0))
    _, y = model(target=["a", "b"]).get_input(given)
    assert torch.equal(y, torch.tensor([[0.0, 1.0]]).expand(ROWS, 2))


def test_labels_may_be_absent_where_they_are_not_required() -> None:
    x, y = model().get_input(batch(), require_labels=False)
    assert y is None
    assert model()(x).shape == (ROWS,)
    with pytest.raises(DataError, match="label"):
        model().get_input(batch())


def test_batches_of_our_loaders_are_taken_too() -> None:
    maker = nextrec.RecDataLoader(
        [DenseFeature("price")],
        [SparseFeature("user", 9)],
        [SequenceFeature("liked", 7, 3)],
        target="label",
    )
    data = {"price": [0.5, 1.0], "user": [1, 2], "liked": [[1], []], "label": [1, 0]}
    [ours] = maker.create_dataloader(data, shuffle=False)
    _, y = model().get_input(ours)
    assert y.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda b: b["features"].pop("user"), "lacks 1 column"),
        (lambda b: b["features"].update(user=torch.full((ROWS,), 9)), r"'user', row 0: .*got 9"),
        (lambda b: b["labels"].update(label=torch.full((ROWS,), 2.0)), "must be 0 or 1"),
        (lambda b: b["labels"].update(label=torch.ones(3)), "one length"),
    ],
)
def test_bad_batches_are_named(spoil: Any, told: str) -> None:
    given = batch(label=zeros_and_ones())
    spoil(given)
    with pytest.raises(DataError, match=told):
        model().get_input(given)


# -- loss --------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "binary": {},
    "focal": {"loss": "focal", "loss_params": {"gamma": 2.0, "alpha": 0.25}},
    "regression": {"task": "regression"},
    "multiclass": {"task": "multiclass", "num_classes": 2},
    "multilabel": {"task": "multilabel", "target": ["label", "b"]},
    "several": {"target": ["label", "b"], "loss_weights": [1.0, 3.0]},
    "mixed": {
        "target": ["label", "b"],
        "task": ["multiclass", "regression"],
        "num_classes": 2,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_predictions_is_that_of_their_logits(kind: str) -> None:
    built = model(**KINDS[kind])
    given = batch(label=zeros_and_ones(), b=1 - zeros_and_ones())
    x, y = built.get_input(given)
    loss = built.compute_loss(built(x), y)
    labels = y if y.dim() == 2 else y[:, None]
    torch.testing.assert_close(loss, built.objective(built.logits(x), labels), rtol=1e-5, atol=1e-6)
    loss.backward()
    assert all(p.grad is not None for p in built.parameters())


def test_predictions_of_exactly_0_or_1_have_a_finite_loss() -> None:
    y = torch.tensor([0.0, 1.0])
    for built, wrong in (
        (model(), torch.tensor([1.0, 0.0])),
        (model(task="multiclass", num_classes=2), torch.tensor([[0.0, 1.0], [1.0, 0.0]])),
    ):
        loss = built.compute_loss(wrong, y)
        assert torch.isfinite(loss)
        assert loss > 10


def test_labels_are_needed_for_a_loss() -> None:
    with pytest.raises(DataError, match="`y_true` is None"):
        model().compute_loss(torch.ones(3), None)


# -- penalties ---------------------------------------------------------------------------------


def test_penalties_are_of_whole_tables_and_linear_maps() -> None:
    strengths = {"embedding_l1_reg": 0.1, "embedding_l2_reg": 0.2}
    built = model(dense_l1_reg=0.3, dense_l2_reg=0.4, mlp_params={"dims": [4]}, **strengths)
    state = dict(built.named_parameters())
    table = state.pop("embedding.embed_dict.width_4")
    expected = 0.1 * table.abs().sum() + 0.2 * table.square().sum()
    dense = [p for name, p in state.items() if "bias" not in name and not is_norm(built, name)]
    assert len(dense) > 2
    expected = expected + sum(0.3 * p.abs().sum() + 0.4 * p.square().sum() for p in dense)
    torch.testing.assert_close(built.add_reg_loss(), expected)
    assert model().add_reg_loss() == 0


def is_norm(built: nextrec.BaseModel, name: str) -> bool:
    owner = built.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, torch.nn.BatchNorm1d)


# -- epochs ------------------------------------------------------------------------------------


def test_train_epoch_trains_outside_any_session() -> None:
    built = model(optimizer_params={"lr": 0.05})
    loader = [batch(label=(batch()["features"]["price"] > 0).float())] * 20
    first = built.train_epoch(loader)
    second = built.train_epoch(loader)
    assert isinstance(first, float)
    assert second < first
    assert not built.session_path.exists()
    assert built.history == []


def test_metrics_of_arrays() -> None:
    built = model(target=["a", "b"])
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, (30, 2)), rng.random((30, 2))
    values = built.evaluate_metrics(labels, scores, ["auc", "logloss"])
    assert list(values) == ["auc_a", "logloss_a", "auc_b", "logloss_b"]
    one = model().evaluate_metrics(labels[:, 0], scores[:, 0], "auc")
    assert one["auc"] == values["auc_a"]
    grouped = model().evaluate_metrics(
        labels[:, 0], scores[:, 0], ["gauc"], user_ids=np.arange(30) % 4
    )
    assert 0 <= grouped["gauc"] <= 1
