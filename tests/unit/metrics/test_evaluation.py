import copy
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError, DataError
from nextrec.metrics import (
    Evaluator,
    MetricValues,
    Request,
    auc,
    gauc,
    logloss,
    mse,
    multiclass_accuracy,
    multilabel_auc,
    ndcg_at_k,
    resolve_metrics,
)
from nextrec.metrics import evaluation as module
from nextrec.tasks import make_tasks

ONE = make_tasks("binary", ["click"])
MIXED = make_tasks(["binary", "multiclass", "regression"], ["click", "genre", "price"], 3)


def sample(rows: int = 120):
    rng = np.random.default_rng(0)
    p = np.column_stack([rng.random(rows), rng.dirichlet(np.ones(3), rows), rng.gamma(2, 1, rows)])
    classes = rng.integers(0, 2, rows), rng.integers(0, 3, rows)
    labels = np.column_stack([*classes, rng.gamma(2, 1, rows)])
    return p, np.where(rng.random((rows, 3)) < 0.2, np.nan, labels), rng.integers(0, 9, rows)


def fed(evaluator: Evaluator, predictions, labels, groups=None, weights=None, parts: int = 5):
    for part in np.array_split(np.arange(len(labels)), parts):
        evaluator.update(
            predictions[part],
            labels[part],
            None if groups is None else groups[part],
            None if weights is None else weights[part],
        )
    return evaluator


@pytest.mark.parametrize("tensor", [np.asarray, torch.tensor])
def test_each_task_reads_its_columns(tensor) -> None:
    p, labels, groups = sample()
    asked = ["auc", "mse", "accuracy", "ndcg@3", "gauc"]
    evaluator = Evaluator(resolve_metrics(asked, MIXED), MIXED)
    values = fed(evaluator, tensor(p), tensor(labels), groups).compute()
    assert list(values) == [
        "auc_click",
        "mse_click",
        "accuracy_click",
        "ndcg@3_click",
        "gauc_click",
        "auc_genre",
        "accuracy_genre",
        "mse_price",
        "ndcg@3_price",
    ]
    click, genre, price = labels.T
    assert values["auc_click"] == auc(click, p[:, 0])
    assert values["mse_click"] == mse(click, p[:, 0])
    assert values["gauc_click"] == pytest.approx(gauc(click, p[:, 0], groups), abs=1e-12)
    assert values["accuracy_genre"] == multiclass_accuracy(genre, p[:, 1:4])
    assert values["mse_price"] == mse(price, p[:, 4])
    assert values["ndcg@3_price"] == pytest.approx(ndcg_at_k(price, p[:, 4], groups, 3), abs=1e-12)
    assert values.reasons == {}


def test_multilabel() -> None:
    tasks = make_tasks("multilabel", ["a", "b"])
    p, labels, _ = sample()
    p, labels = p[:, :2], (labels[:, :2] > 0).astype(float)
    values = fed(Evaluator(resolve_metrics("auc", tasks), tasks), p, labels).compute()
    assert values == {"auc": multilabel_auc(labels, p)}
    assert values.values_by_target() == {"a+b": {"auc": values["auc"]}}


def test_keys_are_structured() -> None:
    """The key auc_post_ctr belongs to post_ctr, though it ends like ctr."""
    tasks = make_tasks("binary", ["ctr", "post_ctr"])
    evaluator = Evaluator(resolve_metrics("auc", tasks), tasks)
    evaluator.update([[0.1, 0.9], [0.9, 0.1]], [[0, 0], [1, 1]])
    values = evaluator.compute()
    assert values == {"auc_ctr": 1, "auc_post_ctr": 0}
    assert values.values_by_target() == {"ctr": {"auc": 1}, "post_ctr": {"auc": 0}}


def test_evaluate_computes_exactly_what_is_asked() -> None:
    tasks = make_tasks("binary", ["a", "b"])
    evaluator = Evaluator(resolve_metrics({"a": ["logloss"], "b": ["auc"]}, tasks), tasks)
    evaluator.update([[0.1, 0.2], [0.9, 0.8]], [[0, 0], [1, 1]])
    assert list(evaluator.compute()) == ["logloss_a", "auc_b"]


