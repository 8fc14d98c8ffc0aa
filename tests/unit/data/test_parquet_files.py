from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data import parquet_files
from nextrec.data.parquet_files import ParquetFiles
from nextrec.data.prefetch import in_order
from nextrec.errors import DataError


@pytest.fixture
def files(tmp_path: Path) -> ParquetFiles:
    one = pa.table(
        {"a": pa.array([1, 2, 3], pa.int32()), "b.c": ["x", "y", "z"], "d": [[1], [], [2]]}
    )
    two = pa.table({"d": [[3]], "a": pa.array([4], pa.int64()), "b.c": ["w"]})
    pq.write_table(one, tmp_path / "0.parquet", row_group_size=2)
    pq.write_table(two, tmp_path / "1.parquet")
    return ParquetFiles([tmp_path / "0.parquet", tmp_path / "1.parquet"])


def test_files_are_one_table_of_the_widest_types(files: ParquetFiles) -> None:
    table = files.read(["b.c", "a"])
    assert table.column_names == ["b.c", "a"]
    assert table.schema.field("a").type == pa.int64()
    assert table.to_pydict() == {"b.c": ["x", "y", "z", "w"], "a": [1, 2, 3, 4]}


def test_scanning_gives_the_rows_in_small_batches(files: ParquetFiles) -> None:
    batches = list(files.scan(["d", "a"], 1))
    assert [batch.num_rows for batch in batches] == [1, 1, 1, 1]
    assert [batch.column("a")[0].as_py() for batch in batches] == [1, 2, 3, 4]
    assert batches[0].schema.names == ["d", "a"]
    backwards = [batch.column("a").to_pylist() for batch in files.scan(["a"], 9, files=[1, 0])]
    assert sum(backwards, []) == [4, 1, 2, 3]  # noqa: RUF017
    assert files.counts(["a"]) == [3, 1]
    assert files.names() == ["a", "b.c", "d"]


def test_each_file_must_have_the_columns(files: ParquetFiles, tmp_path: Path) -> None:
    pq.write_table(pa.table({"aa": [1]}), tmp_path / "1.parquet")
    for read in (lambda: files.read(["a"]), lambda: list(files.scan(["a"], 10))):
        with pytest.raises(DataError, match=r"1\.parquet' lacks 1 column\(s\): 'a' \(Did you mea"):
            read()


def test_types_that_have_nothing_in_common_are_refused(files: ParquetFiles, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match="can't be read as parquet"):
        files.read(["a"])


def test_a_damaged_file_is_named(files: ParquetFiles) -> None:
    content = files.paths[1].read_bytes()
    files.paths[1].write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"1\.parquet' can't be read as parquet"):
        files.read(["a"])
    with pytest.raises(DataError, match=r"1\.parquet' can't be read as parquet"):
        files.counts(["a"])


def tables_of(source: ParquetFiles, columns: list[str], threads: int = 0) -> list[pa.Table]:
    return list(in_order((job for _, job in source.jobs(columns)), threads, 3))


@pytest.mark.parametrize("threads", [0, 1, 2, 8])
def test_units_are_row_groups_of_one_type(files: ParquetFiles, threads: int) -> None:
    units = files.units(["b.c", "a"])
    assert [(u.file, u.place, u.rows, u.first_row, u.group) for u in units] == [
        (0, 0, 2, 0, 0),
        (0, 1, 1, 2, 1),
        (1, 0, 1, 3, 2),
    ]
    tables = tables_of(files, ["b.c", "a"], threads)
    assert [table.num_rows for table in tables] == [2, 1, 1]
    assert {str(table.schema.field("a").type) for table in tables} == {"int64"}
    assert pa.concat_tables(tables).to_pydict() == {"b.c": ["x", "y", "z", "w"], "a": [1, 2, 3, 4]}
    (unit, job), *rest = files.jobs(["a"], units[2:])
    assert (unit, job().to_pydict(), rest) == (units[2], {"a": [4]}, [])


