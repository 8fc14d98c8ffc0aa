"""Single-valued columns: vocabulary and hash, and what 0.3.1 got wrong."""

from __future__ import annotations

import datetime as dt
import io
import math
import re
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import payload
from nextrec.data.transforms.base import TRANSFORMS, Output
from nextrec.data.transforms.categorical import Encode, Hash, SparseTransform
from nextrec.errors import ConfigError, DataError, NotFittedError
from nextrec.features import SparseFeature

INT32 = pa.int32()


def fitted(transform: SparseTransform, *pieces: Any) -> SparseTransform:
    state = transform.state()
    for piece in pieces:
        state.update([piece if isinstance(piece, pa.Array) else pa.array(piece)], 0)
    transform.learn(state)
    return transform


def applied(transform: SparseTransform, values: Any, first_row: int = 0) -> Output:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    output = transform.apply([array], first_row)
    output.values.validate(full=True)
    assert output.values.type == transform.output_type
    assert output.values.null_count == 0
    assert output.total == len(array)
    return output


def ids(transform: SparseTransform, values: Any) -> list[int]:
    return applied(transform, values).values.to_pylist()


def rebuilt(transform: SparseTransform) -> SparseTransform:
    again = TRANSFORMS[transform.kind](**transform.settings())
    again.restore(payload.from_bytes(payload.to_bytes(transform.learned())))
    return again  # type: ignore[return-value]


def test_p01_an_unknown_category_is_no_real_one() -> None:
    item = fitted(Encode("item"), ["a", "b", "c"])
    output = applied(item, ["a", "zzz", None, "c"])
    assert output.values.to_pylist() == [2, 1, 1, 4]
    assert (output.missing, output.unknown, output.total) == (1, 1, 4)
    assert item.vocab_size == 5


def test_p02_the_hash_leaves_padding_and_unknown_alone() -> None:
    item = Hash("item", hash_size=10)
    tokens = [str(number) for number in range(1_000)]
    found = ids(item, tokens)
    assert set(found) == set(range(2, 10))
    assert found == [2 + xxhash.xxh64_intdigest(token.encode()) % 8 for token in tokens]
    assert item.vocab_size == 10
    assert ids(item, [None, "7"]) == [1, found[7]]


def test_p03_a_float_is_the_integer_it_was_fitted_as() -> None:
    item = fitted(Encode("item"), [0, 1, 0, 1])
    assert ids(item, [0.0, 1.0, 1.0, math.nan]) == [2, 3, 3, 1]


def test_p05_fitting_again_forgets() -> None:
    item = fitted(Encode("item"), ["a", "b"])
    fitted(item, ["x", "y", "z"])
    assert ids(item, ["a", "x", "y", "z"]) == [1, 2, 3, 4]
    assert item.vocab_size == 5


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_p07_tokens_do_not_depend_on_type_or_cut(cut: int) -> None:
    with_gap = pd.Series([1, 2, None, 3])
    pieces = [pa.array(with_gap[:cut], from_pandas=True), pa.array(with_gap[cut:])]
    by_piece = fitted(Encode("item"), *pieces)
    whole = fitted(Encode("item"), pa.array([1, 2, None, 3]))
    assert by_piece.learned()["tokens"].to_pylist() == ["1", "2", "3"]
    assert by_piece.learned()["tokens"] == whole.learned()["tokens"]
    assert ids(whole, with_gap) == [2, 3, 1, 4]
    assert ids(whole, ["1", "3.0", "nan"]) == [2, 4, 1]


def test_missing_may_be_a_category_of_its_own() -> None:
    item = fitted(Encode("item", fill_na="none"), ["b", None, "c", None])
    assert item.learned()["tokens"].to_pylist() == ["b", "c", "none"]
    assert item.learned()["counts"].to_pylist() == [1, 1, 2]
    output = applied(item, [None, "none", "x"])
    assert output.values.to_pylist() == [4, 4, 1]
    assert (output.missing, output.unknown) == (1, 1)


def test_a_filled_number_is_the_number() -> None:
    item = fitted(Encode("item", fill_na=0), [3, None, 5])
    assert ids(item, [None, "3.0", "0"]) == [2, 3, 2]
    assert ids(item, [None, 3, 0]) == [2, 3, 2]
    for fill in (1, 1.0, "1", "1.0"):
        filled = fitted(Encode("item", fill_na=fill), ["2.0", None])
        assert filled.learned()["tokens"].to_pylist() == ["1", "2"]
        assert ids(filled, ["1.0", None, "2"]) == [2, 2, 3]
    hashed = Hash("item", hash_size=50, fill_na="none")
    assert ids(hashed, [None]) == ids(hashed, ["none"])


