"""Output files are all there or none, and say what they hold."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data.processing.parts import (
    MANIFEST,
    Part,
    lists_as_text,
    new_folder,
    write_manifest,
    write_part,
)
from nextrec.data.processing.rates import Rates
from nextrec.errors import ConfigError, DataError

TABLE = pa.table({"n": [1, 2], "h": [[1, 2], []]})


def written(path, save_format="parquet"):
    with new_folder(path) as folder:
        part = write_part(folder, 0, [TABLE, TABLE], save_format)
        write_manifest(folder, [part], Rates(4), "1")
    return part


def test_a_folder_appears_whole(tmp_path):
    part = written(tmp_path / "deep" / "out")
    assert part.rows == 4
    assert sorted(each.name for each in (tmp_path / "deep" / "out").iterdir()) == [
        MANIFEST,
        "part-00000.parquet",
    ]
    assert pq.read_table(tmp_path / "deep" / "out" / part.name).num_rows == 4


def test_an_error_leaves_what_was_there(tmp_path):
    written(tmp_path / "out")

    def stop_in_the_middle():
        with new_folder(tmp_path / "out") as folder:
            write_part(folder, 0, [TABLE], "parquet")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        stop_in_the_middle()
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["rows"] == 4
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("content", ["file", "foreign", "no manifest"])
def test_what_is_not_ours_is_left_alone(tmp_path, content):
    out = tmp_path / "out"
    if content == "file":
        out.write_text("mine")
    else:
        written(out) if content == "foreign" else out.mkdir()
        (out / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="left alone"), new_folder(out):
        pass
    assert out.exists()


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    written(tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST).exists()


def test_types_may_not_change_within_a_part(tmp_path):
    other = pa.table({"n": ["x", "y"], "h": [[1], []]})
    with pytest.raises(DataError, match="changes its type"):
        write_part(tmp_path, 0, [TABLE, other], "parquet")


def test_parts_of_one_output_have_one_schema(tmp_path):
    parts = [Part("a", 1, {"n": "int64", "x": "double"}), Part("b", 1, {"n": "string"})]
    with pytest.raises(DataError, match="columns n, x"):
        write_manifest(tmp_path, parts, Rates(), "1")


def test_no_table_is_no_part(tmp_path):
    assert write_part(tmp_path, 0, [], "parquet") is None
    assert not list(tmp_path.iterdir())


def test_lists_in_csv_are_text_that_is_read_again(tmp_path):
    kinds = [pa.list_(pa.int32()), pa.large_list(pa.float32()), pa.list_(pa.string())]
    for kind in kinds:
        column = pa.array([[1, 2], [], None] if kind != kinds[2] else [["a"], [], None], kind)
        text = lists_as_text(pa.table({"h": column}))["h"].to_pylist()
        assert text[1:] == ["", None]
        assert text[0] in ("1,2", "a")
    part = written(tmp_path / "out", "csv")
    lines = (tmp_path / "out" / part.name).read_text().splitlines()
    assert lines[:3] == ['"n","h"', '1,"1,2"', '2,""']
