from __future__ import annotations

from pathlib import Path

import pytest

from nextrec.data.files import (
    Unchanged,
    file_kind,
    find_files,
    list_files,
    reading,
    require_columns,
)
from nextrec.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.parquet", "a.parquet", "_SUCCESS", ".hidden.parquet", "README.md"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.parquet").touch()
    return tmp_path


def names(source: object) -> list[str]:
    return [path.name for path in find_files(source)]  # type: ignore[arg-type]


def test_a_folder_is_its_data_files_by_name(folder: Path) -> None:
    assert names(folder) == names(str(folder)) == ["a.parquet", "b.parquet"]


def test_a_pattern_is_what_matches_by_name(folder: Path) -> None:
    assert names(f"{folder}/*.parquet") == ["a.parquet", "b.parquet"]
    assert names(f"{folder}/**/*.parquet") == ["a.parquet", "b.parquet", "c.parquet"]


def test_a_list_keeps_its_order(folder: Path) -> None:
    assert names([folder / "b.parquet", str(folder / "a.parquet")]) == ["b.parquet", "a.parquet"]
    assert names([folder / "deep", folder / "a.parquet"]) == ["c.parquet", "a.parquet"]


def test_a_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert names("~/a.parquet") == ["a.parquet"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.CSV.GZ", "csv"),
        ("b.v2.parquet", "parquet"),
        ("c.pq", "parquet"),
        ("d.tsv", "csv"),
        ("e.csv.zst", "csv"),
        ("f.tsv.bz2", "csv"),
    ],
)
def test_the_suffix_tells_the_kind(name: str, kind: str) -> None:
    assert file_kind(name) == kind


@pytest.mark.parametrize("name", ["a.json", "a", "a.gz", "csv"])
def test_an_unknown_suffix_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"must end in \.csv, \.csv\.gz, \.parquet, \.pq"):
        find_files(tmp_path / name)


def test_mixed_kinds_are_refused(folder: Path) -> None:
    (folder / "z.csv").touch()
    with pytest.raises(DataError, match=r"'z\.csv' \(csv\) and 'b\.parquet' \(parquet\)"):
        find_files(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file that ends in"):
        find_files(tmp_path)
    (tmp_path / "day=1").mkdir()
    with pytest.raises(DataError, match=r"sub-folders are read by a pattern such as .*\*\*"):
        find_files(tmp_path)


def test_what_is_not_there_is_refused_with_the_likely_name(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no such file .*Did you mean 'a\.parquet'"):
        find_files(folder / "aa.parquet")
    with pytest.raises(DataError, match="no file matches"):
        find_files(f"{folder}/*.csv")
    with pytest.raises(DataError, match="no such file or folder"):
        find_files(folder / "no" / "where.csv")
    with pytest.raises(DataError, match="list of files is empty"):
        find_files([])


def test_all_missing_columns_are_listed_once() -> None:
    with pytest.raises(DataError) as caught:
        require_columns(["usr", "item", "usr", "zz"], ["user", "item"], "the data")
    assert str(caught.value) == ("the data lacks 2 column(s): 'usr' (Did you mean 'user'?), 'zz'.")


def test_a_wanted_column_must_be_there_once() -> None:
    require_columns(["a"], ["a", "b", "b"], "the data")
    with pytest.raises(DataError, match="the data has several columns named 'b'"):
        require_columns(["b"], ["a", "b", "b"], "the data")


def test_a_stated_kind_takes_files_of_any_name(folder: Path) -> None:
    found = [file.location.name for file in list_files(folder, "csv")]
    assert found == ["README.md", "a.parquet", "b.parquet"]


def test_a_file_must_stay_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    unchanged = Unchanged(path)
    unchanged.check()
    unchanged.check()
    path.write_text("a\n12\n")
    with pytest.raises(DataError, match=r"a\.csv' changed while it was being read, from 4 to 5"):
        unchanged.check()


def test_a_broken_reader_is_told_of_not_wrapped(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), reading(tmp_path, "csv"):
        raise ZeroDivisionError
    with (
        pytest.raises(DataError, match=r"a' \(row group 3\) can't be read as parquet: cut"),
        reading(Path("a"), "parquet", "row group 3"),
    ):
        raise EOFError("cut")