def test_undefined_values_have_reasons() -> None:
    p = np.array([[0.1, 0.5], [0.9, np.nan]])
    tasks = make_tasks("binary", ["a", "b"])
    evaluator = Evaluator(resolve_metrics(["auc", "logloss"], tasks), tasks)
    evaluator.update(p, [[1, 0], [1, 1]])
    values = evaluator.compute()
    assert values["logloss_a"] == pytest.approx(logloss([1, 1], [0.1, 0.9]))
    assert set(values.reasons) == {"auc_a", "auc_b", "logloss_b"}
    assert values.reasons["auc_a"] == "the labels have one class only"
    assert "not finite" in values.reasons["logloss_b"]
    assert math.isnan(values["auc_b"])
    assert type(values["auc_b"]) is float


@pytest.mark.parametrize("streaming", [False, True])
def test_a_target_without_labels_is_undefined(streaming: bool) -> None:
    tasks = make_tasks("binary", ["a", "b"])
    evaluator = Evaluator(resolve_metrics(["auc", "mse"], tasks), tasks, streaming)
    assert set(evaluator.compute().reasons.values()) == {"no label is observed"}
    evaluator.update([[0.1, 0.2], [0.9, 0.8]], [[0, np.nan], [1, np.nan]])
    values = evaluator.compute()
    assert values["auc_a"] == 1
    assert values.reasons == dict.fromkeys(["auc_b", "mse_b"], "no label is observed")


def test_streaming_equals_exact() -> None:
    p, labels, _ = sample()
    p = np.round(p, 2)
    p[:, 1:4] = np.eye(3)[p[:, 1:4].argmax(1)]
    weights = np.random.default_rng(1).random(len(p))
    click = ["auc", "ks", "pr_auc", "logloss", "mse", "accuracy", "macro_f1", "pcoc", "ne"]
    asked = {"click": click, "genre": ["accuracy", "f1"], "price": ["rmse", "r2", "mape"]}
    requests = resolve_metrics(asked, MIXED)
    exact, streamed = (
        fed(Evaluator(requests, MIXED, streaming), p, labels, weights=weights).compute()
        for streaming in (False, True)
    )
    assert list(exact) == list(streamed)
    assert streamed == pytest.approx(exact, rel=1e-9, nan_ok=True)


def test_streamed_values_tell_their_error() -> None:
    rng = np.random.default_rng(0)
    p, labels = rng.random(5000), rng.integers(0, 2, 5000)
    requests = resolve_metrics(["auc", "mse"], ONE)
    streamed = fed(Evaluator(requests, ONE, streaming=True), p, labels)
    bounds = streamed.error_bounds()
    assert list(bounds) == ["auc"]
    assert 0 < bounds["auc"] < 1e-3
    assert abs(streamed.compute()["auc"] - auc(labels, p)) <= bounds["auc"]
    assert fed(Evaluator(requests, ONE), p, labels).error_bounds() == {}


def test_streaming_refuses_what_needs_every_row() -> None:
    requests = resolve_metrics(["auc", "gauc", "ndcg@5"], ONE)
    with pytest.raises(ConfigError, match="`streaming` forgets the rows that gauc, ndcg@5 need"):
        Evaluator(requests, ONE, streaming=True)


@pytest.mark.parametrize("streaming", [False, True])
def test_merged_evaluators(streaming: bool) -> None:
    p, labels, groups = sample()
    asked = ["ks", "mse"] if streaming else ["auc", "gauc", "mse"]
    requests = resolve_metrics(asked, MIXED)
    one = fed(Evaluator(requests, MIXED, streaming), p, labels, groups)
    left = fed(Evaluator(requests, MIXED, streaming), p[:50], labels[:50], groups[:50])
    right = fed(Evaluator(requests, MIXED, streaming), p[50:], labels[50:], groups[50:])
    left.merge(pickle.loads(pickle.dumps(right)))
    assert left.compute() == pytest.approx(one.compute(), abs=1e-12)
    with pytest.raises(ConfigError, match="same requests"):
        left.merge(Evaluator(requests[:1], MIXED, streaming))


def test_values_can_be_read_midway_and_reset() -> None:
    evaluator = Evaluator(resolve_metrics("mse", ONE), ONE)
    evaluator.update([0.0], [1.0])
    assert evaluator.compute() == {"mse": 1}
    evaluator.update([1.0], [1.0])
    assert evaluator.compute() == evaluator.compute() == {"mse": 0.5}
    evaluator.reset()
    evaluator.update([1.0], [1.0])
    assert evaluator.compute() == {"mse": 0}


def test_group_ids_are_joined_over_batches() -> None:
    evaluator = Evaluator(resolve_metrics("gauc", ONE), ONE)
    evaluator.update([0.1, 0.9], [0, 1], ["x", "y"])
    evaluator.update([0.9, 0.1], [1, 0], np.array(["x", "y"]))
    assert evaluator.compute() == {"gauc": 1}


