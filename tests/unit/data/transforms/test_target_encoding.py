import io
import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import TargetEncoder

from nextrec.data.lists import Origin
from nextrec.data.transforms.base import TRANSFORMS
from nextrec.data.transforms.category_keys import keys_of, row_hashes
from nextrec.data.transforms.encoding_state import EncodingState, folds_of
from nextrec.data.transforms.grouped_sums import (
    BITS,
    Doubled,
    GroupedSums,
    carried,
    limbs_of,
    square_limbs_of,
)
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.data.transforms.target_encoding import TargetEncode
from nextrec.errors import ConfigError, DataError, NotFittedError

ORIGIN = Origin("test", 0)


def frame(rows=500, categories=20, seed=0, binary=True):
    random = np.random.default_rng(seed)
    category = random.integers(0, categories, rows)
    labels = random.random(rows) < 0.2 + 0.6 * category / categories
    if not binary:
        labels = random.normal(category, 3.0)
    return {
        "c": pa.array([f"c{each}" for each in category]),
        "y": pa.array(np.asarray(labels, float)),
        "other": pa.array(random.normal(size=rows)),
    }


def encoder(**options):
    return TargetEncode(**{"name": "c", "target": "y", "fold_by": ["other"], **options})


def fitted(transform, data):
    state = transform.state()
    state.update([data[name] for name in transform.fit_inputs], 0)
    transform.learn(state)
    return transform


def by_loop(categories, labels, smoothing):
    """Encodings and the mean, as the paper has them, by a loop."""
    seen = [each for each in labels if each is not None]
    mean = math.fsum(seen) / len(seen)
    variance = math.fsum((each - mean) ** 2 for each in seen) / len(seen)
    encodings = {}
    for category in set(categories) - {None}:
        own = [
            y for c, y in zip(categories, labels, strict=True) if c == category and y is not None
        ]
        if not own:
            continue
        if smoothing != "auto":
            encodings[category] = (math.fsum(own) + smoothing * mean) / (len(own) + smoothing)
            continue
        average = math.fsum(own) / len(own)
        own_variance = math.fsum((each - average) ** 2 for each in own) / len(own)
        spread = len(own) * variance + own_variance
        weight = len(own) * variance / spread if spread else 0.0
        encodings[category] = weight * average + (1 - weight) * mean
    return encodings, mean


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 10.0, "auto"])
def test_all_rows_are_encoded_as_scikit_learn_does(binary, smoothing):
    data = frame(binary=binary)
    transform = fitted(encoder(smoothing=smoothing), data)
    reference = TargetEncoder(
        smooth=smoothing, target_type="binary" if binary else "continuous"
    ).fit(np.array(data["c"].to_pylist(), object)[:, None], data["y"].to_numpy())
    expected = dict(zip(reference.categories_[0], reference.encodings_[0], strict=True))
    assert transform.encodings.keys() == expected.keys()
    for category, value in expected.items():
        assert transform.encodings[category] == pytest.approx(value, abs=1e-9, rel=1e-9)
    output = transform.apply([pa.array(["c3", "new", None])], 0)
    mean = np.mean(data["y"].to_numpy())
    wanted = [expected["c3"], mean, mean]
    np.testing.assert_allclose(output.values.to_numpy(), wanted, rtol=1e-6)
    assert output.values.type == transform.output_type == pa.float32()
    assert (output.missing, output.unknown, output.total) == (1, 1, 3)


def test_a_variance_that_is_small_beside_the_mean_is_exact():
    data = frame(binary=False)
    data["y"] = pa.array(1e9 + data["y"].to_numpy() * 1e-3)
    transform = fitted(encoder(smoothing="auto"), data)
    expected, _ = by_loop(data["c"].to_pylist(), data["y"].to_pylist(), "auto")
    labels = [Fraction(each) for each in data["y"].to_pylist()]
    exact_mean = sum(labels) / len(labels)
    for category, value in transform.encodings.items():
        distance = float(Fraction(value) - exact_mean)
        assert distance == pytest.approx(expected[category] - float(exact_mean), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 2.5, "auto"])