def test_missing_may_be_refused() -> None:
    item = Encode("item", "raw", missing="error")
    values = pa.array(["a", None])
    with pytest.raises(DataError, match=r"vocabulary of column 'raw', row 41: .*missing='error'"):
        item.state().update([values], 40)
    fitted(item, ["a"])
    with pytest.raises(DataError, match="'raw', row 1"):
        item.apply([values], 0)
    with pytest.raises(DataError, match="hash of column 'raw', row 7"):
        Hash("item", "raw", hash_size=9, missing="error").apply([values], 6)


def test_unknown_buckets_come_before_the_tokens() -> None:
    item = fitted(Encode("item", num_unknown=3), ["a", "b"])
    assert item.vocab_size == 6
    unseen = [f"unseen {number}" for number in range(50)]
    output = applied(item, [*unseen, "a", "b", None])
    expected = [1 + xxhash.xxh64_intdigest(token.encode()) % 3 for token in unseen]
    assert output.values.to_pylist() == [*expected, 4, 5, 1]
    assert set(expected) == {1, 2, 3}
    assert (output.missing, output.unknown) == (1, 50)


def test_extend_tells_how_many_tokens_are_new() -> None:
    item = fitted(Encode("item"), ["b", "d"])
    more = item.state()
    more.update([pa.array(["c", "a", "b"])], 0)
    assert item.extend(more) == 2
    assert ids(item, ["b", "d", "a", "c"]) == [2, 3, 4, 5]
    assert Hash("item", hash_size=9).extend(more) == 0


def test_a_dictionary_is_the_same_as_its_values() -> None:
    values = pa.array(["b", None, "a", "b", "zzz"])
    item = fitted(Encode("item"), values[:4].dictionary_encode())
    plain = fitted(Encode("item"), values[:4])
    assert item.learned()["tokens"] == plain.learned()["tokens"]
    assert item.learned()["counts"] == plain.learned()["counts"]
    assert ids(item, values.dictionary_encode()) == ids(plain, values) == [3, 1, 2, 3, 1]
    hashed = Hash("item", hash_size=100)
    assert ids(hashed, values.dictionary_encode()) == ids(hashed, values)


def test_readers_of_one_vocabulary_learn_the_same() -> None:
    left, right = (Encode(name, vocabulary="item") for name in ("seen", "bought"))
    state, other = left.state(), right.state()
    state.update([pa.array(["a"])], 0)
    other.update([pa.array(["b"])], 0)
    state.merge(other)
    for each in (left, right):
        each.learn(state)
        assert each.shares == "item"
        assert each.vocabulary_options() == {
            "min_frequency": 1,
            "max_size": None,
            "num_unknown": 1,
        }
    assert ids(left, ["a", "b"]) == ids(right, ["a", "b"]) == [2, 3]
    feature = right.feature({"embedding_dim": 8})
    assert isinstance(feature, SparseFeature)
    assert (feature.name, feature.embedding_name, feature.vocab_size) == ("bought", "item", 4)
    assert Hash("item", hash_size=9).feature({}).embedding_name == "item"


def test_saved_and_built_again() -> None:
    item = fitted(Encode("item", "raw", 2, 10, 2, "none", "fill", "shared"), ["a", "a", None])
    again = rebuilt(item)
    assert again.settings() == item.settings()
    values = ["a", "b", None]
    assert ids(again, values) == ids(item, values)
    hashed = Hash("item", "raw", 100, 2**63, 1.5, "error")
    assert rebuilt(hashed).settings() == hashed.settings()
    assert ids(rebuilt(hashed), values[:2]) == ids(hashed, values[:2])


def test_the_type_of_a_very_wide_hash() -> None:
    assert Hash("item", hash_size=2**31).output_type == pa.int64()
    assert ids(Hash("item", hash_size=2**40), ["1"]) == [
        2 + xxhash.xxh64_intdigest(b"1") % (2**40 - 2)
    ]


def test_nothing_before_fit() -> None:
    for use in (lambda e: e.apply([pa.array(["a"])], 0), lambda e: e.vocab_size):
        with pytest.raises(NotFittedError, match="sparse feature 'item'"):
            use(Encode("item"))


def test_a_column_without_values_has_no_tokens() -> None:
    item = fitted(Encode("item"), pa.nulls(3))
    assert item.vocab_size == 2
    assert ids(item, ["a", None]) == [1, 1]


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({"min_frequency": 0}, "min_frequency"),
        ({"missing": "drop"}, "missing"),
        ({"fill_na": ["a"]}, "fill_na"),
        ({"fill_na": math.nan}, "fill_na"),
        ({"vocabulary": ""}, "vocabulary"),
        ({"vocabulary": 1}, "vocabulary"),
    ],
)
def test_settings_of_a_vocabulary_are_checked(settings: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"'item': `{parameter}` must be"):
        Encode("item", **settings)


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [({}, "hash_size"), ({"hash_size": 2}, "hash_size"), ({"hash_size": 9, "seed": -1}, "seed")],
)
def test_settings_of_a_hash_are_checked(settings: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"'item': `{parameter}` must be"):
        Hash("item", **settings)


