from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data import csv_blocks
from nextrec.data.csv_blocks import Place, blocks, count_lines, outside, quoted

# Few signs, so that every constellation of quotes, delimiters and newlines comes up.
texts = st.text(st.sampled_from('ab"",,\n\n\ré'), max_size=200)


def rows_of(text: str, delimiter: str = ",") -> list[list[str]]:
    lines = io.StringIO(text, newline="")
    return [row for row in csv.reader(lines, delimiter=delimiter) if row]


def cut(text: str, size: int, delimiter: str = ",") -> list[tuple[Place, bytes]]:
    stream = io.BytesIO(text.encode())
    return list(blocks(stream.read, 0, 1, delimiter, size))


def is_closed(text: str) -> bool:
    """Whether a line behind the text is a row of its own."""
    return rows_of(text + "\nend") == [*rows_of(text), ["end"]]


@given(text=texts, size=st.integers(16, 64))
def test_rows_of_the_blocks_are_the_rows_of_the_text(text: str, size: int) -> None:
    found = cut(text, size)
    assert b"".join(block for _, block in found) == text.encode()
    if is_closed(text):
        assert not any(place.unclosed for place, _ in found)
        assert [row for _, block in found for row in rows_of(block.decode())] == rows_of(text)
    else:
        assert any(place.unclosed for place, _ in found)


@given(text=texts, size=st.integers(16, 64))
def test_places_tell_position_and_line(text: str, size: int) -> None:
    content = text.encode()
    for place, block in cut(text, size):
        assert content[place.start : place.start + place.size] == block
        before = content[: place.start].decode()
        assert place.line == 1 + len(before.splitlines()) if before else place.line == 1
        assert not before or before.endswith(("\n", "\r"))


@given(text=texts.filter(is_closed))
def test_lines_and_their_fields_are_found(text: str) -> None:
    content = text.encode()
    starts, ends, delimiters = outside(content, ",")
    found = [content[a:b].decode() for a, b in zip(starts, ends, strict=True)]
    assert [rows_of(line) for line in found] == [[row] for row in rows_of(text)]
    assert [count + 1 for count in delimiters] == [len(row) for row in rows_of(text)]


def test_blocks_are_about_as_large_as_asked_for() -> None:
    text = "".join(f"{number},x\n" for number in range(1000))
    sizes = [place.size for place, _ in cut(text, 100)]
    assert max(sizes) <= 200
    assert len(sizes) > 40


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_newline_ends_a_line(newline: str) -> None:
    text = newline.join(["1,a", "2,b", "", "3,c"] * 10)
    found = cut(text, 16)
    assert len(found) > 5
    assert [row for _, block in found for row in rows_of(block.decode())] == rows_of(text)
    assert [place.line for place, _ in found] == sorted({place.line for place, _ in found})
    assert count_lines(text.encode()) == 39


def test_a_quoted_newline_is_no_place_to_cut() -> None:
    text = 'a,"' + "x\n" * 30 + '"\nb,c\n'
    found = cut(text, 16)
    assert rows_of(found[0][1].decode())[0] == ["a", "x\n" * 30]
    assert [place.line for place, _ in found] in ([1], [1, 32])


def test_a_quote_within_a_field_is_text() -> None:
    text = '5" pipe,1\n' * 10 + '"two\nlines",2\n' * 10
    assert [row for _, block in cut(text, 16) for row in rows_of(block.decode())] == rows_of(text)
    opens, closes = quoted(b'5" pipe,"x"\n', ",")
    assert (opens.tolist(), closes.tolist()) == ([8], [10])


def test_another_delimiter_begins_fields() -> None:
    opens, _ = quoted(b'a,"b\t"c\td"\n', "\t")
    assert opens.tolist() == [5]


def test_after_a_quote_that_is_never_closed_the_next_line_begins() -> None:
    text = '1,a\n2,"b\n3,c\n4,d\n'
    found = cut(text, 1000)
    assert [(place.unclosed, place.line, block) for place, block in found] == [
        (False, 1, b"1,a\n"),
        (True, 2, b'2,"b\n'),
        (False, 3, b"3,c\n4,d\n"),
    ]


def test_a_quote_is_not_looked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "LONGEST", 4)
    rows = "".join(f"{number},b\n" for number in range(200))
    found = cut('0,"b\n' + rows, 16)
    assert found[0][0].unclosed
    assert max(place.size for place, _ in found) <= (4 + 2) * 16
    assert b"".join(block for _, block in found[1:]).decode() == rows


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(EOFError, match="line 2 does not end within 256 bytes"):
        cut("a\n" + "x" * 1000, 16)
