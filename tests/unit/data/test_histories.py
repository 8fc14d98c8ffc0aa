from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.columns import plain
from nextrec.data.histories import pad_newest, sequence_values
from nextrec.data.sources import read_table_of
from nextrec.errors import DataError
from nextrec.features import SequenceFeature

NAN = float("nan")


def histories(values: Any, max_len: int = 3, **options: Any) -> list[list[int]]:
    column = plain(read_table_of({"x": values}).column("x")).combine_chunks()
    feature = SequenceFeature("liked", 10, max_len=max_len, **options)
    result = sequence_values(column, feature, first_row=100)
    assert result.dtype == np.int64
    assert result.shape == (len(column), max_len)
    return result.tolist()


def by_loop(rows: list[list[int]], max_len: int, pad: int) -> list[list[int]]:
    """The rule, written out for one history at a time."""
    result = []
    for row in rows:
        items = list(row)
        while items and items[-1] == pad:
            items.pop()
        items = items[-max_len:]
        result.append(items + [pad] * (max_len - len(items)))
    return result


ragged = st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=12)


@given(rows=ragged, max_len=st.integers(1, 6), pad=st.sampled_from([0, 3]))
def test_padding_equals_the_loop(rows: list[list[int]], max_len: int, pad: int) -> None:
    items = np.array([item for row in rows for item in row], dtype=np.int64)
    lengths = np.array([len(row) for row in rows])
    padded = pad_newest(items, lengths, max_len, pad)
    assert padded.tolist() == by_loop(rows, max_len, pad)


@given(
    rows=ragged,
    max_len=st.integers(1, 6),
    form=st.sampled_from(["list", "polars", "[, ]", "(,)", ",", "|", ";", " ", "numpy"]),
    cut=st.integers(0, 5),
)
def test_every_form_of_ragged_histories_equals_the_loop(
    rows: list[list[int]], max_len: int, form: str, cut: int
) -> None:
    expected = by_loop(rows, max_len, 0)
    values: Any = rows
    if form == "polars":
        values = pl.Series(rows, dtype=pl.List(pl.Int32))
    elif form == "numpy":
        values = [str(np.array(row, dtype=int)) for row in rows]
    elif form == "[, ]":
        values = [str(row) for row in rows]
    elif form == "(,)":
        values = [str(tuple(row)) for row in rows]
    elif form != "list":
        values = [form.join(map(str, row)) for row in rows]
    # A slice begins in the middle of Arrow's buffers.
    column = read_table_of({"x": values}).column("x").combine_chunks().slice(cut)
    feature = SequenceFeature("liked", 10, max_len=max_len)
    assert sequence_values(column, feature, 0).tolist() == expected[cut:]


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2, 3, 4], [], [5]],
        [[1, 2, 3, 4], None, [5]],
        [[1, 2, 3, 4], NAN, [5]],
        [(1, 2, 3, 4), (), (5,)],
        [np.array([1, 2, 3, 4]), np.array([], dtype=int), np.array([5.0])],
        np.array([[1, 2, 3, 4], [0, 0, 0, 0], [5, 0, 0, 0]]),
        np.array([[1, 2, 3, 4], [], [5]], dtype=object),
        torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0], [5, 0, 0, 0]], dtype=torch.int32),
        pd.Series([[1, 2, 3, 4], None, [5]]),
        pl.Series([[1, 2, 3, 4], None, [5]]),
        ["[1, 2, 3, 4]", "[]", "[5]"],
        ["[1,2,3,4]", "", "5"],
        ["(1, 2, 3, 4)", "()", "(5,)"],
        ["1|2|3|4", None, "5"],
        ["1;2;3;4", " ", " 5 "],
        ["1 2  3\n 4", "[ ]", "[5 ]"],
        ["1,2|3 ,4", "", "5"],
        [[1.0, 2.0, 3.0, 4.0], [], [5.0]],
    ],
    ids=str,
)
def test_every_form_of_a_history(values: Any) -> None:
    assert histories(values) == [[2, 3, 4], [0, 0, 0], [5, 0, 0]]


