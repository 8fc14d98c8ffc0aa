from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from nextrec.data.columns import (
    dense_values,
    id_values,
    label_values,
    plain,
    sparse_values,
    weight_values,
)
from nextrec.data.sources import read_table_of
from nextrec.errors import DataError, FeatureError
from nextrec.features import DenseFeature, SparseFeature

NAN = float("nan")
INF = float("inf")


def column(values: Any) -> pa.Array:
    """The column as the packing step sees it: one piece of Arrow."""
    return plain(read_table_of({"x": values}).column("x")).combine_chunks()


def sparse(values: Any, **options: Any) -> list[int]:
    result = sparse_values(column(values), SparseFeature("item", 10, **options), first_row=100)
    assert result.dtype == np.int64
    return result.tolist()


def dense(values: Any, width: int = 1) -> list[list[float]]:
    result = dense_values(column(values), DenseFeature("d", input_dim=width), first_row=100)
    assert result.dtype == np.float32
    return result.tolist()


def labels(values: Any) -> list[float]:
    result = label_values(column(values), "y", first_row=100)
    assert result.dtype == np.float32
    return result.tolist()


def weights(values: Any) -> list[float]:
    result = weight_values(column(values), "w", first_row=100)
    assert result.dtype == np.float32
    return result.tolist()


class TestSparse:
    @pytest.mark.parametrize(
        "values",
        [
            [1, 9, 0],
            np.array([1, 9, 0], dtype=np.uint64),
            np.array([1, 9, 0], dtype=np.int8),
            np.array([1.0, 9.0, 0.0]),
            np.array([1.0, 9.0, 0.0], dtype=np.float16),
            torch.tensor([1, 9, 0]),
            torch.tensor([1, 9, 0], dtype=torch.bfloat16),
            pd.Series([1, 9, 0], dtype="Int32"),
            pd.Categorical([1, 9, 0]),
            pl.Series([1, 9, 0], dtype=pl.UInt16),
            [decimal.Decimal(1), decimal.Decimal(9), decimal.Decimal(0)],
            np.array([1, 9, 0], dtype=">i4"),
            np.array([[1, 5], [9, 5], [0, 5]])[:, 0],
        ],
        ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', '')}",
    )
    def test_whole_numbers_of_any_kind_are_ids(self, values: Any) -> None:
        assert sparse(values) == [1, 9, 0]

    def test_booleans_are_ids(self) -> None:
        assert sparse([True, False]) == [1, 0]

    @pytest.mark.parametrize(
        ("values", "row", "got"),
        [
            ([0, 1, 10], 102, "10"),
            ([0, -1, 11], 101, "-1"),
            (np.array([2**63 + 5, 1], dtype=np.uint64), 100, str(2**63 + 5)),
            ([1.0, 1.5], 101, "1.5"),
            ([1.0, 1e300], 101, "1e+300"),
            (pl.Series([1.0, NAN]), 101, "nan"),
            (pl.Series([1.0, INF]), 101, "inf"),
            ([1, None, 3], 101, "None"),
            (np.array([1.0, NAN]), 101, "None"),
            (pd.Series([3, None]), 101, "None"),
            (pd.Series([3, None], dtype="Int64"), 101, "None"),
            ([None, None], 100, "None"),
            (["a", "b"], 100, "'a'"),
            (["1", "2", "x"], 102, "'x'"),
            (["1", "2"], 100, "'1'"),
            ([None, "2"], 101, "'2'"),
            (pd.Categorical(["u", "v"]), 100, "'u'"),
        ],
        ids=str,
    )
    def test_anything_else_is_refused_by_name_row_and_value(
        self, values: Any, row: int, got: str
    ) -> None:
        with pytest.raises(DataError) as caught:
            sparse(values)
        message = str(caught.value)
        assert message.startswith(f"SparseFeature 'item', row {row}: `value` must be an integer id")
        assert "in [0, 10), the vocabulary" in message
        assert message.endswith(f"got {got}.")

    def test_text_is_told_to_be_encoded(self) -> None:
        with pytest.raises(DataError, match="not text: encode it first, for example with DataPro"):
            sparse(["1", "2"])

    def test_missing_is_told_to_be_filled(self) -> None:
        with pytest.raises(DataError, match="fill missing values first"):
            sparse([1, None])

    @pytest.mark.parametrize(
        ("values", "got"),
        [([[1], [2]], "lists"), (pd.to_datetime(["2024-01-01"]), "timestamp")],
    )
    def test_other_types_are_refused(self, values: Any, got: str) -> None:
        with pytest.raises(DataError, match=f"'item': the column must hold .*; got {got}"):
            sparse(values)

    def test_ids_outside_become_unknown_when_the_feature_says_so(self) -> None:
        assert sparse([3, 10, -1, 0], out_of_range="unknown") == [3, 1, 1, 0]
        assert sparse([3.0, 1e300], out_of_range="unknown") == [3, 1]
        huge = np.array([2**63 + 5, 2], dtype=np.uint64)
        assert sparse(huge, out_of_range="unknown") == [1, 2]
        with pytest.raises(DataError, match=r"got 1\.5"):
            sparse([1.5], out_of_range="unknown")

    def test_a_table_without_an_unknown_row_has_no_unknown_id(self) -> None:
        with pytest.raises(FeatureError, match="at least 2 with `out_of_range` 'unknown'"):
            SparseFeature("item", 1, out_of_range="unknown")

    def test_the_vocabulary_is_the_feature_s_own(self) -> None:
        feature = SparseFeature("item", 5, embedding_name="shared")
        with pytest.raises(DataError, match=r"in \[0, 5\)"):
            sparse_values(column([5]), feature, 0)


