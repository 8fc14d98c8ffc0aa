import decimal
import itertools
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms.base import TRANSFORMS
from nextrec.data.transforms.labels import MOST_LABELS, label_of
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.data.transforms.target_state import TargetState
from nextrec.data.transforms.targets import Target
from nextrec.errors import ConfigError, DataError, NotFittedError


def fitted(values, *pieces, **options):
    target = Target("y", **options)
    state = target.state()
    row = 0
    for piece in (values, *pieces):
        state.update([pa.array(piece)], row)
        row += len(piece)
    target.learn(state)
    return target


def applied(target, values, kind=None):
    output = target.apply([pa.array(values, kind)], 0)
    assert output.values.type == target.output_type
    assert output.total == len(values)
    return output.values.to_pylist()


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, None],
        [0.0, 1.0, math.nan],
        [False, True, None],
        ["0", "1", None],
        ["0.0", "1.0", "NaN"],
        ["false", "True", ""],
        [decimal.Decimal("0.0"), decimal.Decimal("1.00"), None],
    ],
    ids=str,
)
def test_binary_zero_and_one_are_the_same_in_every_form(values):
    for fitted_with in ([0, 1], [1.0, 1.0], ["0", "1"], [True, False], [1]):
        target = fitted(fitted_with)
        assert applied(target, values) == [0.0, 1.0, None]
        assert target.output_type == pa.float32()
        assert target.num_classes == 2
        assert target.classes == ((0,), (1,))


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float16(), pa.float32()])
def test_binary_in_every_width(kind):
    values = np.array([0, 1], np.float16) if kind == pa.float16() else [0, 1]
    assert applied(fitted([0, 1]), values, kind) == [0.0, 1.0]


def test_missing_labels_of_pandas_stay_missing():
    series = pd.Series([0, 1, None], dtype="Int64")
    output = fitted([0, 1]).apply([pa.Array.from_pandas(series)], 0)
    assert output.values.to_pylist() == [0.0, 1.0, None]
    assert (output.missing, output.unknown, output.total) == (1, 0, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["yes", "no", None], [1, 0, None]),
        ([-1, 1], [0, 1]),
        ([2.0, 1.0], [1, 0]),
        (["10", "9"], [1, 0]),
        ([0.5, 0.25], [1, 0]),
        ([0, 2], [0, 1]),
    ],
)
def test_two_other_labels_become_zero_and_one_in_order(values, expected):
    target = fitted(values)
    assert applied(target, values) == expected
    assert "->" in target.describe()


@pytest.mark.parametrize(
    "values", [[5, 5], ["yes"], [0, 1, 2], ["a", "b", "c"], [1, "x"], ["0", "1", "unknown"]]
)
def test_binary_refuses_what_is_not_two_classes(values):
    with pytest.raises(DataError, match=r"target of column 'y'.*`label_map`"):
        fitted([str(each) for each in values])


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_column_without_labels_is_refused(kind):
    for values in ([None, None], [math.nan], []):
        with pytest.raises(DataError, match="at least one label"):
            fitted(pa.array(values, pa.float64()), target_type=kind)


@pytest.mark.parametrize(
    ("values", "seen", "expected", "classes"),
    [
        ([0, 1, 2], ["2", "0", None], [2, 0, None], 3),
        ([10, 9, 100], [9.0, 100.0, 10.0], [0, 2, 1], 3),
        (["10", "9", "100"], [9, 100, 10], [0, 2, 1], 3),
        (["b", "a", "c", "b"], ["c", "a"], [2, 0], 3),
        ([0.5, 2.5, 1.0], [2.5, 1.0, math.nan], [2, 1, None], 3),
        (["1", "x", "2"], ["x", "2"], [2, 1], 3),
        ([0, 3], [3, 0], [1, 0], 2),
    ],
)
def test_multiclass_numbers_labels_in_order(values, seen, expected, classes):
    target = fitted(values, target_type="multiclass")
    assert applied(target, seen) == expected
    assert target.output_type == pa.int64()
    assert target.num_classes == classes
    assert sum(target.class_counts) == len(values)


