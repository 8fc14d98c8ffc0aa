import pytest

from nextrec.errors import ConfigError
from nextrec.metrics import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    TASK_DEFAULT_METRICS,
    Request,
    fits,
    parse_metric,
    resolve_metrics,
)
from nextrec.tasks import TASK_KINDS, make_tasks

ONE = make_tasks("binary", ["click"])
TWO = make_tasks("binary", ["click", "buy"])
MIXED = make_tasks(["binary", "regression"], ["click", "price"])


def keys(metrics, tasks, **options) -> list[str]:
    return [request.key for request in resolve_metrics(metrics, tasks, **options)]


def test_a_string_is_one_metric() -> None:
    assert keys("auc", ONE) == ["auc"]
    assert keys("auc", TWO) == ["auc_click", "auc_buy"]


def test_every_metric_for_every_task_that_it_fits() -> None:
    assert keys(["auc", "ndcg@5", "msle"], MIXED) == [
        "auc_click",
        "ndcg@5_click",
        "ndcg@5_price",
        "msle_price",
    ]
    assert keys(["gauc", "recall@10"], TWO) == [
        "gauc_click",
        "recall@10_click",
        "gauc_buy",
        "recall@10_buy",
    ]


def test_by_target() -> None:
    asked = {"price": "rmse", "click": ["logloss", "auc"]}
    assert keys(asked, MIXED) == ["rmse_price", "logloss_click", "auc_click"]
    assert keys({"click": "auc"}, ONE) == ["auc"]
    assert keys({"buy": ["auc"]}, TWO) == ["auc_buy"]
    assert resolve_metrics({"buy": ["auc"]}, TWO) == (Request("buy", "auc"),)
    assert resolve_metrics("auc", ONE) == (Request(None, "auc"),)


def test_names_are_lower_cased_and_asked_once() -> None:
    assert keys(["AUC", "auc", "NDCG@10"], ONE) == ["auc", "ndcg@10"]
    assert keys(("acc", "accuracy"), ONE) == ["acc", "accuracy"]


@pytest.mark.parametrize("empty", [None, [], "", {}, ()])
def test_defaults(empty) -> None:
    assert keys(empty, ONE) == TASK_DEFAULT_METRICS["binary"]
    without = [name for name in TASK_DEFAULT_METRICS["binary"] if name != "gauc"]
    assert keys(empty, ONE, has_groups=False) == without
    assert keys(empty, ONE, streaming=True) == without
    labels = make_tasks("multilabel", ["a", "b"])
    assert keys(empty, labels, streaming=True) == TASK_DEFAULT_METRICS["multilabel"][1:]


def test_defaults_of_several_tasks() -> None:
    found = resolve_metrics(None, MIXED, has_groups=False)
    assert {r.metric for r in found if r.target == "price"} == set(
        TASK_DEFAULT_METRICS["regression"]
    )
    assert keys(None, make_tasks("multilabel", ["a", "b"])) == TASK_DEFAULT_METRICS["multilabel"]
    assert keys(None, make_tasks("multiclass", ["a"], 3)) == TASK_DEFAULT_METRICS["multiclass"]


def test_default_metrics_exist_and_fit() -> None:
    assert set(TASK_DEFAULT_METRICS) == {*TASK_KINDS, "matching"}
    for kind, names in TASK_DEFAULT_METRICS.items():
        assert all(fits(name, "binary" if kind == "matching" else kind) for name in names)
    assert all(parse_metric(name) for name in CLASSIFICATION_METRICS | REGRESSION_METRICS)


def test_direction_and_groups() -> None:
    auc, loss, gauc = resolve_metrics(["auc", "logloss", "gauc"], ONE)
    assert (auc.mode, loss.mode, gauc.mode) == ("max", "min", "max")
    assert [each.needs_groups for each in (auc, loss, gauc)] == [False, False, True]
    (pcoc,) = resolve_metrics("pcoc", ONE)
    with pytest.raises(ConfigError, match="can't be monitored"):
        _ = pcoc.mode


@pytest.mark.parametrize(
    ("metrics", "tasks", "message"),
    [
        (["auk"], ONE, "fit: .*Did you mean 'auc'"),
        (["mape"], ONE, "metric 'mape' is defined for regression tasks; this is a binary task"),
        ("auc", make_tasks("regression", ["p"]), "this is a regression task"),
        ("hamming_loss", MIXED, "this is a binary or regression task"),
        ({"clik": ["auc"]}, TWO, "one of the targets click, buy; got 'clik'. Did you mean 'click'"),
        ({"price": "auc"}, MIXED, "this is a regression target 'price' task"),
        ({"click": []}, ONE, "at least one metric"),
        (7, ONE, "a name, names, or target -> names; got 7"),
        ([["auc"]], ONE, "names of metrics; got"),
    ],
)
def test_errors_before_training(metrics, tasks, message) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_metrics(metrics, tasks, owner="fit")


def test_every_problem_at_once() -> None:
    asked = {"clik": ["auc"], "buy": ["auk", "mape", "ndcg"]}
    with pytest.raises(ConfigError) as caught:
        resolve_metrics(asked, TWO)
    message = str(caught.value)
    assert len(message.splitlines()) == 4
    for part in ("clik", "auk", "mape", "ndcg@10"):
        assert part in message


def test_binary_probabilities_have_errors_too() -> None:
    assert keys(["mse", "mae", "rmse", "r2"], ONE) == ["mse", "mae", "rmse", "r2"]
    assert keys("mse", make_tasks("multilabel", ["a", "b"])) == ["mse"]


def test_keys_that_collide_are_refused() -> None:
    tasks = make_tasks("binary", ["coverage_x", "x"])
    with pytest.raises(ConfigError, match="different keys"):
        resolve_metrics(["gauc", "gauc_coverage"], tasks)