def test_groups_are_missed_at_once() -> None:
    evaluator = Evaluator(resolve_metrics(["auc", "gauc", "hr@2"], ONE), ONE)
    with pytest.raises(ConfigError, match=r"`groups` must be .* \(needed by gauc, hr@2\)"):
        evaluator.update([0.1], [1])


def test_buffers_may_be_reused() -> None:
    evaluator = Evaluator(resolve_metrics("mse", ONE), ONE)
    p, labels = torch.zeros(2, 1), torch.ones(2, 1)
    evaluator.update(p, labels)
    p.fill_(5)
    labels.fill_(7)
    assert evaluator.compute() == {"mse": 1}


@pytest.mark.parametrize("batches", [3, 64, 130])
@pytest.mark.parametrize("streaming", [False, True])
def test_batches_of_a_device_are_read_together(monkeypatch, batches, streaming) -> None:
    """No accelerator here: CPU tensors are made to wait as those of a device do."""
    monkeypatch.setattr(module, "on_host", lambda array: False)
    evaluator = Evaluator(resolve_metrics(["mse", "auc"], ONE), ONE, streaming)
    p = torch.zeros(2, 1)
    for _ in range(batches):
        p.copy_(torch.tensor([[0.25], [0.75]]))
        evaluator.update(p, torch.tensor([[0.0], [1.0]]), weights=torch.ones(2))
        p.fill_(9)
        assert len(evaluator._waiting) < module.HELD_ON_DEVICE
    assert len(evaluator._waiting) == batches % module.HELD_ON_DEVICE
    assert evaluator.compute() == {"mse": 0.0625, "auc": 1.0}


def test_bfloat16_predictions() -> None:
    evaluator = Evaluator(resolve_metrics("mse", ONE), ONE)
    evaluator.update(torch.tensor([[0.5]], dtype=torch.bfloat16), torch.tensor([[1.0]]))
    assert evaluator.compute() == {"mse": 0.25}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.1, 0.2]], [[1.0]]), r"`predictions` must be \(rows, 1\); got \(1, 2\)"),
        (([0.1], [[1.0, 0.0]]), r"`labels` must be \(rows, 1\); got \(1, 2\)"),
        (([0.1, 0.2], [1.0]), "`predictions` must be one value a row of the 1 labels; got 2"),
        (([0.1], [1.0], None, [1.0, 2.0]), "`weights` must be one value a row"),
    ],
)
def test_shapes_that_do_not_fit(arguments, message) -> None:
    with pytest.raises(DataError, match=message):
        Evaluator(resolve_metrics("mse", ONE), ONE).update(*arguments)


def test_group_ids_of_another_length() -> None:
    with pytest.raises(DataError, match="`groups` must be one value a row of the 1 labels; got 2"):
        Evaluator(resolve_metrics("gauc", ONE), ONE).update([0.1], [1.0], [7, 8])


def test_group_ids_that_no_metric_needs_are_not_kept() -> None:
    evaluator = Evaluator(resolve_metrics("mse", ONE), ONE)
    evaluator.update([0.5], [1.0], ["somebody"])
    assert evaluator._rows.take().groups is None


@pytest.mark.parametrize("streaming", [False, True])
def test_bad_labels_name_their_target(streaming: bool) -> None:
    tasks = make_tasks("binary", ["click", "buy"])
    evaluator = Evaluator(resolve_metrics("auc", tasks), tasks, streaming)
    with pytest.raises(DataError, match=r"target 'buy': metrics: `labels` must be 0 or 1; got 7"):
        (evaluator.update([[0.1, 0.2]], [[0, 7]]), evaluator.compute())


def test_metrics_import_no_torch() -> None:
    code = "import sys, nextrec.metrics; sys.exit('torch' in sys.modules)"
    root = Path(nextrec.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0


def test_requests_of_another_model() -> None:
    with pytest.raises(ConfigError, match="targets click; got 'like'"):
        Evaluator([Request("like", "auc")], ONE)


def test_metric_values_copy_and_dump() -> None:
    evaluator = Evaluator(resolve_metrics("auc", ONE), ONE)
    evaluator.update([0.1], [1])
    values = evaluator.compute()
    for clone in (copy.deepcopy(values), pickle.loads(pickle.dumps(values))):
        assert isinstance(clone, MetricValues)
        assert clone.reasons == {"auc": "the labels have one class only"}
        assert math.isnan(clone["auc"])
    assert json.dumps(values) == '{"auc": NaN}'
