"""0.3.1's metric functions: their signatures, and what they answer now."""

import inspect
import math

import numpy as np
import pytest

from nextrec import metrics
from nextrec.errors import ConfigError, DataError
from nextrec.metrics import (
    TASK_DEFAULT_METRICS,
    compute_gauc,
    compute_ks,
    compute_mape,
    compute_msle,
    compute_single_metric,
    configure_metrics,
    evaluate_metrics,
    get_best_metric_mode,
)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("compute_ks", ["y_true", "y_pred"]),
        ("compute_mape", ["y_true", "y_pred"]),
        ("compute_msle", ["y_true", "y_pred"]),
        ("compute_gauc", ["y_true", "y_pred", "user_ids"]),
        ("configure_metrics", ["task", "metrics", "target_names"]),
        ("get_best_metric_mode", ["first_metric", "primary_task"]),
        ("compute_single_metric", ["metric", "y_true", "y_pred", "task_type", "user_ids"]),
        (
            "evaluate_metrics",
            [
                "y_true",
                "y_pred",
                "metrics",
                "task",
                "target_names",
                "task_specific_metrics",
                "user_ids",
            ],
        ),
    ],
)
def test_signatures(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(metrics, name)).parameters) == parameters


def test_single_functions() -> None:
    assert compute_ks([0, 1] * 50, [0.5] * 100) == 0
    assert compute_mape([0.0, 2.0], [1.0, 1.0]) == 50
    assert compute_msle([0.0], [-3.0]) == 0
    assert compute_gauc([0, 1], [0.1, 0.2], [7, 7]) == 1
    with pytest.raises(ConfigError, match="compute_gauc: `user_ids`"):
        compute_gauc([0, 1], [0.1, 0.2])


def test_configure_a_list() -> None:
    assert configure_metrics("binary", ["LogLoss", "AUC"], ["y"]) == (
        ["logloss", "auc"],
        None,
        "min",
    )
    assert configure_metrics("binary", "auc", ["y"]) == (["auc"], None, "max")
    names = ["msle", "auc"]
    assert configure_metrics(["binary", "regression"], names, ["a", "b"]) == (names, None, "min")


def test_configure_by_target() -> None:
    asked = {"b": ["MSE"], "a": ["auc", "mse"]}
    names, by_target, mode = configure_metrics(["binary", "regression"], asked, ["a", "b"])
    assert names == ["mse", "auc"]
    assert by_target == {"b": ["mse"], "a": ["auc", "mse"]}
    assert mode == "min"


def test_configure_defaults() -> None:
    assert configure_metrics("binary", None, ["y"])[0] == TASK_DEFAULT_METRICS["binary"]
    assert configure_metrics("matching", None, ["y"])[0] == TASK_DEFAULT_METRICS["matching"]
    assert configure_metrics("multiclass", None, ["y"])[0] == TASK_DEFAULT_METRICS["multiclass"]
    names, by_target, mode = configure_metrics(["regression", "binary"], [], ["a", "b"])
    both = TASK_DEFAULT_METRICS["regression"] + TASK_DEFAULT_METRICS["binary"]
    assert (names, by_target, mode) == (both, None, "min")


def test_configure_refuses_what_0_3_1_let_pass() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'auc'"):
        configure_metrics("binary", ["auk"], ["y"])
    with pytest.raises(ConfigError, match="one of the targets a, b; got 'c'"):
        configure_metrics("binary", {"c": ["auc"]}, ["a", "b"])
    with pytest.raises(ConfigError, match="Did you mean 'binary'"):
        configure_metrics("binari", None, ["y"])


def test_direction() -> None:
    assert get_best_metric_mode("auc", "binary") == "max"
    assert get_best_metric_mode("mse", "binary") == "min"
    assert get_best_metric_mode("ndcg@10", "regression") == "max"
    with pytest.raises(ConfigError):
        get_best_metric_mode("nonsense", "regression")


