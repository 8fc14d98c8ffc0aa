"""From what a column holds to its part in a config."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nextrec.cli.guess import guess
from nextrec.cli.guesses import Guess, share_tables
from nextrec.data.profile import Profile, profile_columns


def profiles(**columns) -> list[Profile]:
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    return profile_columns(list(columns), table.to_batches())


def guessed(name: str, values) -> Guess:
    return guess(*profiles(**{name: values}))


@pytest.mark.parametrize(
    ("name", "values", "role", "why"),
    [
        ("price", [0.5, 1.5, 0.5], "dense", "numbers 0.5 to 1.5"),
        ("price", [0.5, 2000.0, 0.5], "dense", "numbers 0.5 to 2,000: scaled"),
        ("delta", [-3, 4, -3], "dense", "numbers -3 to 4"),
        ("spend", [0, 100, 0], "dense", "numbers 0 to 100"),
        ("item_id", [3, 9, 3], "sparse", "ids 3 to 9, 2 different ones"),
        ("itemId", [3, 90, 3], "sparse", "ids 3 to 90, 2 different ones"),
        ("user_id", [3, 9, 4], "sparse", "ids 3 to 9, 3 different ones"),
        ("hour", [0, 1, 2, 1], "sparse", "integers 0 to 2, 3 different ones: taken for categories"),
        ("flag", [True, False, True], "sparse", "integers 0 to 1, 2 different ones"),
        ("liked", [[1, 2], [3], []], "sequence", "lists of up to 2 ids 1 to 3"),
        ("liked", ["0|2", "3", ""], "sequence", "id 0 is padding"),
        ("vector", [[0.5, 1.0], [2.0, 3.0]], "dense", "2 numbers a row"),
        ("city", ["a", "b", "a"], "sparse", "text, 2 different values"),
        ("price", [0.5, None, 1.5], "dense", "1 of 3 values missing"),
        ("item_id", [-1, 2, 2], "sparse", "not all from 0 on"),
        ("user_id", [-1, 2, 2], "sparse", "not all from 0 on"),
        ("item_id", [1, 4_000_000_000, 1], "sparse", "2 ids, but up to 4,000,000,000"),
        ("vectors", [[0.5], [2.0, 3.0]], "later", "no feature takes"),
        ("tags", [["a"], ["b"]], "later", "no feature takes"),
        ("item", ["a|b", "b|a", "a", "b", "a|b|a"], "sequence", "lists separated by |"),
        ("item_id", [3, None, 4, 3], "sparse", "1 of 4 values missing, 2 different ones"),
        ("request", ["x", "y", "z"], "left out", "another text in every row"),
        ("row_id", [1, 2, 3], "left out", "another value in every row"),
        ("version", [4, 4, 4], "left out", "one value only"),
        ("weight", [0.5, 0.5], "left out", "one value only"),
        ("nothing", [None, None], "left out", "no value"),
        ("timestamp", [1_700_000_000, 1_700_000_001], "sparse", "it can split too"),
        ("level", [-1, 0, 1, 2, -1], "sparse", "integers -1 to 2, 4 different ones"),
        ("sku", [1_000_000, 1_000_001, 1_000_000], "sparse", "taken for categories"),
        ("rate", [0.5, float("inf"), 1.0], "later", "1 infinite values"),
        ("seen", ["[1, -1]", "[]", "[2]"], "sequence", "lists in brackets"),
        ("time_zone", ["CET", "UTC", "CET"], "sparse", "text, 2 different values"),
        ("liked", [[-1, 2], [3]], "sequence", "lists of up to 2 ids -1 to 3"),
        ("log_date", ["2024-01-01", "2024-01-02"], "sparse", "dates as text, without a time"),
        ("rating", [1, 2, 1], "left out", "called like a label"),
    ],
)
def test_guesses(name, values, role, why):
    found = guessed(name, values)
    assert found.role == role
    assert why in found.why


def test_the_vocabulary_ends_at_the_largest_id():
    assert guessed("item_id", [3, 9, 3]).arguments["vocab_size"] == 10
    assert guessed("liked", [[1, 2], [3]]).arguments["vocab_size"] == 4
    assert guessed("liked", [[1] * 80]).arguments["max_len"] == 50
    assert guessed("vector", [[0.5, 1.0], [2.0, 3.0]]).arguments == {"input_dim": 2}


@pytest.mark.parametrize(
    ("history", "item", "shared"),
    [
        ("hist_movie_id", "movie_id", True),
        ("item_seq", "item_id", True),
        ("liked", "item_id", False),
        ("user_history", "user_id", False),
    ],
)
def test_a_history_shares_the_table_of_its_item(history, item, shared):
    guesses = [guessed(history, [[1, 2], [3]]), guessed(item, [3, 9, 3])]
    pairs = share_tables(guesses)
    assert bool(pairs) == shared
    assert guesses[0].arguments.get("embedding_name") == (item if shared else None)


def test_parts_of_a_moment_are_features():
    found = guessed("timestamp", [1_700_000_000, 1_700_003_700])
    assert found.learn == ("datetime", {"parts": ["hour", "weekday"]})
    sizes = {name: each["vocab_size"] for name, each in found.features()}
    assert sizes == {"timestamp_hour": 26, "timestamp_weekday": 9}


def test_learned_vocabularies_have_the_size_that_was_counted():
    rare = [f"s{i}" for i in range(1200)] + ["a"] * 300
    assert guessed("city", rare).learn == ("sparse", {"min_frequency": 2})
    assert guessed("city", rare).arguments["vocab_size"] == 3
    tags = guessed("tags", ["a|b", "b|c", "a|b|c", "b", "c|a", "a|c", "b|a"])
    assert tags.arguments == {"vocab_size": 5, "embedding_dim": 16, "max_len": 3}
    assert tags.learn == ("sequence", {"separator": "|", "max_len": 3})


def test_a_learned_history_shares_the_vocabulary_of_its_item():
    guesses = [guessed("item_hist", [[0, 1], [9, 0]]), guessed("item_id", [-1, 2, 1, -1])]
    share_tables(guesses)
    assert [each.learn[1]["vocabulary"] for each in guesses] == ["item_id", "item_id"]
    assert [each.arguments["vocab_size"] for each in guesses] == [7, 7]  # -1, 0, 1, 2, 9
