from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data import csv_files, csv_odd
from nextrec.data.csv_files import CsvFiles, narrow, narrow_piece, wider
from nextrec.data.prefetch import in_order
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
        (["007", "8"], ["007", "8"]),
        (["-07", "8"], ["-07", "8"]),
        (["+5", "8"], ["+5", "8"]),
        (["+2.5", "8"], [2.5, 8.0]),
        (["007.5", "8"], ["007.5", "8"]),
        (["-0", "8"], [-0.0, 8.0]),
        (["-0.5", "0", "1e-05", "1e+05"], [-0.5, 0.0, 1e-05, 1e5]),
        (["9007199254740992", "0.5"], [2.0**53, 0.5]),
        (["9007199254740993", "0.5"], ["9007199254740993", "0.5"]),
        (["-9007199254740993", "0.5"], ["-9007199254740993", "0.5"]),
        (["9007199254740993", "-0"], ["9007199254740993", "-0"]),
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


words = st.sampled_from(
    ["1", "20", "2.5", "NA", "true", "x", "", "1" * 18, "1" * 21, "007", "-0", "+5", str(2**53)]
)


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


def written(path: Path, content: bytes) -> Path:
    """Write a file, compressed as its suffix says."""
    if path.suffix == ".csv":
        path.write_bytes(content)
        return path
    with pa.CompressedOutputStream(str(path), pa.Codec.detect(str(path)).name) as file:
        file.write(content)
    return path


def jobs_run(
    source: CsvFiles,
    columns: list[str],
    threads: int = 0,
    text: tuple[str, ...] = (),
    **kwargs: Any,
) -> list[pa.Table]:
    return list(in_order((job for _, job in source.jobs(columns, text=text, **kwargs)), threads, 3))


def rows_of_tables(tables: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for table in tables for row in table.to_pylist()]


fields = st.text(st.sampled_from('ab1"",;\n\r é0x'), max_size=12)
tables_of_text = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(fields, min_size=width, max_size=width), min_size=1, max_size=25
    )
)


@given(
    rows=tables_of_text,
    size=st.integers(16, 64),
    newline=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    mark=st.sampled_from(["", "\ufeff"]),
    suffix=st.sampled_from(["", ".gz"]),
    ended=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    size: int,
    newline: str,
    delimiter: str,
    mark: str,
    suffix: str,
    ended: bool,
) -> None:
    names = [f"c{number}" for number in range(len(rows[0]))]
    always = len(names) == 1  # a line of one empty field would be blank
    special = ('"', "\n", "\r", delimiter)

    def field(text: str) -> str:
        quoted = always or any(sign in text for sign in special)
        return '"' + text.replace('"', '""') + '"' if quoted else text

    text = "".join(delimiter.join(map(field, row)) + newline for row in [names, *rows])
    content = (mark + text).encode()
    content = content if ended else content.removesuffix(newline.encode())
    path = written(tmp_path_factory.mktemp("any") / f"a.csv{suffix}", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "BLOCK_BYTES", size)
        source = CsvFiles([path], delimiter=delimiter)
        found = rows_of_tables(jobs_run(source, names, text=tuple(names)))
        units = source.units(names, names)
    missing = "" if always else None
    assert [list(row.values()) for row in found] == [[each or missing for each in r] for r in rows]
    assert sum(unit.rows for unit in units) == len(rows)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("threads", [0, 1, 2, 8])
def test_units_have_every_row_once_for_any_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, threads: int
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 200)
    paths = []
    for number in range(2):
        rows = "".join(f"{row},{row / 4},w{row}\n" for row in range(number, 300, 2))
        content = ("i,r,w\n" + rows).encode()
        paths.append(written(tmp_path / f"{number}.csv{suffix}", content))
    source = CsvFiles(paths)
    units = source.units(["w", "i", "r"])
    assert len(units) > 10
    assert [unit.first_row for unit in units] == [sum(u.rows for u in units[:n])
                                                  for n in range(len(units))]  # fmt: skip
    assert len({unit.group for unit in units}) == (2 if suffix else len(units))
    tables = jobs_run(source, ["w", "i", "r"], threads)
    assert [table.num_rows for table in tables] == [unit.rows for unit in units]
    assert len({str(table.schema) for table in tables}) == 1
    order = [*range(0, 300, 2), *range(1, 300, 2)]
    expected = [{"w": f"w{row}", "i": row, "r": row / 4} for row in order]
    assert rows_of_tables(tables) == expected
    assert source.read(["w", "i", "r"]).to_pylist() == expected
    assert source.counts(["i"]) == [150, 150]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_units_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    content = ("a\n" + "".join(f"{row}\n" for row in range(500))).encode()
    path = written(tmp_path / f"a.csv{suffix}", content)
    source = CsvFiles([path])
    units = source.units(["a"])[1::3]
    for unit, table in zip(units, jobs_run(source, ["a"], 2, units=units), strict=True):
        assert table["a"].to_pylist() == list(range(unit.first_row, unit.first_row + unit.rows))


