"""Planted defects are found, each by its word and column; clean data is left in peace."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data.datasets import movielens_small_ctr
from nextrec.data.diagnosis import Diagnosis, examine, scan
from nextrec.errors import ConfigError, DataError

ROWS = 4000


def clean(rows: int = ROWS, seed: int = 0) -> dict[str, np.ndarray]:
    """A click log without a fault: labels depend a little on item, hour and price."""
    rng = np.random.default_rng(seed)
    item = rng.integers(2, 60, rows)
    price = rng.normal(size=rows)
    score = 0.5 * price + np.sin(item) - 0.3
    return {
        "user_id": rng.integers(2, 200, rows),
        "item_id": item,
        "hour": rng.integers(0, 24, rows),
        "price": price.astype(np.float32),
        "city": np.array(["Oslo", "Rome", "Lima"])[rng.integers(0, 3, rows)],
        "label": (score + rng.normal(size=rows) > 0).astype(np.int8),
    }


def kinds(diagnosis: Diagnosis, *severities: str) -> set[tuple[str, str | None]]:
    wanted = severities or ("error", "warning", "info")
    return {(each.kind, each.column) for each in diagnosis.findings if each.severity in wanted}


def test_clean_data_gives_no_finding():
    assert kinds(examine(clean())) == set()


def test_clean_data_gives_no_finding_between_train_and_test():
    train, test = clean(), clean(1000, seed=1)
    # So few users and items meet again by chance.
    assert kinds(examine(train, test=test)) == {("test_pairs_in_train", None)}


def test_the_bundled_click_task_gives_no_warning():
    task = movielens_small_ctr()
    columns = ["user", "movie", "year", "genres", "history", "label", "timestamp"]
    found = examine(
        task.train[columns], user="user", item="movie", time="timestamp", test=task.test[columns]
    )
    assert kinds(found, "error", "warning") == set()


def leaking(label: np.ndarray, auc: float, rng: np.random.Generator) -> np.ndarray:
    """Noise around the label that orders it with about this AUC."""
    shift = {0.999: 4.4, 0.9: 1.8}[auc]
    return label * shift + rng.normal(size=len(label))


PLANTED = {
    "label_leak": lambda d, rng: leaking(d["label"], 0.999, rng),
    "duplicate_column": lambda d, rng: d["price"].astype(np.float64),
    "constant": lambda d, rng: np.full(ROWS, 7),
    "id_like": lambda d, rng: np.array([f"row {i}" for i in range(ROWS)]),
    "empty": lambda d, rng: [None] * ROWS,
    "missing": lambda d, rng: np.where(rng.random(ROWS) < 0.6, np.nan, rng.normal(size=ROWS)),
    "infinite": lambda d, rng: np.where(rng.random(ROWS) < 0.1, np.inf, rng.normal(size=ROWS)),
    "huge_numbers": lambda d, rng: rng.integers(0, 2**40, ROWS),
    "mixed_types": lambda d, rng: np.where(rng.random(ROWS) < 0.01, "n.k.", d["hour"].astype(str)),
    "rare_tokens": lambda d, rng: np.where(
        rng.random(ROWS) < 0.4, rng.integers(0, 10**9, ROWS).astype(str), d["city"]
    ),
    "whole_reals": lambda d, rng: 2.0**53 + 2.0 * d["hour"],
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_columns_are_found_with_a_warning(kind):
    data = clean()
    data["planted"] = PLANTED[kind](data, np.random.default_rng(7))
    found = examine(data)
    assert (kind, "planted") in kinds(found, "error", "warning")
    others = {each for each in kinds(found, "error", "warning") if each[1] != "planted"}
    assert others == set()


HINTS = {
    "nearly_constant": lambda d, rng: (np.arange(ROWS) == 9).astype(int),
    "renamed_column": lambda d, rng: np.array([f"item {i}" for i in d["item_id"]]),
    "heavy_tail": lambda d, rng: np.exp(rng.normal(size=ROWS) * 3),
    "text_numbers": lambda d, rng: d["hour"].astype(str),
    "text_dates": lambda d, rng: np.array([f"2024-01-{1 + h:02d}" for h in d["hour"]]),
    "text_lists": lambda d, rng: np.array(["a|b", "b|c|d", "d", "a|c", "b|d", "c", "a|d"])[
        rng.integers(0, 7, ROWS)
    ],
    "alike_tokens": lambda d, rng: np.where(rng.random(ROWS) < 0.1, "oslo ", d["city"]),
    "missing_words": lambda d, rng: np.where(rng.random(ROWS) < 0.1, "NULL", d["city"]),
    "whole_reals": lambda d, rng: np.where(rng.random(ROWS) < 0.1, np.nan, d["hour"]),
}


@pytest.mark.parametrize("kind", HINTS)
def test_planted_oddities_are_told_without_a_warning(kind):
    data = clean()
    data["planted"] = HINTS[kind](data, np.random.default_rng(7))
    found = examine(data)
    assert (kind, "planted") in kinds(found, "info")
    assert kinds(found, "error", "warning") == set()


def test_text_lists_may_share_a_token_column(tmp_path):
    data = clean()
    data["history"] = np.array(["1|2", "3", "4|5|6"])[data["hour"] % 3]
    found = examine(data)
    assert ("text_lists", "history") in kinds(found)
    assert next(each for each in found.schema if each.name == "history").kind == "ids"


# -- labels and leaks --------------------------------------------------------------------------


def test_a_leak_is_measured():
    data = clean()
    data["paid"] = leaking(data["label"], 0.999, np.random.default_rng(1))
    (leak,) = examine(data).of("label_leak")
    assert leak.severity == "error"
    assert leak.values["auc"] == pytest.approx(0.999, abs=0.001)
    assert "AUC 0.99" in leak.message


def test_users_with_one_label_each_are_no_leak():
    data = clean()
    data["label"] = data["user_id"] % 2
    found = examine(data)
    assert found.of("label_leak") == []
    (told,) = found.of("label_by_user")
    assert (told.severity, told.column) == ("warning", "user_id")
    assert found.worst() == "warning"


def test_words_as_labels_are_sent_to_the_processor():
    data = clean()
    data["label"] = np.array(["no", "yes"])[data["label"]]
    (told,) = examine(data).of("label_text")
    assert "`processor.target`" in told.advice


def test_a_strong_feature_is_no_leak_unless_asked():
    data = clean()
    data["strong"] = leaking(data["label"], 0.9, np.random.default_rng(1))
    assert not examine(data).of("label_leak")
    assert [each.column for each in examine(data, leak_auc=0.85).of("label_leak")] == ["strong"]


def test_a_leak_upside_down_in_tokens_and_in_gaps():
    data, rng = clean(), np.random.default_rng(2)
    label = data["label"]
    data["minus"] = -label + rng.normal(size=ROWS) * 0.1
    data["word"] = np.where(label == 1, rng.integers(0, 9, ROWS), rng.integers(9, 18, ROWS)).astype(
        str
    )
    data["refund"] = np.where(label == 1, rng.normal(size=ROWS), np.nan)
    leaks = {each.column: each.values["by"] for each in examine(data).of("label_leak")}
    assert leaks == {
        "minus": "its value",
        "word": "the mean label of its tokens",
        "refund": "its being missing",
    }


def test_unique_ids_are_no_leak():
    data = clean()
    data["request_id"] = np.random.default_rng(3).permutation(ROWS)
    assert not examine(data).of("label_leak")


def test_a_perfect_column_of_few_rows_is_no_proof():
    label = [0, 0, 0, 1, 1, 1] * 3
    few = {"x": label[:6], "label": label[:6], "y": list(range(6))}
    assert not examine(few).of("label_leak")


def test_rows_sorted_by_label():
    data = clean()
    order = np.argsort(data["label"], kind="stable")
    found = examine({name: values[order] for name, values in data.items()})
    assert kinds(found, "error", "warning") == {("sorted_rows", None)}


@pytest.mark.parametrize(
    ("label", "kind", "severity"),
    [
        (np.zeros(ROWS), "label_constant", "error"),
        (np.full(ROWS, np.nan), "label_missing", "error"),
        (np.where(np.arange(ROWS) % 9, 1.0, np.nan), "label_missing", "warning"),
        (np.arange(ROWS) % 200 == 0, "label_rare", "warning"),
        (np.arange(ROWS) % 2 * 2 - 1, "label_values", "warning"),
        (np.where(np.arange(ROWS) % 2, "yes", "no"), "label_text", "warning"),
        ([[1.0, 2.0]] * ROWS, "label_kind", "error"),
    ],
)
def test_labels(label, kind, severity):
    found = examine({**clean(), "label": label}).of(kind)
    assert [each.severity for each in found] == [severity]


def test_text_labels_are_looked_at_for_leaks():
    data = clean()
    data["paid"] = leaking(data["label"], 0.999, np.random.default_rng(1))
    data["label"] = np.where(data["label"] == 1, "yes", "no")
    assert [each.column for each in examine(data).of("label_leak")] == ["paid"]


def test_a_regression_label_is_cut_at_its_median():
    data, rng = clean(), np.random.default_rng(1)
    data["label"] = rng.normal(size=ROWS)
    data["copy"] = data["label"] * 3 + 1
    found = examine(data)
    assert [each.column for each in found.of("label_leak")] == ["copy"]
    assert any("above the median" in title for title in found.tables)


def test_several_targets_do_not_leak_each_other():
    data = clean()
    data["buy"] = data["label"]
    found = examine(data, target=["label", "buy"])
    assert not found.of("label_leak")
    assert found.targets == ("label", "buy")


def test_users_with_one_label():
    data = clean()
    data["label"] = (data["user_id"] % 2).astype(int)
    data["label"][:400] = np.random.default_rng(0).integers(0, 2, 400)
    (single,) = examine(data).of("single_label")
    frame = pd.DataFrame(data)
    expected = (frame.groupby("user_id").label.nunique() == 1).mean()
    assert single.values["share"] == pytest.approx(expected)


# -- train and test ----------------------------------------------------------------------------


def test_unknown_tokens():
    train, test = clean(), clean(1000, seed=1)
    test["city"][:300] = "Cork"
    (found,) = examine(train, test=test).of("unknown_tokens")
    assert (found.column, found.severity) == ("city", "warning")
    assert found.values == {"share": 0.3, "tokens": 1, "example": "Cork"}


def test_drift_of_numbers_and_of_tokens():
    train, test = clean(), clean(1000, seed=1)
    test["price"] += 1
    test["hour"] = test["hour"] // 2
    found = examine(train, test=test)
    assert {("drift", "price"), ("drift", "hour")} <= kinds(found, "warning")
    (price,) = [each for each in found.of("drift") if each.column == "price"]
    assert price.values["ks"] > 0.3


def test_drift_of_labels_is_told():
    train, test = clean(), clean(1000, seed=1)
    test["label"][:] = np.arange(1000) % 10 == 0
    assert ("drift", "label") in kinds(examine(train, test=test), "warning")


def test_missing_values_that_came_later():
    train, test = clean(), clean(1000, seed=1)
    test["price"][:500] = np.nan
    assert ("missing_shift", "price") in kinds(examine(train, test=test), "warning")


def test_train_rows_in_test():
    train, test = clean(), clean(1000, seed=1)
    copied = {name: np.concatenate([train[name][:100], test[name]]) for name in train}
    (found,) = examine(train, test=copied).of("test_rows_in_train")
    assert found.severity == "warning"
    assert found.values["share"] == pytest.approx(100 / 1100)
    without = {name: values for name, values in copied.items() if name != "label"}
    (found,) = examine(train, test=without).of("test_rows_in_train")
    assert found.values["share"] == pytest.approx(100 / 1100)


def test_pairs_of_user_and_item_in_both():
    train, test = clean(), clean(1000, seed=1)
    pairs = set(zip(train["user_id"], train["item_id"], strict=True))
    tested = list(zip(test["user_id"], test["item_id"], strict=True))
    (found,) = examine(train, test=test, user="user_id", item="item_id").of("test_pairs_in_train")
    assert found.values["share"] == pytest.approx(np.mean([pair in pairs for pair in tested]))


def test_columns_of_one_side():
    train, test = clean(), clean(1000, seed=1)
    test["city"] = np.arange(1000)
    test["new"] = test.pop("price")
    found = examine(train, test=test)
    assert {("test_lacks", "price"), ("test_kind", "city")} <= kinds(found, "error")
    assert ("train_lacks", "new") in kinds(found, "info")


def timed(train_times, test_times, user_train=None, user_test=None):
    train, test = clean(len(train_times)), clean(len(test_times), seed=1)
    train["time"], test["time"] = train_times, test_times
    if user_train is not None:
        train["user_id"], test["user_id"] = user_train, user_test
    return train, test


def test_rows_after_the_split_time():
    times = np.arange(ROWS) + 1_700_000_000
    times[[10, 3000]] += 10_000
    train, test = timed(times, np.arange(500) + 1_700_000_000 + ROWS)
    (future,) = examine(train, test=test, time="time").of("future_rows")
    assert future.severity == "error"
    assert future.values["rows"] == 2
    assert future.values["examples"] == [10, 3000]


def test_equal_times_are_not_after_each_other():
    train, test = timed(np.full(ROWS, 5), np.full(500, 5))
    assert not examine(train, test=test, time="time").of("future_rows")


def test_a_split_that_is_not_by_time():
    rng = np.random.default_rng(0)
    train, test = timed(rng.random(ROWS), rng.random(500))
    assert ("not_by_time", "time") in kinds(examine(train, test=test, time="time"), "warning")


def test_a_split_by_time_within_users_is_only_told():
    users = np.arange(ROWS) // 20
    starts = np.random.default_rng(0).integers(0, 10**6, ROWS // 20)
    train, test = timed(
        starts[users] + np.arange(ROWS) % 20,
        np.repeat(starts, 5) + 20 + np.tile(np.arange(5), ROWS // 20),
        users,
        np.repeat(np.arange(ROWS // 20), 5),
    )
    found = examine(train, test=test, time="time", user="user_id").of("not_by_time")
    assert [each.severity for each in found] == ["info"]
    train["time"][0] = 10**9
    found = examine(train, test=test, time="time", user="user_id").of("not_by_time")
    assert [each.severity for each in found] == ["warning"]


@pytest.mark.parametrize(
    "times",
    [
        np.arange(ROWS) + 1_700_000_000,
        np.arange(ROWS) * 0.5,
        pd.date_range("2024-01-01", periods=ROWS, freq="h"),
        [str(day) for day in pd.date_range("2024-01-01", periods=ROWS, freq="h")],
        [datetime.date(2000, 1, 1) + datetime.timedelta(days=i) for i in range(ROWS)],
    ],
)
def test_the_latest_rows_stand_for_the_test(times):
    data = clean()
    data["time"] = times
    data["city"] = np.where(np.arange(ROWS) < 0.9 * ROWS, data["city"], "Cork")
    found = examine(data, time="time")
    assert found.test_rows == pytest.approx(0.2 * ROWS, abs=2)
    (unknown,) = found.of("unknown_tokens")
    assert unknown.column == "city"
    assert unknown.values["share"] == pytest.approx(0.5, abs=0.01)
    assert ("future_rows", "time") not in kinds(found)


def test_times_that_are_no_times():
    with pytest.raises(DataError, match="column 'city', near row 0: times must be"):
        examine(clean(), time="city")


# -- rows ----------------------------------------------------------------------------------------


def test_repeated_rows():
    data = {name: np.concatenate([values, values[:400]]) for name, values in clean().items()}
    (found,) = examine(data).of("duplicate_rows")
    assert found.severity == "warning"
    assert found.values == {"share": 400 / 4400, "example": (0, 4000)}


def test_what_is_counted_on_a_part_is_said(monkeypatch):
    monkeypatch.setattr(scan, "SAMPLE_ROWS", 1000)
    monkeypatch.setattr("nextrec.data.diagnosis.plan.SAMPLE_ROWS", 1000)
    data = clean()
    data["paid"] = leaking(data["label"], 0.999, np.random.default_rng(1))
    found = examine(data)
    assert any("rows, chosen by a hash of their number" in note for note in found.notes)
    (leak,) = found.of("label_leak")
    assert 800 < leak.values["rows"] < 1200
    assert found.to_dict() == examine(data).to_dict()


def test_distinct_values_beyond_the_limit(monkeypatch):
    monkeypatch.setattr("nextrec.data.profile.MAX_DISTINCT", 1000)
    data = clean()
    data["token"] = np.array([f"t{i}" for i in range(ROWS)])
    found = examine(data)
    assert {("id_like", "token"), ("high_cardinality", "token")} <= kinds(found)


# -- sources and odd inputs --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "csv", "frame", "arrow"])
def test_every_source_gives_the_same_findings(tmp_path, suffix):
    data = clean()
    data["twice"] = data["hour"]
    data["paid"] = leaking(data["label"], 0.999, np.random.default_rng(1))
    table = pa.table(data)
    given = {"frame": pd.DataFrame(data), "arrow": table}.get(suffix)
    if suffix == "parquet":
        given = tmp_path / "data.parquet"
        pq.write_table(table, given, row_group_size=700)
    if suffix == "csv":
        given = tmp_path / "data.csv"
        pd.DataFrame(data).to_csv(given, index=False)
    found = kinds(examine(given), "error", "warning")
    assert found == {("label_leak", "paid"), ("duplicate_column", "twice")}


def test_files_whose_types_differ(tmp_path):
    for number, values in enumerate([[1, 2, 3], ["a", "b", "c"]]):
        table = pa.table({"x": values, "label": [0, 1, 0]})
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    found = examine(str(tmp_path))
    (mixed,) = found.of("mixed_types")
    assert mixed.values == {"types": {"int64": 0, "string": 3}}
    assert mixed.severity == "error"
    assert found.rows == 6


def test_a_column_without_a_common_type():
    data = pd.DataFrame({"x": [1, "a", 2.5] * 10, "label": [0, 1, 0] * 10})
    (mixed,) = examine(data).of("mixed_types")
    assert mixed.column == "x"
    assert "row 1" in mixed.message


ODD = {
    "no row": {"a": [], "label": []},
    "one column": {"a": [1, 2, 3]},
    "one row": {"a": [1], "label": [1]},
    "all missing": {"a": [None] * 5, "label": [np.nan] * 5},
    "unicode": {"größe": [1.5, 2.5] * 30, "名前": ["猫", "犬"] * 30, "label": [0, 1] * 30},
    "lists": {"a": [[1, 2], [], None], "b": [["x"], None, ["y", "z"]], "label": [0, 1, 0]},
    "vectors": {"a": np.ones((40, 3)), "label": [0, 1] * 20},
    "text label": {"a": [1, 2] * 20, "label": ["spam", "ham"] * 20},
    "bytes": {"a": [b"x", b"\xff"] * 20, "label": [0, 1] * 20},
    "dates": {"a": [datetime.date(2024, 1, 1), None] * 20, "label": [0, 1] * 20},
    "flags": {"a": [True, None] * 20, "label": [True, False] * 20},
    "huge integers": {"a": np.array([2**63 + 5, 1] * 20, np.uint64), "label": [0, 1] * 20},
    "structs": {"a": [{"b": 1}, {"b": 2}] * 20, "label": [0, 1] * 20},
    "infinite": {"a": [np.inf, -np.inf, np.nan, 1.0] * 10, "label": [0, 1] * 20},
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables_give_a_report(name):
    found = examine(ODD[name])
    assert found.to_text()
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(found.schema) == len(ODD[name])
    if found.rows:
        test = examine(ODD[name], test=ODD[name])
        json.dumps(test.to_dict(), allow_nan=False)


def test_an_empty_table_is_an_error():
    found = examine(ODD["no row"])
    assert kinds(found, "error") == {("no_rows", None)}
    assert found.worst() == "error"


def test_an_empty_file_names_the_file(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match=r"empty\.csv"):
        examine(tmp_path / "empty.csv")


@pytest.mark.parametrize("parameter", ["target", "time", "user", "item"])
def test_unknown_columns_are_refused(parameter):
    with pytest.raises(ConfigError, match=f"`{parameter}` must be a column of the data"):
        examine(clean(), **{parameter: "no_such"})


def test_shares_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="`leak_auc` must be a number in"):
        examine(clean(), leak_auc=1.5)


def test_progress_is_told():
    told: list[int] = []
    examine(clean(), progress=told.append)
    assert told[-1] == ROWS


def test_the_report_tells_everything():
    data = clean()
    data["twice"] = data["hour"]
    text = examine(data).to_text()
    assert "4,000 rows, 7 columns" in text
    assert "warning duplicate_column: twice: the same as 'hour' in every row" in text
    assert "-> leave one of the two out" in text
    assert "How well one column alone orders label (1)" in text
