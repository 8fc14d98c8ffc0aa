from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch

from nextrec.data.memory import unique_names
from nextrec.data.prefetch import in_order
from nextrec.data.sources import (
    FileOptions,
    column_names,
    exact_chunks,
    frame_kind,
    open_source,
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


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame([[1, 2, 3]], columns=["a", "b", "b"]),
        pd.DataFrame([[1, 2]], columns=[1, "1"]),
        pa.table([[1], [2]], names=["b", "b"]),
        {1: [1], "1": [2]},
    ],
    ids=lambda data: type(data).__name__,
)
def test_names_that_stand_twice_can_be_refused(data: Any) -> None:
    with pytest.raises(DataError, match=r"several columns named '[b1]'"):
        unique_names(data)


def test_names_that_differ_are_fine(any_form: Any) -> None:
    unique_names(any_form)


EARLY = pd.Timestamp("2024-01-01 00:00:00.000000001")


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
@pytest.mark.parametrize("nested", [False, True])
def test_nanoseconds_of_objects_are_kept(zone: str | None, nested: bool) -> None:
    times = [EARLY.tz_localize(zone), None, EARLY.tz_localize(zone)]
    forms: list[Any] = [times, pd.Series(times, dtype=object), np.array(times, object)]
    if nested:
        forms = [[[each] for each in times]]
    for form in forms:
        column = read_table_of({"t": form})["t"].combine_chunks()
        column = column.flatten() if nested else column
        assert column.type == pa.timestamp("ns", zone)
        assert column.cast(pa.int64()).to_pylist() == [times[0].value, None, times[0].value]


def test_times_without_nanoseconds_keep_their_reach() -> None:
    far = pd.Timestamp("2024-01-01").to_pydatetime().replace(year=1)
    assert read_table_of({"t": [far]})["t"].type == pa.timestamp("us")
    assert read_table_of({"t": [pd.Timestamp("2024-01-01")]})["t"].type == pa.timestamp("us")
    with pytest.raises(DataError, match=r"column 't'.*row 1: the nanoseconds of 2024"):
        read_table_of({"t": [far, EARLY]})
    spans = read_table_of({"t": [pd.Timedelta(1, "ns"), None]})["t"]
    assert spans.cast(pa.int64()).to_pylist() == [1, None]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "odd",
    [
        pl.Series("odd", [1, 2**100], pl.Int128),
        pl.Series("odd", [[1], []], pl.List(pl.Int128)),
        pl.Series("odd", [object(), None], pl.Object),
    ],
    ids=lambda series: str(series.dtype),
)
def test_types_of_polars_that_arrow_lacks_are_named(odd: pl.Series, lazy: bool) -> None:
    frame: Any = pl.DataFrame({"odd": odd, "n": [1, 2]})
    frame = frame.lazy() if lazy else frame
    source = open_source(frame)
    assert source.read(["n"]).to_pydict() == {"n": [1, 2]}
    assert source.counts([]) == [2]
    for read in (lambda: source.read(["n", "odd"]), lambda: read_table_of({"odd": odd})):
        with pytest.raises(DataError, match="`odd` must be of a type that Arrow has; cast it"):
            read()