def test_types_hold_for_all_units(late: CsvFiles) -> None:
    tables = jobs_run(late, ["a", "b", "c", "d"])
    assert len(tables) > 15
    assert {tuple(table.schema.types) for table in tables} == {
        (pa.float64(), pa.string(), pa.int64(), pa.int64())
    }
    assert pa.concat_tables(tables).equals(late.read(["a", "b", "c", "d"]))


def test_text_columns_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n007,1\n,2\n"",3\nNA,4\n0x1f,5\n')
    source = CsvFiles([path])
    (table,) = jobs_run(source, ["a", "b"], text=("a",))
    assert table.to_pydict() == {"a": ["007", None, "", "NA", "0x1f"], "b": [1, 2, 3, 4, 5]}
    (table,) = jobs_run(source, ["b", "a"], text=("a", "b"))
    assert table.to_pydict()["b"] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("early", "late_value", "kind"),
    [
        ("1", "2.5", pa.float64()),
        ("1", "x", pa.string()),
        ("1", "0x1f", pa.string()),
        ("1", "NA", pa.int64()),
        ("1.5", "nan", pa.float64()),
        ("1.5", "9" * 20, pa.string()),
        ("1", '""', pa.int64()),
        ("NA", "x", pa.string()),
        ("NA", "1", pa.int64()),
        ("true", "1", pa.string()),
        ("true", "NA", pa.bool_()),
        ("9007199254740992", "0.5", pa.float64()),
        ("9007199254740993", "0.5", pa.string()),
        ("0.5", "9007199254740993", pa.string()),
        ("0.5", "-9007199254740993", pa.string()),
        ("0.5", "1e300", pa.float64()),
        ("1", "007", pa.string()),
        ("1.5", "007", pa.string()),
        ("1", " 007", pa.string()),
        ("1", '"007"', pa.string()),
        ("1", "-07", pa.string()),
        ("1.5", "+5", pa.string()),
        ("1", "-0", pa.float64()),
        ("1", "0", pa.int64()),
        ("-0.5", "1e-05", pa.float64()),
        ("NA", "007", pa.string()),
    ],
)
def test_what_many_blocks_said_may_change_with_the_last_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: str, late_value: str, kind: pa.DataType
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    monkeypatch.setattr(csv_files, "SAMPLE_BYTES", 32)
    path = tmp_path / "a.csv"
    path.write_text("n,a\n" + "".join(f"{n},{early}\n" for n in range(60)) + f"60,{late_value}\n")
    source = CsvFiles([path])
    whole = narrow(pa.chunked_array([[early] * 60 + [late_value.strip('"')]]))
    read = source.read(["a"])["a"]
    assert read.type == whole.type == kind
    assert read.to_pylist() == whole.to_pylist()
    assert pa.concat_tables(jobs_run(source, ["a"]))["a"].to_pylist() == whole.to_pylist()
    assert source.read(["a"])["a"].to_pylist() == whole.to_pylist()  # learned by now


def test_files_without_a_header_have_the_given_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeff1,x\n2,y\n", encoding="utf-8")
    (tmp_path / "b.tsv").write_text("3\tz\n")
    source = CsvFiles([tmp_path / "a.csv", tmp_path / "b.tsv"], column_names=["n", "t"])
    assert source.names() == ["n", "t"]
    assert source.read(["t", "n"]).to_pydict() == {"t": ["x", "y", "z"], "n": [1, 2, 3]}