@pytest.mark.parametrize(
    "values",
    [[4, None, 6], [4.0, NAN, 6.0], pd.Series([4, None, 6]), pl.Series([4.0, NAN, 6.0])],
    ids=lambda values: type(values).__name__,
)
def test_one_value_a_row_is_one_item(values: Any) -> None:
    assert histories(values) == [[4, 0, 0], [0, 0, 0], [6, 0, 0]]


def test_a_column_of_nothing_is_empty_histories() -> None:
    assert histories([None, None]) == [[0, 0, 0], [0, 0, 0]]
    assert histories([[], []]) == [[0, 0, 0], [0, 0, 0]]
    assert histories(np.zeros((2, 0))) == [[0, 0, 0], [0, 0, 0]]


def test_padding_at_the_end_is_dropped_before_the_cut() -> None:
    wide = np.zeros((2, 30), dtype=int)
    wide[0, :5] = [1, 2, 3, 4, 5]
    wide[1, :2] = [9, 0]
    assert histories(wide) == [[3, 4, 5], [9, 0, 0]]
    assert histories([[1, 2, 3, 4, 0, 0], [0, 0, 0, 0]]) == [[2, 3, 4], [0, 0, 0]]


def test_padding_before_an_item_stays_where_it_is() -> None:
    assert histories([[0, 0, 1], [0, 2, 0, 3]]) == [[0, 0, 1], [2, 0, 3]]


def test_padding_is_the_feature_s_own_id() -> None:
    assert histories([[1, 2], [0, 3, 3]], padding_idx=3) == [[1, 2, 3], [0, 3, 3]]


def test_items_outside_become_unknown_when_the_feature_says_so() -> None:
    assert histories([[2, 99], [-7]], out_of_range="unknown") == [[2, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("values", "row", "got"),
    [
        ([[1], [2, 10]], 101, "10"),
        ([[], [2], [-1]], 102, "-1"),
        ([[1], [10, 1, 2, 3]], 101, "10"),
        ([[1], [2, None]], 101, "None"),
        ([[1.0], [2.5]], 101, "2.5"),
        (np.array([[1.0, 2.0], [3.0, NAN]]), 101, "None"),
        ([["a"], ["b"]], 100, "'a'"),
        ([["1"], ["b"]], 101, "'b'"),
        (["1,2", "3,x"], 101, "'3,x'"),
        (["1,2", "", "3,,4"], 102, "'3,,4'"),
        (["1,2", "3,"], 101, "'3,'"),
        (["1", "[2, 3"], 101, "'[2, 3'"),
        (["1", "[[2, 3]]"], 101, "'[[2, 3]]'"),
        (["1", "[2, None]"], 101, "'[2, None]'"),
        (["1", "['2']"], 101, "\"['2']\""),
        (["1", "1.5"], 101, "'1.5'"),
        (["1", "0x1"], 101, "'0x1'"),
        (["1,2", "9,10"], 101, "10"),
        ([4, 4, 10], 102, "10"),
        ([4.0, 4.5], 101, "4.5"),
    ],
    ids=str,
)
def test_anything_else_is_refused_by_name_row_and_value(values: Any, row: int, got: str) -> None:
    with pytest.raises(DataError) as caught:
        histories(values)
    assert str(caught.value).startswith(f"SequenceFeature 'liked', row {row}: `value` must be ")
    assert str(caught.value).endswith(f"got {got}.")


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(DataError, match="SequenceFeature 'liked': the column must hold"):
        histories(pd.to_datetime(["2024-01-01"]))


def test_large_and_fixed_lists_with_gaps() -> None:
    rows = [[1, 2], None, [3, 4]]
    feature = SequenceFeature("liked", 10, max_len=2)
    for kind in (pa.large_list(pa.int8()), pa.list_(pa.int64(), 2), pa.list_(pa.uint16())):
        values = pa.array([[9, 9], *rows], kind).slice(1)
        assert sequence_values(values, feature, 0).tolist() == [[1, 2], [0, 0], [3, 4]]