@pytest.mark.parametrize("binary", [True, False])
def test_fitted_rows_are_encoded_by_the_other_folds(smoothing, binary):
    data = frame(rows=200, categories=40, binary=binary)
    data["c"] = pa.array([None if c == "c7" else c for c in data["c"].to_pylist()])
    data["y"] = pa.array([None if i % 9 == 0 else y for i, y in enumerate(data["y"].to_pylist())])
    transform = fitted(encoder(smoothing=smoothing, folds=4), data)
    output = transform.apply_to_fitted([data[name] for name in transform.fit_inputs], 0)
    folds = folds_of([data["other"]], ORIGIN, 4, 0)
    assert set(folds.tolist()) == {0, 1, 2, 3}
    categories, labels = data["c"].to_pylist(), data["y"].to_pylist()
    expected = np.zeros(len(folds))
    for fold in range(4):
        rest = np.flatnonzero(folds != fold)
        table, mean = by_loop([categories[i] for i in rest], [labels[i] for i in rest], smoothing)
        for row in np.flatnonzero(folds == fold):
            expected[row] = table.get(categories[row], mean)
    np.testing.assert_allclose(output.values.to_numpy(), expected, rtol=1e-6, atol=1e-7)


def test_no_row_sees_its_own_label():
    random = np.random.default_rng(1)
    rows = 4000
    labels = random.integers(0, 2, rows)
    data = {
        "c": pa.array([f"u{each}" for each in range(rows)]),  # a category for each row
        "y": pa.array(labels),
        "other": pa.array(random.normal(size=rows)),
    }
    transform = fitted(encoder(smoothing=1.0), data)
    naive = transform.apply([data["c"]], 0).values.to_numpy()
    honest = transform.apply_to_fitted([data[n] for n in transform.fit_inputs], 0).values.to_numpy()
    assert roc_auc_score(labels, naive) == 1.0
    assert abs(roc_auc_score(labels, honest) - 0.5) < 0.05
    flipped = fitted(encoder(smoothing=1.0), {**data, "y": pa.array(1 - labels)})
    again = flipped.apply_to_fitted([data[n] for n in flipped.fit_inputs], 0).values.to_numpy()
    np.testing.assert_allclose(honest + again, 1.0, atol=1e-6)  # only the other folds' mean is told


def test_changing_a_label_changes_nothing_in_its_own_fold():
    data = frame(rows=300)
    changed = data["y"].to_pylist()
    changed[5] = 1.0 - changed[5]
    folds = folds_of([data["other"]], ORIGIN, 5, 0)
    outputs = []
    for labels in (data["y"], pa.array(changed)):
        transform = fitted(encoder(), {**data, "y": labels})
        columns = [data["c"], labels, data["other"]]
        outputs.append(transform.apply_to_fitted(columns, 0).values.to_numpy())
    same_fold = folds == folds[5]
    assert np.array_equal(outputs[0][same_fold], outputs[1][same_fold])
    assert not np.array_equal(outputs[0], outputs[1])


def test_copies_of_a_row_share_a_fold():
    data = frame(rows=100)
    names = encoder().fit_inputs
    twice = {name: pa.concat_arrays([data[name], data[name]]) for name in names}
    transform = fitted(encoder(smoothing=0.0), twice)
    output = transform.apply_to_fitted([twice[name] for name in names], 0).values.to_numpy()
    once = fitted(encoder(smoothing=0.0), data)
    expected = once.apply_to_fitted([data[name] for name in names], 0).values.to_numpy()
    np.testing.assert_array_equal(output, np.tile(expected, 2))


