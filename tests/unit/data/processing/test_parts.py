"""Output files are all there or none, and say what they hold."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.csv_files import CsvFiles
from nextrec.data.processing import folders
from nextrec.data.processing.parts import (
    MANIFEST,
    Part,
    lists_as_text,
    new_folder,
    write_manifest,
    write_part,
)
from nextrec.data.processing.rates import Rates
from nextrec.data.transforms.list_text import items_of_text
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
    for kind in (pa.list_(pa.int32()), pa.large_list(pa.float32())):
        column = pa.array([[1, 2], [], None, [3, None]], kind)
        text = lists_as_text(pa.table({"h": column}))["h"].to_pylist()
        assert text == ["1,2", "", None, "[3, None]"]
    part = written(tmp_path / "out", "csv")
    lines = (tmp_path / "out" / part.name).read_text().splitlines()
    assert lines[:3] == ['"n","h"', '1,"1,2"', '2,""']


words = st.text(st.sampled_from("ab,'\"[]()\\ \n\r\0\té|"), max_size=5)
text_lists = st.lists(st.none() | st.lists(words | st.none(), max_size=4), max_size=6)


@given(rows=text_lists, cut=st.integers(0, 2))
def test_lists_of_text_come_back_from_csv(rows, cut):
    for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string())):
        column = pa.array(rows, kind).slice(cut)
        text = lists_as_text(pa.table({"h": column}))["h"].combine_chunks()
        items, lengths = items_of_text(text, "|")
        kept = column.to_pylist()
        assert items.to_pylist() == [item for row in kept for item in row or []]
        assert lengths.tolist() == [len(row or []) for row in kept]
        assert text.is_null().to_pylist() == [row is None for row in kept]


def test_lists_of_text_come_back_from_a_file(tmp_path):
    rows = [["x,y", "z"], [], None, ['say "hi"', "it's", "two\nlines", ""]]
    table = pa.table({"n": range(4), "h": pa.array(rows, pa.list_(pa.string()))})
    part = write_part(tmp_path, 0, [table], "csv")
    text = CsvFiles([tmp_path / part.name]).read(["h"])["h"].combine_chunks()
    items, lengths = items_of_text(text, ",")
    assert items.to_pylist() == [item for row in rows for item in row or []]
    assert lengths.tolist() == [2, 0, 0, 4]


@pytest.mark.parametrize(
    "values",
    [pa.array([{"a": 1}]), pa.array([[[1]]]), pa.array([[{"a": 1}]]), pa.array([[b"\xff"]])],
    ids=lambda values: str(values.type),
)
def test_what_csv_has_no_form_for_is_named(tmp_path, values):
    with pytest.raises(DataError, match=r"column 'odd' is of type .*parquet"):
        write_part(tmp_path, 0, [pa.table({"n": [1], "odd": values})], "csv")
    assert write_part(tmp_path, 1, [pa.table({"odd": values})], "parquet").rows == 1


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_folder_is_filled(tmp_path, there):
    target = tmp_path / "disk" / "target"
    target.parent.mkdir()
    if there:
        target.mkdir()
    (tmp_path / "out").symlink_to(target)
    for _ in range(2):
        written(tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert (target / MANIFEST).exists()
        assert [each.name for each in target.parent.iterdir()] == ["target"]


def test_what_killed_runs_left_is_removed_once_it_is_old(tmp_path):
    names = [".out.0123abcd.tmp", ".out.fedcba98.tmp", ".other.0123abcd.tmp", ".out.mine.tmp"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-00000.parquet").write_text("half")
    long_ago = time.time() - folders.STALE_SECONDS - 60
    for place in (0, 2, 3):
        for path in (tmp_path / names[place] / "part-00000.parquet", tmp_path / names[place]):
            os.utime(path, (long_ago, long_ago))
    written(tmp_path / "out")
    assert {each.name for each in tmp_path.iterdir()} == {"out", *names[1:]}


def test_an_output_that_stepped_aside_is_put_back(tmp_path, monkeypatch):
    out = tmp_path / "out"
    written(out)
    real = os.replace

    def killed(source, target):
        if Path(target) == out:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        written(out)
    monkeypatch.undo()
    assert not out.exists()

    def stop():
        with new_folder(out):
            assert json.loads((out / MANIFEST).read_text())["rows"] == 4
            raise RuntimeError("the next run fails")

    with pytest.raises(RuntimeError, match="the next run fails"):
        stop()
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_failed_second_rename_leaves_the_earlier_output(tmp_path, monkeypatch):
    out = tmp_path / "out"
    written(out)
    real = os.replace

    def refused(source, target):
        if Path(target) == out and Path(source).suffix == ".tmp":
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(ConfigError, match="out': Permission denied"):
        written(out)
    assert json.loads((out / MANIFEST).read_text())["rows"] == 4
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_leftover_whose_successor_is_there_goes(tmp_path):
    written(tmp_path / ".out.0123abcd.old")
    written(tmp_path / "out")
    written(tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["n" * 300, "file/out", "null\0byte"])
def test_paths_that_can_not_be_are_named(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="can't write to"), new_folder(tmp_path / name):
        pass


def test_a_folder_that_refuses_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match=r"out': Permission denied"), new_folder(tmp_path / "out"):
        pass
