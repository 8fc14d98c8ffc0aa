import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.errors import ConfigError
from nextrec.metrics import (
    METRICS,
    ExactAccumulator,
    HistogramAccumulator,
    RunningAccumulator,
    can_stream,
    compute_single_metric,
    observe,
    parse_metric,
    streaming_accumulator,
)
from nextrec.metrics.accumulators import Accumulator

KINDS = ("binary", "regression", "multiclass", "multilabel")
PAIRS = [
    (name.replace("@k", "@5"), kind)
    for name in METRICS
    for kind in KINDS
    if kind in METRICS[name].forms
]
STREAMED = [(name, kind) for name, kind in PAIRS if can_stream(name, kind)]


def sample(kind: str, rows: int = 240):
    rng = np.random.default_rng(0)
    weights, groups = rng.random(rows) + 0.1, rng.integers(0, 30, rows)
    if kind == "multiclass":
        p = rng.dirichlet(np.ones(3), rows)
        return rng.integers(0, 3, rows).astype(float), p, weights, groups
    shape = (rows, 3) if kind == "multilabel" else (rows,)
    p = rng.integers(1, 20, shape) / 20
    labels = (rng.random(shape) < p).astype(float) + (kind == "regression")
    labels[rng.random(shape) < 0.1] = np.nan
    return labels, p, weights, groups


def exact(name: str, kind: str, labels, p, weights, groups) -> float:
    return parse_metric(name).compute(observe(kind, labels, p, weights, groups))


def fed(accumulator: Accumulator, parts, labels, p, weights, groups) -> Accumulator:
    for part in parts:
        accumulator.update(p[part], labels[part], groups[part], weights[part])
    return accumulator


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_batches_give_what_the_whole_gives(name: str, kind: str) -> None:
    data = sample(kind)
    parts = np.array_split(np.arange(240), [7, 7, 100, 101])
    value = fed(ExactAccumulator(name, kind), parts, *data).compute()
    assert value == pytest.approx(exact(name, kind, *data), rel=1e-12)


@pytest.mark.parametrize(("name", "kind"), STREAMED)
def test_streams_give_what_the_whole_gives(name: str, kind: str) -> None:
    data = sample(kind)
    parts = np.array_split(np.arange(240), [7, 7, 100, 101])
    accumulator = fed(streaming_accumulator(name, kind), parts, *data)
    # Predictions are multiples of 1/20: each has its own bin, so histograms are exact here.
    assert accumulator.compute() == pytest.approx(exact(name, kind, *data), rel=1e-10)


@pytest.mark.parametrize("make", [ExactAccumulator, streaming_accumulator])
@pytest.mark.parametrize(("name", "kind"), STREAMED)
def test_merged_streams_give_what_one_gives(name: str, kind: str, make) -> None:
    data = sample(kind)
    parts = np.array_split(np.arange(240), 4)
    one = fed(make(name, kind), parts, *data)
    left = fed(make(name, kind), parts[:1], *data)
    right = fed(make(name, kind), parts[1:], *data)
    left.merge(pickle.loads(pickle.dumps(right)))
    left.merge(make(name, kind))
    assert left.compute() == pytest.approx(one.compute(), rel=1e-10)


def test_what_needs_every_row() -> None:
    missing = {name for name in METRICS if "binary" in METRICS[name].forms} - {
        name for name, kind in STREAMED if kind == "binary"
    }
    assert missing == {"gauc", "gauc_coverage", "ece", "cosine"} | {
        f"{name}@k" for name in ("precision", "recall", "hitrate", "mrr", "ndcg", "map")
    }
    with pytest.raises(ConfigError, match="needs less than every row; got 'gauc'"):
        streaming_accumulator("gauc")


def test_a_running_accumulator_stays_small() -> None:
    accumulator = RunningAccumulator("logloss")
    for _ in range(50):
        accumulator.update(np.full(1000, 0.5), np.ones(1000))
    assert len(pickle.dumps(accumulator)) < 1000


@pytest.mark.parametrize("make", [ExactAccumulator, streaming_accumulator])
@pytest.mark.parametrize("name", ["auc", "logloss", "mse"])
def test_one_bad_prediction_leaves_the_metric_undefined(name: str, make) -> None:
    accumulator = make(name)
    accumulator.update([0.1, 0.9], [0, 1])
    accumulator.update([0.1, np.nan], [0, 1])
    accumulator.update([0.2, 0.8], [0, 1])
    assert "not finite" in accumulator.compute().reason
    clean = make(name)
    clean.update([0.1, 0.9], [0, 1])
    clean.merge(accumulator)
    assert "not finite" in clean.compute().reason


@pytest.mark.parametrize("make", [ExactAccumulator, streaming_accumulator])
@pytest.mark.parametrize("name", ["auc", "logloss", "r2"])
def test_nothing_observed_is_undefined_and_harmless(name: str, make) -> None:
    accumulator = make(name)
    assert accumulator.compute().reason == "no label is observed"
    accumulator.update([0.5], [np.nan])
    assert accumulator.compute().reason == "no label is observed"
    accumulator.update([0.1, 0.9], [0, 1])
    assert accumulator.compute() == compute_single_metric(name, [0, 1], [0.1, 0.9], "binary")


def test_error_bound_of_nothing_is_undefined() -> None:
    accumulator = HistogramAccumulator("auc")
    assert accumulator.error_bound().reason == "no label is observed"
    accumulator.update([0.5], [1])
    assert "one class" in accumulator.error_bound().reason
    assert "one class" in accumulator.compute().reason


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(-(10**9), 10**9))
@settings(max_examples=40, deadline=None)
def test_r2_does_not_cancel_far_from_zero(sizes, shift) -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=sum(sizes) + 2) + shift
    predictions = labels + 0.5 * rng.normal(size=len(labels))
    accumulator = RunningAccumulator("r2", "regression")
    for part in np.split(np.arange(len(labels)), np.cumsum(sizes)):
        accumulator.update(predictions[part], labels[part])
    expected = compute_single_metric("r2", labels, predictions, "regression")
    # float64 near 1e9 holds 7 decimals of a label.
    assert accumulator.compute() == pytest.approx(expected, rel=1e-6)


def test_wrong_use_is_told() -> None:
    with pytest.raises(ConfigError, match="`kind` must be one of regression for 'mape'"):
        ExactAccumulator("mape", "binary")
    with pytest.raises(ConfigError, match="Did you mean 'auc'"):
        ExactAccumulator("auk")
    with pytest.raises(ConfigError, match=r"a RunningAccumulator of 'mse' \(binary\)"):
        RunningAccumulator("mse").merge(RunningAccumulator("mae"))
    with pytest.raises(ConfigError, match="`other`"):
        ExactAccumulator("auc").merge(HistogramAccumulator("auc"))
    accumulator = ExactAccumulator("gauc")
    accumulator.update([0.1, 0.2], [0, 1])
    with pytest.raises(ConfigError, match="`groups`"):
        accumulator.compute()
