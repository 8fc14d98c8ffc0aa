"""The index finds a token by its text, never by its hash alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import token_index
from nextrec.data.transforms.token_index import TokenIndex

TEXT = pa.large_string()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.text(max_size=6), max_size=20), max_size=5),
    st.lists(st.one_of(st.none(), st.text(max_size=6)), max_size=30),
)
def test_equals_a_dict(batches: list[list[str]], asked: list[str | None]) -> None:
    index, numbers = TokenIndex(), {}
    for batch in batches:
        fresh = [token for token in dict.fromkeys(batch) if token not in numbers]
        index.add(pa.array(fresh, TEXT))
        numbers.update({token: len(numbers) + place for place, token in enumerate(fresh)})
    assert index.tokens.to_pylist() == list(numbers)
    asked += list(numbers)
    expected = [-1 if token is None else numbers.get(token, -1) for token in asked]
    assert index.find(pa.array(asked, TEXT)).tolist() == expected


@pytest.mark.parametrize("hashes", [0, 2**64 - 1, 123 << 32])
def test_tokens_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch, hashes: int) -> None:
    monkeypatch.setattr(token_index, "_hashes", lambda text: np.full(len(text), hashes, np.uint64))
    index = TokenIndex(pa.array([f"token {n}" for n in range(40)], TEXT))
    index.add(pa.array(["late"], TEXT))
    asked = ["token 39", "unseen", "late", "token 0", None, "token 17"]
    assert index.find(pa.array(asked, TEXT)).tolist() == [39, -1, 40, 0, -1, 17]


def test_half_a_hash_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that start at different places with the same upper half of the hash."""
    numbers = {f"t{n}": n for n in range(64)}

    def hashes(text: pa.Array) -> np.ndarray:
        values = [numbers.get(token, 5) for token in text.to_pylist()]
        return np.array(values, np.uint64) // np.uint64(8)

    monkeypatch.setattr(token_index, "_hashes", hashes)
    index = TokenIndex(pa.array(list(numbers), TEXT))
    assert index.find(pa.array(list(numbers), TEXT)).tolist() == list(range(64))
    assert index.find(pa.array(["unseen"], TEXT)).tolist() == [-1]


def test_grows_past_its_table() -> None:
    index = TokenIndex()
    for start in range(0, 30_000, 1_000):
        index.add(pa.array([str(n) for n in range(start, start + 1_000)], TEXT))
    assert len(index) == 30_000
    wanted = pa.array([str(n) for n in range(-5, 30_005)], TEXT)
    expected = [n if 0 <= n < 30_000 else -1 for n in range(-5, 30_005)]
    assert index.find(wanted).tolist() == expected
    assert index.tokens.to_pylist() == [str(n) for n in range(30_000)]


def test_added_slices_keep_their_own_tokens() -> None:
    tokens = pa.array(["a", "bb", "ccc", "dddd"], TEXT)
    index = TokenIndex(tokens[1:3])
    index.add(tokens[3:])
    assert index.tokens.to_pylist() == ["bb", "ccc", "dddd"]
    assert index.find(tokens[1:]).tolist() == [0, 1, 2]