VALUES = st.one_of(
    st.none(), st.sampled_from([0.0, 1.0, -1.0, 0.1, 1e9]), st.floats(-1e30, 1e30, width=64)
)
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), VALUES, st.integers(0, 6)))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.integers(0, 40), max_size=4), st.randoms(), st.sampled_from(["auto", 3.0]))
def test_any_cutting_and_order_gives_the_same_bits(rows, cuts, random, smoothing):
    def state_of(part):
        state = TargetEncode("c", "y", fold_by=["k"], folds=3).state()
        categories, labels, keys = zip(*part, strict=True) if part else ((), (), ())
        columns = [
            pa.array(categories, pa.string()), pa.array(labels, pa.float64()),
            pa.array(keys, pa.int64()),
        ]  # fmt: skip
        state.update(columns, 0)
        return state

    shuffled = random.sample(rows, len(rows))
    bounds = [0, *sorted(min(each, len(rows)) for each in cuts), len(rows)]
    pieces = [state_of(shuffled[a:b]) for a, b in itertools.pairwise(bounds)]
    merged = TargetEncode("c", "y", fold_by=["k"], folds=3).state()
    for piece in pieces:
        merged.merge(EncodingState.load(from_bytes(to_bytes(piece.dump()))))
    results = []
    for state in (state_of(rows), merged):
        transform = TargetEncode("c", "y", fold_by=["k"], folds=3, smoothing=smoothing)
        try:
            transform.learn(state)
        except DataError as error:
            results.append(str(error))
        else:
            learned = transform.learned()
            results.append((learned["categories"], learned["encodings"]))
    assert results[0] == results[1]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-3e38, 3e38).filter(lambda x: x == 0 or abs(x) > 1e-130), min_size=1),
    st.integers(1, 5),
)
def test_grouped_sums_are_exact(values, groups):
    raw = np.array(values)
    codes = np.arange(len(raw)) % groups
    texts = pa.array([str(each) for each in range(groups)])
    half = len(raw) // 2
    none = np.zeros(len(raw), np.int32)
    sums = GroupedSums.joined(
        GroupedSums.of(texts, codes[part], none[part], raw[part])
        for part in (slice(half), slice(half, None))
    )
    limbs = {"sum": sums.limbs("sum"), "square": sums.limbs("square")}
    for row, group in enumerate(sums.table["text"].to_pylist()):
        own = [Fraction(each) for each in raw[codes == int(group)]]
        assert sums.table["count"][row].as_py() == len(own)
        for name, terms in (("sum", own), ("square", [each * each for each in own])):
            total = sum(int(v[row]) * Fraction(2) ** (BITS * k) for k, v in limbs[name].items())
            assert total == sum(terms)
            doubled = Doubled.of(limbs[name], (sums.table.num_rows,))
            near = Fraction(doubled.high[row]) + Fraction(doubled.low[row])
            assert abs(near - total) <= abs(total) * Fraction(1, 2**98)


def test_limbs_carry_without_loss():
    limbs = {0: np.array([2**60, -(2**60), -1, 5]), 2: np.array([1, -1, 0, 0])}
    done = carried(limbs)
    for row in range(4):
        before = sum(int(limb[row]) << BITS * key for key, limb in limbs.items())
        assert sum(int(limb[row]) << BITS * key for key, limb in done.items()) == before
    assert all(((limb >= 0) & (limb < 2**BITS)).all() for limb in list(done.values())[:-1])
    many = GroupedSums.of(pa.array(["a"]), np.zeros(2, int), np.zeros(2), np.array([0.3, -1e20]))
    total = many
    for _ in range(40):  # 2^40 copies of it
        total = GroupedSums.joined([total, total])
    own = (Fraction(0.3) - 10**20) * 2**40
    limbs = total.limbs("sum")
    assert sum(int(limb[0]) * Fraction(2) ** (BITS * key) for key, limb in limbs.items()) == own
    assert limbs_of(np.array([0.0])) == square_limbs_of(np.array([0.0])) == {}


def test_several_columns_make_one_category():
    data = {
        "a": pa.array(["x", "x", "y\x1f", "y", None] * 20),
        "b": pa.array([1, 2, 1, 1, 1] * 20),
        "y": pa.array([0, 1, 1, 0, 1] * 20),
        "other": pa.array(range(100)),
    }
    transform = TargetEncode("ab", "y", ["a", "b"], 0.0, fold_by=["a", "other"])
    fitted(transform, data)
    output = transform.apply([data["a"][:5], data["b"][:5]], 0)
    np.testing.assert_allclose(output.values.to_numpy(), [0, 1, 1, 0, 0.6], rtol=1e-6)
    assert output.missing == 1
    assert len(transform.encodings) == 4