def test_single_metric_by_name() -> None:
    labels, p = [0, 1, 1, 0], [0.2, 0.7, 0.9, 0.4]
    assert compute_single_metric("auc", labels, p, "binary") == 1
    assert compute_single_metric("HR@1", labels, p, "matching", ["u", "u", "v", "v"]) == 1
    one_class = compute_single_metric("auc", [1, 1], [0.1, 0.2], "binary")
    assert math.isnan(one_class)
    assert one_class.reason
    with pytest.raises(ConfigError, match="`groups`"):
        compute_single_metric("ndcg@5", labels, p, "binary")
    with pytest.raises(DataError, match="`groups`"):
        compute_single_metric("ndcg@5", labels, p, "binary", [1, 2])
    with pytest.raises(ConfigError, match="`task_type` must be one of regression"):
        compute_single_metric("msle", labels, p, "binary")


def test_evaluate_a_single_task() -> None:
    labels, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.9, 0.4])
    assert evaluate_metrics(labels, p, ["auc", "acc"], "binary", ["y"]) == {"auc": 1, "acc": 1}
    assert evaluate_metrics(labels[:, None], p[:, None], "auc", ["binary"], ["y"]) == {"auc": 1}
    classes = np.eye(3)[[0, 1, 1, 2]]
    assert evaluate_metrics([0, 1, 1, 0], classes, ["accuracy"], "multiclass", ["y"]) == {
        "accuracy": 0.75
    }


def test_evaluate_several_tasks() -> None:
    labels = np.array([[0, 1.0], [1, 2.0], [1, 3.0], [0, 4.0]])
    p = np.array([[0.2, 1.0], [0.7, 2.0], [0.9, 3.0], [0.4, 5.0]])
    users = np.array(["u", "u", "v", "v"])
    kinds, names = ["binary", "regression"], ["click", "price"]
    values = evaluate_metrics(labels, p, ["gauc", "mse"], kinds, names, user_ids=users)
    assert list(values) == ["gauc_click", "mse_click", "mse_price"]
    assert values["gauc_click"] == 1
    assert values["mse_price"] == 0.25
    by_target = {"click": ["hr@1"], "price": ["mae"]}
    values = evaluate_metrics(labels, p, ["auc"], kinds, names, by_target, users)
    assert values == {"hr@1_click": 1, "mae_price": 0.25}
    same = evaluate_metrics(labels[:, [0, 0]], p[:, [0, 0]], ["auc"], "binary", ["a", "b"])
    assert same == {"auc_a": 1, "auc_b": 1}


def test_evaluate_nothing() -> None:
    assert evaluate_metrics(None, None, ["auc"], "binary", ["y"]) == {}
    assert evaluate_metrics([1], None, ["auc"], "binary", ["y"]) == {}


def test_evaluate_multiclass_beside_others() -> None:
    labels = np.array([[0, 2], [1, 0]])
    p = np.array([[0.1, 0.1, 0.2, 0.7], [0.8, 0.5, 0.2, 0.3]])
    kinds = ["binary", "multiclass"]
    values = evaluate_metrics(labels, p, ["accuracy"], kinds, ["a", "b"])
    assert values == {"accuracy_a": 1, "accuracy_b": 1}
    with pytest.raises(ConfigError, match="at most one multiclass target"):
        evaluate_metrics(labels, p, ["accuracy"], ["multiclass"] * 2, ["a", "b"])
    with pytest.raises(DataError, match="one column a class; got '2 columns'"):
        evaluate_metrics(labels, p[:, :2], ["accuracy"], kinds, ["a", "b"])


def test_errors_are_not_swallowed() -> None:
    with pytest.raises(DataError, match="0 or 1"):
        evaluate_metrics([0, 3], [0.1, 0.2], ["auc"], "binary", ["y"])
    with pytest.raises(ConfigError, match="gauc"):
        evaluate_metrics([0, 1], [0.1, 0.2], ["gauc"], "binary", ["y"])
