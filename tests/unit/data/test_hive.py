from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data.hive import keys_of, partition, typed
from nextrec.data.prefetch import in_order
from nextrec.data.sources import column_names, open_source, read_table_of, scan
from nextrec.errors import DataError

CELLS = [("2024-01-02", "1"), ("2024-01-02", "12"), ("2024-01-10", "__HIVE_DEFAULT_PARTITION__")]


def put(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
        lines = [",".join(map(str, row)) for row in [table.column_names, *rows]]
        path.write_text("\n".join(lines) + "\n")


@pytest.fixture(params=[".parquet", ".csv"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for number, (day, shop) in enumerate(CELLS):
        place = tmp_path / f"day={day}" / f"shop={shop}"
        put(place / f"part-0{request.param}", item=[number, number + 10, number + 20])
        (place / "_SUCCESS").touch()
    (tmp_path / "_temporary").mkdir()
    put(tmp_path / "_temporary" / f"x{request.param}", item=[99])
    put(tmp_path / "notes" / f"x{request.param}", item=[99])
    return tmp_path


EXPECTED = {
    "shop": [1] * 3 + [12] * 3 + [None] * 3,
    "item": [0, 10, 20, 1, 11, 21, 2, 12, 22],
    "day": ["2024-01-02"] * 6 + ["2024-01-10"] * 3,
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("day=1", ("day", "1")),
        ("day=", ("day", "")),
        ("a=b=c", ("a", "b=c")),
        ("a%20b=c%2Fd", ("a b", "c/d")),
        ("day=__HIVE_DEFAULT_PARTITION__", ("day", None)),
        ("=1", None),
        ("day", None),
        ("_day=1", None),
        (".day=1", None),
    ],
)
def test_names_of_partitions(name: str, found: tuple[str, str | None] | None) -> None:
    assert partition(name) == found


def test_only_folders_are_keys() -> None:
    assert keys_of("a=1/b=2.parquet") == {"a": "1"}
    assert keys_of("part.parquet") == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", None], [1, -2, None]),
        (["01", "2"], ["01", "2"]),
        (["-0", "2"], ["-0", "2"]),
        (["0", "-2"], [0, -2]),
        (["1", "x"], ["1", "x"]),
        (["1", "1.5"], ["1", "1.5"]),
        (["1", ""], ["1", ""]),
        (["9" * 20], ["9" * 20]),
        ([None], [None]),
    ],
)
def test_keys_are_integers_when_all_are(values: list[str | None], expected: list[Any]) -> None:
    assert typed(values).to_pylist() == expected


def test_keys_are_columns(folder: Path) -> None:
    assert column_names(folder) == ["item", "day", "shop"]
    assert read_table_of(folder, ["shop", "item", "day"]).to_pydict() == EXPECTED
    batches = list(scan(folder, ["shop", "item", "day"], batch_rows=2))
    assert max(batch.num_rows for batch in batches) <= 2
    assert pa.Table.from_batches(batches).to_pydict() == EXPECTED


def test_keys_alone_have_as_many_rows(folder: Path) -> None:
    assert read_table_of(folder, ["shop"]).to_pydict() == {"shop": EXPECTED["shop"]}
    assert open_source(folder).counts(["shop"]) == [3, 3, 3]


@pytest.mark.parametrize("threads", [0, 2])
def test_units_have_the_keys(folder: Path, threads: int) -> None:
    source = open_source(folder)
    names = ["shop", "item", "day"]
    tables = list(in_order((job for _, job in source.jobs(names)), threads, 3))
    assert [unit.rows for unit in source.units(names)] == [table.num_rows for table in tables]
    assert len({str(table.schema) for table in tables}) == 1
    assert pa.concat_tables(tables).to_pydict() == EXPECTED
    (unit, job), *_ = source.jobs(names, text=("shop",))
    assert job()["shop"].to_pylist() == ["1"] * unit.rows


