import numpy as np
import pytest

from nextrec.errors import ConfigError, DataError
from nextrec.metrics.observations import (
    binary_labels,
    needed_groups,
    observe,
    probabilities,
)
from nextrec.metrics.undefined import NoRowsError, UndefinedError

NAN = np.nan


def test_unobserved_rows_are_dropped_from_everything() -> None:
    data = observe("binary", [1, NAN, 0], [0.1, NAN, 0.3], [1, 2, 3], ["a", "b", "c"])
    assert data.labels.tolist() == [1, 0]
    assert data.predictions.tolist() == [0.1, 0.3]
    assert data.weights.tolist() == [1, 3]
    assert data.groups.tolist() == [0, 2]
    assert data.weight == 4


def test_multilabel_keeps_rows_with_some_label() -> None:
    data = observe("multilabel", [[NAN, 1], [NAN, NAN]], [[NAN, 0.5], [0.1, 0.2]])
    assert len(data) == 1


def test_nothing_observed() -> None:
    with pytest.raises(NoRowsError):
        observe("binary", [NAN], [0.5])
    with pytest.raises(NoRowsError):
        observe("binary", [], [])


@pytest.mark.parametrize("bad", [NAN, np.inf, -np.inf])
def test_predictions_that_are_not_finite_are_told(bad: float) -> None:
    with pytest.raises(UndefinedError, match="2 of 3 predictions are not finite, the first in obs"):
        observe("binary", [0, 1, 1], [0.5, bad, bad])
    with pytest.raises(UndefinedError, match="1 of 1"):
        observe("multilabel", [[1, NAN]], [[bad, 0.5]])
    with pytest.raises(UndefinedError, match="1 of 2"):
        observe("multiclass", [0, 1], [[0.5, 0.5], [bad, 0.5]])


@pytest.mark.parametrize(
    ("kind", "labels", "predictions", "message"),
    [
        ("binary", [0, 1], [0.5], "`predictions` must be one value a row of the 2 labels; got 1"),
        ("binary", [0, -np.inf], [0.5, 0.5], r"`labels` must be finite.* got -inf\. Row 1\."),
        ("binary", [0, 1], [[0.5, 0.5]], "`predictions` must be one number a row"),
        ("multiclass", [0, 2], [[0.5, 0.5]] * 2, "class number from 0 to 1; got 2.0"),
        ("multiclass", [0, 0.5], [[0.5, 0.5]] * 2, "class number from 0 to 1; got 0.5"),
        ("multiclass", [0, -1], [[0.5, 0.5]] * 2, "class number from 0 to 1; got -1.0"),
        ("multilabel", [[0, 1]], [[0.5]], "one column a label"),
    ],
)
def test_data_that_does_not_fit(kind, labels, predictions, message) -> None:
    with pytest.raises(DataError, match=message):
        observe(kind, labels, predictions)


def test_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'binary'"):
        observe("binery", [0], [0.5])


def test_checks_that_single_metrics_need() -> None:
    data = observe("binary", [0, 2], [-1.0, 0.5])
    with pytest.raises(DataError, match=r"0 or 1; got 2\.0"):
        binary_labels(data)
    with pytest.raises(UndefinedError, match=r"range from -1 to 0\.5"):
        probabilities(data)
    with pytest.raises(ConfigError, match="`groups` must be one id a row"):
        needed_groups(data)


def test_shared_work_is_done_once() -> None:
    data, calls = observe("binary", [0, 1], [0.1, 0.2]), []

    def work(seen) -> int:
        calls.append(seen)
        return 7

    assert data.once(work) == data.once(work) == 7
    assert len(calls) == 1
