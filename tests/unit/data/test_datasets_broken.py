"""What is absent, broken or different is told with its file, place and value."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pandas as pd
import pytest

from nextrec.data.datasets import (
    DATASETS,
    describe,
    load,
    load_adult,
    load_amazon_reviews,
    load_avazu,
    load_census_income,
    load_criteo,
    load_diginetica,
    load_frappe,
    load_movielens_1m,
    load_movielens_100k,
    movielens_1m_ctr,
)
from nextrec.data.datasets.describe import LOADERS
from nextrec.errors import ConfigError, DataError

GOOD = "1\t2\t3\t881250949\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1\t2\t6\t881250949", r"line 2: `rating` must be one of 1, 2, 3, 4, 5; got 6"),
        ("1\ttwo\t3\t881250949", r"line 2: `movie_id` must be an integer; got 'two'"),
        ("1\t0x1f\t3\t881250949", r"line 2: `movie_id` must be an integer; got '0x1f'"),
        ("1\t2.5\t3\t881250949", r"line 2: `movie_id` must be an integer; got '2.5'"),
        ("\t2\t3\t881250949", r"line 2: `user_id` must be an integer; got None"),
        ("1\t2\t3", r"can't be read as text: .*Row #2.*Expected 4 columns, got 3"),
        ("99999999999999999999\t2\t3\t1", r"column 'user_id' must hold an integer"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, told):
    (tmp_path / "u.data").write_text(GOOD + line + "\n" + GOOD)
    with pytest.raises(DataError, match=told) as error:
        load_movielens_100k(tmp_path, check="off")
    assert str(tmp_path / "u.data") in str(error.value)


def test_an_empty_file(tmp_path):
    (tmp_path / "u.data").touch()
    with pytest.raises(DataError, match=r"u\.data' can't be read as text: Empty CSV file"):
        load_movielens_100k(tmp_path)


def test_a_csv_lacks_a_column(tmp_path):
    (tmp_path / "ratings.csv").write_text("user_id,movie_id,ratin,timestamp\n1,2,3,4\n")
    told = r"ratings\.csv' lacks 1 column\(s\): 'rating' \(Did you mean 'ratin'\?\)"
    with pytest.raises(DataError, match=told):
        load("movielens-small", tmp_path)


def test_a_csv_names_its_line(tmp_path):
    (tmp_path / "ratings.csv").write_text("user_id,movie_id,rating,timestamp\n1,2,3,4\n1,2,3.3,4\n")
    with pytest.raises(DataError, match=r"line 3: `rating` must be one of 0\.5, 1, .* got 3\.3"):
        load("movielens-small", tmp_path)


def test_a_parquet_names_its_row(tmp_path):
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "rating": [1, 9]})
    frame.to_parquet(tmp_path / "ratings.parquet")
    with pytest.raises(DataError, match=r"ratings\.parquet', row 1: `rating` must be one of"):
        load_movielens_1m(tmp_path)
    frame.assign(rating=[1.0, 2.5]).to_parquet(tmp_path / "ratings.parquet")
    with pytest.raises(DataError, match=r"column 'rating' must hold an integer in each row"):
        load_movielens_1m(tmp_path)


def test_a_parquet_cut_short(tmp_path):
    pd.DataFrame({"items": [[1, 2]] * 100}).to_parquet(tmp_path / "train.parquet")
    whole = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train\.parquet' can't be read as parquet"):
        load_diginetica(tmp_path)


def test_a_gzip_cut_short(tmp_path):
    whole = gzip.compress(b"38, Private\n" * 1000)
    (tmp_path / "census-income.data.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"census-income\.data\.gz' can't be read"):
        load_census_income(tmp_path)


def test_census_rows_have_42_fields(tmp_path):
    (tmp_path / "census-income.data").write_text("38, Private, 6\n")
    with pytest.raises(DataError, match="Expected 42 columns, got 3"):
        load_census_income(tmp_path)


@pytest.mark.parametrize(("header", "line"), [("", 1), ("|1x3 Cross validator\n", 2)])
def test_an_unknown_income(tmp_path, header, line):
    row = "25, Private, 1, 11th, 7, Divorced, ?, Wife, Black, Male, 0, 0, 40, Cuba, 50K"
    (tmp_path / "adult.test").write_text(f"{header}{row}\n")
    with pytest.raises(DataError, match=rf"line {line}: `income` must be one of <=50K.* got '50K'"):
        load_adult(tmp_path)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("98:2", r"line 2: `user` must be a number and its value 1, as in 98:1; got '98:2'"),
        ("98", r"line 2: `user` must be a number and its value 1, as in 98:1; got '98'"),
        ("98:1 7:1", r"Expected 11 columns, got 12"),
    ],
)
def test_a_wrong_libfm_field(tmp_path, field, told):
    rest = " ".join(f"{each}:1" for each in range(9))
    (tmp_path / "train.libfm").write_text(f"1 3:1 {rest}\n-1 {field} {rest}\n")
    with pytest.raises(DataError, match=told):
        load_frappe(tmp_path)


def test_a_wrong_libfm_label(tmp_path):
    rest = " ".join(f"{each}:1" for each in range(10))
    (tmp_path / "train.libfm").write_text(f"2 {rest}\n")
    with pytest.raises(DataError, match=r"line 1: `label` must be 1, 0 or -1; got '2'"):
        load_frappe(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 2 3\n4\n", r"line 2: `items` must be a key and the integers .* got '4'"),
        ("1 2 x\n", r"line 1: `items` must be .* got '1 2 x'"),
        ("", r"got 'an empty file'"),
        ("1 2\n\n3 4\n", r"line 2: `items`"),
        ("1 2\n1 3\n", r"user 1 has several lines"),
    ],
)
def test_wrong_sequences(tmp_path, text, told):
    (tmp_path / "sequences.txt").write_text(text)
    with pytest.raises(DataError, match=told):
        load_amazon_reviews(tmp_path)


def test_reviews_that_lack_a_field(tmp_path):
    (tmp_path / "Beauty_5.json").write_text('{"reviewerID": "A", "overall": 5}\n')
    with pytest.raises(DataError, match=r"line 1: `item_id` must be text; got None"):
        load_amazon_reviews(tmp_path)
    (tmp_path / "Beauty_5.json").write_text('{"reviewerID": "A"\n')
    with pytest.raises(DataError, match=r"can't be read as JSON lines"):
        load_amazon_reviews(tmp_path)


def test_attributes_that_are_no_lists(tmp_path):
    (tmp_path / "sequences.txt").write_text("1 2\n")
    (tmp_path / "item_attributes.json").write_text('{"a": [1]}')
    with pytest.raises(DataError, match=r"item_attributes\.json' can't be read as a JSON object"):
        load_amazon_reviews(tmp_path)


def criteo(label: str = "1", count: str = "1") -> str:
    return "\t".join([label, count, *["3"] * 12, *["05db9164"] * 26]) + "\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1\t2\n", r"a row must have 40 fields with tabs between .* got 2"),
        (criteo() + "1\t2\n", r"can't be read as text: .*Expected 40 columns, got 2"),
        (criteo() + criteo(label="2"), r"line 2: `label` must be one of 0, 1; got 2"),
        (criteo(count="many"), r"line 1: `I1` must be a number; got 'many'"),
        (criteo(count="nan"), r"line 1: `I1` must be a number; got 'nan'"),
    ],
)
def test_criteo_of_another_layout(tmp_path, text, told):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(DataError, match=told):
        load_criteo(tmp_path)


def test_a_wrong_line_beyond_the_start_is_found_by_reading(tmp_path):
    (tmp_path / "train.txt").write_text(criteo() * 200 + criteo(label="7"))
    files = load_criteo(tmp_path)["train"]
    assert len(files.read(rows=200)) == 200
    with pytest.raises(DataError, match=r"line 201: `label` must be one of 0, 1; got 7"):
        files.read()
    with pytest.raises(ConfigError, match=r"`rows` must be an integer of at least 0.* got -1"):
        files.read(rows=-1)


def test_avazu_of_another_layout(tmp_path):
    (tmp_path / "train.csv").write_text("id,click,hour\n1,0,14102100\n")
    with pytest.raises(DataError, match=r"the columns must be id, click, hour, C1, .* got 3"):
        load_avazu(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(0,1)\t5\n(1;2)\t5\n", r"line 2: `negatives` must be \(user,item\) and negatives"),
        ("(0,0)\t5\n", r"`negatives` must be a number from 0 to 1, .* got 5"),
        ("(0,1)\t0\n", r"a held-out movie is not among its user's ratings"),
        ("(3,0)\t0\n", r"`user` must be a number from 0 to 1, .* got 3"),
    ],
)
def test_a_wrong_ncf_test(tmp_path, text, told):
    (tmp_path / "ratings.dat").write_text("1::1::5::978300760\n2::2::5::978300760\n")
    (tmp_path / "ml-1m.test.negative").write_text(text)
    with pytest.raises(DataError, match=told):
        load_movielens_1m(tmp_path, check="off")


@pytest.mark.parametrize("name", list(DATASETS))
def test_an_empty_folder_tells_what_was_looked_for_and_where_it_is(tmp_path, name):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError) as error:
        load(name, tmp_path)
    told = str(error.value)
    description = describe(name)
    for layout in description.layouts:
        for table in layout:
            assert description.table(table).files[-1].format(category="*") in told
    assert "The folder holds notes.md." in told
    assert description.source in told


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"frappe: no such folder .* Get the files from"):
        load("frappe", tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"frappe: `folder` must be a folder .* got None"):
        load("frappe")


def test_an_unknown_name_or_option(tmp_path):
    with pytest.raises(ConfigError, match=r"got 'movielens-10m'. Did you mean 'movielens-1m'"):
        load("movielens-10m", tmp_path)
    with pytest.raises(ConfigError, match=r"`check` must be one of strict, warn, off; got 'warm'"):
        load("movielens-small", check="warm")
    with pytest.raises(ConfigError, match=r"`check` must be one of"):
        load_movielens_100k(_one_rating(tmp_path), check="warm")


def _one_rating(folder: Path) -> Path:
    (folder / "u.data").write_text(GOOD)
    return folder


DIFFERENCES = (
    "ratings: rows 1, published 100,000",
    "ratings: distinct user_id 1, published 943",
    "ratings: distinct movie_id 1, published 1,682",
)


def test_a_subset_is_logged_refused_or_not_looked_at(tmp_path, caplog):
    _one_rating(tmp_path)
    with caplog.at_level(logging.WARNING, logger="nextrec"):
        assert load_movielens_100k(tmp_path).differences == DIFFERENCES
    assert "movielens-100k is not the whole published set: ratings: rows 1" in caplog.text
    caplog.clear()
    assert load_movielens_100k(tmp_path, check="off").differences == ()
    assert not caplog.text
    with pytest.raises(DataError, match="ratings: rows 1, published 100,000; ratings: distinct"):
        load_movielens_100k(tmp_path, check="strict")


def test_a_part_that_is_absent_is_a_difference(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1::5::978300760\n")
    data = load_movielens_1m(tmp_path)
    assert data.differences[:2] == ("no table 'users'", "no table 'movies'")
    with pytest.raises(ConfigError, match=r"`table` must be one of ratings; got 'users'"):
        data["users"]
    with pytest.raises(DataError, match=r"needs the table 'users' \(users.dat, .*grouplens"):
        movielens_1m_ctr(tmp_path)


def test_large_streams_are_counted_only_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("nextrec.data.datasets.dataset.COUNTED_BYTES", 10)
    (tmp_path / "train.txt").write_text(criteo())
    assert load_criteo(tmp_path).differences == ()
    with pytest.raises(DataError, match="train: rows 1, published 45,840,617"):
        load_criteo(tmp_path, check="strict")


def test_every_description_is_whole():
    for name in DATASETS:
        each = describe(name)
        assert each.name in LOADERS
        tables = {table.name: table for table in each.tables}
        assert len(tables) == len(each.tables)
        assert {table for layout in each.layouts for table in layout} <= tables.keys()
        for text in (each.what, each.task, each.licence, each.citation, each.source):
            assert text
            assert "\n" not in text
        for count in each.counts:
            columns = {column.name for column in tables[count.table].columns}
            assert count.column is None or count.column in columns, count
        for table in each.tables:
            names = [column.name for column in table.columns]
            assert len(set(names)) == len(names)
            assert all(column.meaning for column in table.columns)
