from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import torch
from torch import nn

import nextrec
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.models.base import BaseModel


def model(**options: Any) -> BaseModel:
    return nextrec.DeepFM(
        [DenseFeature("price"), DenseFeature("age")],
        [
            SparseFeature("user", 1500, embedding_dim=4),
            SparseFeature("fixed", 10, embedding_dim=4, trainable=False),
        ],
        [SequenceFeature("liked", 20, 7, embedding_name="items", embedding_dim=4)],
        **{"mlp_params": {"dims": [8]}, "target": ["click", "buy"], **options},
    )


def parameters_table(text: str) -> dict[str, list[str]]:
    """Part -> count, trained, MiB, optimizer MiB."""
    block = text.split("\n\n")[1].splitlines()[3:]
    return {cells[0]: cells[1:] for cells in (re.split(r"  +", line) for line in block)}


def count(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_features_are_listed_with_their_tables() -> None:
    text = model().summary()
    assert "dense: price, age" in text
    rows = [re.split(r"  +", line) for line in text.splitlines()]
    assert ["user", "1,500", "user", "4"] in rows
    assert ["liked", "20", "items", "4", "7"] in rows


def test_counts_are_those_of_the_parameters() -> None:
    built = model()
    table = parameters_table(built.summary())
    total = sum(p.numel() for p in built.parameters())
    trained = sum(p.numel() for p in built.parameters() if p.requires_grad)
    assert [count(cell) for cell in table["total"][:2]] == [total, trained]
    assert total - trained == 40
    parts = [count(cells[0]) for name, cells in table.items() if name != "total"]
    assert sum(parts) == total


class BaseOdd(BaseModel):
    """A parameter of its own and one under two names."""

    def __init__(self, sparse_features: Any = None, **options: Any) -> None:
        super().__init__(sparse_features=sparse_features, **options)
        self.embedding = EmbeddingLayer(self.features)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(3))

    def logits(self, x: Any) -> torch.Tensor:
        return self.second(self.first(self.embedding.flat(x)))[:, :1] * self.scale[0]


def test_own_parameters_and_tied_ones_count_once() -> None:
    built = BaseOdd([SparseFeature("user", 10, embedding_dim=4)])
    table = parameters_table(built.summary())
    assert count(table["total"][0]) == sum(p.numel() for p in built.parameters()) == 67
    assert {name: count(cells[0]) for name, cells in table.items()} == {
        "embedding": 40,
        "first": 20,
        "second": 4,
        "(its own)": 3,
        "total": 67,
    }


@pytest.mark.parametrize(
    ("optimizer", "a_weight", "a_row"),
    [
        ("adam", 2, 1),
        ("adamw", 2, 1),
        ("lazy_adam", 2, 1),
        ("sgd", 0, 0),
        ("adagrad", 1, 0),
        ("rmsprop", 1, 1),
        ("rowwise_adagrad", None, 1),
    ],
)
def test_memory_of_the_optimizer(optimizer: str, a_weight: int | None, a_row: int) -> None:
    rows = 100_000
    features = [SparseFeature("user", rows, embedding_dim=8)]
    built = nextrec.DCN(sparse_features=features, optimizer=optimizer)
    cells = parameters_table(built.summary())["embedding"]
    assert cells[2] == f"{rows * 8 * 4 / 2**20:.2f}"
    numbers = rows * (8 * (a_weight or 0) + a_row)
    assert cells[3] == f"{numbers * 4 / 2**20:.2f}"


def test_the_setup_is_told_and_logged_before_fit(caplog: pytest.LogCaptureFixture) -> None:
    options = {"optimizer": "sgd", "optimizer_params": {"lr": 0.5}, "scheduler": "cosine"}
    built = model(session_id="run", embedding_l2_reg=0.25, **options)
    with caplog.at_level(logging.INFO, logger="nextrec"):
        text = built.summary()
    assert text in caplog.text
    settings = dict(re.split(r"  +", line) for line in text.split("\n\n")[2].splitlines()[3:])
    assert settings["targets"] == "click, buy"
    assert settings["optimizer"] == "sgd {'lr': 0.5}"
    assert settings["scheduler"] == "cosine {}"
    assert settings["embedding L1, L2"] == "0.0, 0.25"
    assert settings["session"] == str(built.session_path)
    assert not built.session_path.exists()


def test_an_optimizer_of_ones_own_has_unknown_memory() -> None:
    built = nextrec.DCN(sparse_features=[SparseFeature("user", 10)], optimizer=torch.optim.SGD)
    assert parameters_table(built.summary())["total"][3] == "0.00"
