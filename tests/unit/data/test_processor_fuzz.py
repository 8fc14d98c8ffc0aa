"""Any column whatever: it works, or a DataError names column and row. Never a wrong id."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextrec.data.preprocessor import DataProcessor
from nextrec.errors import DataError

integers = st.one_of(
    st.integers(-5, 5), st.integers(-(2**63), 2**64 - 1), st.integers(-(10**30), 10**30)
)
scalars = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(["", " ", "1", "1.0", "nan", "None", "<UNK>", "a,b", "[1, 2]", "é", "🎬"]),
    st.binary(max_size=4),
    integers,
    st.floats(),
    st.booleans(),
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
    st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
)
of_one_kind = st.one_of(
    *(
        st.lists(st.one_of(st.none(), each), min_size=1, max_size=8)
        for each in (
            st.text(max_size=6),
            st.binary(max_size=4),
            integers,
            st.floats(),
            st.booleans(),
            st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
            st.lists(st.one_of(st.none(), st.integers(0, 9), st.text(max_size=2)), max_size=4),
        )
    )
)
columns = st.one_of(of_one_kind, st.lists(scalars, min_size=1, max_size=8))
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def describe(kind: str) -> DataProcessor:
    processor = DataProcessor()
    add = {
        "numeric": lambda: processor.add_numeric_feature("column x"),
        "robust": lambda: processor.add_numeric_feature("column x", "robust", fill_na="median"),
        "bucket": lambda: processor.add_bucket_feature("column x", num_buckets=3),
        "label": lambda: processor.add_sparse_feature("column x"),
        "hash": lambda: processor.add_sparse_feature("column x", "hash", 7),
        "sequence": lambda: processor.add_sequence_feature("column x", max_len=3),
        "datetime": lambda: processor.add_datetime_feature("column x", ["hour"]),
        "target": lambda: processor.add_target("column x", "regression"),
    }
    add[kind]()
    return processor


KINDS = ("numeric", "robust", "bucket", "label", "hash", "sequence", "datetime", "target")


def told(error: DataError) -> None:
    """A DataError names the column, and where a value is to blame, its row."""
    message = str(error)
    assert "column x" in message, message
    of_the_column = "must hold|at least one|no value to learn from"
    assert re.search(rf"row \d+|{of_the_column}", message), message


@relaxed
@given(st.sampled_from(KINDS), columns, columns)
def test_it_works_or_says_where_it_does_not(kind: str, fitted: list[Any], later: list[Any]) -> None:
    processor = describe(kind)
    try:
        made = processor.fit_transform({"column x": fitted})
        other = processor.transform({"column x": later})
    except DataError as error:
        told(error)
        return
    for result, given_rows in ((made, fitted), (other, later)):
        for name, values in result.items():
            if name in processor.transforms:
                assert len(values) == len(given_rows)
                if kind in ("label", "hash", "bucket", "datetime", "sequence"):
                    size = processor.transforms[name].vocab_size
                    assert ((values >= 0) & (values < size)).all()
                elif kind != "target":
                    assert np.isfinite(values).all()


def token(value: Any) -> str | None:
    """The text that a value is compared by, written out once more."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, str):
        if value in ("True", "False"):
            return value.lower()
        if re.fullmatch(r"(-?[1-9][0-9]*|-?0)\.0+", value, re.ASCII):  # a whole number, as a float
            return str(int(value.partition(".")[0]))
    return repr(value) if isinstance(value, float) else str(value)


spelled = ["1", "2", "1.0", "-2.00", "-0.0", "01", "01.0", " 1", "1.10", "True", "true", "1.0\n"]
words = st.one_of(st.none(), st.text(max_size=3), st.sampled_from(spelled))
numbers = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
reals = st.one_of(st.none(), st.floats(), st.integers(-3, 3).map(float))


@relaxed
@given(
    st.sampled_from([words, numbers, reals]).flatmap(
        lambda kind: st.tuples(
            st.lists(kind, min_size=1, max_size=10), st.lists(kind, min_size=1, max_size=10)
        )
    )
)
def test_an_unseen_value_never_gets_the_id_of_a_real_one(pair: tuple[list, list]) -> None:
    fitted, later = pair
    processor = DataProcessor()
    processor.add_sparse_feature("column x")
    seen = {token(each) for each in fitted}
    ids = processor.fit_transform({"column x": fitted})["column x"]
    of_token = dict(zip(map(token, fitted), ids.tolist(), strict=True))
    made = processor.transform({"column x": later})["column x"]
    for value, found in zip(later, made.tolist(), strict=True):
        name = token(value)
        expected = 1 if name is None or name not in seen else of_token[name]
        assert found == expected, (value, name, found)
    real = [each for name, each in of_token.items() if name is not None]
    assert sorted(real) == list(range(2, 2 + len(real)))


@relaxed
@given(st.lists(st.integers(2**53, 2**63 - 1), min_size=2, max_size=6, unique=True))
def test_large_integers_keep_their_digits(values: list[int]) -> None:
    processor = DataProcessor()
    processor.add_sparse_feature("column x")
    ids = processor.fit_transform({"column x": values})["column x"]
    assert len(set(ids.tolist())) == len(values)
    assert ids.tolist() == [2 + sorted(values).index(each) for each in values]