LARGE = st.integers(2**63, 2**64 - 1)
ANYTHING = [
    st.text(max_size=5),
    st.binary(max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    LARGE,
    st.floats(),
    st.floats(width=32),
    st.booleans(),
    st.decimals(-(10**30), 10**30, places=3),
    st.dates(),
    st.datetimes(),
    st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999)),
    st.lists(st.integers(0, 9), max_size=3),
    st.fixed_dictionaries({"a": st.integers(0, 9)}),
    st.none(),
]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_column_works_or_is_refused_by_name(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(ANYTHING))
    drawn = st.lists(st.one_of(st.none(), kind), max_size=8)
    wide = pa.uint64() if kind is LARGE else None  # Arrow does not guess it
    known, asked = pa.array(data.draw(drawn), wide), data.draw(drawn)
    item, hashed = Encode("item"), Hash("item", hash_size=7)
    try:
        fitted(item, known)
        asked = pa.array(asked, wide)
        output = applied(item, asked)
        applied(hashed, asked)
    except DataError as error:
        if "of column 'item', row " not in str(error):
            raise
        return
    seen = {spelled(value) for value in known.to_pylist() if value is not None and value == value}
    for value, found in zip(asked.to_pylist(), output.values.to_pylist(), strict=True):
        missing = value is None or value != value
        assert (found >= 2) == (not missing and spelled(value) in seen), (value, seen)


def spelled(value: Any) -> Any:
    """A value in the one spelling of its text."""
    text = value.decode() if isinstance(value, bytes) else value
    if isinstance(text, str) and re.fullmatch(r"(-?[1-9][0-9]*|-?0)\.0+", text, re.ASCII):
        return str(int(text.partition(".")[0]))
    return text


def test_one_value_is_one_token_in_every_file() -> None:
    for values in ([3, -7, 3], [True, False, True]):
        frame = pd.DataFrame({"item": values})
        gaps = pd.DataFrame({"item": [*values, None]})  # a column of floats, or of objects
        text = [io.StringIO(each.to_csv(index=False)) for each in (frame, gaps)]
        whole, gappy = (pd.read_csv(each, dtype=str)["item"].dropna().tolist() for each in text)
        item = fitted(Encode("item"), values)
        hashed = Hash("item", hash_size=1_000)
        for form in (gaps["item"].dropna().tolist(), whole, gappy):
            assert ids(item, form) == ids(item, values)
            assert ids(hashed, form) == ids(hashed, values)
            assert fitted(Encode("item"), form).learned()["tokens"] == item.learned()["tokens"]
            coded = pa.array(form).dictionary_encode()
            assert ids(hashed, coded) == ids(hashed, values)


def test_many_texts_in_another_spelling() -> None:
    numbers = [number % 700 for number in range(20_000)]
    item = fitted(Encode("item", num_unknown=5), numbers[:500])
    hashed = Hash("item", hash_size=1_000)
    for kind in (pa.string(), pa.large_string()):
        texts = pa.array([None, *(f"{number}.0" for number in numbers)], kind)
        assert ids(item, texts) == [1, *ids(item, numbers)]
        assert ids(hashed, texts) == [1, *ids(hashed, numbers)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments_are_one_token_in_every_unit(unit: str) -> None:
    moments = [dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, 3, 4, 5)]
    item = fitted(Encode("when"), pa.array(moments, pa.timestamp("us")))
    assert ids(item, pa.array(moments, pa.timestamp(unit))) == [2, 3]
    assert ids(item, ["2024-01-02T03:04:05", "2024-01-02"]) == [3, 1]


def test_a_table_has_no_dots_in_its_name() -> None:
    item = fitted(Encode("shop.item"), ["a"])
    feature = item.feature({"embedding_dim": 4})
    assert (feature.name, feature.embedding_name) == ("shop.item", "shop_item")  # type: ignore[union-attr]
    shared = fitted(Encode("x", vocabulary="a.b"), ["a"])
    assert shared.embedding_name == "a_b"
    assert shared.shares == "a.b"


def test_dates_of_text_and_type_are_one_token() -> None:
    day = fitted(Encode("day"), [dt.date(2024, 1, 2), dt.date(2024, 1, 3)])
    assert ids(day, ["2024-01-03", "2024-01-04"]) == [3, 1]