@pytest.mark.parametrize(
    ("one", "two", "common"),
    [
        (pa.array([1], pa.uint8()), pa.array([300], pa.int32()), pa.int32()),
        (pa.array([1], pa.int64()), pa.array([0.5]), pa.float64()),
        (pa.array([None], pa.null()), pa.array(["x"]), pa.string()),
        (pa.array(["x"]).dictionary_encode(), pa.array(["y"]), pa.string()),
        (
            pa.array(["x"]).dictionary_encode(),
            pa.array(["y"]).dictionary_encode(),
            pa.dictionary(pa.int32(), pa.string()),
        ),
        (pa.array([[1]], pa.list_(pa.int32())), pa.array([[2]], pa.list_(pa.int64())), None),
    ],
    ids=str,
)
def test_types_that_fit_become_one(
    tmp_path: Path, one: pa.Array, two: pa.Array, common: pa.DataType | None
) -> None:
    for number, values in enumerate((one, two)):
        pq.write_table(pa.table({"a": values, "b": [number]}), tmp_path / f"{number}.parquet")
    files = ParquetFiles([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    tables = tables_of(files, ["a"])
    types = {table.schema.field("a").type for table in tables}
    assert len(types) == 1
    assert common is None or types == {common}
    assert [t["a"].to_pylist() for t in tables] == [one.to_pylist(), two.to_pylist()]


def test_units_refuse_what_does_not_fit(files: ParquetFiles, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet' can't be .* column 'a' is of type string, t"):
        files.units(["a"])
    with pytest.raises(DataError, match=r"1\.parquet' lacks 1 column\(s\): 'b\.c'"):
        ParquetFiles(files.paths).units(["b.c"])


def test_files_and_row_groups_without_rows_are_fine(tmp_path: Path) -> None:
    for number, rows in enumerate([[], [1], []]):
        table = pa.table({"a": pa.array(rows, pa.int64())})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    files = ParquetFiles([tmp_path / f"{number}.parquet" for number in range(3)])
    assert [(unit.file, unit.rows) for unit in files.units(["a"])] == [(1, 1)]
    assert files.read(["a"]).to_pydict() == {"a": [1]}
    assert files.counts(["a"]) == [0, 1, 0]
    nothing = ParquetFiles(files.paths[:1])
    assert (nothing.units(["a"]), nothing.read(["a"]).num_rows) == ([], 0)


def spoil(path: Path, place: int) -> None:
    """Overwrite the pages of a row group."""
    column = pq.read_metadata(path).row_group(place).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)


def test_a_damaged_row_group_is_named(files: ParquetFiles) -> None:
    spoil(files.paths[0], 1)
    first, *rest = (job for _, job in files.jobs(["a"]))
    assert first()["a"].to_pylist() == [1, 2]
    with pytest.raises(DataError, match=r"0\.parquet' \(row group 1\) can't be read as parquet"):
        rest[0]()


def test_silent_damage_is_found_where_pages_have_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"a": pa.array(range(1000), pa.int64())})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    position = content.index((500).to_bytes(8, "little"))
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet' .*can't be read as parquet: .*(crc|CRC)"):
        tables_of(ParquetFiles([path]), ["a"])


def test_damage_is_skipped_counted_and_logged(
    files: ParquetFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(files.paths[0], 0)
    (tmp_path / "2.parquet").write_bytes(b"garbage")
    paths = [tmp_path / "2.parquet", *files.paths]
    skipping = ParquetFiles(paths, on_bad="skip")
    assert skipping.names() == ["a", "b.c", "d"]
    units = skipping.units(["a"])
    assert [(u.file, u.place, u.rows, u.first_row) for u in units] == [(1, 1, 1, 0), (2, 0, 1, 1)]
    assert [table["a"].to_pylist() for table in tables_of(skipping, ["a"], 2)] == [[3], [4]]
    assert skipping.read(["a"])["a"].to_pylist() == [3, 4]
    assert [b.column("a").to_pylist() for b in skipping.scan(["a"], 5)] == [[3], [4]]
    assert skipping.counts(["a"]) == [0, 1, 1]
    assert skipping.skipped == {str(paths[0]): 1, str(paths[1]): 1}
    assert [record.name for record in caplog.records] == ["nextrec", "nextrec"]
    assert "2.parquet" in caplog.records[0].message
    assert "0.parquet' (row group 0)" in caplog.records[1].message


def test_when_all_is_damaged_there_is_nothing_to_skip(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"garbage")
    with pytest.raises(DataError, match="none of the 1 file"):
        ParquetFiles([tmp_path / "a.parquet"], on_bad="skip").names()


def test_a_file_that_changes_while_it_is_read_is_named(files: ParquetFiles) -> None:
    units = files.units(["a"])
    pq.write_table(pa.table({"a": [7, 8, 9, 10, 11]}), files.paths[0])
    jobs = [job for _, job in files.jobs(["a"], units)]
    with pytest.raises(DataError, match=r"0\.parquet' changed while it was being read"):
        jobs[0]()
    files.paths[1].unlink()
    with pytest.raises(DataError, match=r"1\.parquet' \(row group 0\) can't be .* is not there"):
        jobs[2]()


def test_footers_are_not_kept_without_bound(tmp_path: Path) -> None:
    for number in range(30):
        pq.write_table(pa.table({"a": [number]}), tmp_path / f"{number:02d}.parquet")
    files = ParquetFiles(sorted(tmp_path.iterdir()))
    tables = tables_of(files, ["a"], 4)
    assert [table["a"][0].as_py() for table in tables] == list(range(30))
    assert len(files._recent) <= parquet_files.FOOTERS_KEPT


def test_a_source_can_be_sent_to_another_process(files: ParquetFiles) -> None:
    files.units(["a"])
    assert pickle.loads(pickle.dumps(files)).read(["a"]).equals(files.read(["a"]))
