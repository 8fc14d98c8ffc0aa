import math

import pytest

from nextrec.errors import ConfigError
from nextrec.metrics import (
    METRICS,
    Evaluator,
    Metric,
    is_better,
    metric_mode,
    parse_metric,
    resolve_metrics,
)
from nextrec.tasks import TASK_KINDS, make_tasks


def test_every_definition_fits_some_kind_of_task() -> None:
    for name in METRICS:
        metric = METRICS[name]
        assert metric.name == name
        assert metric.forms
        assert set(metric.forms) <= set(TASK_KINDS)
        assert metric.mode in ("max", "min", None)
        assert metric.takes_k == name.endswith("@k")
        assert metric.needs_groups == (metric.takes_k or "gauc" in name)


@pytest.mark.parametrize(
    ("name", "canonical", "k"),
    [
        ("AUC", "auc", None),
        (" auc ", "auc", None),
        ("acc", "accuracy", None),
        ("average_precision", "pr_auc", None),
        ("NDCG@10", "ndcg@k", 10),
        ("hr@5", "hitrate@k", 5),
        ("hit@005", "hitrate@k", 5),
        ("precision", "precision", None),
        ("precision@3", "precision@k", 3),
    ],
)
def test_names(name, canonical, k) -> None:
    named = parse_metric(name)
    assert named.metric.name == canonical
    assert named.k == k


def test_a_name_stays_as_it_was_asked_for() -> None:
    assert parse_metric("ACC").name == "acc"
    assert parse_metric("hit@005").name == "hit@5"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auk", r"fit: `metrics` must be names among auc, ks, .*; got 'auk'. Did you mean 'auc'\?"),
        ("ndgc@10", r"got 'ndgc@10'. Did you mean 'ndcg@10'\?"),
        ("a", r"got 'a'\.$"),
        ("ndcg", "must be 'ndcg' with a cut, such as 'ndcg@10'; got 'ndcg'"),
        ("auc@5", "must be 'auc' without a cut; got 'auc@5'"),
        ("ndcg@0", "must be a cut of at least 1 after ndcg@; got 'ndcg@0'"),
        ("ndcg@", "a cut of at least 1"),
        ("ndcg@1.5", "a cut of at least 1"),
        ("ndcg@-1", "a cut of at least 1"),
        ("", "names among"),
        (3, "must be names of metrics; got 3"),
    ],
)
def test_wrong_names(name, message) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_metric(name, "fit")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, "max") for name in ("auc", "gauc", "ks", "f1", "r2", "cosine", "map@3", "acc")),
        *((name, "min") for name in ("logloss", "mse", "mae", "rmse", "mape", "msle", "ece", "ne")),
        ("hamming_loss", "min"),
    ],
)
def test_direction(name: str, mode: str) -> None:
    assert metric_mode(name) == mode


@pytest.mark.parametrize("name", ["pcoc", "gauc_coverage"])
def test_a_metric_without_a_direction_can_not_be_monitored(name: str) -> None:
    with pytest.raises(ConfigError, match="no direction to improve in"):
        metric_mode(name)


@pytest.mark.parametrize(
    ("new", "best", "mode", "delta", "better"),
    [
        (0.6, 0.5, "max", 0.0, True),
        (0.5, 0.5, "max", 0.0, False),
        (0.4, 0.5, "min", 0.0, True),
        (0.5, 0.5, "min", 0.0, False),
        (0.6, 0.5, "max", 0.2, False),
        (0.4, 0.5, "min", 0.2, False),
        (0.8, 0.5, "max", 0.2, True),
        (0.1, None, "max", 0.1, True),
        (0.1, math.nan, "min", 0.1, True),
        (0.1, -math.inf, "max", 0.1, True),
        (0.1, math.inf, "min", 0.1, True),
        *(
            (bad, best, mode, 0.0, False)
            for bad in (math.nan, math.inf, -math.inf)
            for best in (None, math.nan, 0.5)
            for mode in ("max", "min")
        ),
    ],
)
def test_better(new, best, mode, delta, better) -> None:
    assert is_better(new, best, mode, delta) is better


def test_an_unknown_mode() -> None:
    with pytest.raises(ConfigError, match="`mode` must be one of max, min; got 'auto'"):
        is_better(1.0, None, "auto")


def test_a_metric_of_your_own(monkeypatch) -> None:
    monkeypatch.setattr(METRICS, "_names", dict(METRICS._names))
    monkeypatch.setattr(METRICS, "_objects", dict(METRICS._objects))
    form = {"binary": lambda data: float(data.predictions.mean())}
    METRICS.add("mean_score", Metric("mean_score", "max", form))
    tasks = make_tasks("binary", ["click"])
    evaluator = Evaluator(resolve_metrics("mean_score", tasks), tasks)
    evaluator.update([0.2, 0.4], [0, 1])
    assert evaluator.compute() == {"mean_score": pytest.approx(0.3)}
