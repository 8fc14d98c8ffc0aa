"""Cutting CSV text into blocks of whole lines that can be parsed on their own.

A line may end inside a quoted field; such an end is text and no place to cut. A quote opens a field
only where the field begins, as in Python's ``csv``: that of ``a 5" pipe`` is text.

Letters: Q quoted fields of a text, R lines of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

QUOTE, CARRIAGE, NEWLINE = b'"', b"\r", b"\n"
LONGEST = 16
"""How many blocks long a line may be."""


@dataclass(frozen=True)
class Place:
    """Where a block lies in the (decompressed) text of its file."""

    start: int
    """Position of its first byte."""
    size: int
    line: int
    """Number of its first line, from 1; every line of a quoted field counts."""
    unclosed: bool = False
    """Whether its last line opens a quote that nothing closes."""


def blocks(
    read: Callable[[int], bytes], start: int, line: int, delimiter: str, size: int
) -> Iterator[tuple[Place, bytes]]:
    """The text that ``read`` gives, in blocks of about ``size`` bytes that end with a line.

    Where a quote is never closed (or not within ``LONGEST`` blocks), a block ends with the line
    that opens it and is marked; the next begins with the line after.

    Args:
        read: gives the next bytes, at most as many as it is asked for; none at the end.
        start, line: where the text begins in its file.

    Raises:
        EOFError: a line is longer than ``LONGEST`` blocks.
    """
    rest = b""
    ended = False
    while rest or not ended:
        fresh = b"" if ended else read(size)
        ended = ended or not fresh
        if fresh and QUOTE not in fresh and QUOTE not in rest and (end := _last_end(fresh)):
            block = b"".join((rest, memoryview(fresh)[:end]))  # the usual case, in one copy
            rest = fresh[end:]
            yield Place(start, len(block), line), block
            start += len(block)
            line += count_lines(block)
            continue
        text = rest + fresh
        give_up = ended or len(text) > LONGEST * size
        cut, unclosed = _cut(text, delimiter, ended, give_up)
        if not cut and give_up and text:
            raise EOFError(f"line {line} does not end within {LONGEST * size} bytes.")
        if cut:
            yield Place(start, cut, line, unclosed), text[:cut]
            start += cut
            line += count_lines(text[:cut])
        rest = text[cut:]


def _last_end(text: bytes, stop: int | None = None) -> int:
    """Where the last line that surely ended ends, 0: none; a last ``\\r`` may be half an end."""
    stop = len(text) - text.endswith(CARRIAGE) if stop is None else stop
    return max(text.rfind(NEWLINE, 0, stop), text.rfind(CARRIAGE, 0, stop)) + 1


def _cut(text: bytes, delimiter: str, ended: bool, give_up: bool) -> tuple[int, bool]:
    """Where to cut, and whether the line before it has an unclosed quote; 0: nowhere yet."""
    opens, closes = quoted(text, delimiter)
    unclosed = bool(len(opens)) and closes[-1] == len(text)
    if ended and not unclosed:
        return len(text), False
    # The mate of a last \r may come with the next bytes.
    stop = len(text) - (text.endswith(CARRIAGE) and not ended)
    while end := _last_end(text, stop):
        field = int(np.searchsorted(opens, end)) - 1
        if field < 0 or end > closes[field]:
            break
        stop = int(opens[field])
    if end and not (ended and unclosed):
        return end, False
    if give_up and unclosed:
        return line_end(text, int(opens[-1])), True
    return 0, False


def quoted(text: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Where quoted fields open and close, both ``(Q,)``; an unclosed one closes at the end.

    ``text`` begins with a line. A doubled quote may close a field and open another at once, which
    covers the same text.
    """
    if QUOTE not in text:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    content = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(content == ord(QUOTE))
    opens, closes = quotes[::2], quotes[1::2]
    # Every other quote opens a field if all of those stand where fields begin, or directly after
    # the one before. Otherwise some quotes are text, and fields are looked for one by one.
    before = content[opens[opens > 0] - 1]
    if np.isin(before, np.frombuffer(b'\r\n"' + delimiter.encode(), np.uint8)).all():
        if len(closes) < len(opens):
            closes = np.append(closes, len(text))
        return opens, closes
    sign = re.escape(delimiter.encode())
    fields = re.compile(rb"(?:\A|(?<=[\r\n])|(?<=" + sign + rb'))"[^"]*(?:""[^"]*)*("|\Z)')
    spans = [(m.start(), m.end() - len(m.group(1))) for m in fields.finditer(text)]
    both = np.array(spans, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def line_end(text: bytes, position: int) -> int:
    """Where the line that ``position`` lies in ends, behind its newline."""
    found = re.compile(rb"\r\n|\r|\n").search(text, position)
    return found.end() if found else len(text)


def count_lines(text: bytes) -> int:
    """Ends of lines in the text: ``\\n``, ``\\r\\n`` and ``\\r``.

    >>> count_lines(b"a\\r\\nb\\rc\\nd")
    3
    """
    lines = int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(NEWLINE)))
    if CARRIAGE in text:
        lines += text.count(CARRIAGE) - text.count(CARRIAGE + NEWLINE)
    return lines


def outside(text: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each line starts and ends (without its newline), all ``(R,)``, and its delimiters.

    Newlines and delimiters in quoted fields are text. The last is the number of delimiters.
    """
    content = np.frombuffer(text, np.uint8)
    opens, closes = quoted(text, delimiter)

    def real(positions: np.ndarray) -> np.ndarray:
        field = np.searchsorted(opens, positions) - 1
        return positions if not len(opens) else positions[(field < 0) | (positions > closes[field])]

    newlines = real(np.flatnonzero((content == ord(NEWLINE)) | (content == ord(CARRIAGE))))
    ends = np.append(newlines, len(text))
    starts = np.append(0, newlines + 1)  # the \n of \r\n is a blank line of its own, left out below
    signs = real(np.flatnonzero(content == ord(delimiter)))
    counts = np.searchsorted(signs, ends) - np.searchsorted(signs, starts)
    filled = ends > starts
    return starts[filled], ends[filled], counts[filled]
