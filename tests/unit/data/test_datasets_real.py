"""The loaders on the real files beside the project, with the counts that were published."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nextrec.data.datasets import (
    count,
    frappe_ctr,
    leave_one_out,
    load,
    load_movielens_1m,
    load_movielens_small,
    movielens_1m_ctr,
)

WHOLE = {
    "movielens-100k": "ml-100k",
    "movielens-1m": "ml-1m",
    "movielens-small": "ml-latest-small",
    "frappe": "frappe",
    "adult": "census-income",
    "diginetica": "diginetica",
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_published_count(shared_data, name):
    data = load(name, shared_data / WHOLE[name], check="strict")
    found = count(data.description, data.tables)
    published = {each.label: each.number for each in data.description.counts}
    assert found
    assert found == {label: published[label] for label in found}


def test_amazon_beauty(shared_data):
    data = load("amazon-reviews", shared_data / "amazon-beauty", "strict", category="Beauty")
    lengths = data["sequences"]["items"].str.len()
    assert (len(lengths), lengths.sum(), lengths.min()) == (22_363, 198_502, 5)
    items = np.concatenate(data["sequences"]["items"].to_numpy())
    assert set(items) == set(data["attributes"]["item_id"])
    task = leave_one_out(data)
    assert [len(part) for part in task[:3]] == [22_363] * 3
    assert task.schema.vocab_sizes["item"] == 12_101 + 2


def test_census_income_test_half(shared_data):
    data = load("census-income", shared_data / "census-income")
    assert data.differences == ("no table 'train'",)
    frame = data["test"]
    # The documentation gives the number of distinct values, and the share of either income.
    assert frame.shape == (99_762, 43)
    assert frame["income"].sum() == 6_186
    assert round(100 * frame["income"].mean(), 1) == 6.2
    assert (frame["marital_status"] == "Never married").sum() == frame["never_married"].sum()
    assert frame["year"].unique().tolist() == ["95", "94"]
    assert frame["age"].between(0, 90).all()
    missing = frame.columns[frame.isna().any()]
    assert set(missing) == {
        "migration_change_in_msa",
        "migration_change_in_region",
        "migration_within_region",
        "previous_residence_in_sunbelt",
        "country_of_birth_father",
        "country_of_birth_mother",
        "country_of_birth_self",
        "state_of_previous_residence",
    }
    documented = {
        "class_of_worker": 9,
        "education": 17,
        "marital_status": 7,
        "major_industry_code": 24,
        "race": 5,
        "sex": 2,
        "employment_status": 8,
        "household_summary": 8,
        "citizenship": 5,
        "veterans_benefits": 3,
        "weeks_worked_in_year": 53,
    }
    assert frame[list(documented)].nunique().to_dict() == documented


def test_criteo_rows(shared_data):
    data = load("criteo", shared_data / "criteo-8k")
    rows = {name: files.count_rows() for name, files in data.tables.items()}
    assert rows == {"train": 7_200, "valid": 409, "test": 391}
    train = data.frame("train")
    assert train.shape == (7_200, 40)
    assert train["C1"].str.fullmatch("[0-9a-f]{8}").all()
    assert train["I2"].min() < 0
    source = data["train"].source()
    labels = source.read(["label"])["label"].to_pylist()
    assert labels == train["label"].tolist()


def test_avazu_rows(shared_data):
    data = load("avazu", shared_data / "avazu-9k")
    frames = {name: data.frame(name) for name in data.tables}
    assert {name: len(frame) for name, frame in frames.items()} == {
        "train": 8_087,
        "valid": 480,
        "test": 432,
    }
    for frame in frames.values():
        assert frame["time"].unique().tolist() == [pd.Timestamp("2014-10-21")]
        assert frame["id"].str.fullmatch(r"\d{13,20}").all()
    assert frames["train"]["id"].is_unique


def test_official_split_of_100k_holds_out_ten_of_each_user(shared_data):
    data = load("movielens-100k", shared_data / "ml-100k")
    assert set(data["ua_test"].groupby("user_id").size()) == {10}
    joined = pd.concat([data["ua_base"], data["ua_test"]])
    keys = ["user_id", "movie_id"]
    assert len(joined.merge(data["ratings"], on=[*keys, "rating", "timestamp"])) == 100_000
    movies = data["movies"]
    assert movies["year"].isna().sum() == 1
    assert movies["genres"].str.len().between(1, 6).all()


@pytest.fixture(scope="module")
def ml_1m(shared_data):
    return load_movielens_1m(shared_data / "ml-1m")


def test_ncf_test_is_of_the_ratings(ml_1m):
    test = ml_1m["ncf_test"]
    keys = ["user_id", "movie_id"]
    assert len(test.merge(ml_1m["ratings"], on=keys)) == len(test) == 6_040
    assert set(test["negatives"].str.len()) == {99}
    negatives = np.concatenate(test["negatives"].to_numpy())
    pairs = pd.DataFrame({"user_id": np.repeat(test["user_id"], 99), "movie_id": negatives})
    # The one rated movie that a negative may be is the held-out movie itself.
    assert len(pairs.merge(ml_1m["ratings"], on=keys)) == 156
    assert len(pairs.merge(test[keys], on=keys)) == 156


def test_leave_one_out_is_that_of_the_prepared_sequences(ml_1m, shared_data):
    task = leave_one_out(ml_1m, max_len=3)
    prepared = pq.read_table(shared_data / "ml-1m" / "sequences.parquet").to_pandas()
    assert task.test["user_id"].tolist() == (prepared["user_id"] + 1).tolist()
    assert task.test["item"].tolist() == [each[-1] + 2 for each in prepared["items"]]
    assert task.valid["item"].tolist() == [each[-2] + 2 for each in prepared["items"]]
    assert task.train["item"].tolist() == [each[-3] + 2 for each in prepared["items"]]
    histories = [(each[-4:-1] + 2).tolist() for each in prepared["items"]]
    assert [each.tolist() for each in task.test["history"]] == histories


def test_ml_1m_as_clicks_has_the_published_sizes(shared_data):
    task = movielens_1m_ctr(shared_data / "ml-1m")
    assert [len(part) for part in task[:3]] == [591_209, 73_901, 73_902]
    assert task.train["label"].mean() == pytest.approx(0.778, abs=2e-3)
    assert task.schema.vocab_sizes["user"] <= 6_042
    assert (task.train[["user", "movie"]] > 1).all(axis=None)


def test_frappe_has_the_published_tokens(shared_data):
    task = frappe_ctr(shared_data / "frappe")
    data = load("frappe", shared_data / "frappe")
    fields = list(task.schema.vocabularies)
    tokens = pd.concat([data[part][fields] for part in data.tables])
    assert len(np.unique(tokens.to_numpy())) == 5_382
    assert (tokens["user"].nunique(), tokens["item"].nunique()) == (957, 4_082)


def test_bundled_small_is_the_published_one(shared_data):
    ours, theirs = load_movielens_small(), load_movielens_small(shared_data / "ml-latest-small")
    pd.testing.assert_frame_equal(ours.ratings, theirs.ratings)
    pd.testing.assert_frame_equal(ours.movies, theirs.movies)