def test_a_pattern_names_partitions_below_its_first_sign(folder: Path) -> None:
    pattern = f"{folder}/day=2024-01-02/shop=*/part-0.*"
    assert read_table_of(pattern, ["shop"])["shop"].to_pylist() == [1] * 3 + [12] * 3
    assert "day" not in column_names(pattern)
    assert read_table_of(f"{folder}/day=*/*/part*")["day"].to_pylist() == EXPECTED["day"]
    assert column_names(f"{folder}/day=2024-01-10/shop={CELLS[2][1]}") == ["item"]


def test_mixed_depths_and_keys_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a=1" / "x.parquet", x=[1])
    put(tmp_path / "b=1" / "x.parquet", x=[1])
    with pytest.raises(DataError, match=r"lies under a=\.\.\., '.*b=1.*' under b=\.\.\."):
        open_source(tmp_path)
    put(tmp_path / "c" / "a=1" / "b=1" / "x.parquet", x=[1])
    put(tmp_path / "c" / "a=1" / "x.parquet", x=[1])
    with pytest.raises(DataError, match=r"under a=\.\.\./b=\.\.\., .* under a=\.\.\.\."):
        open_source(tmp_path / "c")
    put(tmp_path / "d" / "a=1" / "x.parquet", x=[1])
    put(tmp_path / "d" / "y.parquet", x=[1])
    with pytest.raises(DataError, match=r"lies under a=\.\.\., .*y\.parquet' under none"):
        open_source(tmp_path / "d")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_key_that_is_a_column_too_must_agree(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / "day=1" / f"x{suffix}", day=[1, 1], x=[3, 4])
    put(tmp_path / "day=2" / f"x{suffix}", day=[2, 2], x=[5, 6])
    assert column_names(tmp_path) == ["day", "x"]
    assert read_table_of(tmp_path).to_pydict() == {"day": [1, 1, 2, 2], "x": [3, 4, 5, 6]}
    put(tmp_path / "day=2" / f"x{suffix}", day=[2, 1], x=[5, 6])
    with pytest.raises(DataError, match=r"day=2.* has a column 'day' whose values differ from 2"):
        read_table_of(tmp_path)
    assert read_table_of(tmp_path, ["x"])["x"].to_pylist() == [3, 4, 5, 6]


def test_a_date_in_the_file_agrees_with_its_text(tmp_path: Path) -> None:
    day = datetime.date(2024, 1, 2)
    put(tmp_path / "day=2024-01-02" / "x.parquet", day=[day], x=[1])
    assert read_table_of(tmp_path)["day"].to_pylist() == [day]


def test_files_without_rows_are_fine(tmp_path: Path) -> None:
    put(tmp_path / "a=1" / "x.csv", x=[])
    put(tmp_path / "a=2" / "x.csv", x=[5])
    assert read_table_of(tmp_path).to_pydict() == {"x": [5], "a": [2]}
    (tmp_path / "a=2" / "x.csv").unlink()
    assert read_table_of(tmp_path, ["a", "x"]).num_rows == 0


def test_what_is_skipped_is_told(tmp_path: Path) -> None:
    put(tmp_path / "a=1" / "x.csv", x=["1,2", "7"])
    source = open_source(tmp_path, on_bad="skip")
    assert source.read(["x", "a"]).to_pydict() == {"x": [7], "a": [1]}
    assert source.skipped == {str(tmp_path / "a=1" / "x.csv"): 1}  # type: ignore[attr-defined]


def test_a_key_with_zeros_agrees_with_a_column_of_integers(tmp_path: Path) -> None:
    put(tmp_path / "month=01" / "x.parquet", month=[1], x=[5])
    put(tmp_path / "month=10" / "x.parquet", month=[10], x=[6])
    assert read_table_of(tmp_path).to_pydict() == {"month": [1, 10], "x": [5, 6]}
    for folder in tmp_path.iterdir():
        put(folder / "x.parquet", x=[5])
    assert read_table_of(tmp_path)["month"].to_pylist() == ["01", "10"]
