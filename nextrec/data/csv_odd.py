"""Finding, in CSV bytes, the fields that look like numbers but are written as no number is.

``007``, ``+5``, ``0x1f`` and ``-0`` are names, or lose something as integers. Arrow reads them as
numbers without a word, so the blocks that may have them are looked through before, all bytes at
once.

Letters: H fields that are found in a block, F fields of a line.
"""

from __future__ import annotations

import re

import numpy as np

from nextrec.data.csv_blocks import CARRIAGE, NEWLINE, QUOTE

_ZERO, _NINE, _PLUS, _MINUS, _POINT = b"09+-."
_CACHED = 1 << 16
"""Bytes looked through at a time, which stay in the processor's cache."""
_BEGINS_ODD = re.compile(rb'[ \t"]*(?:-?0[0-9xX]|-0(?!\.)|\+[0-9])')


def odd_fields(block: bytes, delimiter: str, fields: int) -> set[int]:
    """Places, within their lines, of fields that are no plain numbers; words are not looked at.

    May name more than there are: where quotes hide what a place is, all.

    >>> sorted(odd_fields(b"1,007,0.5,-0,1e-05\\n+1,7,-0.5,0,05\\n", ",", 5))
    [0, 1, 3, 4]
    """
    if not block.endswith(NEWLINE):
        block += NEWLINE
    found = {0} if _BEGINS_ODD.match(block) else set()
    content = np.frombuffer(block, np.uint8)
    before = _before_odd(content, block, delimiter)  # (H,)
    if not len(before):
        return found
    if QUOTE in block or (CARRIAGE in block and not _is_windows(block)):
        return set(range(fields))
    separators = np.flatnonzero((content == ord(delimiter)) | (content == ord(NEWLINE)))
    ends = np.flatnonzero(content[separators] == ord(NEWLINE))
    if len(ends) * fields != len(separators) or ((ends + 1) % fields).any():
        return set(range(fields))  # blank lines, or lines that are too long or too short
    places = np.searchsorted(separators, before, side="right") % fields
    return found | set(np.flatnonzero(np.bincount(places)).tolist())


def _is_windows(block: bytes) -> bool:
    return block.count(CARRIAGE) == block.count(CARRIAGE + NEWLINE)


def _ahead_of_zero(content: np.ndarray, delimiter: str) -> np.ndarray:
    """Positions of signs, and of bytes that end a field, ahead of a zero without a point."""
    # Signs and what stands between fields come before the digits, as most delimiters do.
    found = content[:-2] < _ZERO
    if ord(delimiter) >= _ZERO:
        found |= content[:-2] == ord(delimiter)
    found &= content[1:-1] == _ZERO
    found &= content[2:] != _POINT  # 0.5 and -0.5
    return np.flatnonzero(found)


def _before_odd(content: np.ndarray, block: bytes, delimiter: str) -> np.ndarray:
    """Positions of the bytes that odd fields, but the first of all, stand behind ``(H,)``."""
    begins = np.zeros(256, bool)
    begins[list(b' \t"\r\n' + delimiter.encode())] = True
    last = len(content) - 2
    ahead = np.concatenate(
        [
            start + _ahead_of_zero(content[start : min(start + _CACHED, last) + 2], delimiter)
            for start in range(0, max(last, 1), _CACHED)
        ]
    )
    previous, following = content[ahead], content[ahead + 2]
    digits = ((following >= _ZERO) & (following <= _NINE)) | (following | 0x20 == ord("x"))
    padded = ahead[begins[previous] & digits]
    minus = ahead[previous == _MINUS] - 1
    found = [padded, minus[(minus >= 0) & begins[content[minus]]]]
    if b"+" in block:
        plus = np.flatnonzero(content[:-1] == _PLUS)
        following = content[plus + 1]
        plus = plus[(following >= _ZERO) & (following <= _NINE)] - 1
        found.append(plus[(plus >= 0) & begins[content[plus]]])
    return np.concatenate(found)
