from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data import csv_files
from nextrec.data.csv_files import CsvFiles, narrow, narrow_piece, wider
from nextrec.errors import DataError


def typed(*values: str | None) -> list[Any]:
    return narrow(pa.chunked_array([list(values)], type=pa.string())).to_pylist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2"], [1, -2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1", "2e3", "-inf"], [1.0, 2000.0, float("-inf")]),
        ([" 1", "2 "], [1, 2]),
        (["1", None, "NA"], [1, None, None]),
        (["1", "nan", "NaN"], [1, None, None]),
        (["1.5", "null", "None"], [1.5, None, None]),
        (["true", "False"], [True, False]),
        (["true", "NA"], [True, None]),
        (["true", "1"], ["true", "1"]),
        (["1", "x"], ["1", "x"]),
        (["NA", "DE"], ["NA", "DE"]),
        (["", "x"], ["", "x"]),
        (["0x1f", "7"], ["0x1f", "7"]),
        (["007", "8"], [7, 8]),
        ([None, None], [None, None]),
        (["NA", None], [None, None]),
        (["9223372036854775807"], [9223372036854775807]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["12345678901234567890", "0.5"], ["12345678901234567890", "0.5"]),
        (["1e300", "0.5"], [1e300, 0.5]),
        (["2024-01-02"], ["2024-01-02"]),
    ],
    ids=str,
)
def test_a_column_takes_the_narrowest_type_of_all_its_values(
    values: list[str | None], expected: list[Any]
) -> None:
    result = typed(*values)
    assert result == expected
    assert [type(each) for each in result] == [type(each) for each in expected]


words = st.sampled_from(["1", "20", "2.5", "NA", "true", "x", "", "1" * 18, "1" * 21])


@given(pieces=st.lists(st.lists(words | st.none(), min_size=1, max_size=3), min_size=1, max_size=3))
def test_types_do_not_depend_on_where_the_text_is_cut(pieces: list[list[str | None]]) -> None:
    whole = pa.chunked_array([[each for piece in pieces for each in piece]], type=pa.string())
    cut = pa.chunked_array(pieces, type=pa.string())
    assert narrow(cut).to_pylist() == narrow(whole).to_pylist()


def test_the_wider_type_holds_both() -> None:
    kinds = [narrow_piece(pa.array([each])).type for each in ("1", "1.5", "true", "x")]
    integer, real, flag, text = kinds
    assert wider(integer, real) == wider(real, integer) == real
    assert wider(flag, integer) == wider(text, real) == text
    assert wider(pa.null(), flag) == wider(flag, pa.null()) == flag


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CsvFiles:
    """Two files read in small blocks; the last row of all has values of other types."""
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    for number, last in enumerate(["3,4,,7\n", "2.5,x,9,\n"]):
        rows = "".join(f"{row},{row},,{row}\n" for row in range(50))
        (tmp_path / f"{number}.csv").write_text("a,b,c,d\n" + rows + last)
    return CsvFiles([tmp_path / "0.csv", tmp_path / "1.csv"])


def test_a_late_value_changes_the_type_of_the_whole_column(late: CsvFiles) -> None:
    table = late.read(["a", "b", "c", "d"])
    types = [pa.float64(), pa.string(), pa.int64(), pa.int64()]
    assert table.schema.types == types
    assert table["a"].to_pylist()[-2:] == [49.0, 2.5]
    assert table["b"].to_pylist()[-2:] == ["49", "x"]
    assert table["c"].null_count == 101
    assert table["d"].null_count == 1


def test_scanning_gives_what_reading_gives(late: CsvFiles) -> None:
    batches = list(late.scan(["b", "a", "c"], batch_rows=7))
    assert len(batches) > 15
    assert max(batch.num_rows for batch in batches) <= 7
    assert pa.Table.from_batches(batches).equals(late.read(["b", "a", "c"]).combine_chunks())
    assert late.counts(["a"]) == [51, 51]
    last_first = pa.Table.from_batches(late.scan(["a"], 1000, files=[1, 0]))
    assert last_first["a"].to_pylist()[50:53] == [2.5, 0.0, 1.0]


def test_quotes_commas_and_lines_in_a_field(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffname,liked\n"Smith, ""J""\nJr","[1, 2]"\n"",\n', encoding="utf-8")
    table = CsvFiles([path]).read(["name", "liked"])
    assert table.to_pydict() == {"name": ['Smith, "J"\nJr', ""], "liked": ["[1, 2]", None]}


def test_only_the_named_columns_are_kept_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,2,3\n")
    assert CsvFiles([path]).read(["c", "a"]).to_pydict() == {"c": [3], "a": [1]}
    assert CsvFiles([path]).names() == ["a", "b", "c"]


def test_each_file_must_have_the_columns(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("a,b\n1,2\n")
    (tmp_path / "1.csv").write_text("a\n1\n")
    files = CsvFiles([tmp_path / "0.csv", tmp_path / "1.csv"])
    with pytest.raises(DataError, match=r"1\.csv' lacks 1 column\(s\): 'b'"):
        files.read(["a", "b"])
    with pytest.raises(DataError, match=r"1\.csv' lacks 1 column\(s\): 'b'"):
        list(files.scan(["a", "b"], 10))


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n3\n", b"a\n\xff\xfe\n"], ids=["empty", "short row", "not UTF-8"]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.csv' can't be read as csv"):
        CsvFiles([path]).read(["a"])


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"123456\n" * 5000)[:-30])
    with pytest.raises(DataError, match=r"cut\.csv\.gz' can't be read as csv"):
        CsvFiles([path]).read(["a"])
