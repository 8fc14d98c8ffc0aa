from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data.parquet_files import ParquetFiles
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
