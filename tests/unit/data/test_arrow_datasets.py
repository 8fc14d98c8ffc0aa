from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from nextrec.data import arrow_datasets
from nextrec.data.arrow_datasets import DatasetSource
from nextrec.data.prefetch import in_order
from nextrec.errors import DataError

ROWS = 23


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for day in (1, 2):
        place = tmp_path / f"day={day}"
        place.mkdir()
        rows = range(10) if day == 1 else range(10, ROWS)
        table = pa.table({"a": list(rows)})
        pq.write_table(table, place / "x.parquet", row_group_size=4)
    return tmp_path


def dataset(folder: Path) -> ds.Dataset:
    return ds.dataset(folder, partitioning="hive")


def read_units(source: DatasetSource, columns: list[str], threads: int = 0) -> pa.Table:
    return pa.concat_tables(in_order((job for _, job in source.jobs(columns)), threads, 3))


@pytest.mark.parametrize("threads", [0, 2, 8])
def test_units_of_parquet_are_row_groups(folder: Path, threads: int) -> None:
    source = DatasetSource(dataset(folder))
    units = source.units(["a"])
    assert [unit.rows for unit in units] == [4, 4, 2, 4, 4, 4, 1]
    assert [unit.group for unit in units] == list(range(7))
    table = read_units(source, ["day", "a"], threads)
    assert table.column_names == ["day", "a"]
    assert table["a"].to_pylist() == list(range(ROWS))
    assert table["day"].to_pylist() == [1] * 10 + [2] * 13
    (_, job), *rest = source.jobs(["a"], units[4:5])
    assert (job()["a"].to_pylist(), rest) == (list(range(14, 18)), [])


@pytest.mark.parametrize("kind", ["filter", "memory", "csv"])
@pytest.mark.parametrize("threads", [0, 2])
def test_units_of_others_are_slices_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, threads: int
) -> None:
    monkeypatch.setattr(arrow_datasets, "UNIT_ROWS", 5)
    whole = dataset(folder).to_table()
    if kind == "filter":
        data = dataset(folder).filter(ds.field("a") >= 3)
        expected = list(range(3, ROWS))
    elif kind == "memory":
        data, expected = ds.dataset(whole), list(range(ROWS))
    else:
        (folder / "x.csv").write_text("a\n" + "".join(f"{row}\n" for row in range(ROWS)))
        data, expected = ds.dataset(folder / "x.csv", format="csv"), list(range(ROWS))
    source = DatasetSource(data)
    units = source.units(["a"])
    assert [unit.rows for unit in units] == [5] * 4 + ([3] if len(expected) == ROWS else [])
    assert {unit.group for unit in units} == {0}
    assert read_units(source, ["a"], threads)["a"].to_pylist() == expected
    some = [job()["a"].to_pylist() for _, job in source.jobs(["a"], units[1::2])]
    assert some == [expected[5:10], expected[15:20]]


def test_a_damaged_file_is_named(folder: Path) -> None:
    data = dataset(folder)
    (folder / "day=2" / "x.parquet").write_bytes(b"garbage")
    source = DatasetSource(data)
    with pytest.raises(DataError, match=r"day=2.x\.parquet.* can't be read"):
        source.units(["a"])
    with pytest.raises(DataError, match="can't be read"):
        source.read(["a"])
