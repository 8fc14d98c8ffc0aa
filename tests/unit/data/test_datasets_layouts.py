"""Every loader reads every layout of its files, written small by the test."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nextrec.data.datasets import (
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
    load_movielens_small,
    parse_hours,
)
from nextrec.data.datasets.streams import count_lines
from nextrec.errors import DataError


def write(folder: Path, **files: str | bytes) -> Path:
    """Files by name; ``__`` in a name stands for a dot, ``_minus_`` for a hyphen."""
    for name, content in files.items():
        path = folder / name.replace("__", ".").replace("_minus_", "-")
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return folder


ITEM = "{0}|{1}|01-Jan-1995||http://x|" + "0|0|0|1|0|1" + "|0" * 13 + "\n"


@pytest.fixture
def ml_100k(tmp_path):
    return write(
        tmp_path,
        u__data="196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        u__user="196|24|M|technician|05711\n186|53|F|other|94043\n",
        u__item=(ITEM.format(242, "Été (1998)") + ITEM.format(302, "No year")).encode("latin-1"),
        ua__base="196\t242\t3\t881250949\n",
        ua__test="186\t302\t3\t891717742\n",
    )


def test_movielens_100k(ml_100k):
    data = load_movielens_100k(ml_100k)
    assert list(data.tables) == ["ratings", "users", "movies", "ua_base", "ua_test"]
    expected = {"user_id": [196, 186], "movie_id": [242, 302], "rating": [3, 3]}
    expected["timestamp"] = [881250949, 891717742]
    pd.testing.assert_frame_equal(data["ratings"], pd.DataFrame(expected))
    assert data["users"]["zip_code"].tolist() == ["05711", "94043"]  # a code, not a number
    movies = data["movies"]
    assert movies["title"].tolist() == ["Été (1998)", "No year"]
    assert [list(each) for each in movies["genres"]] == [["Animation", "Comedy"]] * 2
    assert movies["year"].tolist() == [1998, pd.NA]
    assert data["ua_test"]["user_id"].tolist() == [186]
    schema = data.schema
    assert (schema.user, schema.item, schema.time) == ("user_id", "movie_id", "timestamp")
    assert schema.labels == ("rating",)
    users = data.schema_of("users")
    assert (users.numeric, users.categorical) == (("age",), ("gender", "occupation", "zip_code"))
    assert users.sparse == ("user_id", "gender", "occupation", "zip_code")


RATINGS = "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n"


@pytest.fixture
def ml_1m(tmp_path):
    negatives = "\t".join(map(str, [1, 0]))
    return write(
        tmp_path,
        ratings__dat=RATINGS,
        users__dat="1::F::1::10::48067\n2::M::56::16::07000\n",
        movies__dat=(
            "1193::Mission: Impossible (1996)::Action|Adventure\n661::Misérables (1995)::Drama\n"
        ).encode("latin-1"),
        **{"ml-1m.test.negative": f"(0,1)\t{negatives}\n(1,0)\t{negatives}\n"},
    )


def test_movielens_1m_original(ml_1m):
    data = load_movielens_1m(ml_1m)
    assert data["ratings"].to_numpy().tolist() == [
        [1, 1193, 5, 978300760],
        [1, 661, 3, 978302109],
        [2, 1193, 4, 978298413],
    ]
    assert data["users"]["zip_code"].tolist() == ["48067", "07000"]
    movies = data["movies"]
    assert movies["title"].tolist() == ["Mission: Impossible (1996)", "Misérables (1995)"]
    assert [list(each) for each in movies["genres"]] == [["Action", "Adventure"], ["Drama"]]


def test_ncf_numbers_are_those_of_first_appearance(ml_1m):
    test = load_movielens_1m(ml_1m)["ncf_test"]
    assert test["user_id"].tolist() == [1, 2]
    assert test["movie_id"].tolist() == [661, 1193]
    assert [each.tolist() for each in test["negatives"]] == [[661, 1193], [661, 1193]]


def test_movielens_1m_parquet_has_positions_for_times(tmp_path):
    columns = {"user_id": [1, 1], "item_id": [5, 6], "rating": [4, 2], "chrono_pos": [1, 0]}
    pd.DataFrame(columns).to_parquet(tmp_path / "ratings.parquet")
    data = load_movielens_1m(tmp_path, check="off")
    assert data["ratings"].columns.tolist() == ["user_id", "movie_id", "rating", "chrono_pos"]
    assert data.schema.time == "chrono_pos"


@pytest.mark.parametrize("header", ["userId,movieId", "user_id,item_id"])
def test_movielens_small_csv(tmp_path, header):
    write(
        tmp_path,
        ratings__csv=f"{header},rating,timestamp\n1,3,0.5,964981247\n1,6,4,964982224\n",
        movies__csv='movieId,title,genres\n3,"A, B (1995)",(no genres listed)\n6,C,Drama|War\n',
    )
    ratings, movies = load_movielens_small(tmp_path, check="off")
    assert ratings["rating"].tolist() == [0.5, 4.0]
    assert movies["title"].tolist() == ["A, B (1995)", "C"]
    assert [list(each) for each in movies["genres"]] == [[], ["Drama", "War"]]


FRAPPE = [[1, *range(10, 20)], [0, *range(20, 30)]]
FRAPPE_NAMES = "label,user,item,daytime,weekday,isweekend,homework,cost,weather,country,city"


def frappe_files(folder: Path, layout: str) -> Path:
    parts = {"train": "train", "valid": "valid", "test": "test"}
    if layout == "libfm":
        parts["valid"] = "validation"
    for part in parts.values():
        if layout in ("libfm", "libsvm"):
            labels = {"libfm": {1: "1", 0: "-1"}, "libsvm": {1: "1.0", 0: "0.0"}}[layout]
            lines = [
                " ".join([labels[row[0]], *(f"{each}:1" for each in row[1:])]) for row in FRAPPE
            ]
            name = f"frappe.{part}.libfm" if layout == "libfm" else f"{part}.libsvm"
            end = " \n" if layout == "libfm" else "\r\n"
            (folder / name).write_bytes("".join(line + end for line in lines).encode())
        else:
            frame = pd.DataFrame(FRAPPE, columns=FRAPPE_NAMES.split(","))
            if layout == "csv":
                frame.to_csv(folder / f"{part}.csv", index=False, lineterminator="\r\n")
            else:
                frame.to_parquet(folder / f"{part}.parquet")
    return folder


@pytest.mark.parametrize("layout", ["libfm", "libsvm", "csv", "parquet"])
def test_frappe(tmp_path, layout):
    data = load_frappe(frappe_files(tmp_path, layout))
    assert list(data.tables) == ["train", "valid", "test"]
    for part in data.tables:
        assert data[part].columns.tolist() == FRAPPE_NAMES.split(",")
        assert data[part].to_numpy().tolist() == FRAPPE
    assert (data.schema.user, data.schema.item) == ("user", "item")
    assert len(data.schema.categorical) == 8


REVIEWS = [
    {"reviewerID": "A1", "asin": "B0", "overall": 5.0, "unixReviewTime": 7, "helpful": [0, 1]},
    {"reviewerID": "A2", "asin": "00012", "overall": 1, "unixReviewTime": 8, "summary": "bad"},
]


@pytest.mark.parametrize("name", ["reviews_Beauty_5.json.gz", "Beauty_5.json"])
def test_amazon_reviews(tmp_path, name):
    write(tmp_path, **{name: "\n".join(map(json.dumps, REVIEWS)) + "\n"})
    data = load_amazon_reviews(tmp_path)
    expected = [["A1", "B0", 5.0, 7], ["A2", "00012", 1.0, 8]]
    assert data["reviews"].to_numpy().tolist() == expected
    assert data.schema.time == "timestamp"
    # The category of a 5-core file is known, and so its counts.
    assert "reviews: rows 2, published 198,502" in data.differences


@pytest.mark.parametrize("header", ["", "user,item,rating,timestamp\n"])
def test_amazon_ratings(tmp_path, header):
    write(tmp_path, ratings_Beauty__csv=header + "A1,0001,5.0,1369699200\nA2,B0,3.0,1355443200\n")
    data = load_amazon_reviews(tmp_path)
    assert data["ratings"]["item_id"].tolist() == ["0001", "B0"]
    assert data["ratings"]["rating"].tolist() == [5.0, 3.0]
    assert data.differences == ()


@pytest.mark.parametrize("end", ["\n", ""])
def test_amazon_sequences(tmp_path, end):
    write(
        tmp_path,
        sequences__txt="1 4 2 3\r\n2 9" + end,
        item_attributes__json='{"4": [1, 2], "9": []}',
    )
    data = load_amazon_reviews(tmp_path, category="Beauty")
    assert data["sequences"]["user_id"].tolist() == [1, 2]
    assert [each.tolist() for each in data["sequences"]["items"]] == [[4, 2, 3], [9]]
    assert [each.tolist() for each in data["attributes"]["attributes"]] == [[1, 2], []]
    assert data.differences == (
        "sequences: rows 2, published 22,363",
        "sequences: distinct items 4, published 12,101",
    )


def test_amazon_sequences_named_after_the_category(tmp_path):
    write(tmp_path, Toys__txt="1 4\n", README__txt="words\n")
    assert len(load_amazon_reviews(tmp_path, "Toys")["sequences"]) == 1


def test_amazon_with_several_categories_needs_one(tmp_path):
    lines = json.dumps(REVIEWS[0])
    write(tmp_path, reviews_A_5__json=lines, reviews_B_5__json=lines * 1 + "\n" + lines)
    with pytest.raises(DataError, match=r"reviews_A_5.json, reviews_B_5.json. Name the `category`"):
        load_amazon_reviews(tmp_path)
    assert len(load_amazon_reviews(tmp_path, "B")["reviews"]) == 2


def criteo_row(label: str, count: str = "1", category: str = "05db9164") -> str:
    fields = [label, count, *["3"] * 12, category, *["0e000000"] * 24, ""]
    return "\t".join(fields if label else fields[1:]) + "\n"


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz", "train.csv"])
def test_criteo(tmp_path, name):
    write(tmp_path, **{name: criteo_row("1") + criteo_row("0", count="")})
    data = load_criteo(tmp_path)
    files = data["train"]
    assert files.count_rows() == 2
    assert "train: rows 2, published 45,840,617" in data.differences
    frame = files.read()
    assert frame.columns.tolist()[:3] == ["label", "I1", "I2"]
    assert frame["label"].tolist() == [1, 0]
    np.testing.assert_array_equal(frame["I1"], [1.0, np.nan])
    # Hashes that look like numbers keep their zeros.
    assert frame["C1"].tolist() == ["05db9164"] * 2
    assert frame["C2"].tolist() == ["0e000000"] * 2
    assert frame["C26"].isna().all()
    schema = data.schema
    assert (len(schema.numeric), len(schema.categorical), schema.labels) == (13, 26, ("label",))
    assert files.read(rows=1, columns=["C1", "label"]).shape == (1, 2)


def test_criteo_streams_with_its_names(tmp_path):
    write(tmp_path, train__txt=criteo_row("1") + criteo_row("0"))
    files = load_criteo(tmp_path)["train"]
    source = files.source()
    assert source.names() == files.names
    jobs = source.jobs(["label", "C2"], text=files.text_columns)
    tables = [job() for _, job in jobs]
    assert [row for table in tables for row in table.to_pylist()] == [
        {"label": 1, "C2": "0e000000"},
        {"label": 0, "C2": "0e000000"},
    ]


def test_criteo_test_without_labels(tmp_path):
    write(tmp_path, train__txt=criteo_row("1"), test__txt=criteo_row(""))
    data = load_criteo(tmp_path)
    assert data["test"].names[0] == "I1"
    assert data.schema_of("test").labels == ()
    assert len(data.frame("test")) == 1


def test_criteo_terabyte_is_read_day_by_day(tmp_path):
    for day in (0, 2, 10):
        write(tmp_path, **{f"day_{day}": criteo_row("1", count=str(day))})
    data = load_criteo(tmp_path)
    assert data.description.name == "criteo-1tb"
    assert data["days"].read()["I1"].tolist() == [0.0, 2.0, 10.0]
    assert data["days"].read(rows=2)["I1"].tolist() == [0.0, 2.0]
    assert data["days"].count_rows() == 3


AVAZU_NAMES = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,"
    "device_id,device_ip,device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
)
AVAZU_ROW = "10000169349117863715,0,14102123,1005,0" + ",1fbe01fe" * 9 + ",1,0,15704" + ",3" * 7
UNLABELLED = [name for name in AVAZU_NAMES.split(",") if name != "click"]


@pytest.mark.parametrize("name", ["train.csv", "train.gz", "train"])
@pytest.mark.parametrize("header", [AVAZU_NAMES + "\n", ""])
def test_avazu(tmp_path, name, header):
    write(tmp_path, **{name: header + AVAZU_ROW + "\n"})
    data = load_avazu(tmp_path)
    assert data["train"].count_rows() == 1
    frame = data.frame("train")
    assert frame.columns.tolist() == [*AVAZU_NAMES.split(","), "time"]
    assert frame["id"].tolist() == ["10000169349117863715"]  # beyond int64
    assert frame["time"].tolist() == [pd.Timestamp("2014-10-21 23:00")]
    assert frame["click"].tolist() == [0]
    assert data.schema.time == "hour"


@pytest.mark.parametrize("header", [",".join(UNLABELLED) + "\n", ""])
def test_avazu_without_clicks(tmp_path, header):
    row = AVAZU_ROW.replace(",0,", ",", 1)
    write(tmp_path, train__csv=AVAZU_NAMES + "\n" + AVAZU_ROW, test__csv=header + row + "\n")
    data = load_avazu(tmp_path)
    assert data["test"].names == UNLABELLED
    assert data.frame("test")["hour"].tolist() == ["14102123"]


def test_hours_that_are_none():
    assert parse_hours(pd.Series([14102100]))[0] == pd.Timestamp("2014-10-21")
    with pytest.raises(DataError, match=r"row 1: `hour` must be YYMMDDHH.* got '14103299'"):
        parse_hours(pd.Series(["14102100", "14103299"]))


def census_row(income: str, marital: str = "Never married", age: str = "38") -> str:
    fields = [age, "Private", "6", "36", "Children", "0", "?", marital, *["x"] * 8]
    fields += ["0", "0", "12", *["y"] * 5, "1032.38", *["?"] * 5, "4", *["z"] * 8, "12", "95"]
    return ", ".join([*fields, income]) + "\n"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_census_income(tmp_path, suffix):
    rows = census_row("- 50000.") + census_row("50000+.", "Widowed")
    names = [f"census-income.{part}{suffix}" for part in ("data", "test")]
    write(tmp_path, **dict.fromkeys(names, rows))
    data = load_census_income(tmp_path)
    for part in ("train", "test"):
        frame = data[part]
        assert frame.shape == (2, 43)
        assert frame["income"].tolist() == [0, 1]
        assert frame["never_married"].tolist() == [1, 0]
        assert frame["instance_weight"].tolist() == [1032.38] * 2
        assert frame["class_of_worker"].tolist() == ["Private"] * 2
        assert frame["industry_code"].tolist() == ["6"] * 2  # a code
        assert frame["enrolled_in_education_last_week"].isna().all()
        assert frame["weeks_worked_in_year"].tolist() == [12.0] * 2
    schema = data.schema
    assert schema.labels == ("income", "never_married")
    assert schema.weight == "instance_weight"
    assert (len(schema.numeric), len(schema.categorical)) == (7, 32)
    assert "marital_status" not in schema.categorical


ADULT = "25, Private, 226802, 11th, 7, Never-married, ?, Own-child, Black, Male, 0, 0, 40, Cuba, "


def check_adult(frame: pd.DataFrame) -> None:
    assert frame["income"].tolist() == [0, 1]
    assert frame["never_married"].tolist() == [1, 1]
    assert frame["occupation"].isna().all()
    assert frame["sex"].tolist() == ["Male"] * 2
    assert frame["education_num"].tolist() == [7.0] * 2


def test_adult_original(tmp_path):
    write(
        tmp_path,
        adult__data=f"{ADULT}<=50K\n{ADULT}>50K\n\n",
        adult__test=f"|1x3 Cross validator\n{ADULT}<=50K.\n{ADULT}>50K.\n",
    )
    data = load_adult(tmp_path)
    assert list(data.tables) == ["train", "test"]
    for part in data.tables:
        check_adult(data[part])
    assert data.schema.weight == "fnlwgt"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_adult_with_header(tmp_path, suffix):
    names = "age,workclass,fnlwgt,education,educational-num,marital-status,occupation,"
    names += "relationship,race,gender,capital-gain,capital-loss,hours-per-week,native-country"
    values = [each.strip() for each in ADULT.split(",")[:-1]]
    numbers = [int(each) if each.isdigit() else each for each in values]
    frame = pd.DataFrame(
        [[*numbers, "<=50K"], [*numbers, ">50K"]], columns=[*names.split(","), "income"]
    )
    if suffix == "csv":
        frame.to_csv(tmp_path / "adult.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "adult.parquet")
    check_adult(load_adult(tmp_path)["all"])


VIEWS = "{0};userId;{1};timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n1;7;31331;9;2016-05-09\n"


@pytest.mark.parametrize("names", [("sessionId", "itemId"), ("session_id", "item_id")])
def test_diginetica_raw(tmp_path, names):
    write(
        tmp_path,
        **{
            "train-item-views.csv": VIEWS.format(*names),
            "products.csv": "itemId;pricelog2;product.name.tokens\n81766;10;4875,7\n",
            "product-categories.csv": "itemId;categoryId\n81766;1096\n",
        },
    )
    data = load_diginetica(tmp_path)
    views = data["item_views"]
    assert views["session_id"].tolist() == [1, 1]
    assert views["item_id"].tolist() == [81766, 31331]
    np.testing.assert_array_equal(views["user_id"], [np.nan, 7])
    assert views["event_date"].tolist() == ["2016-05-09"] * 2
    assert data["products"]["name_tokens"].tolist() == ["4875,7"]
    assert data["categories"]["category_id"].tolist() == [1096]
    assert (data.schema.user, data.schema.item) == ("session_id", "item_id")


def test_diginetica_prepared(tmp_path):
    pd.DataFrame({"items": [[1, 2], [3]]}).to_parquet(tmp_path / "train_sessions.parquet")
    pd.DataFrame({"prefix": [[1]], "target": [2]}).to_parquet(tmp_path / "test.parquet")
    data = load_diginetica(tmp_path)
    assert [each.tolist() for each in data["train"]["items"]] == [[1, 2], [3]]
    assert data["test"]["target"].tolist() == [2]


def test_load_by_name(ml_100k):
    assert repr(load("ML-100K", ml_100k)) == (
        "Dataset(movielens-100k: ratings=2, users=2, movies=2, ua_base=1, ua_test=1)"
    )


@pytest.mark.parametrize(("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\n\nb", 3)])
def test_lines_are_counted_without_a_last_end(tmp_path, content, lines):
    for name in ("plain", "zipped.gz"):
        write(tmp_path, **{name: content})
        assert count_lines(tmp_path / name) == lines
