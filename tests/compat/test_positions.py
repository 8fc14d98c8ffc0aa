"""Arguments that 0.3.1 took by position are taken by position."""

from __future__ import annotations

import nextrec
from nextrec import SparseFeature


def feature(name: str = "item") -> SparseFeature:
    return SparseFeature(name, 50)


def test_ranking_models() -> None:
    model = nextrec.DeepFM([], [feature()], [], {"dims": [8]}, ["click"], "sgd", {"lr": 0.1})
    assert model.target == ["click"]
    assert model.compiled.optimizer == "sgd"
    assert nextrec.DCN([], [feature()], [], 2, None, ["click"]).target == ["click"]


def test_multi_task_models() -> None:
    towers = [{"dims": [8]}, {"dims": [4]}]
    names = ["click", "buy"]
    shared = nextrec.ShareBottom([], [feature()], [], {"dims": [8]}, towers, names, "binary")
    assert shared.target == names
    poso = nextrec.POSO([], [feature()], [], [], [feature("user")], [], towers, names, "binary")
    assert poso.target == names
    assert [f.name for f in poso.pc.sparse] == ["user"]
