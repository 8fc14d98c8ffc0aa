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
from nextrec.errors import ConfigError, DataError, NextRecError
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
    assert ids(seen, ["a,b,c,a,b"]) == [[2, 3, 4, 2, 3]]
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
    assert ids(seen, [["a", "b", "c", "d"]]) == [[4, 2, 5, 3]]
    assert seen.longest == 3


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
    kept = [row or [] for row in asked]
    if max_len is not None:
        kept = [row[-max_len:] if newest else row[:max_len] for row in kept]
    output = applied(seen, pa.array(asked, kind))
    assert output.values.to_pylist() == [[order.get(item, 1) for item in row] for row in kept]
    flat = [item for row in kept for item in row]
    assert output.total == len(flat)
    assert output.missing == flat.count(None)
    assert output.unknown == sum(item is not None and item not in order for item in flat)
    assert seen.longest == max((len(row or []) for row in known), default=0)


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
