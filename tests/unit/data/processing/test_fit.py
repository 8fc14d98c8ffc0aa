"""Fitting is a merge: any cutting, order and number of threads gives the same processor."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.preprocessor import DataProcessor
from nextrec.data.processing.fit import FitStates, fit_local, learn
from nextrec.data.processing.pieces import Piece
from nextrec.data.processing.recipe import Recipe
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import ConfigError, DataError

ROWS = 120


def processor() -> DataProcessor:
    made = DataProcessor()
    made.add_numeric_feature("standard", column="x")
    made.add_numeric_feature("robust", scaler="robust", column="x", fill_na="median")
    made.add_numeric_feature("quantile", scaler="quantile", column="x")
    made.add_bucket_feature("bucket", "equal_frequency", 5, column="x")
    made.add_sparse_feature("item", vocabulary="item", min_frequency=2)
    made.add_sequence_feature("seen", vocabulary="item", min_frequency=2, max_len=3)
    made.add_cross_feature("cross", ["item", "city"], "label", max_size=10)
    made.add_datetime_feature("at", ["year", "hour"])
    made.add_target_encoding("rate", "y", "city", fold_by=["x", "at"])
    made.add_target("y", "regression")
    made.add_target("kind", "multiclass")
    return made


def table() -> pa.Table:
    random = np.random.default_rng(7)
    x = random.normal(1e9, 1, ROWS)
    x[::9] *= 1e-12
    items = [f"i{n}" for n in random.integers(0, 20, ROWS)]
    return pa.table(
        {
            "x": pa.array(x, mask=random.random(ROWS) < 0.1),
            "item": items,
            "city": random.choice(["a", "b", "c", None], ROWS).tolist(),
            "seen": [items[:n] for n in random.integers(0, 6, ROWS)],
            "at": random.integers(0, 2**31, ROWS),
            "y": random.normal(size=ROWS) * 10.0 ** random.integers(-9, 9, ROWS),
            "kind": random.choice(["s", "m", "l"], ROWS).tolist(),
        }
    )


TABLE = table()


def learned(states: FitStates, recipe: Recipe) -> dict[str, bytes]:
    learn(recipe.transforms, states)
    return {name: to_bytes(each.learned()) for name, each in recipe.transforms.items()}


def whole() -> dict[str, bytes]:
    recipe = Recipe(processor().unfitted())
    states = FitStates(recipe)
    states.update(TABLE, 0)
    return learned(states, recipe)


WHOLE = whole()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, ROWS), max_size=6).map(sorted),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_pieces_in_any_order_learn_what_the_whole_does(cuts, random, travel):
    edges = [0, *cuts, ROWS]
    pieces = [(a, TABLE.slice(a, b - a)) for a, b in pairwise(edges)]
    random.shuffle(pieces)
    recipe = Recipe(processor().unfitted())
    states = []
    for first_row, piece in pieces:
        one = FitStates(recipe)
        one.update(piece, first_row)
        if travel:  # as to another process
            one = FitStates.load(recipe, from_bytes(to_bytes(one.dump())))
        states.append(one)
    while len(states) > 1:  # merged in random pairs
        first = states.pop(random.randrange(len(states)))
        second = states.pop(random.randrange(len(states)))
        first.merge(second)
        states.append(first)
    assert learned(states[0], recipe) == WHOLE


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_threads_learn_the_same(threads):
    recipe = Recipe(processor().unfitted())
    pieces = [Piece(n, 7, lambda n=n: TABLE.slice(n, 7)) for n in range(0, ROWS, 7)]
    states = fit_local(recipe, pieces, threads)
    assert states.rates.rows == ROWS
    assert learned(states, recipe) == WHOLE


def test_the_first_wrong_piece_is_told_whatever_the_threads():
    recipe = Recipe({"x": processor().transforms["standard"]})

    def read(n: int) -> pa.Table:
        return pa.table({"x": ["1.5", f"bad {n}" if n >= 4 else "2"]})

    pieces = [Piece(2 * n, 2, lambda n=n: read(n)) for n in range(20)]
    for threads in (0, 3):
        with pytest.raises(DataError, match=r"row 9.*bad 4"):
            fit_local(recipe, pieces, threads)


def test_no_rows_teach_nothing():
    recipe = Recipe(processor().unfitted())
    with pytest.raises(DataError, match="no rows"):
        learn(recipe.transforms, fit_local(recipe, [], 2))


def test_missing_values_are_counted():
    states = FitStates(Recipe(processor().unfitted()))
    states.update(TABLE, 0)
    rates = states.rates.columns
    assert rates["standard"].missing == TABLE["x"].null_count
    either = [
        a is None or b is None
        for a, b in zip(TABLE["item"].to_pylist(), TABLE["city"].to_pylist(), strict=True)
    ]
    assert rates["cross"].missing == sum(either)


def test_readers_of_one_vocabulary_agree_or_are_refused():
    made = DataProcessor()
    made.add_sparse_feature("a", vocabulary="v")
    made.add_sparse_feature("b", vocabulary="v", num_unknown=3)
    with pytest.raises(ConfigError, match=r"'a' and 'b' share the vocabulary 'v'.*num_unknown"):
        made.fit({"a": ["x"], "b": ["y"]})