def test_sparse_columns_are_made_dense() -> None:
    sparse = pd.Series(pd.arrays.SparseArray([0, 0, 1]))
    holed = pd.Series(pd.arrays.SparseArray([0.5, np.nan, np.nan]))
    table = read_table_of(pd.DataFrame({"s": sparse, "h": holed}))
    assert table.to_pydict() == {"s": [0, 0, 1], "h": [0.5, None, None]}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        (["a", "\ud800"], ", row 1"),
        ([["a"], ["b", "\ud800"]], ", row 1"),
        (pd.Series(["a", None, "\ud800"], dtype=object), ", row 2"),
        (np.array(["a", "\ud800"]), ", row 1"),
        ([object()], ", row 0"),
        ([None, object()], ", row 1"),
        (np.array([1, 2], np.complex64), " must be of a type that Arrow has.*'complex64'"),
        (np.array([(1, 2.0)], [("a", int), ("b", float)]), " must be of a type that Arrow has"),
        (np.rec.array([(1, 2.0)], [("a", int), ("b", float)]), " must be of a type that Arrow"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_arrow_lacks_are_named(values: Any, where: str) -> None:
    with pytest.raises(DataError, match=f"(column 'a'|`a`){where}"):
        read_table_of({"a": values})


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long doubles are doubles here")
def test_long_doubles_are_refused() -> None:
    with pytest.raises(DataError, match=r"`a` must be of a type that Arrow has.*float128"):
        read_table_of({"a": np.array([1, 2], np.longdouble)})


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


@pytest.mark.parametrize("threads", [0, 1, 2, 8])
def test_units_of_every_form_have_every_row_once(any_form: Any, threads: int) -> None:
    source = open_source(any_form)
    units = source.units(["weight", "item"])
    pairs = list(source.jobs(["weight", "item"]))
    assert [unit for unit, _ in pairs] == units
    assert [unit.first_row for unit in units] == [
        sum(each.rows for each in units[:place]) for place in range(len(units))
    ]
    tables = list(in_order((job for _, job in pairs), threads, 2))
    assert [table.num_rows for table in tables] == [unit.rows for unit in units]
    assert all(table.column_names == ["weight", "item"] for table in tables)
    assert [item for table in tables for item in table["item"].to_pylist()] == ITEM


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    (tmp_path / "census.data").write_text("1;a b\n2;c\n3\n")
    return tmp_path / "census.data"


def test_options_of_files_are_passed_on(odd: Path) -> None:
    options: FileOptions = {
        "on_bad": "skip",
        "delimiter": ";",
        "column_names": ["n", "t"],
        "file_type": "csv",
    }
    assert column_names(odd, **options) == ["n", "t"]
    assert read_table_of(odd, ["t"], **options).to_pydict() == {"t": ["a b", "c"]}
    assert [b.to_pydict() for b in scan(odd, **options)] == [{"n": [1, 2], "t": ["a b", "c"]}]
    source = open_source(odd, **options)
    assert source.counts(["n"]) == [2]
    with pytest.raises(DataError, match="a data file must end in"):
        open_source(odd)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"on_bad": "skpi"},
            r"`on_bad` must be one of error, skip; got 'skpi'.* 'skip'",
        ),
        (
            {"file_type": "cvs"},
            r"`file_type` must be one of csv, parquet; got 'cvs'.* 'csv'",
        ),
        ({"delimiter": ",,"}, "`delimiter` must be one ASCII character"),
        ({"delimiter": '"'}, "`delimiter` must be one ASCII character"),
        ({"delimiter": ""}, "`delimiter` must be one ASCII character"),
        ({"column_names": []}, "`column_names` must be a list of different names"),
        ({"column_names": ["a", "a"]}, "`column_names` must be a list of different names"),
        ({"column_names": "ab"}, "`column_names` must be a list of different names"),
    ],
    ids=str,
)
def test_unknown_values_of_options_are_refused(
    odd: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_source(odd, **options)


def test_options_for_other_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`delimiter` is for paths of files"):
        open_source({"a": [1]}, delimiter=";")
    with pytest.raises(ConfigError, match="`file_type` is for paths of files"):
        open_source({"a": [1]}, file_type="csv")
    source = open_source({"a": [1]}, on_bad="skip")  # nothing in memory is bad
    with pytest.raises(ConfigError, match="`on_bad` is for paths of files"):
        open_source(source, on_bad="skip")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="`column_names` is for CSV files; these are Parquet"):
        open_source(tmp_path / "a.parquet", column_names=["b"])
    assert open_source(source) is source


def test_tables_in_memory_have_rows_without_columns() -> None:
    for data in (pd.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1, 2]}), {"a": [1, 2]}):
        assert open_source(data).counts([]) == [2]