class TestDense:
    @pytest.mark.parametrize(
        "values",
        [
            [1.5, 2.0],
            np.array([1.5, 2.0], dtype=np.float16),
            np.array([[1.5], [2.0]]),
            [[1.5], [2.0]],
            [decimal.Decimal("1.5"), decimal.Decimal(2)],
            torch.tensor([1.5, 2.0], requires_grad=True),
        ],
        ids=lambda values: type(values).__name__,
    )
    def test_numbers_of_any_kind(self, values: Any) -> None:
        assert dense(values) == [[1.5], [2.0]]

    def test_integers_and_booleans_are_numbers(self) -> None:
        assert dense([3, -4]) == [[3], [-4]]
        assert dense([True, False]) == [[1], [0]]

    @pytest.mark.parametrize(
        "values",
        [
            np.array([[1, 2], [3, 4]]),
            [[1, 2], [3, 4]],
            [(1.0, 2.0), np.array([3.0, 4.0])],
            pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Float32, 2)),
            pl.Series([[1, 2], [3, 4]]),
            torch.tensor([[1, 2], [3, 4]]),
            ["[1, 2.0]", "3 4"],
        ],
        ids=lambda values: type(values).__name__,
    )
    def test_vectors_of_any_kind(self, values: Any) -> None:
        assert dense(values, width=2) == [[1, 2], [3, 4]]

    @pytest.mark.parametrize(
        ("values", "width", "row", "got"),
        [
            ([1.0, NAN], 1, 101, "None"),
            (pl.Series([1.0, NAN]), 1, 101, "nan"),
            ([1.0, INF], 1, 101, "inf"),
            ([1.0, -INF], 1, 101, "-inf"),
            ([1.0, 1e300], 1, 101, "1e+300"),
            ([1.0, None], 1, 101, "None"),
            (["1.5", "x"], 1, 101, "'x'"),
            (["1.5", "-2e3"], 1, 100, "'1.5'"),
            ([[1, 2], [3]], 2, 101, "[3]"),
            ([[1, 2], None], 2, 101, "None"),
            ([[1, 2], [3, None]], 2, 101, "None"),
            (np.array([[1, 2], [3, INF]]), 2, 101, "inf"),
            ([1.0, 2.0], 2, 100, "1.0"),
            (np.ones((2, 3)), 2, 100, "[1.0, 1.0, 1.0]"),
            (np.ones((2, 2)), 1, 100, "[1.0, 1.0]"),
            (["1 2", "1 b"], 2, 101, "'1 b'"),
        ],
        ids=str,
    )
    def test_anything_else_is_refused_by_name_row_and_value(
        self, values: Any, width: int, row: int, got: str
    ) -> None:
        with pytest.raises(DataError) as caught:
            dense(values, width)
        assert str(caught.value).startswith(f"DenseFeature 'd', row {row}: `value` must be ")
        assert str(caught.value).endswith(f"got {got}.")