def test_header_only_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n\r\na,b\n")
    (tmp_path / "b.csv").write_text("a,b\n\n1,2\n\r\n\n3,4")
    source = CsvFiles([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert source.counts(["a"]) == [0, 2]
    assert source.read(["b"]).to_pydict() == {"b": [2, 4]}
    only = CsvFiles([tmp_path / "a.csv"])
    assert only.read(["a"]).num_rows == 0
    assert (only.units(["a"]), list(only.scan(["a"], 5))) == ([], [])


def test_a_long_header_with_quoted_newlines(tmp_path: Path) -> None:
    names = [f"column {number:05d}" for number in range(9000)]
    (tmp_path / "a.csv").write_text('"x\ny",' + ",".join(names) + "\n" + "1," * 9000 + "2\n")
    source = CsvFiles([tmp_path / "a.csv"])
    assert source.names() == ["x\ny", *names]
    assert source.read(["x\ny", names[-1]]).to_pylist() == [{"x\ny": 1, names[-1]: 2}]


GOOD = "".join(f"{row},w\n" for row in range(20))
BAD = {
    "1,2,3\n": "3 field(s) instead of 2",
    "7\n": "1 field(s) instead of 2",
    "8,\udcff\udcfe\n": "it is not UTF-8",
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("size", [40, 4 << 20])
def test_a_bad_line_is_named_or_skipped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bad: str,
    suffix: str,
    size: int,
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", size)
    content = f'a,b\n"1\n0",w\n{GOOD}{bad}{GOOD}{bad}'.encode(errors="surrogateescape")
    path = written(tmp_path / f"bad.csv{suffix}", content)
    for read in (lambda s: s.read(["a", "b"]), lambda s: jobs_run(s, ["a", "b"], 2, text=("b",))):
        with pytest.raises(DataError) as caught:
            read(CsvFiles([path]))
        assert f"{str(path)!r} can't be read as csv: line 24: {BAD[bad]}: " in str(caught.value)

    source = CsvFiles([path], on_bad="skip")
    expected = ["1\n0", *map(str, range(20)), *map(str, range(20))]
    assert source.read(["a", "b"])["a"].to_pylist() == expected
    assert source.skipped == {str(path): 2}
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("nextrec", "WARNING")
    assert "skipped 2 bad line(s)" in record.message
    assert f"the first: line 24, {BAD[bad]}" in record.message
    units = source.units(["b", "a"], ["a"])
    tables = jobs_run(source, ["b", "a"], 2, text=("a",))
    assert [unit.rows for unit in units] == [table.num_rows for table in tables]
    assert [row["a"] for row in rows_of_tables(tables)] == expected
    assert [b.num_rows for b in source.scan(["a"], 7)]
    assert len(caplog.records) == 1  # what was told once is not told again


def test_an_unterminated_quote_is_named_or_skipped(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f'a,b\n{GOOD}5,"open\n{GOOD}')
    with pytest.raises(DataError, match=r"line 22: its quote is never closed: '5,\"open\\n'"):
        CsvFiles([path]).read(["a"])
    source = CsvFiles([path], on_bad="skip")
    assert source.read(["a"])["a"].to_pylist() == [*range(20), *range(20)]
    assert source.skipped == {str(path): 1}


def test_a_long_bad_line_is_shown_in_part(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n" + "x" * 1000 + "\n")
    with pytest.raises(DataError) as caught:
        CsvFiles([path]).read(["a"])
    assert str(caught.value).endswith(f"line 2: 1 field(s) instead of 2: '{'x' * 80}...'.")


def test_bytes_that_are_not_read_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b'a,b,c\n1,\xe9,"x,y"\n2,e,z\nbad\n')
    source = CsvFiles([path], on_bad="skip")
    assert source.read(["a", "c"]).to_pydict() == {"a": [1, 2], "c": ["x,y", "z"]}
    assert source.read(["b"]).to_pydict() == {"b": ["e"]}
    assert source.skipped == {str(path): 2}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    written(path, b"a\n1\n2\n")
    source = CsvFiles([path])
    units = source.units(["a"])
    written(path, b"a\n1\n2\n3\n")
    with pytest.raises(DataError, match=r"a\.csv.* changed while it was being read"):
        jobs_run(source, ["a"], units=units)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.csv.* it is not there; was it deleted"):
        jobs_run(source, ["a"], units=units)


def test_a_source_can_be_sent_to_another_process(late: CsvFiles) -> None:
    late.units(["a"])
    there = pickle.loads(pickle.dumps(late))
    assert there.read(["a"]).equals(late.read(["a"]))


plain = ["1", "-2", "0", "10", "2.5", "-0.5", "0.05", "1e-05", "NA", ""]
odd = ["007", "-07", "+5", "-0", "00", "0x1f", " 08", str(2**53 + 1), "2024-01-02", "a 05"]


@given(
    rows=st.lists(
        st.lists(st.sampled_from(plain) | st.sampled_from(plain + odd), min_size=3, max_size=3),
        min_size=1,
        max_size=25,
    ),
    size=st.integers(16, 64),
    delimiter=st.sampled_from([",", ";", "|"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoted=st.booleans(),
    suffix=st.sampled_from(["", ".gz"]),
)
@settings(max_examples=150, deadline=None)
def test_files_have_the_types_of_their_text_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    size: int,
    delimiter: str,
    newline: str,
    quoted: bool,
    suffix: str,
) -> None:
    names = ["a", "b", "c"]
    lines = [delimiter.join(names), *(delimiter.join(row) for row in rows)]
    if quoted:
        lines[1] = delimiter.join(f'"{field}"' for field in rows[0])
    content = "".join(line + newline for line in lines).encode()
    path = written(tmp_path_factory.mktemp("any") / f"a.csv{suffix}", content)
    expected = {
        name: narrow(pa.chunked_array([[row[place] or None for row in rows]], pa.string()))
        for place, name in enumerate(names)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "BLOCK_BYTES", size)
        patch.setattr(csv_files, "SAMPLE_BYTES", 16)
        patch.setattr(csv_odd, "_CACHED", 7)
        read = CsvFiles([path], delimiter=delimiter).read(names)
        tables = jobs_run(CsvFiles([path], delimiter=delimiter), names)
    for name, column in expected.items():
        for found in (read[name], pa.concat_tables(tables)[name]):
            assert found.type == column.type
            blank = {None: "", "": ""}  # an empty field in quotes is text, in a column of text
            texts = [[blank.get(x, x) for x in each.to_pylist()] for each in (found, column)]
            assert texts[0] == texts[1]
