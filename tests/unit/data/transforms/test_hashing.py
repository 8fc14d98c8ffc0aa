"""The hash is xxHash64, and stays what it is: ids of saved processors hang on it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import hashing
from nextrec.data.transforms.hashing import HASH_VERSION, bucket_ids, hash_tokens

# From the reference implementation's own checks (xxhsum sanity data) for the empty input, and
# widely published vectors for the texts.
OFFICIAL = [
    ("", 0, 0xEF46DB3751D8E999),
    ("", 2654435761, 0xAC75FDA2929B17EF),
    ("a", 0, 0xD24EC4F1A98C6E5B),
    ("abc", 0, 0x44BC2CF5AD770999),
    ("Nobody inspects the spammish repetition", 0, 0xFBCEA83C8A378BF1),
]
# Ours: version 1 of the specification. Never change these: a new version gets new ones.
GOLDEN = [
    ("1", 0, 0xB7B41276360564D4),
    ("18446744073709551615", 0, 0x8D1F8F6D8DFA7C47),
    ("Zürich", 0, 0x85F1DEBCBB1A8279),
    ("東京", 7, 0xBB872FD1FF635935),
    ("a|b", 2**64 - 1, 0xE6C42F63F206DC9E),
]


@pytest.mark.parametrize(("token", "seed", "expected"), OFFICIAL + GOLDEN)
def test_golden_vectors(token: str, seed: int, expected: int) -> None:
    assert HASH_VERSION == 1
    assert hash_tokens(pa.array([token]), seed).tolist() == [expected]
    assert hash_tokens(pa.array([token] * 300), seed).tolist() == [expected] * 300  # in NumPy


@pytest.mark.parametrize("length", range(201))
def test_every_length_equals_the_package(length: int) -> None:
    rng = np.random.default_rng(length)
    texts = ["".join(map(chr, rng.integers(32, 127, length))) for _ in range(300)]
    expected = [xxhash.xxh64_intdigest(text.encode(), length) for text in texts]
    assert hash_tokens(pa.array(texts), length).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=80)), max_size=40),
    st.integers(0, 2**64 - 1),
    st.sampled_from([pa.string(), pa.large_string()]),
    st.integers(0, 3),
    st.booleans(),
)
def test_any_text_equals_the_package(
    texts: list[str | None], seed: int, kind: pa.DataType, skip: int, many: bool
) -> None:
    texts = texts * 300 if many else texts
    array = pa.array(texts, kind)[skip:]
    result = hash_tokens(array, seed)
    assert result.dtype == np.uint64
    for got, text in zip(result.tolist(), texts[skip:], strict=True):
        assert text is None or got == xxhash.xxh64_intdigest(text.encode(), seed)


def test_lengths_beyond_the_vectorised_ones() -> None:
    texts = ["x" * length for length in (hashing._LONGEST, hashing._LONGEST + 1, 70_000)] * 300
    expected = [xxhash.xxh64_intdigest(text.encode()) for text in texts]
    assert hash_tokens(pa.array(texts)).tolist() == expected


def test_blocks_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = pa.array([str(number) for number in range(5_000)])
    whole = hash_tokens(tokens)
    monkeypatch.setattr(hashing, "_BLOCK", 300)
    assert (hash_tokens(tokens) == whole).all()


def test_buckets_are_the_hash_modulo_their_number() -> None:
    tokens = [str(number) for number in range(2_000)]
    expected = [2 + xxhash.xxh64_intdigest(token.encode(), 5) % 8 for token in tokens]
    assert bucket_ids(pa.array(tokens), 8, 2, 5).tolist() == expected
    assert set(expected) == set(range(2, 10))


def test_no_tokens() -> None:
    assert hash_tokens(pa.array([], pa.string())).tolist() == []
    assert bucket_ids(pa.array([], pa.large_string()), 3, 2).tolist() == []
