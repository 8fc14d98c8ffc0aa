"""Distinct tokens numbered 0, 1, 2... in the order they came, found again by their text.

An open-addressing hash table in NumPy: an entry holds half of a token's 64-bit hash and the
token's number, probing is linear, and the table is at most half full. What it finds is always
compared as text, so two tokens with one hash are never taken for each other. The hash is Polars',
which is fast and differs between its versions: it never leaves the process.

Letters: N tokens asked for, V tokens known.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.transforms.token_text import TEXT

_TAG = np.uint64(0xFFFFFFFF_00000000)
_NUMBER = np.uint64(0x00000000_FFFFFFFF)
_EMPTY = np.uint64(0)
_SMALLEST = 1_024


class TokenIndex:
    """Tokens by number and numbers by token.

    >>> index = TokenIndex()
    >>> index.add(pa.array(["red", "green"], pa.large_string()))
    >>> index.find(pa.array(["green", "blue", None], pa.large_string())).tolist()
    [1, -1, -1]
    """

    def __init__(self, tokens: pa.Array | None = None) -> None:
        """Start with distinct tokens ``(V,)``, none missing."""
        self._size = 0
        self._bytes = 0
        self._offsets = np.zeros(1, np.int64)  # both with room to grow
        self._data = np.zeros(0, np.uint8)
        self._table = np.full(_SMALLEST, _EMPTY)
        if tokens is not None:
            self.add(tokens)

    def __len__(self) -> int:
        return self._size

    @property
    def tokens(self) -> pa.Array:
        """All tokens in the order of their numbers ``(V,)`` ``large_string``."""
        buffers = [None, pa.py_buffer(self._offsets), pa.py_buffer(self._data)]
        return pa.Array.from_buffers(TEXT, self._size, buffers)

    def find(self, text: pa.Array) -> np.ndarray:
        """The number of each token ``(N,)`` int64; -1 for one that is unknown or missing."""
        hashes = _hashes(text)
        places = self._first_places(hashes)
        numbers = self._candidates(hashes, places)
        rows = _mistaken(text, numbers, self.tokens)
        while len(rows):  # another token with the same half of a hash is in the way: look behind it
            ends = self._next(places[rows])
            numbers[rows] = self._candidates(hashes[rows], ends)
            places[rows] = ends
            rows = rows[_mistaken(text.take(pa.array(rows)), numbers[rows], self.tokens)]
        return numbers

    def _candidates(self, hashes: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The number at the first place, from ``places`` on, with the right half of a hash.

        -1 where an empty place comes first. ``places`` is moved to where the search ended.
        """
        entries = self._table.take(places)
        numbers = _numbers(entries, hashes)
        rows = np.flatnonzero((numbers < 0) & (entries != _EMPTY))
        while len(rows):
            places[rows] = nexts = self._next(places.take(rows))
            entries = self._table.take(nexts)
            found = _numbers(entries, hashes.take(rows))
            numbers[rows] = found
            rows = rows[(found < 0) & (entries != _EMPTY)]
        return numbers

    def add(self, tokens: pa.Array) -> None:
        """Append distinct tokens that are not known yet and none of which is missing."""
        first = self._size
        self._append(tokens)
        if 2 * self._size > len(self._table):
            self._table = np.full(1 << (4 * self._size - 1).bit_length() - 1, _EMPTY)
            first, tokens = 0, self.tokens
        self._insert(tokens, first)

    def _append(self, tokens: pa.Array) -> None:
        tokens = tokens.cast(TEXT)
        _, offset_buffer, data_buffer = tokens.buffers()
        if len(tokens) == 0:
            return
        offsets = np.frombuffer(offset_buffer, np.int64)[tokens.offset :][: len(tokens) + 1]
        begin, end = int(offsets[0]), int(offsets[-1])
        size, total = self._size + len(tokens), self._bytes + end - begin
        self._offsets = _with_room(self._offsets, self._size + 1, size + 1)
        self._data = _with_room(self._data, self._bytes, total)
        self._offsets[self._size + 1 : size + 1] = offsets[1:] - begin + self._bytes
        if end > begin:
            self._data[self._bytes : total] = np.frombuffer(data_buffer, np.uint8)[begin:end]
        self._size, self._bytes = size, total

    def _insert(self, tokens: pa.Array, first: int) -> None:
        hashes = _hashes(tokens)
        # One more than the number, so that no entry is the empty one.
        entries = (hashes & _TAG) | np.arange(first + 1, first + 1 + len(tokens), dtype=np.uint64)
        places = self._first_places(hashes)
        while len(entries):
            free = self._table[places] == _EMPTY
            self._table[places[free]] = entries[free]  # of several at one place the last stays
            left = self._table[places] != entries
            entries, places = entries[left], self._next(places[left])

    def _first_places(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes & np.uint64(len(self._table) - 1)).view(np.int64)

    def _next(self, places: np.ndarray) -> np.ndarray:
        return (places + 1) & (len(self._table) - 1)


def _hashes(text: pa.Array) -> np.ndarray:
    return pl.Series(text).hash().to_numpy()


def _numbers(entries: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """The numbers in the entries whose half of a hash is right, -1 for the others."""
    numbers = (entries & _NUMBER).view(np.int64) - 1
    numbers[(entries ^ hashes) > _NUMBER] = -1
    return numbers


def _mistaken(text: pa.Array, numbers: np.ndarray, tokens: pa.Array) -> np.ndarray:
    """The rows that have the number of a token that is not their text."""
    if len(tokens) == 0:
        return np.zeros(0, np.int64)
    compared = tokens.take(pa.array(np.maximum(numbers, 0)))
    same = pc.fill_null(pc.equal(text, compared), False).to_numpy(zero_copy_only=False)
    return np.flatnonzero(~same & (numbers >= 0))


def _with_room(values: np.ndarray, used: int, needed: int) -> np.ndarray:
    """The values in an array of at least ``needed`` places, twice as many when it must grow."""
    if needed <= len(values):
        return values
    grown = np.zeros(max(needed, 2 * used), values.dtype)
    grown[:used] = values[:used]
    return grown
