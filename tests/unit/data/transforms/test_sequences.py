"""Sequences: one tokenizer for fit and apply, newest kept, nothing masked away."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms import payload
from nextrec.data.transforms.base import TRANSFORMS, NothingToLearn, Output
from nextrec.data.transforms.categorical import Encode
from nextrec.data.transforms.sequences import EncodeSequence, padded
from nextrec.errors import ConfigError, DataError, NextRecError, NotFittedError
from nextrec.features import FeatureSet, SequenceFeature


def fitted(transform: EncodeSequence, *pieces: Any) -> EncodeSequence:
    state = transform.state()
    for piece in pieces:
        state.update([piece if isinstance(piece, pa.Array) else pa.array(piece)], 0)
    transform.learn(state)
    return transform


def applied(transform: EncodeSequence, values: Any, first_row: int = 0) -> Output:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    output = transform.apply([array], first_row)
    output.values.validate(full=True)
    assert output.values.type == transform.output_type == pa.list_(pa.int32())
    assert len(output.values) == len(array)
    assert output.values.null_count == 0
    return output


def ids(transform: EncodeSequence, values: Any) -> list[list[int]]:
    return applied(transform, values).values.to_pylist()


def test_p02_the_first_token_is_not_padding() -> None:
    seen = fitted(EncodeSequence("seen"), [["a", "b"], [], None])
    assert ids(seen, [["a"], [], None, ["zzz"], ["b", None]]) == [[2], [], [], [1], [3, 1]]
    hashed = EncodeSequence("seen", encode_method="hash", hash_size=10)
    found = ids(hashed, [[str(number) for number in range(40)]])[0]
    assert found == [2 + xxhash.xxh64_intdigest(b"%d" % number) % 8 for number in range(40)]


def test_p06_parts_are_stripped_when_fitting_too() -> None:
    seen = fitted(EncodeSequence("seen"), ["x, y, z"])
    assert seen.learned()["tokens"].to_pylist() == ["x", "y", "z"]
    assert ids(seen, ["x, y, z", "z,y"]) == [[2, 3, 4], [4, 3]]


def test_p07_items_do_not_depend_on_their_type() -> None:
    seen = fitted(EncodeSequence("seen"), [[1, 2], [3]])
    forms = [
        pa.array([[1.0, 3.0], [math.nan]]),
        pa.array([["1", "3.0"], [None]]),
        pa.array(["1,3", None]),
        pa.array(["[1, 3]", ""]),
        pa.array([[1, 3], [9]], pa.large_list(pa.uint8())),
        pa.array([b"1, 3", b""]),
    ]
    expected = [[2, 4]]
    for form in forms:
        assert ids(seen, form)[:1] == expected, form.type


def test_counts_of_items() -> None:
    seen = fitted(EncodeSequence("seen", max_len=3), [["a", "b"]])
    output = applied(seen, [["x", "y", "a", None, "x"], None, ["b"]])
    assert output.values.to_pylist() == [[2, 1, 1], [], [3]]
    assert (output.missing, output.unknown, output.total) == (1, 1, 4)


@pytest.mark.parametrize(
    ("truncate", "kept"),
    [("pre", [4, 5]), ("newest", [4, 5]), ("post", [2, 3]), ("oldest", [2, 3])],
)
def test_truncation(truncate: Any, kept: list[int]) -> None:
    seen = fitted(EncodeSequence("seen", max_len=2, truncate=truncate), [["a", "b", "c", "d"]])
    values = [["a", "b", "c", "d"], ["d"], [], ["a", "b"]]
    assert ids(seen, values) == [kept, [5], [], [2, 3]]
    assert ids(seen, [",".join(row) for row in values]) == [kept, [5], [], [2, 3]]


def test_lists_of_any_kind_and_single_values() -> None:
    seen = fitted(EncodeSequence("seen"), [["a", "b", "c"]])
    forms: list[tuple[pa.Array, list[list[int]]]] = [
        (pa.array([["a", "b"], None], pa.list_(pa.string(), 2)), [[2, 3], []]),
        (pa.array([["a", "b"], ["c"]], pa.large_list(pa.large_string()))[1:], [[4]]),
        (pa.array([["a"], ["c", "b"]])[1:], [[4, 3]]),
        (pa.array(["a", None, "c"]), [[2], [], [4]]),
        (pa.array(["a,b", None, "c"]).dictionary_encode(), [[2, 3], [], [4]]),
        (
            pa.array([["a"], ["b", "a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
            [[2], [3, 2]],
        ),
        (pa.nulls(2), [[], []]),
        (pa.array([], pa.list_(pa.string())), []),
    ]
    for values, expected in forms:
        assert ids(seen, values) == expected, values.type
    single = fitted(EncodeSequence("seen"), [7.0, math.nan, 8.0])
    assert ids(single, [8, 7, 9]) == [[3], [2], [1]]
    assert ids(single, [math.nan, 8.0]) == [[], [3]]


@pytest.mark.skipif(not hasattr(pa, "list_view"), reason="this Arrow has no list views")
@pytest.mark.parametrize("view", ["list_view", "large_list_view"])
def test_list_views_are_lists(view: str) -> None:
    kind = getattr(pa, view)
    rows = [["b", "a"], None, [], ["c", None]]
    seen = fitted(EncodeSequence("seen"), pa.array(rows, kind(pa.string())))
    assert seen.learned()["tokens"].to_pylist() == ["a", "b", "c"]
    values = pa.array(rows, kind(pa.string()))
    assert ids(seen, values) == [[3, 2], [], [], [4, 1]]
    assert ids(seen, values[1:]) == [[], [], [4, 1]]
    wide = view.startswith("large")
    places = pa.array([1, 0], pa.int64() if wide else pa.int32())
    of = pa.LargeListViewArray if wide else pa.ListViewArray
    overlapping = of.from_arrays(places, pa.array([2, 2], places.type), pa.array(["a", "b", "c"]))
    assert ids(seen, overlapping) == [[3, 4], [2, 3]]
    strict = EncodeSequence("seen", missing="error")
    with pytest.raises(DataError, match="column 'seen', row 1"):
        strict.state().update([values], 0)


def test_run_ends_of_rows_and_of_items() -> None:
    seen = fitted(EncodeSequence("seen"), [["a", "b", "c"]])
    runs = pa.array([2, 3], pa.int32())
    lists = pa.array([["b", "a"], None])
    for distinct in (lists, pa.array(["b,a", None]), pa.array(["b,a", None]).dictionary_encode()):
        values = pa.RunEndEncodedArray.from_arrays(runs, distinct)
        assert ids(seen, values) == [[3, 2], [3, 2], []]
        assert ids(seen, values[1:]) == [[3, 2], []]
    items = pa.RunEndEncodedArray.from_arrays(runs, pa.array(["a", "c"]))
    assert ids(seen, pa.ListArray.from_arrays(pa.array([0, 1, 3]), items)) == [[2], [2, 4]]


def test_items_in_another_spelling_are_the_same() -> None:
    seen = fitted(EncodeSequence("seen"), ["1.0, 2.0, True", "[3.00, False]"])
    assert seen.learned()["tokens"].to_pylist() == ["1", "2", "3", "false", "true"]
    for form in ([[1.0, 3.0]], [[1, 3]], ["1,3.0"], [["1.0", "3"]], [b"1.0,3"]):
        assert ids(seen, form) == [[2, 4]]
    assert ids(seen, [[True, False]]) == ids(seen, ["True,false"]) == [[6, 5]]
    hashed = EncodeSequence("seen", encode_method="hash", hash_size=99)
    assert ids(hashed, ["7.0,True"]) == ids(hashed, [["7", "true"]])


def test_spaces_are_stripped_of_text_only() -> None:
    item = Encode("item", vocabulary="items")
    seen = EncodeSequence("seen", vocabulary="items")
    state, other = item.state(), seen.state()
    state.update([pa.array([" b"])], 0)
    other.update([pa.array(["a, b", "[1,"])], 0)
    state.merge(other)
    for each in (item, seen):
        each.learn(state)
    assert item.learned()["tokens"].to_pylist() == [" b", "[1", "a", "b"]
    assert item.apply([pa.array([" b", "b"])], 0).values.to_pylist() == [2, 5]
    assert ids(seen, [" b", " [1,"]) == [[5], [3]]
    assert ids(seen, [[" b", "b"]]) == [[2, 5]]


def test_a_table_has_no_dots_in_its_name() -> None:
    for options, table in (({}, "user_seen_v2"), ({"vocabulary": "shop.items"}, "shop_items")):
        seen = fitted(EncodeSequence("user.seen.v2", **options), [["a"]])  # type: ignore[arg-type]
        feature = seen.feature({"embedding_dim": 4})
        assert (feature.name, feature.embedding_name) == ("user.seen.v2", table)  # type: ignore[union-attr]
        FeatureSet.of([feature])  # type: ignore[list-item]


def test_missing_may_be_refused() -> None:
    seen = EncodeSequence("seen", "raw", missing="error")
    for values, row in (([["a"], None], 11), ([["a"], [], ["a", None]], 12), (["a", None], 11)):
        with pytest.raises(DataError, match=f"sequence of column 'raw', row {row}: .*'error'"):
            seen.state().update([pa.array(values)], 10)


def test_an_item_that_is_no_token_names_its_row() -> None:
    seen = EncodeSequence("seen", "raw")
    with pytest.raises(DataError, match=r"column 'raw', row 7: .*got \[1\]"):
        seen.state().update([pa.array([[], [None], [[1]]])], 5)


def test_no_max_len_keeps_all_and_tells_the_longest() -> None:
    seen = fitted(EncodeSequence("seen", max_len=None), ["a,b,c", "a"], ["b"])
    assert seen.feature({}).max_len == 3  # type: ignore[union-attr]
    assert ids(seen, ["a,b,c,a,b", "b,a"]) == [[4, 2, 3], [3, 2]]  # no longer than the feature
    oldest = fitted(EncodeSequence("seen", max_len=None, truncate="oldest"), ["a,b,c"])
    assert ids(oldest, ["a,b,c,a,b"]) == [[2, 3, 4]]
    assert ids(fitted(EncodeSequence("seen", max_len=None), [[], ["a"]]), ["a,b"]) == [[1]]
    nothing = fitted(EncodeSequence("seen", max_len=None), pa.array([[]], pa.list_(pa.string())))
    assert nothing.feature({}).max_len == 1  # type: ignore[union-attr]
    assert ids(nothing, ["a,b"]) == [[1]]
    unfitted = EncodeSequence("seen", encode_method="hash", hash_size=9, max_len=None)
    for use in (lambda: ids(unfitted, ["a"]), lambda: unfitted.feature({})):
        with pytest.raises(NotFittedError, match="sequence feature 'seen'"):
            use()
    hashed = fitted(
        EncodeSequence("seen", encode_method="hash", hash_size=9, max_len=None), [[1] * 7]
    )
    assert hashed.feature({}).max_len == 7  # type: ignore[union-attr]
    assert hashed.vocab_size == 9
    set_length = EncodeSequence("seen", encode_method="hash", hash_size=9)
    assert set_length.state_type() is NothingToLearn


def test_shares_a_vocabulary_and_a_table_with_a_sparse_column() -> None:
    item = Encode("item", vocabulary="items")
    seen = EncodeSequence("seen", vocabulary="items", max_len=None)
    also = EncodeSequence("also", vocabulary="items", max_len=None)
    state, others = item.state(), [seen.state(), also.state()]
    state.update([pa.array([3, 5])], 0)
    others[0].update([pa.array([[4, 3], []])], 0)
    others[1].update([pa.array(["1,2,3,4"])], 0)
    for other in others:
        state.merge(type(other).load(payload.from_bytes(payload.to_bytes(other.dump()))))
    for each in (item, seen, also):
        each.learn(state)
    assert item.learned()["tokens"].to_pylist() == ["1", "2", "3", "4", "5"]
    assert seen.learned()["tokens"] == also.learned()["tokens"] == item.learned()["tokens"]
    assert item.vocabulary_options() == seen.vocabulary_options()
    features = [each.feature({"embedding_dim": 4}) for each in (item, seen, also)]
    table = FeatureSet.of(features).tables["items"]  # type: ignore[arg-type]
    assert (table.rows, table.padding_idx) == (7, 0)
    assert [seen.feature({}).max_len, also.feature({}).max_len] == [2, 4]  # type: ignore[union-attr]


def test_extend_keeps_ids_and_the_longest() -> None:
    seen = fitted(EncodeSequence("seen", max_len=None), [["b", "d", "b"]])
    state = seen.state()
    state.update([pa.array([["a"], ["d", "c"]])], 0)
    assert seen.extend(state) == 2
    assert ids(seen, [["a", "b", "c"], ["d"]]) == [[4, 2, 5], [3]]
    assert seen.longest == seen.most == 3
    state = seen.state()
    state.update([pa.array([["a"] * 5])], 0)
    seen.extend(state)
    assert seen.most == 5


def test_saved_and_built_again() -> None:
    seen = fitted(
        EncodeSequence("seen", "raw", max_len=None, truncate="oldest", separator="|"), ["a|b"]
    )
    again = TRANSFORMS["sequence"](**seen.settings())
    again.restore(payload.from_bytes(payload.to_bytes(seen.learned())))
    assert again.settings() == seen.settings()
    assert again.feature({}).max_len == 2  # type: ignore[union-attr]
    values = [pa.array(["b|a|x"])]
    assert again.apply(values, 0) == seen.apply(values, 0)
    hashed = EncodeSequence("seen", encode_method="hash", hash_size=np.int64(9), seed=4)
    again = TRANSFORMS["sequence"](**hashed.settings())
    again.restore(payload.from_bytes(payload.to_bytes(hashed.learned())))
    assert again.apply(values, 0) == hashed.apply(values, 0)


@pytest.mark.parametrize(
    ("given_settings", "parameter"),
    [
        ({"max_len": 0}, "max_len"),
        ({"max_len": True}, "max_len"),
        ({"truncate": "nwest"}, "truncate"),
        ({"separator": ""}, "separator"),
        ({"encode_method": "hash"}, "hash_size"),
        ({"encode_method": "hash", "hash_size": 9, "vocabulary": "items"}, "vocabulary"),
        ({"missing": "drop"}, "missing"),
        ({"vocabulary": ""}, "vocabulary"),
        ({"vocabulary": 3}, "vocabulary"),
    ],
)
def test_settings_are_checked(given_settings: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"sequence feature 'seen': `{parameter}` must be"):
        EncodeSequence("seen", **given_settings)


ITEM = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
ROWS = st.lists(st.one_of(st.none(), st.lists(ITEM, max_size=6)), max_size=8)


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS, st.one_of(st.none(), st.integers(1, 4)), st.booleans(), st.booleans())
def test_equals_a_loop(
    known: Any, asked: Any, max_len: int | None, newest: bool, wide: bool
) -> None:
    kind = pa.large_list(pa.string()) if wide else pa.list_(pa.string())
    truncate: Any = "newest" if newest else "oldest"
    seen = fitted(EncodeSequence("seen", max_len=max_len, truncate=truncate), pa.array(known, kind))
    tokens = sorted({item for row in known for item in row or [] if item is not None})
    order = {token: 2 + place for place, token in enumerate(tokens)}
    longest = max((len(row or []) for row in known), default=0)
    most = max_len or max(longest, 1)
    kept = [(row or [])[-most:] if newest else (row or [])[:most] for row in asked]
    output = applied(seen, pa.array(asked, kind))
    assert output.values.to_pylist() == [[order.get(item, 1) for item in row] for row in kept]
    flat = [item for row in kept for item in row]
    assert output.total == len(flat)
    assert output.missing == flat.count(None)
    assert output.unknown == sum(item is not None and item not in order for item in flat)
    assert seen.longest == longest


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), max_size=4), max_size=6), st.integers(4, 6))
def test_padded_equals_a_loop(rows: list[list[int]], max_len: int) -> None:
    values = pa.array([[], *rows, []], pa.list_(pa.int32()))[1:-1]
    result = padded(values, max_len)
    assert result.dtype == np.int64
    assert result.shape == (len(rows), max_len)
    assert result.tolist() == [row + [0] * (max_len - len(row)) for row in rows]


def test_padding_full_rows_and_rows_that_are_too_long() -> None:
    assert padded(pa.array([[1, 2], [3, 4]]), 2).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(DataError, match=r"row 1: .*at most 2 ids"):
        padded(pa.array([[1], [1, 2, 3]]), 2)


def test_lists_of_pandas() -> None:
    frame = pd.DataFrame({"seen": [["a", "b"], np.array(["b"]), []]})
    values = pa.array(frame["seen"])
    seen = fitted(EncodeSequence("seen"), values)
    assert ids(seen, values) == [[2, 3], [3], []]
    written = pa.array(frame["seen"].map(str))
    assert ids(seen, written) == [[2, 3], [3], []]
    feature = seen.feature({"combiner": "sum"})
    assert isinstance(feature, SequenceFeature)
    assert (feature.max_len, feature.vocab_size, feature.combiner) == (50, 4, "sum")


def test_every_error_is_ours() -> None:
    for values in (pa.array([{"a": 1}]), pa.array([None, 5], pa.duration("s"))):
        with pytest.raises(NextRecError, match="column 'seen', row"):
            EncodeSequence("seen").state().update([values], 0)
