"""Standard tasks, against what a loop makes of the same small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.datasets import (
    diginetica_sessions,
    frappe_ctr,
    leave_one_out,
    load_amazon_reviews,
    movielens_1m_ctr,
)
from nextrec.errors import ConfigError, DataError
from nextrec.features import UNKNOWN_ID

USERS, MOVIES = 12, 15


@pytest.fixture(scope="module")
def ml_1m(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ml-1m")
    rng = np.random.default_rng(0)
    lines = {
        "ratings.dat": [
            f"{user}::{movie}::{rng.integers(1, 6)}::{rng.integers(1000)}"
            for user in range(1, USERS + 1)
            for movie in rng.permutation(np.arange(1, MOVIES + 1))[:8]
        ],
        # The last user and the last movie are not described.
        "users.dat": [
            f"{user}::{'FM'[user % 2]}::25::{user % 3}::01234" for user in range(1, USERS)
        ],
        "movies.dat": [
            f"{movie}::Film {movie} ({1960 + 3 * movie})::{'Drama|War' if movie % 2 else 'Comedy'}"
            for movie in range(1, MOVIES)
        ],
    }
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n")
    return folder


def test_ml_1m_labels_split_and_ids(ml_1m):
    task = movielens_1m_ctr(ml_1m, seed=3, check="off")
    ratings = [line.split("::") for line in (ml_1m / "ratings.dat").read_text().splitlines()]
    kept = {(int(u), int(m)): int(r) for u, m, r, _ in ratings if r != "3"}
    rows = pd.concat(task[:3])
    pairs = [tuple(pair) for pair in rows[["user_id", "movie_id"]].to_numpy().tolist()]
    assert sorted(pairs) == sorted(kept)  # every row once
    assert [kept[pair] for pair in pairs] == rows["rating"].tolist()
    assert rows["label"].tolist() == [float(kept[pair] >= 4) for pair in pairs]
    size = len(kept)
    assert [len(part) for part in task[:3]] == [
        int(0.8 * size),
        int(0.1 * size),
        size - int(0.8 * size) - int(0.1 * size),
    ]
    vocabularies = task.schema.vocabularies
    train = task.train
    assert vocabularies["user"].tolist() == sorted(train["user_id"].unique())
    for row in rows.itertuples():
        assert row.user == _id(vocabularies["user"], row.user_id)
        assert row.movie == _id(vocabularies["movie"], row.movie_id)
        known = row.movie_id < MOVIES
        year = 1960 + 3 * row.movie_id
        assert row.decade == (_id(vocabularies["decade"], year // 10 * 10) if known else UNKNOWN_ID)
        genres = ["Drama", "War"] if row.movie_id % 2 else ["Comedy"]
        ids = [_id(vocabularies["genres"], genre) for genre in genres if known]
        assert row.genres.tolist() == ids
        gender = "FM"[row.user_id % 2]
        assert row.gender == (
            _id(vocabularies["gender"], gender) if row.user_id < USERS else UNKNOWN_ID
        )


def _id(vocabulary: pd.Index, token: object) -> int:
    tokens = vocabulary.tolist()
    return tokens.index(token) + 2 if token in tokens else UNKNOWN_ID


def test_ml_1m_seed_says_which_rows(ml_1m):
    one, same, other = (movielens_1m_ctr(ml_1m, seed, check="off").test for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, same)
    assert one["movie_id"].tolist() != other["movie_id"].tolist()


def test_ml_1m_features_hold_every_id(ml_1m):
    task = movielens_1m_ctr(ml_1m, check="off")
    features = task.schema.features(embedding_dim=8)
    assert {feature.width for feature in features} == {8}
    assert [feature.name for feature in features.sequence] == ["genres"]
    for part in task[:3]:
        for feature in features.sparse:
            assert part[feature.name].between(UNKNOWN_ID, feature.vocab_size - 1).all()
        assert part["genres"].str.len().max() <= features["genres"].max_len


def test_frappe(tmp_path):
    names = "label,user,item,daytime,weekday,isweekend,homework,cost,weather,country,city"
    rows = {
        "train": [[1, 5, 9, *range(10, 18)], [0, 3, 8, *range(10, 18)]],
        "valid": [[1, 5, 7, *range(10, 18)]],
        "test": [[0, 4, 9, *range(11, 19)]],
    }
    for part, values in rows.items():
        frame = pd.DataFrame(values, columns=names.split(","))
        frame.to_parquet(tmp_path / f"{part}.parquet")
    train, valid, test, schema = frappe_ctr(tmp_path)
    assert train[["label", "user", "item", "user_id"]].to_numpy().tolist() == [
        [1, 3, 3, 5],
        [0, 2, 2, 3],
    ]
    assert valid[["user", "item", "daytime"]].to_numpy().tolist() == [[3, UNKNOWN_ID, 2]]
    assert test[["user", "item", "daytime", "user_id"]].to_numpy().tolist() == [[1, 3, 1, 4]]
    assert train["label"].dtype == np.float32
    assert schema.vocab_sizes["user"] == 4
    assert len(schema.features().sparse) == 10
    (tmp_path / "valid.parquet").unlink()
    with pytest.raises(DataError, match=r"this needs the table 'valid' \(frappe.validation.libfm"):
        frappe_ctr(tmp_path)


events = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), min_size=2, max_size=30
)


@settings(deadline=None)
@given(events, st.integers(1, 4), st.sampled_from(["user", "event"]))
def test_leave_one_out_is_the_loop(rows, max_len, train_rows):
    frame = pd.DataFrame(rows, columns=["who", "what", "when"])
    expected = {"train": [], "valid": [], "test": []}
    items = sorted(frame["what"].unique())

    def add(part: str, user: int, history: list[int]) -> None:
        ids = [items.index(each) + 2 for each in history]
        expected[part].append((user, ids[:-1][-max_len:], ids[-1]))

    for user in sorted(frame["who"].unique()):
        # sorted is stable: events of one time stay in the order of the table
        own = [what for who, what, _ in sorted(rows, key=lambda row: row[2]) if who == user]
        trained = own[:-2] if len(own) >= 3 else own
        stops = range(2, len(trained) + 1) if train_rows == "event" else [len(trained)]
        for stop in stops:
            if stop >= 2:
                add("train", user, trained[:stop])
        if len(own) >= 3:
            add("valid", user, own[:-1])
            add("test", user, own)
    options = {"user": "who", "item": "what", "time": "when"}
    if not expected["train"] and not expected["test"]:
        with pytest.raises(DataError, match="no user has two items"):
            leave_one_out(frame, max_len, train_rows, **options)
        return
    task = leave_one_out(frame, max_len, train_rows, **options)
    users = sorted(frame["who"].unique())
    for part, wanted in expected.items():
        found = getattr(task, part)
        assert found.columns.tolist() == ["user", "item", "history", "user_id"]
        columns = zip(found["user_id"], found["history"], found["item"], strict=True)
        assert [(user, history.tolist(), item) for user, history, item in columns] == wanted
        assert found["user"].tolist() == [users.index(user) + 2 for user, _, _ in wanted]


def test_leave_one_out_of_sequences_and_its_features(tmp_path):
    (tmp_path / "sequences.txt").write_text("7 30 10 20 40\n9 10 30\n")
    task = leave_one_out(load_amazon_reviews(tmp_path), max_len=2)
    assert task.train["user_id"].tolist() == [7, 9]
    assert [each.tolist() for each in task.train["history"]] == [[4], [2]]
    assert task.train["item"].tolist() == [2, 4]
    assert task.valid["history"][0].tolist() == [4, 2]
    assert task.test["history"][0].tolist() == [2, 3]
    assert task.test["item"].tolist() == [5]
    features = task.schema.features(embedding_dim=4)
    assert {feature.name for feature in features.tables["item"].features} == {"item", "history"}
    assert features.tables["item"].rows == task.schema.vocab_sizes["item"] == 6
    assert features["history"].max_len == 2


def test_leave_one_out_uses_the_columns_that_a_data_set_names(ml_1m):
    from nextrec.data.datasets import load_movielens_1m

    data = load_movielens_1m(ml_1m, check="off")
    named = leave_one_out(data["ratings"], user="user_id", item="movie_id", time="timestamp")
    for one, other in zip(leave_one_out(data)[:3], named[:3], strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert len(named.test) == USERS


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_len": 0}, "`max_len` must be an integer of at least 1; got 0"),
        ({"train_rows": "users"}, "`train_rows` must be one of user, event.*Did you mean 'user'"),
        ({"time": None}, "`time` must be the name of a column; got None"),
        ({"item": "whta"}, "`item` must be one of who, what, when.*Did you mean 'what'"),
    ],
)
def test_leave_one_out_refuses(options, told):
    frame = pd.DataFrame({"who": [1, 1, 1], "what": [1, 2, 3], "when": [1, 2, 3]})
    with pytest.raises(ConfigError, match=told):
        leave_one_out(frame, **{"user": "who", "item": "what", "time": "when", **options})


def test_leave_one_out_names_a_missing_value():
    frame = pd.DataFrame({"who": [1, 1], "what": [1, None], "when": [1, 2]})
    with pytest.raises(DataError, match="row 1: `what` must be present"):
        leave_one_out(frame, user="who", item="what", time="when")


views = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 4), st.integers(0, 3), st.sampled_from(range(1, 10))
    ),
    max_size=60,
)


@settings(deadline=None)
@given(views, st.integers(1, 4))
def test_sessions_are_the_loop(rows, min_views):
    names = ["session_id", "item_id", "timeframe", "day"]
    frame = pd.DataFrame(rows, columns=names).astype("int64")
    frame["event_date"] = [f"2016-05-0{day}" for day in frame["day"]]
    sessions: dict[int, list] = {}
    day_of = {}
    for session, item, time, day in rows:
        sessions.setdefault(session, []).append((time, item))
        day_of[session] = day
    sessions = {key: own for key, own in sessions.items() if len(own) > 1}
    seen = [item for own in sessions.values() for _, item in own]
    sessions = {
        key: [view for view in own if seen.count(view[1]) >= min_views]
        for key, own in sessions.items()
    }
    sessions = {key: own for key, own in sessions.items() if len(own) > 1}
    if not sessions:
        with pytest.raises(DataError, match="no session of two views"):
            diginetica_sessions(frame, min_views)
        return
    cut = max(day_of[key] for key in sessions) - 7
    in_order = sorted(sessions, key=lambda key: day_of[key])
    number: dict[int, int] = {}
    train, test = [], []
    for key in in_order:
        items = [item for _, item in sorted(sessions[key], key=lambda view: view[0])]
        if day_of[key] < cut:
            train.append([number.setdefault(item, len(number) + 1) for item in items])
    for key in in_order:
        items = [item for _, item in sorted(sessions[key], key=lambda view: view[0])]
        ids = [number[item] for item in items if item in number]
        if day_of[key] > cut and len(ids) > 1:
            test += [(ids[:-back], ids[-back]) for back in range(1, len(ids))]
    found = diginetica_sessions(frame, min_views)
    assert [each.tolist() for each in found.train["items"]] == train
    pairs = zip(found.test["prefix"], found.test["target"], strict=True)
    assert [(prefix.tolist(), target) for prefix, target in pairs] == test
    assert found.items.tolist() == list(number)


def test_sessions_need_days():
    frame = pd.DataFrame(
        {"session_id": [1, 1], "item_id": [1, 2], "timeframe": [1, 2], "event_date": ["x", None]}
    )
    with pytest.raises(DataError, match=r"row 0: `event_date` must be a day .* got 'x'"):
        diginetica_sessions(frame)