class TestLabels:
    @pytest.mark.parametrize(
        "values",
        [
            [1, 0, None],
            [1.0, 0.0, None],
            [True, False, None],
            np.array([1.0, 0.0, NAN]),
            np.array([[1.0], [0.0], [NAN]]),
            pl.Series([1.0, 0.0, NAN]),
            pd.Series([True, False, None], dtype="boolean"),
            torch.tensor([1.0, 0.0, NAN]),
            [[1], [0], [None]],
        ],
        ids=lambda values: type(values).__name__,
    )
    def test_missing_is_not_observed(self, values: Any) -> None:
        np.testing.assert_array_equal(labels(values), [1, 0, NAN])

    def test_a_column_of_nothing_is_not_observed(self) -> None:
        np.testing.assert_array_equal(labels([None, None]), [NAN, NAN])

    @pytest.mark.parametrize(
        ("values", "row", "got"),
        [
            ([1.0, INF], 101, "inf"),
            ([None, 1.0, -INF], 102, "-inf"),
            (["yes", "no"], 100, "'yes'"),
            ([None, None, "yes"], 102, "'yes'"),
            (["1", "no"], 101, "'no'"),
            ([[1, 0]], 100, "[1, 0]"),
        ],
        ids=str,
    )
    def test_anything_else_is_refused_by_target_row_and_value(
        self, values: Any, row: int, got: str
    ) -> None:
        with pytest.raises(DataError) as caught:
            labels(values)
        assert str(caught.value).startswith(f"target 'y', row {row}: `value` must be ")
        assert str(caught.value).endswith(f"got {got}.")


class TestWeights:
    def test_weights_are_numbers_from_0(self) -> None:
        assert weights([0, 2]) == [0, 2]
        assert weights([0.5, 1e-3]) == pytest.approx([0.5, 1e-3])

    @pytest.mark.parametrize(
        ("values", "got"),
        [
            ([1.0, -0.5], "-0.5"),
            ([1.0, INF], "inf"),
            (pl.Series([1.0, NAN]), "nan"),
            ([1.0, None], "None"),
            (["1", "heavy"], "'heavy'"),
        ],
        ids=str,
    )
    def test_anything_else_is_refused(self, values: Any, got: str) -> None:
        with pytest.raises(DataError) as caught:
            weights(values)
        assert str(caught.value).startswith("weight column 'w', row 101: `value` must be ")
        assert str(caught.value).endswith(f"got {got}.")


class TestIds:
    @pytest.mark.parametrize(
        ("values", "dtype"),
        [
            (np.array([1, 2], dtype=np.int16), np.int16),
            (np.array([1.7, 2.5]), np.float64),
            (np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[s]"), "datetime64[s]"),
            (np.array([True, False]), np.bool_),
        ],
    )
    def test_ids_keep_their_type(self, values: np.ndarray, dtype: Any) -> None:
        kept = id_values(read_table_of({"x": values}).column("x"))
        assert isinstance(kept, np.ndarray)
        assert kept.dtype == dtype
        np.testing.assert_array_equal(kept, values)

    @pytest.mark.parametrize(
        "values", [["a", "b", "a"], [1, None, 2**60 + 1], pd.Categorical(["u", "v", "u"])]
    )
    def test_text_and_gaps_are_kept_as_arrow(self, values: Any) -> None:
        chunks = [column(values).slice(0, 1), column(values).slice(1)]
        kept = id_values(pa.chunked_array(chunks))
        assert isinstance(kept, pa.Array)
        assert kept.to_pylist() == list(values)


def test_extension_types_are_their_storage() -> None:
    kind = pa.fixed_shape_tensor(pa.float32(), [2])
    storage = pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2))
    chunked = pa.chunked_array([pa.ExtensionArray.from_storage(kind, storage)])
    values = plain(chunked).combine_chunks()
    assert dense_values(values, DenseFeature("d", input_dim=2), 0).tolist() == [[1, 2], [3, 4]]
