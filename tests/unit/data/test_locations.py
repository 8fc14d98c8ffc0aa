from __future__ import annotations

import builtins
import itertools
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data.files import find_files
from nextrec.data.locations import RemoteFile, _fits, locate, split_pattern
from nextrec.data.sources import open_source, read_table_of
from nextrec.errors import DataError, MissingDependencyError

fsspec = pytest.importorskip("fsspec")
numbers = itertools.count()


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of an empty folder of fsspec's file system in memory."""
    url = f"memory://folder-{next(numbers)}"
    yield url
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def put(url: str, content: bytes) -> str:
    with fsspec.open(url, "wb") as file:
        file.write(content)
    return url


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


def test_a_local_path_is_a_path(tmp_path: Path) -> None:
    assert locate("data/a.csv") == Path("data/a.csv")
    assert locate(tmp_path) == tmp_path
    assert locate("C:/data") == Path("C:/data")
    assert locate(tmp_path.as_uri()) == tmp_path
    assert locate("file://localhost/a%20b/c.csv") == Path("/a b/c.csv")


def test_files_behind_a_file_url(tmp_path: Path) -> None:
    for number in (1, 0):
        (tmp_path / f"part {number}.csv").write_text(f"a\n{number}\n")
    for url in (tmp_path.as_uri(), f"{tmp_path.as_uri()}/part*.csv", f"file://{tmp_path}"):
        assert read_table_of(url).to_pydict() == {"a": [0, 1]}
    assert find_files(tmp_path.as_uri()) == [tmp_path / "part 0.csv", tmp_path / "part 1.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_files_of_another_file_system(memory: str, suffix: str) -> None:
    for number in (1, 0):
        content = parquet(a=[number, 7]) if suffix == ".parquet" else f"a\n{number}\n7\n".encode()
        if suffix == ".csv.gz":
            content = pa.compress(content, "gzip", asbytes=True)
        put(f"{memory}/part-{number}{suffix}", content)
    put(f"{memory}/_SUCCESS", b"")
    for data in (memory, f"{memory}/part-*{suffix}", f"{memory}/part-[01]{suffix}"):
        assert read_table_of(data).to_pydict() == {"a": [0, 7, 1, 7]}
    one = f"{memory}/part-1{suffix}"
    source = open_source([one])
    assert source.read(["a"])["a"].to_pylist() == [1, 7]
    assert [job()["a"].to_pylist() for _, job in source.jobs(["a"])] == [[1, 7]]
    assert source.counts(["a"]) == [2]
    (found,) = find_files(one)
    assert isinstance(found, RemoteFile)
    assert (str(found), found.name, found.parent) == (one, f"part-1{suffix}", memory)
    assert pickle.loads(pickle.dumps(found)) == found


def test_partitions_and_deep_patterns_of_another_file_system(memory: str) -> None:
    for day, country in itertools.product((1, 2), ("DE", "a%2Fb")):
        put(f"{memory}/t/day={day}/c={country}/part-0.parquet", parquet(x=[day]))
    put(f"{memory}/t/other/part-0.parquet", parquet(x=[9]))
    expected = {"x": [1, 1, 2, 2], "day": [1, 1, 2, 2], "c": ["DE", "a/b", "DE", "a/b"]}
    assert read_table_of(f"{memory}/t").to_pydict() == expected
    assert read_table_of(f"{memory}/t/day=*/c=*/*.parquet").to_pydict() == expected
    assert read_table_of(f"{memory}/t/day=2/**/*.parquet").to_pydict() == {
        "x": [2, 2],
        "c": ["DE", "a/b"],
    }
    assert read_table_of([f"{memory}/t/other"], ["x"]).to_pydict() == {"x": [9]}


def test_what_is_not_there_is_named_by_its_url(memory: str) -> None:
    put(f"{memory}/train.csv", b"a\n1\n")
    with pytest.raises(DataError, match=rf"no such file or folder: '{memory}/trian\.csv'.*'train"):
        find_files(f"{memory}/trian.csv")
    with pytest.raises(DataError, match=rf"no file matches '{memory}/\*\.parquet'"):
        find_files(f"{memory}/*.parquet")
    with pytest.raises(DataError, match=r"no such file or folder: 'memory://nowhere/a/b\.csv'"):
        find_files("memory://nowhere/a/b.csv")


def test_a_file_that_vanishes_is_named_by_its_url(memory: str) -> None:
    url = put(f"{memory}/a.csv", b"a\n1\n")
    source = open_source(url)
    units = source.units(["a"])
    fsspec.core.url_to_fs(memory)[0].rm(f"{memory}/a.csv")
    (_, job), *_ = source.jobs(["a"], units)
    with pytest.raises(DataError, match=rf"'{url}' can't be read as csv: it is not there"):
        job()


def test_an_unknown_file_system_is_named() -> None:
    with pytest.raises(DataError, match=r"'foo://bar/x\.csv' can't be reached: Protocol not known"):
        find_files("foo://bar/x.csv")


def test_missing_credentials_are_told_with_the_url(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoCredentialsError(Exception):
        """As botocore's: no OSError."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise NoCredentialsError("unable to locate credentials")

    url = put(f"{memory}/a.csv", b"a\n1\n")
    source = open_source(url)
    filesystem = fsspec.core.url_to_fs(memory)[0]
    monkeypatch.setattr(filesystem, "open", refuse)
    with pytest.raises(DataError, match=rf"'{url}' can't be read as csv: .*unable to locate"):
        source.names()
    monkeypatch.setattr(filesystem, "info", refuse)
    with pytest.raises(DataError, match=rf"'{url}' can't be reached: .*unable to locate cred"):
        open_source(url)


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("fsspec"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"'memory://x' needs the package 'fsspec'"):
        locate("memory://x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a/b.csv", ("a/b.csv", "")),
        ("a/*.csv", ("a", "*.csv")),
        ("*.csv", ("", "*.csv")),
        ("/x[12]/b/?.csv", ("", "x[12]/b/?.csv")),
        ("s3://b/k", ("s3://b/k", "")),
        ("s3://b/d=*/e=1/x", ("s3://b", "d=*/e=1/x")),
    ],
)
def test_a_pattern_begins_with_its_first_sign(text: str, parts: tuple[str, str]) -> None:
    assert split_pattern(text) == parts


NAMES = ["a.p", "b.q", ".h.p", "x/a.p", "x/y/a.p", "x/.d/a.p", ".d/a.p", "x/y/z/a.q"]


@pytest.mark.parametrize(
    "pattern", ["*.p", "**/*.p", "*/*.p", "x/**/*", "**", "x/**", "?.p", "[ab].*", ".*", "**/a.p"]
)
def test_patterns_match_as_glob_does(tmp_path: Path, pattern: str) -> None:
    import glob

    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {
        name.removesuffix("/")
        for name in glob.glob(pattern, root_dir=tmp_path, recursive=True)
        if (tmp_path / name).is_file()
    }
    assert {name for name in NAMES if _fits(name.split("/"), pattern.split("/"))} == found
