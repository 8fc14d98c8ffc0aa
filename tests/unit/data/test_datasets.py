"""The bundled ratings, the quickstart's task made from them, and its baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from nextrec.data.datasets import bias_baseline, load_movielens_small, movielens_small_ctr
from nextrec.errors import ConfigError
from nextrec.features import PADDING_ID, UNKNOWN_ID


@pytest.fixture(scope="module")
def task():
    return movielens_small_ctr()


def test_counts_are_the_published_ones():
    ratings, movies = load_movielens_small()
    assert ratings.shape == (100836, 4)
    assert ratings["user_id"].nunique() == 610
    assert ratings["movie_id"].nunique() == 9724
    assert len(movies) == movies["movie_id"].nunique() == 9742
    assert set(ratings["rating"].unique()) == set(np.arange(1, 11) / 2)


def test_bundle_equals_the_published_files(shared_data):
    folder = shared_data / "ml-latest-small"
    ratings, movies = load_movielens_small()
    published = pd.read_csv(folder / "ratings.csv").rename(columns={"item_id": "movie_id"})
    pd.testing.assert_frame_equal(ratings, published, check_dtype=False)
    published = pd.read_csv(folder / "movies.csv")
    assert movies["movie_id"].tolist() == published["item_id"].tolist()
    assert movies["title"].tolist() == published["title"].tolist()
    joined = ["|".join(names) or "(no genres listed)" for names in movies["genres"]]
    assert joined == published["genres"].tolist()


def test_terms_of_use_travel_with_the_data():
    from nextrec.data.datasets.movielens import BUNDLED

    terms = (BUNDLED / "README.txt").read_text(encoding="utf-8")
    assert "commercial" in terms
    assert "Harper and Joseph A. Konstan" in terms


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995),
        ("Death Note: Desu nôto (2006\u20132007)", 2006),
        ("2001: A Space Odyssey (1968)", 1968),
        ("Black Mirror", None),
    ],
)
def test_year_is_the_last_bracket_of_the_title(title, year):
    movies = load_movielens_small().movies
    found = movies.loc[movies["title"] == title, "year"].item()
    assert found == year if year is not None else pd.isna(found)


def test_movies_without_genres_have_an_empty_list():
    movies = load_movielens_small().movies
    assert (movies["genres"].str.len() == 0).sum() == 34


def test_each_users_first_80_percent_train(task):
    ratings = load_movielens_small().ratings
    for user in (1, 53, 414):
        events = ratings[ratings["user_id"] == user]
        pairs = zip(events["timestamp"], events["movie_id"], strict=True)
        # Python's sort is stable: events of one second stay in file order.
        movies = [movie for _, movie in sorted(pairs, key=lambda pair: pair[0])]
        cut = int(0.8 * len(movies))
        train, test = (each[each["user_id"] == user] for each in task[:2])
        assert train["movie_id"].tolist() == movies[:cut]
        assert test["movie_id"].tolist() == movies[cut:]


def test_label_is_four_stars(task):
    for frame in task[:2]:
        assert set(frame["label"].unique()) == {0.0, 1.0}
        assert frame.loc[frame["label"] == 1, "rating"].min() == 4.0
        assert frame.loc[frame["label"] == 0, "rating"].max() == 3.5


@pytest.mark.parametrize("history_len", [1, 20])
def test_history_is_the_last_likes_of_strictly_earlier_seconds(history_len):
    task = movielens_small_ctr(history_len)
    events = pd.concat(task[:2])
    checked = 0
    for user in (1, 53, 298, 609):
        rows = events[events["user_id"] == user].sort_values("timestamp", kind="stable")
        for _, row in rows.iterrows():
            before = rows[(rows["timestamp"] < row["timestamp"]) & (rows["rating"] >= 4)]
            assert row["history"].tolist() == before["movie"].tolist()[-history_len:]
            checked += len(before) > 0
    assert checked > 500


def test_ids_come_from_train_rows_alone(task):
    train, test, schema = task
    sizes = schema.vocab_sizes
    for name in ("user", "movie", "year"):
        assert train[name].max() == sizes[name] - 1
        assert test[name].max() < sizes[name]
        assert min(train[name].min(), test[name].min()) >= UNKNOWN_ID
    unseen = ~test["movie_id"].isin(train["movie_id"])
    assert unseen.any()
    np.testing.assert_array_equal(test["movie"] == UNKNOWN_ID, unseen)
    tokens = schema.vocabularies["movie"]
    np.testing.assert_array_equal(tokens[train["movie"] - 2], train["movie_id"])
    assert UNKNOWN_ID not in train[["user", "movie"]].to_numpy()


def test_year_and_genres_are_the_movies(task):
    train, _, schema = task
    movies = load_movielens_small().movies.set_index("movie_id")
    for _, row in train.iloc[::4001].iterrows():
        movie = movies.loc[row["movie_id"]]
        names = schema.vocabularies["genres"][row["genres"] - 2]
        assert list(names) == list(movie["genres"])
        assert schema.vocabularies["year"][row["year"] - 2] == movie["year"]
    missing = train["movie_id"].isin(movies.index[movies["year"].isna()])
    assert missing.any()
    assert (train.loc[missing, "year"] == UNKNOWN_ID).all()


def test_features_cover_the_ids_and_share_the_movie_table(task):
    train, test, schema = task
    features = schema.features(embedding_dim=8)
    assert {feature.width for feature in features} == {8}
    assert {f.name for f in features.tables["movie"].features} == {"movie", "history"}
    assert features.tables["movie"].padding_idx == PADDING_ID
    for frame in (train, test):
        assert set(features.names) <= set(frame.columns)
        for feature in features.sparse:
            assert frame[feature.name].max() < feature.vocab_size
        for feature in features.sequence:
            ids = np.concatenate(frame[feature.name].to_numpy())
            assert ids.min() > PADDING_ID
            assert ids.max() < feature.vocab_size
            assert frame[feature.name].str.len().max() <= feature.max_len
    assert train["history"].str.len().max() == 20


def test_history_len_must_be_positive():
    with pytest.raises(ConfigError, match=r"`history_len` must be .* got 0"):
        movielens_small_ctr(0)


def test_baseline_is_its_formula():
    train = pd.DataFrame(
        {"user": [2, 2, 3, 3, 3], "movie": [2, 3, 2, 3, 4], "label": [1, 0, 1, 1, 0]}
    )
    test = pd.DataFrame({"user": [2, 3, 9], "movie": [4, 1, 2]})
    mu, shrinkage = 3 / 5, 2.0
    movie = {2: (2 - 2 * mu) / (2 + 2), 3: (1 - 2 * mu) / (2 + 2), 4: (0 - mu) / (1 + 2)}
    left = train["label"] - mu - train["movie"].map(movie)
    user = {u: left[train["user"] == u].sum() / ((train["user"] == u).sum() + 2) for u in (2, 3)}
    expected = [mu + movie[4] + user[2], mu + user[3], mu + movie[2]]
    np.testing.assert_allclose(bias_baseline(train, test, shrinkage), expected, rtol=1e-12)


def test_baseline_stays_a_probability_without_shrinkage():
    train = pd.DataFrame({"user": [2, 3], "movie": [2, 3], "label": [1, 0]})
    test = pd.DataFrame({"user": [2, 3, 1], "movie": [2, 3, 1]})
    np.testing.assert_allclose(bias_baseline(train, test, 0.0, floor=0.1), [0.9, 0.1, 0.5])


def test_baseline_reaches_the_stated_numbers(task):
    train, test, schema = task
    score = bias_baseline(train, test)
    label = test["label"].to_numpy()
    rows = total = 0.0
    for _, group in test.assign(score=score).groupby(schema.user_id_column):
        if group["label"].nunique() == 2:
            rows += len(group)
            total += len(group) * roc_auc_score(group["label"], group["score"])
    assert roc_auc_score(label, score) == pytest.approx(0.765, abs=5e-4)
    assert total / rows == pytest.approx(0.659, abs=5e-4)
    assert log_loss(label, score) == pytest.approx(0.581, abs=5e-4)
