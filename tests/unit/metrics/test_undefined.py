import copy
import math
import pickle

import numpy as np
import pytest

from nextrec.metrics.undefined import (
    Undefined,
    UndefinedError,
    mean_of_defined,
    metric,
    ratio,
    ratios,
    value_or_undefined,
)


def test_undefined_is_nan_with_a_reason() -> None:
    value = Undefined("no clicks")
    assert isinstance(value, float)
    assert math.isnan(value)
    assert value.reason == "no clicks"


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_reason_survives_copies(clone) -> None:
    assert clone(Undefined("no clicks")).reason == "no clicks"


def test_decorated_metric_returns_the_reason_instead_of_raising() -> None:
    @metric
    def broken() -> float:
        raise UndefinedError("nothing there")

    assert broken().reason == "nothing there"


def test_other_errors_pass_through() -> None:
    @metric
    def broken() -> float:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        broken()


def test_overflow_is_undefined_not_a_number() -> None:
    value = value_or_undefined(lambda: float(np.square(np.float64(1e300))))
    assert value.reason == "the value overflows"


def test_ratio() -> None:
    assert ratio(1, 4, "why") == 0.25
    with pytest.raises(UndefinedError, match="why"):
        ratio(1, 0, "why")


def test_ratios_and_their_mean_leave_out_what_is_undefined() -> None:
    values = ratios(np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 4.0]))
    np.testing.assert_array_equal(values, [0.5, np.nan, 0.75])
    assert mean_of_defined(values, "none") == 0.625
    with pytest.raises(UndefinedError, match="none"):
        mean_of_defined(np.array([np.nan]), "none")
