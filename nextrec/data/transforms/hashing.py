"""NextRec's hash of a token: xxHash64, vectorised over Arrow strings.

Specification, version 1 (``HASH_VERSION``): the hash of a token is the 64-bit xxHash (Y. Collet,
"xxHash fast digest algorithm", IETF draft-collet-xxhash) of the token's UTF-8 bytes, with nothing
before or after them, under an unsigned 64-bit seed. The bucket of a token among ``buckets``
buckets that follow id ``first`` is ``first + hash mod buckets``, taken on the unsigned hash. Saved
processors carry the version: ids of hashed columns mean nothing under another one.

Tokens of one length go through the same steps, so they are hashed together, step by step, in
NumPy. Letters: N tokens, M tokens of one length.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import xxhash

HASH_VERSION = 1
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
_MASK = (1 << 64) - 1
_BLOCK = 32_768  # tokens whose temporaries stay in the processor's cache
_LONGEST = 64  # bytes; hashing a longer token, or fewer tokens of one length, costs more in NumPy
_FEWEST = 256  # calls than in calls of the package


def bucket_ids(tokens: pa.Array, buckets: int, first: int, seed: int = 0) -> np.ndarray:
    """Ids in ``[first, first + buckets)`` of the tokens ``(N,)`` int64.

    >>> bucket_ids(pa.array(["red", "green", "red"]), buckets=8, first=2).tolist()
    [4, 7, 4]
    """
    return (hash_tokens(tokens, seed) % np.uint64(buckets)).astype(np.int64) + first


def hash_tokens(tokens: pa.Array, seed: int = 0) -> np.ndarray:
    """xxHash64 of each token's UTF-8 bytes ``(N,)`` uint64; a missing token has any hash.

    Args:
        tokens: ``string`` or ``large_string`` ``(N,)``.
        seed: unsigned 64-bit number.

    >>> hash_tokens(pa.array(["", "abc"])).tolist()
    [17241709254077376921, 4952883123889572249]
    """
    result = np.empty(len(tokens), np.uint64)
    data, starts, lengths = _bytes_of(tokens)
    for length, rows in _by_length(lengths):
        begins = starts[rows]
        if length > _LONGEST or len(begins) < _FEWEST:
            texts = (data[begin : begin + length].tobytes() for begin in begins)
            result[rows] = [xxhash.xxh64_intdigest(text, seed & _MASK) for text in texts]
        else:
            result[rows] = _hash_equal(data.view(np.uint64), begins, length, seed)
    return result


def _bytes_of(tokens: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bytes with room for two words behind them, where each token starts, its length."""
    if len(tokens) == 0:
        return np.zeros(16, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64)
    width = np.int64 if pa.types.is_large_string(tokens.type) else np.int32
    _, offset_buffer, data_buffer = tokens.buffers()
    offsets = np.frombuffer(offset_buffer, width)[tokens.offset :][: len(tokens) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.zeros((last - first + 23) // 8 * 8, np.uint8)
    if last > first:
        data[: last - first] = np.frombuffer(data_buffer, np.uint8)[first:last]
    starts = offsets.astype(np.int64) - first
    return data, starts[:-1], np.diff(starts)


def _by_length(lengths: np.ndarray) -> Iterator[tuple[int, slice | np.ndarray]]:
    """Each length and its rows, at most a block of them at a time."""
    if len(lengths) == 0:
        return
    longest = int(lengths.max())
    if longest == lengths.min():
        for begin in range(0, len(lengths), _BLOCK):
            yield longest, slice(begin, begin + _BLOCK)
        return
    narrow = np.uint8 if longest < 256 else np.uint16 if longest < 65_536 else np.int64
    order = np.argsort(lengths.astype(narrow), kind="stable")  # of narrow integers: a radix sort
    ordered = lengths[order]
    ends = np.flatnonzero(np.diff(ordered, append=-1)) + 1
    begin = 0
    for end in ends.tolist():
        for place in range(begin, end, _BLOCK):
            yield int(ordered[begin]), order[place : min(place + _BLOCK, end)]
        begin = end


def _hash_equal(words: np.ndarray, starts: np.ndarray, length: int, seed: int) -> np.ndarray:
    """The hash of tokens of one length, in the steps of the specification ``(M,)``."""
    read = _Reader(words, starts)
    if length >= 32:
        result = _stripes(read, length // 32, seed, len(starts))
    else:
        result = np.full(len(starts), _wrapped(seed + int(_P5)))
    result += np.uint64(length)
    for _ in range(length % 32 // 8):
        lane = read.next(8)
        lane *= _P2
        lane = _rotated(lane, 31)
        lane *= _P1
        result = _mixed(result, lane, 27, _P1, _P4)
    if length & 4:
        result = _mixed(result, read.next(4) * _P1, 23, _P2, _P3)
    for _ in range(length & 3):
        result = _mixed(result, read.next(1) * _P5, 11, _P1, np.uint64(0))
    for by, factor in ((33, _P2), (29, _P3)):
        result ^= result >> np.uint64(by)
        result *= factor
    result ^= result >> np.uint64(32)
    return result


class _Reader:
    """Reads the next bytes of every token as one little-endian number each."""

    def __init__(self, words: np.ndarray, starts: np.ndarray) -> None:
        self.words = words
        self.place = starts

    def next(self, count: int) -> np.ndarray:
        """The next 1, 4 or 8 bytes ``(M,)``: from two aligned words, as NumPy keeps the GIL
        when it reads unaligned ones."""
        word = self.place >> 3
        shift = ((self.place & 7) << 3).astype(np.uint64)
        result = self.words.take(word)
        result >>= shift
        if count > 1:
            word += 1
            upper = self.words.take(word)
            upper <<= np.uint64(1)  # in two steps: a shift by 64 would not clear the word
            upper <<= np.uint64(63) - shift
            result |= upper
        if count < 8:
            result &= np.uint64((1 << 8 * count) - 1)
        self.place = self.place + count
        return result


def _stripes(read: _Reader, stripes: int, seed: int, rows: int) -> np.ndarray:
    """Four independent states, each fed every fourth lane, then made one."""
    one, two = int(_P1), int(_P2)
    starts = (seed + one + two, seed + two, seed, seed - one)
    states = [np.full(rows, _wrapped(start)) for start in starts]
    for _ in range(stripes):
        states = [_round(state, read.next(8)) for state in states]
    result = np.zeros(rows, np.uint64)
    for state, by in zip(states, (1, 7, 12, 18), strict=True):
        result += _rotated(state, by)
    for state in states:
        result ^= _round(np.zeros(rows, np.uint64), state)
        result *= _P1
        result += _P4
    return result


def _round(state: np.ndarray, lane: np.ndarray) -> np.ndarray:
    return _rotated(state + lane * _P2, 31) * _P1


def _mixed(
    result: np.ndarray, word: np.ndarray, by: int, factor: np.uint64, summand: np.uint64
) -> np.ndarray:
    word ^= result
    word = _rotated(word, by)
    word *= factor
    word += summand
    return word


def _rotated(values: np.ndarray, by: int) -> np.ndarray:
    left = values << np.uint64(by)
    left |= values >> np.uint64(64 - by)
    return left


def _wrapped(value: int) -> np.uint64:
    return np.uint64(value & _MASK)