def test_keys_of_different_rows_differ():
    one = pa.array(["a\x1f", "a", "a\\", "a\\s", "a"])
    other = pa.array(["b", "\x1fb", "sb", "b", "\\sb"])
    keys = keys_of([one, other], ORIGIN)
    assert len({keys.text[code].as_py() for code in keys.codes}) == 5


def test_numbers_are_one_category_in_every_form():
    data = {**frame(), "c": pa.array(np.arange(500) % 3)}
    transform = fitted(encoder(), data)
    expected = transform.apply([pa.array([2, 0])], 0).values
    for column in (pa.array([2.0, 0.0]), pa.array(["2", "0"]), pa.array(["2.0", "-0.0"])):
        assert transform.apply([column], 0).values == expected
    assert transform.apply([pa.array(["2.50", " 2", "+2"])], 0).unknown == 3
    texts = pa.array([f"{n % 3}.0" if n % 2 else str(n % 3) for n in range(500)])
    for column in (texts, texts.dictionary_encode(), data["c"].cast(pa.float32())):
        again = fitted(encoder(), {**data, "c": column})
        assert again.encodings == transform.encodings
    keys = keys_of([texts], ORIGIN)
    assert sorted(keys.text.to_pylist()) == ["0", "1", "2"]


def leak(transform, columns, labels):
    """How well the encodings of fitted rows tell random labels: 0.5 is not at all."""
    encoded = transform.apply_to_fitted(columns, 0).values.to_numpy()
    return abs(roc_auc_score(labels, encoded) - 0.5)


def pandas_csv(column):
    text = io.StringIO(pd.DataFrame({"column": column.to_pandas()}).to_csv(index=False))
    return pa.array(pd.read_csv(text, dtype=str, keep_default_na=False)["column"].tolist())


