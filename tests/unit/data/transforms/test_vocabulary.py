"""Vocabularies: the same from any cutting and order, old ids never move, the unseen stay unseen."""

from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.lists import Origin
from nextrec.data.transforms import payload, token_index, vocabulary
from nextrec.data.transforms.tokens import tokens_of
from nextrec.data.transforms.vocabulary import TokenCounts, Vocabulary, VocabularyOptions
from nextrec.errors import ConfigError, NotFittedError

HERE = Origin("vocabulary of column 'item'", 0)
TOKENS = st.lists(st.sampled_from(["a", "b", "c", "d", "10", "9", "é", ""]), max_size=15)


def counted(*pieces: list[Any]) -> TokenCounts:
    state = TokenCounts(lambda columns, first_row: (tokens_of(columns[0], HERE), {}))
    for piece in pieces:
        state.update([pa.array(piece, pa.string() if not piece else None)], 0)
    return state


def learned(options: VocabularyOptions, *pieces: list[Any]) -> Vocabulary:
    return Vocabulary(options).extended(counted(*pieces))


def ids(words: Vocabulary, values: list[Any], kind: pa.DataType | None = None) -> list[int]:
    return words.ids(tokens_of(pa.array(values, kind), HERE)).tolist()


def plain(words: Vocabulary) -> dict[str, Any]:
    return {name: values.to_pylist() for name, values in words.payload().items()}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(TOKENS, min_size=1, max_size=5),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_any_cutting_and_order_learns_the_same(
    pieces: list[list[str]], random: Any, min_frequency: int, max_size: int | None
) -> None:
    options = VocabularyOptions(min_frequency, max_size)
    whole = learned(options, [token for piece in pieces for token in piece])
    states = [counted(piece) for piece in pieces]
    random.shuffle(states)
    while len(states) > 1:
        one = states.pop(random.randrange(len(states)))
        states[random.randrange(len(states))].merge(one)
    loaded = TokenCounts.load(payload.from_bytes(payload.to_bytes(states[0].dump())))
    assert plain(Vocabulary(options).extended(loaded)) == plain(whole)
    # The same by a loop.
    counts = Counter(token for piece in pieces for token in piece)
    chosen = [token for token in sorted(counts) if counts[token] >= min_frequency]
    if all(token in ("9", "10") for token in chosen) or all(t in ("9", "10") for t in counts):
        return  # ordered by value: tested with the order of tokens
    if max_size is not None:
        chosen = sorted(sorted(chosen, key=lambda t: (-counts[t], t))[:max_size])
    if any(token not in ("9", "10") for token in chosen):
        assert plain(whole)["tokens"] == chosen
        assert plain(whole)["counts"] == [counts[token] for token in chosen]


@settings(max_examples=100, deadline=None)
@given(TOKENS, TOKENS, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 5)))
def test_extending_moves_no_id(
    first: list[str], second: list[str], min_frequency: int, max_size: int | None
) -> None:
    options = VocabularyOptions(min_frequency, max_size)
    old = learned(options, first)
    new = old.extended(counted(second))
    before, after = plain(old), plain(new)
    assert after["tokens"][: len(old)] == before["tokens"]
    counts = Counter(first + second)
    everything = {**dict(zip(after["tokens"], after["counts"], strict=True))}
    everything |= dict(zip(after["waiting_tokens"], after["waiting_counts"], strict=True))
    assert everything == counts
    assert all(counts[token] >= min_frequency for token in after["tokens"])
    if max_size is None:
        assert all(counts[token] < min_frequency for token in after["waiting_tokens"])
    else:
        assert len(new) <= max_size


def test_a_waiting_token_is_let_in_later() -> None:
    old = learned(VocabularyOptions(min_frequency=2), ["b", "b", "a"])
    assert ids(old, ["a", "b"]) == [1, 2]
    new = old.extended(counted(["a", "c"]))
    assert ids(new, ["a", "b", "c"]) == [3, 2, 1]
    assert new.size == 4


def test_order_of_ids() -> None:
    assert learned(VocabularyOptions(), ["10", "9", "-1"]).tokens.to_pylist() == ["-1", "9", "10"]
    assert learned(VocabularyOptions(), ["10", "9", "x"]).tokens.to_pylist() == ["10", "9", "x"]
    rare = learned(VocabularyOptions(min_frequency=2), ["10", "9", "x", "10", "9"])
    assert rare.tokens.to_pylist() == ["9", "10"]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(max_size=3)), st.lists(st.text(max_size=3)), st.integers(1, 4))
def test_an_unseen_token_never_gets_the_id_of_a_real_one(
    known: set[str], asked: list[str], buckets: int
) -> None:
    words = learned(VocabularyOptions(num_unknown=buckets), sorted(known))
    asked += sorted(known)
    for token, found in zip(asked, ids(words, asked, pa.string()), strict=True):
        if token in known:
            assert words.tokens[found - words.first_id].as_py() == token
        else:
            assert found == 1 + xxhash.xxh64_intdigest(token.encode()) % buckets
    assert words.size == 1 + buckets + len(known)