def test_float32_labels_are_the_numbers_they_show():
    target = fitted([0.1, 0.7], target_type="multiclass")
    assert applied(target, [0.7, 0.1], pa.float32()) == [1, 0]


def test_words_for_missing_are_labels_only_beside_text():
    numbers = fitted(["1", "NA", "2", "nan"])
    assert numbers.classes == ((1,), (2,))
    assert numbers.observed == 2
    assert applied(numbers, ["NULL", "2"]) == [None, 1.0]
    words = fitted(["None", "Low", "High"], target_type="multiclass")
    assert applied(words, ["None", "High", " "]) == [2, 0, None]
    with pytest.raises(DataError, match="got 'NA'"):
        applied(words, ["NA"])


def test_label_map_takes_every_form_of_a_label():
    label_map = {"click": 1, "view": 0, 3: 1, 0.5: 0, True: 1}
    target = fitted(["click", "3"], label_map=label_map)
    assert applied(target, ["click", "view", "3.0", "0.50", "1", None]) == [1, 0, 1, 0, 1, None]
    assert target.classes == (("view", 0.5), ("click", 3, 1))
    assert target.class_counts == (0, 2)
    several = fitted(["a"], target_type="multiclass", label_map={"a": 0, "b": 1, "c": 2, "d": 1})
    assert several.num_classes == 3
    assert applied(several, ["d", "c"]) == [1, 2]


@pytest.mark.parametrize("options", [{}, {"label_map": {"0": 0, "1": 1}}])
def test_an_unknown_label_is_refused_by_row_and_value(options):
    target = fitted([0, 1], **options)
    for values, row, shown in (
        ([0, None, 2, 3], 102, "got 2."),
        ([0.0, 1.0, 0.5], 102, "got 0.5"),
        (["1", "yes", "no"], 101, "got 'yes'"),
    ):
        with pytest.raises(DataError) as caught:
            target.apply([pa.array(values)], 100)
        assert f"target of column 'y', row {row}" in str(caught.value)
        assert shown in str(caught.value)


def test_a_label_outside_the_map_is_refused_when_fitted():
    with pytest.raises(DataError, match=r"row 3.*got 'c'"):
        fitted(["a", "b"], ["a", "c"], label_map={"a": 0, "b": 1})


def test_regression_keeps_numbers_and_gaps():
    target = fitted([1.5, None], target_type="regression")
    assert target.output_type == pa.float32()
    assert applied(target, [1, 2, None], pa.int64()) == [1.0, 2.0, None]
    assert applied(target, [0.25, math.nan]) == [0.25, None]
    assert applied(target, ["1e3", " -2.5", "", "NA"]) == [1000.0, -2.5, None, None]
    assert applied(target, [True, False]) == [1.0, 0.0]
    assert (target.num_classes, target.classes, target.observed) == (None, (), 1)


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0.0, math.inf], "inf"), (["1", "one"], "'one'"), ([0.0, 1e300], "1e+300")],
)
@pytest.mark.parametrize("step", ["fit", "apply"])
def test_regression_refuses_what_is_no_finite_number(values, shown, step):
    target = fitted([1.0], target_type="regression")
    read = target.state().update if step == "fit" else target.apply
    with pytest.raises(DataError, match="column 'y', row 1") as caught:
        read([pa.array(values)], 0)
    assert shown in str(caught.value)


def test_classes_refuse_infinity_lists_and_dates():
    with pytest.raises(DataError, match=r"row 1.*finite label.*inf"):
        fitted([0.0, math.inf])
    for column in (pa.array([[1]]), pa.array([0], pa.timestamp("s")), pa.array([b"1"])):
        with pytest.raises(DataError, match=r"column 'y'.*labels must be"):
            fitted(column)