def test_rows_of_another_file_are_in_their_folds():
    random = np.random.default_rng(2)
    rows = 3_000
    labels = random.integers(0, 2, rows)
    seconds = pa.array(random.permutation(10 * rows)[:rows] + 1_700_000_000)
    reals = random.permutation(rows)
    forms = {
        "integers": pa.array(random.permutation(rows)),
        "reals": pa.array(reals / 7),
        "narrow reals": pa.array((reals / 7).astype(np.float32)),
        "moments": seconds.cast(pa.timestamp("s")),
        "days": pa.array(reals.astype(np.int32)).cast(pa.date32()),
    }
    other = {
        "integers": [pa.float64(), pa.string(), pa.uint16()],
        "reals": [],
        "narrow reals": [],
        "moments": [pa.timestamp("ms"), pa.timestamp("ns")],
        "days": [pa.timestamp("s"), pa.date64(), pa.string()],
    }
    for name, column in forms.items():
        data = {"c": pa.array(np.arange(rows) // 2), "y": pa.array(labels), "other": column}
        transform = fitted(encoder(smoothing=1.0), data)
        columns = [data["c"], data["y"], column]
        expected = transform.apply_to_fitted(columns, 0).values
        assert leak(transform, columns, labels) < 0.05, name
        stored = [column.cast(kind) for kind in other[name]]
        for again in (*stored, pandas_csv(column), column.dictionary_encode()):
            from_file = transform.apply_to_fitted([pandas_csv(data["c"]), data["y"], again], 0)
            assert from_file.values == expected, (name, again.type)
        # The rows of a wrong fold would tell their labels.
        wrong = pa.array(random.permutation(rows))
        assert leak(transform, [*columns[:2], wrong], labels) > 0.1


def test_labels_are_read_in_every_numeric_form():
    data = frame()
    expected = fitted(encoder(), data).encodings
    whole = data["y"].cast(pa.int64())
    text = whole.cast(pa.string())
    for labels in (whole, whole.cast(pa.bool_()), text, data["y"].cast(pa.float32())):
        assert fitted(encoder(), {**data, "y": labels}).encodings == expected


def test_text_labels_are_refused_with_advice():
    data = {**frame(), "y": pa.array(["yes", "no"] * 250)}
    with pytest.raises(DataError, match=r"its target, row 0.*'yes'.*[Mm]ap text labels to numbers"):
        fitted(encoder(), data)


def test_row_hashes_read_every_kind_of_column():
    columns = {
        "text": pa.array(["a", "b", "", None]),
        "number": pa.array([1.5, 2.0, math.nan, 0.0]),
        "list": pa.array([[1, 2], [2, 1], [], None]),
        "texts": pa.array([["a", None], ["a"], ["", "a"], ["a", ""]]),
        "fixed": pa.array([[1, 2], [1, 3], None, [3, 1]], pa.list_(pa.int64(), 2)),
    }
    for name, column in columns.items():
        hashes = row_hashes([column], ORIGIN, 0)
        assert len(set(hashes.tolist())) == 4, name
        assert np.array_equal(row_hashes([column[1:3]], ORIGIN, 0), hashes[1:3]), name
        assert not np.array_equal(row_hashes([column], ORIGIN, 1)[:2], hashes[:2]), name
    pair = [columns["text"], columns["number"]]
    assert not np.array_equal(row_hashes(pair, ORIGIN, 0), row_hashes(pair[::-1], ORIGIN, 0))
    many = row_hashes([pa.array(np.arange(50_000))], ORIGIN, 0) % np.uint64(5)
    assert np.bincount(many.astype(int)).min() > 9_600


def test_missing_categories_follow_the_policy():
    data = frame()
    column = pa.array(["c1", None])
    with pytest.raises(DataError, match=r"column 'c', row 11.*got None"):
        fitted(encoder(missing="error"), data).apply([column], 10)
    nothing = fitted(encoder(), data).apply([pa.nulls(2)], 0)
    assert (nothing.missing, nothing.unknown) == (2, 0)


def test_a_second_fit_forgets_the_first():
    transform = fitted(encoder(), frame())
    again = frame(seed=3, categories=2)
    assert fitted(transform, again).encodings == fitted(encoder(), again).encodings
    with pytest.raises(NotFittedError, match="column 'c'"):
        encoder().apply([pa.array(["c1"])], 0)


def test_data_without_labels_or_folds_is_refused():
    data = frame()
    with pytest.raises(DataError, match="at least one label"):
        fitted(encoder(), {**data, "y": pa.nulls(500)})
    with pytest.raises(DataError, match="`fold_by` must be columns that tell rows apart"):
        fitted(encoder(), {**data, "other": pa.array(["same"] * 500)})
    with pytest.raises(ConfigError, match="`fold_by`"):
        encoder(fold_by=None).state()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"smoothing": "aut"}, "`smoothing`"),
        ({"smoothing": -1}, "`smoothing`"),
        ({"smoothing": math.nan}, "`smoothing`"),
        ({"folds": 1}, "`folds`"),
        ({"seed": 0.5}, "`seed`"),
        ({"columns": []}, "`inputs`"),
        ({"columns": ["y"]}, "not the target"),
        ({"fold_by": ["other", "y"]}, "`fold_by`"),
        ({"fold_by": ["c"]}, "`fold_by`"),
        ({"fold_by": "other"}, "`fold_by`"),
        ({"missing": "drop"}, "`missing`"),
        ({"target_type": "multiclass"}, "classes have no mean"),
        ({"target_type": "binry"}, "Did you mean 'binary'"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match="target_encoding of column") as caught:
        encoder(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize("smoothing", ["auto", 5])
def test_settings_and_learned_rebuild_the_transform(smoothing):
    data = frame()
    transform = fitted(encoder(smoothing=smoothing, seed=3), data)
    again = TRANSFORMS["target_encoding"](**from_bytes(to_bytes(transform.settings())))
    again.restore(from_bytes(to_bytes(transform.learned())))
    columns = [data[name] for name in transform.fit_inputs]
    assert again.apply_to_fitted(columns, 0) == transform.apply_to_fitted(columns, 0)
    assert again.apply(columns[:1], 0) == transform.apply(columns[:1], 0)
    assert again.settings() == transform.settings()
    assert again.feature({}).name == "c"
    assert "mean of y" in again.describe()
    assert again.state_type() is type(again.state()) is EncodingState
    unfitted = TRANSFORMS["target_encoding"](**transform.settings())
    unfitted.restore(from_bytes(to_bytes(unfitted.learned())))
    with pytest.raises(NotFittedError):
        unfitted.apply(columns[:1], 0)