def test_numbers_and_text_match_by_their_token() -> None:
    asked = ["2", "2.0", " 2.50 ", "2.5", "3e0", "two", None, "4", "3.00"]
    for pieces in (([1, 2, 3], [2.5]), (["1.0", "2", "3.0"], ["2.5"]), ([1.0, 2.5], ["2", "3"])):
        words = learned(VocabularyOptions(), *pieces)
        assert plain(words)["tokens"] == ["1", "2", "2.5", "3"]
        for values in (pa.array(asked), pa.array(asked).dictionary_encode()):
            found = words.ids(tokens_of(values, HERE)).tolist()
            assert found == [3, 3, 1, 4, 1, 1, 1, 1, 5]
        assert ids(words, [2.0, 2.5, 4.0]) == [3, 4, 1]
        assert ids(words, [2, 3]) == [3, 5]


def test_truth_values_match_their_text() -> None:
    for piece in ([True, False], ["True", "False"], ["true", "false"]):
        words = learned(VocabularyOptions(), piece)
        assert plain(words)["tokens"] == ["false", "true"]
        for asked in ([True, False], ["True", "False"], ["true", "false"]):
            assert ids(words, asked) == [3, 2]


def test_unknown_text_is_spread_by_its_token() -> None:
    words = learned(VocabularyOptions(num_unknown=50), ["a"])
    numbers = list(range(100))
    expected = ids(words, numbers)
    assert len(set(expected)) > 20
    for form in ([f"{each}.0" for each in numbers], [str(each) for each in numbers]):
        assert ids(words, form) == expected
        assert words.ids(tokens_of(pa.array(form).dictionary_encode(), HERE)).tolist() == expected


VALUES = st.one_of(
    st.integers(-3, 12), st.floats(-3, 3), st.booleans(), st.sampled_from(["a", "007", "1.10", ""])
)


def forms(value: Any) -> list[Any]:
    """A value in the types and spellings that are the same token."""
    if isinstance(value, bool):
        return [value, str(value), str(value).lower()]
    if isinstance(value, (int, float)) and value == int(value):
        return [int(value), float(value), str(int(value)), f"{int(value)}.0", f"{int(value)}.000"]
    return [value, repr(value)] if isinstance(value, float) else [value]


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8), st.randoms(), st.booleans())
def test_extending_changes_no_value_that_was_known(
    first: list[Any], second: list[Any], random: Any, large: bool
) -> None:
    def pieces(values: list[Any]) -> list[list[Any]]:
        return [[random.choice(forms(value))] for value in values]

    old = learned(VocabularyOptions(num_unknown=3), *pieces(first))
    new = old.extended(counted(*pieces(second)))
    small = vocabulary._SMALL
    vocabulary._SMALL = 0 if large else small
    try:
        for value in first + second:
            before = {ids(old, [form])[0] for form in forms(value)}
            after = {ids(new, [form])[0] for form in forms(value)}
            assert len(before) == len(after) == 1
            assert min(after) >= new.first_id
            if min(before) >= old.first_id:
                assert after == before
    finally:
        vocabulary._SMALL = small


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_SMALL", 0)


@pytest.mark.usefixtures("indexed")
def test_a_large_vocabulary_finds_the_same() -> None:
    test_numbers_and_text_match_by_their_token()
    test_an_unseen_token_never_gets_the_id_of_a_real_one()
    known = [str(n) for n in range(0, 60_000, 2)]
    words = learned(VocabularyOptions(), known)
    repeated = [str(n) for n in range(1_000)] * 40
    for asked in ([str(n) for n in range(60_000)], repeated):  # mostly distinct, and not
        expected = [2 + int(token) // 2 if int(token) % 2 == 0 else 1 for token in asked]
        assert ids(words, asked) == expected


@pytest.mark.usefixtures("indexed")
def test_colliding_hashes_never_lend_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    same = lambda text: np.full(len(text), 7, np.uint64)  # noqa: E731
    monkeypatch.setattr(token_index, "_hashes", same)
    words = learned(VocabularyOptions(), ["a", "b", "c"])
    assert ids(words, ["c", "unseen", "a", None]) == [4, 1, 2, 1]


@pytest.mark.usefixtures("indexed")
def test_threads_may_look_up_at_once() -> None:
    words = learned(VocabularyOptions(), [str(n) for n in range(5_000)])
    asked = [str(n) for n in range(5_100)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: ids(words, asked), range(16)))
    expected = learned(VocabularyOptions(), [str(n) for n in range(5_000)])
    assert all(result == ids(expected, asked) for result in results)


def test_kept_and_pickled() -> None:
    words = learned(VocabularyOptions(min_frequency=2, num_unknown=3), ["x", "x", "y"])
    again = Vocabulary(words.options, payload.from_bytes(payload.to_bytes(words.payload())))
    assert plain(again) == plain(words)
    assert plain(pickle.loads(pickle.dumps(words))) == plain(words)


def test_a_loaded_state_is_only_merged() -> None:
    with pytest.raises(NotFittedError, match="merged"):
        TokenCounts.load(counted(["a"]).dump()).update([pa.array(["b"])], 0)


@pytest.mark.parametrize("name", ["min_frequency", "max_size", "num_unknown"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_options_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"sparse feature 'item': `{name}` must be"):
        VocabularyOptions(**{name: value}).check("sparse feature 'item'")
    assert VocabularyOptions(**{name: np.int64(3)}) == VocabularyOptions(**{name: 3})