def test_too_many_classes_are_refused_with_advice():
    labels = np.arange(MOST_LABELS + 1)
    with pytest.raises(DataError, match="'regression' target"):
        fitted(labels, target_type="multiclass")
    with pytest.raises(DataError, match="'regression' target"):
        fitted(labels[:6000], labels[6000:], target_type="multiclass")
    assert fitted(labels[:-1], target_type="multiclass").num_classes == MOST_LABELS


def test_a_second_fit_forgets_the_first():
    target = fitted([0, 1])
    state = target.state()
    state.update([pa.array(["no", "yes"])], 0)
    target.learn(state)
    assert applied(target, ["yes", "no"]) == [1.0, 0.0]
    with pytest.raises(DataError):
        applied(target, [0, 1])
    with pytest.raises(NotFittedError, match="column 'y'"):
        applied(Target("y"), [0, 1])


LABELS = st.one_of(
    st.none(), st.integers(-3, 3).map(str), st.sampled_from(["1.0", "yes", "no", "true", "", "0.5"])
)


@settings(max_examples=100, deadline=None)
@given(st.lists(LABELS, max_size=30), st.lists(st.integers(0, 30), max_size=4), st.randoms())
def test_states_merge_in_any_cutting_and_order(values, cuts, random):
    def state_of(piece):
        state = Target("y", target_type="multiclass").state()
        state.update([pa.array(piece, pa.string())], 0)
        return state

    shuffled = random.sample(values, len(values))
    bounds = [0, *sorted(min(each, len(values)) for each in cuts), len(values)]
    merged = Target("y", target_type="multiclass").state()
    for start, end in itertools.pairwise(bounds):
        piece = state_of(shuffled[start:end])
        merged.merge(TargetState.load(from_bytes(to_bytes(piece.dump()))))
    assert merged.dump() == state_of(values).dump()
    expected = {}
    for value in values:
        if (label := label_of(value) if value is not None else None) is not None:
            expected[label] = expected.get(label, 0) + 1
    assert dict(merged.counts) == expected
    assert merged.observed == sum(expected.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20, unique=True))
def test_classes_of_numbers_are_their_ranks(values):
    target = fitted(values, target_type="multiclass")
    assert applied(target, values) == np.unique(values, return_inverse=True)[1].tolist()
    assert applied(target, [repr(each) for each in values]) == applied(target, values)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target_type": "binray"}, "Did you mean 'binary'"),
        ({"label_map": {}}, "`label_map`"),
        ({"label_map": {"a": "x"}}, "'a': 'x'"),
        ({"label_map": {"a": True}}, "'a': True"),
        ({"label_map": {None: 1}}, "None: 1"),
        ({"label_map": {math.inf: 1}}, "inf: 1"),
        ({"label_map": {"a": 2, "b": 0}}, "classes 0 to 1"),
        ({"label_map": {1: 1, "1.0": 0}}, "two for 1"),
        ({"label_map": {"a": 0, "b": 2}, "target_type": "multiclass"}, "none left out"),
        ({"label_map": {"a": 0}, "target_type": "regression"}, "'regression'"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match="target of column 'y'") as caught:
        Target("y", **options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([0, 1, None], {}),
        (["no", "yes"], {}),
        ([0.5, 3.0, 7.0], {"target_type": "multiclass"}),
        (["a", "1"], {"label_map": {"a": 1, 1: 0, 0.5: 1}}),
        ([0.25], {"target_type": "regression"}),
    ],
)
def test_settings_and_learned_rebuild_the_transform(values, options):
    target = fitted(values, column="c", **options)
    again = TRANSFORMS["target"](**from_bytes(to_bytes(target.settings())))
    again.restore(from_bytes(to_bytes(target.learned())))
    assert again.apply([pa.array(values)], 0) == target.apply([pa.array(values)], 0)
    assert again.settings() == target.settings()
    assert (again.classes, again.class_counts) == (target.classes, target.class_counts)
    assert again.describe() == target.describe()
    assert again.feature({}) is None
    unfitted = TRANSFORMS["target"](**target.settings())
    assert unfitted.learned()["fitted"] is False
