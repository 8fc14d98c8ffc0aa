import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from nextrec.errors import ConfigError, DataError
from nextrec.metrics.inputs import (
    as_column,
    as_numbers,
    as_table,
    as_weights,
    check_k,
    factorize_groups,
)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], np.float64),
        (np.array([1, 2], dtype=np.float32), np.float32),
        (np.array([1, 2], dtype=np.float16), np.float32),
        (np.array([True, True]), np.float64),
        (torch.tensor([1.0, 2.0]), np.float32),
        (torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True), np.float32),
        (pd.Series([1, 2], dtype="Int64"), np.float64),
        (pd.Series([1.0, 2.0], dtype="float64[pyarrow]"), np.float64),
        (pa.array([1.0, 2.0]), np.float64),
        (pl.Series([1.0, 2.0]), np.float64),
    ],
)
def test_numbers_come_from_anything(values, dtype) -> None:
    array = as_numbers("labels", values)
    assert array.dtype == dtype
    assert len(array) == 2


def test_missing_values_become_nan() -> None:
    for values in ([1, None], pd.Series([1, None], dtype="Int64"), pa.array([1, None])):
        np.testing.assert_array_equal(as_numbers("labels", values), [1, np.nan])


@pytest.mark.parametrize("values", [["a"], np.array(["a"]), [object()], [1j]])
def test_what_is_no_number_is_refused(values) -> None:
    with pytest.raises(DataError, match="`labels` must be numbers"):
        as_numbers("labels", values)


def test_pandas_strings_are_refused() -> None:
    with pytest.raises(DataError, match="`labels` must be numbers"):
        as_numbers("labels", pd.Series(["a", "b"]))


def test_shapes() -> None:
    assert as_column("labels", [[1], [2]]).shape == (2,)
    assert as_table("labels", [[1, 2]], "labels").shape == (1, 2)
    with pytest.raises(DataError, match=r"got \(1, 2\)"):
        as_column("labels", [[1, 2]])
    with pytest.raises(DataError, match="classes"):
        as_table("predictions", [1, 2], "classes")


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_bad_weights_name_row_and_value(bad: float) -> None:
    with pytest.raises(DataError, match=rf"got {bad}\. Row 1\."):
        as_weights([1.0, bad], 2)


def test_weights_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="3 labels; got 2"):
        as_weights([1.0, 1.0], 3)


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", True, None])
def test_bad_cut(k) -> None:
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        check_k("ndcg_at_k", k)


@pytest.mark.parametrize(
    "ids",
    [
        ["x", "y", "x"],
        ("x", "y", "x"),
        [7, "7", 7],  # different types are different groups
        np.array([2**53 + 1, 2**53, 2**53 + 1]),
        np.array(["x", "y", "x"]),
        np.array(["x", 1, "x"], dtype=object),
        np.array(["2024-01-01", "2024-01-02", "2024-01-01"], dtype="datetime64[D]"),
        pd.Series(["x", "y", "x"]),
        pd.Series(["x", "y", "x"], dtype=pd.ArrowDtype(pa.string())),
        pd.Series(["x", "y", "x"], dtype="category"),
        pa.array(["x", "y", "x"]),
        pa.chunked_array([["x"], ["y", "x"]]),
        pl.Series(["x", "y", "x"]),
        torch.tensor([5, 6, 5]),
        torch.tensor([[5], [6], [5]]),
    ],
)
def test_groups_of_any_kind(ids) -> None:
    assert factorize_groups(ids, 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "ids",
    [
        ["a", None],
        np.array([1.0, np.nan]),
        pd.Series(["a", None]),
        pd.Series([1, None], dtype="Int64"),
    ],
)
def test_a_missing_group_names_its_row(ids) -> None:
    with pytest.raises(DataError, match=r"Row 1\."):
        factorize_groups(ids, 2)


def test_groups_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="2 labels; got 3"):
        factorize_groups([1, 2, 3], 2)
    with pytest.raises(DataError, match="one id a row"):
        factorize_groups(np.zeros((2, 2)), 2)
    with pytest.raises(DataError, match="hashed"):
        factorize_groups([[1], [2]], 2)
