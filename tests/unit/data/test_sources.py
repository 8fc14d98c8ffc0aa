from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
import torch

from nextrec.data.sources import (
    column_names,
    exact_chunks,
    frame_kind,
    read_table_of,
    scan,
    source_of_type,
)
from nextrec.errors import ConfigError, DataError

from .conftest import COLUMNS, ITEM


def test_every_form_has_names_and_columns(any_form: Any) -> None:
    table = read_table_of(any_form, ["weight", "item"])
    assert table.column_names == ["weight", "item"]
    assert table["item"].to_pylist() == ITEM


def test_every_form_lists_its_columns(any_form: Any) -> None:
    assert sorted(column_names(any_form)) == sorted(COLUMNS)


def test_every_form_can_be_scanned(any_form: Any) -> None:
    batches = list(scan(any_form, ["item"], batch_rows=2))
    assert max(batch.num_rows for batch in batches) <= 2
    assert [item for batch in batches for item in batch.column("item").to_pylist()] == ITEM


def test_every_form_names_a_missing_column(any_form: Any) -> None:
    with pytest.raises(DataError, match=r"lacks 2 column\(s\): 'itm' \(Did you mean 'item'\?\)"):
        read_table_of(any_form, ["itm", "item", "q_q"])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pd.DataFrame(), "pandas"),
        (pd.Series([1], name="x"), "pandas"),
        (pl.DataFrame(), "polars"),
        (pl.LazyFrame(), "polars"),
        (pa.table({}), "arrow"),
        (pa.dataset.dataset(pa.table({"x": [1]})), "dataset"),
        (pa.table({"x": [1]}).to_reader(), "stream"),
        ({}, "dict"),
        ([{"x": 1}], "records"),
        ("a.csv", "files"),
        (Path("a.csv"), "files"),
        (["a.csv", Path("b.csv")], "files"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kinds(data: Any, kind: str) -> None:
    assert frame_kind(data) == kind


@pytest.mark.parametrize("data", [5, None, [], [1, 2], np.ones(3), torch.ones(3)], ids=str)
def test_what_is_not_a_table_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match="must be a pandas or Polars DataFrame, an Arrow table"):
        frame_kind(data)


def test_columns_of_different_lengths_are_named() -> None:
    with pytest.raises(DataError, match="'a' has 2 rows, 'c' has 3"):
        read_table_of({"a": [1, 2], "b": [1, 2], "c": [1, 2, 3]})


def test_a_column_that_is_not_read_may_have_any_length() -> None:
    assert read_table_of({"a": [1, 2], "c": [1, 2, 3]}, ["a"]).num_rows == 2


@pytest.mark.parametrize("values", [3, "abc", {"x": 1}, None, np.array(3)], ids=repr)
def test_a_value_is_not_a_column(values: Any) -> None:
    with pytest.raises(DataError, match="`a` must be a"):
        read_table_of({"a": values})


def test_more_than_two_dimensions_are_refused() -> None:
    with pytest.raises(DataError, match=r"one or two dimensions; got \(2, 2, 2\)"):
        read_table_of({"a": torch.zeros(2, 2, 2)})


@pytest.mark.parametrize(
    ("values", "row", "got"),
    [
        ([1, None, "x"], 2, "'x' is a str after values of int"),
        (["x", 1], 1, "1 is a int after values of str"),
        ([True, 1], 1, "1 is a int after values of bool"),
        ([[1], "x"], 1, "'x' is a str after values of list"),
        (pd.Series([1, "x"], dtype=object), 1, "'x' is a str after values of int"),
        (np.array([1, "x"], dtype=object), 1, "'x' is a str after values of int"),
    ],
    ids=str,
)
def test_a_column_of_several_kinds_is_refused(values: Any, row: int, got: str) -> None:
    with pytest.raises(DataError, match=f"column 'a', row {row}: {got}"):
        read_table_of({"a": values})


def test_a_number_too_large_for_arrow_is_refused() -> None:
    with pytest.raises(DataError, match="column 'a'"):
        read_table_of({"a": [1, 2**70]})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        (np.ma.array([1, 2, 3], mask=[0, 1, 0]), [1, None, 3]),
        (np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]]), [[1, None], [3, 4]]),
        (np.arange(6)[::2], [0, 2, 4]),
        (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (torch.arange(6).reshape(3, 2)[:, 0], [0, 2, 4]),
        (range(3), [0, 1, 2]),
        (pa.chunked_array([[1], [2]]), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_columns_of_every_kind(values: Any, expected: list[Any]) -> None:
    assert read_table_of({"a": values})["a"].to_pylist() == expected


def test_rows_may_lack_a_key() -> None:
    table = read_table_of([{"a": 1}, {"b": "x"}])
    assert table.to_pydict() == {"a": [1, None], "b": [None, "x"]}


def test_a_series_is_a_table_of_its_name() -> None:
    assert read_table_of(pd.Series([1], name="q")).to_pydict() == {"q": [1]}
    assert read_table_of(pl.Series("q", [1])).to_pydict() == {"q": [1]}
    for nameless in (pd.Series([1]), pl.Series([1])):
        with pytest.raises(DataError, match="a series needs a name"):
            read_table_of(nameless)


def test_names_are_text_and_differ() -> None:
    assert read_table_of(pd.DataFrame({0: [1]})).column_names == ["0"]
    assert read_table_of({0: [1]}).column_names == ["0"]
    twice = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "b"])
    assert read_table_of(twice, ["a"]).to_pydict() == {"a": [1]}
    for wanted in (None, ["b"]):
        with pytest.raises(DataError, match="several columns named 'b'"):
            read_table_of(twice, wanted)


def test_of_a_lazy_frame_only_the_columns_read_are_computed() -> None:
    def fail(_: Any) -> Any:
        raise AssertionError("computed")

    lazy = pl.LazyFrame({"a": [1]}).with_columns(
        pl.col("a").map_batches(fail, return_dtype=pl.Int64).alias("b")
    )
    assert read_table_of(lazy, ["a"]).to_pydict() == {"a": [1]}


@pytest.mark.parametrize("sizes", [[3, 0, 7, 1, 5], [4, 4], [1], [], [12]], ids=str)
def test_chunks_are_exact(sizes: list[int]) -> None:
    numbers = iter(range(100))
    batches = [
        pa.record_batch({"x": pa.array([next(numbers) for _ in range(s)], pa.int64())})
        for s in sizes
    ]
    chunks = list(exact_chunks(batches, 4))
    assert all(chunk.num_rows == 4 for chunk in chunks[:-1])
    assert [x for chunk in chunks for x in chunk["x"].to_pylist()] == list(range(sum(sizes)))
    assert len(chunks) == -(-sum(sizes) // 4)


def test_chunks_join_types_that_differ_by_file() -> None:
    batches = [pa.record_batch({"x": pa.array([1], kind)}) for kind in (pa.int32(), pa.int64())]
    assert [chunk["x"].to_pylist() for chunk in exact_chunks(batches, 2)] == [[1, 1]]


def test_a_stated_type_holds_whatever_the_name(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("a\n1\n")
    assert source_of_type([tmp_path / "data.txt"], "csv").read(["a"]).to_pydict() == {"a": [1]}
    with pytest.raises(ConfigError, match="`file_type` must be one of csv, parquet; got 'cvs'"):
        source_of_type([tmp_path / "data.txt"], "cvs")
