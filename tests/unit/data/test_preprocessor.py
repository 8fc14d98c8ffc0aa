"""DataProcessor as its users see it: forms in and out, ids, defects of 0.3.1 that stay away."""

from __future__ import annotations

import json
import logging
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from nextrec.data.preprocessor import DataProcessor
from nextrec.data.processing.parts import MANIFEST
from nextrec.data.sources import open_source
from nextrec.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    FeatureError,
    NotFittedError,
)
from nextrec.features import FeatureSet


def everything() -> DataProcessor:
    """A processor with a column of every kind."""
    processor = DataProcessor()
    processor.add_numeric_feature("price", scaler="standard")
    processor.add_bucket_feature("price_bucket", "equal_frequency", 4, column="price")
    processor.add_missing_indicator("price_missing", "price")
    processor.add_sparse_feature("item", vocabulary="item")
    processor.add_sparse_feature("city", encode_method="hash", hash_size=50)
    processor.add_cross_feature("item_city", ["item", "city"], hash_size=100)
    processor.add_datetime_feature("at", ("hour", "weekday"))
    processor.add_target_encoding("item_rate", "click", "item", fold_by=["at", "price"])
    processor.add_sequence_feature("seen", vocabulary="item", max_len=4)
    processor.add_target("click")
    processor.add_target("stars", "multiclass")
    processor.add_target("seconds", "regression")
    return processor


def frame(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    items = np.array([f"i{n}" for n in range(30)])
    price = random.lognormal(size=rows)
    price[::17] = np.nan
    return pd.DataFrame(
        {
            "price": price,
            "item": items[random.integers(0, 30, rows)],
            "city": random.choice(["Köln", "Paris", "東京"], rows),
            "at": 1_700_000_000 + random.integers(0, 10**6, rows),
            "seen": [list(random.choice(items, n)) for n in random.integers(0, 7, rows)],
            "click": random.integers(0, 2, rows),
            "stars": random.integers(1, 6, rows),
            "seconds": random.exponential(size=rows),
            "note": [f"row {n}" for n in range(rows)],
        }
    )


def comparable(table: pa.Table) -> dict[str, list]:
    return table.to_pydict()


# -- forms ---------------------------------------------------------------------------------------


def test_a_dict_of_arrays_as_in_0_3_1():
    data = frame()
    made = everything().fit_transform(data)
    assert list(made)[: len(data.columns)] == list(data.columns)
    assert made["note"].tolist() == data["note"].tolist()
    assert made["price"].dtype == np.float32
    assert made["item"].dtype == np.int64
    assert made["seen"].shape == (300, 4)
    assert made["seen"].dtype == np.int64
    assert made["click"].dtype == np.float32
    assert made["stars"].dtype == np.int64


def test_a_frame_keeps_its_index_and_kind():
    data = frame(20)
    data.index = pd.Index([f"r{n}" for n in range(20)])
    made = everything().fit_transform(data, return_dict=False)
    assert isinstance(made, pd.DataFrame)
    assert made.index.equals(data.index)
    assert all(isinstance(each, list) and len(each) == 4 for each in made["seen"])
    assert "item" in data  # the given frame is as it was
    assert data["item"].iloc[0].startswith("i")


@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (pl.from_pandas, pl.DataFrame),
        (lambda frame: pa.Table.from_pandas(frame, preserve_index=False), pa.Table),
        (lambda frame: frame.to_dict("list"), pd.DataFrame),
        (lambda frame: frame.to_dict("records"), pd.DataFrame),
    ],
    ids=["polars", "arrow", "dict", "records"],
)
def test_other_tables_give_the_same_values(convert, kind):
    data = frame(60)
    expected = everything().fit_transform(data)
    processor = everything()
    made = processor.fit_transform(convert(data), return_dict=False)
    assert isinstance(made, kind)
    again = processor.transform(convert(data))
    for name in ("price", "item", "seen", "city", "click", "at_hour", "item_city"):
        np.testing.assert_array_equal(again[name], expected[name], err_msg=name)


def test_nothing_but_described_columns_is_read():
    odd = pd.DataFrame({"item": ["a", "b"], "mixed": [1, "x"]})  # no Arrow type holds both
    processor = DataProcessor()
    processor.add_sparse_feature("item")
    made = processor.fit_transform(odd)
    assert made["mixed"].tolist() == [1, "x"]


def test_what_can_be_read_only_once():
    table = pa.table({"item": ["b", "a"]})
    processor = DataProcessor()
    processor.add_sparse_feature("item")
    made = processor.fit_transform(table.to_reader(), return_dict=False)
    assert made.to_pydict() == {"item": [3, 2]}
    assert processor.transform(table.to_reader())["item"].tolist() == [3, 2]


def test_an_output_beside_its_input():
    processor = DataProcessor()
    processor.add_numeric_feature("scaled", column="price", scaler="minmax")
    made = processor.fit_transform({"price": [1.0, 3.0]})
    assert made["price"].tolist() == [1.0, 3.0]
    assert made["scaled"].tolist() == [0.0, 1.0]


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """The same rows in memory, as two Parquet files and as CSV."""
    data = frame(500)
    folder = tmp_path / "raw"
    folder.mkdir()
    table = pa.Table.from_pandas(data, preserve_index=False)
    pq.write_table(table.slice(0, 200), folder / "a.parquet", row_group_size=70)
    pq.write_table(table.slice(200), folder / "b.parquet", row_group_size=90)
    csv = data.assign(seen=data["seen"].map(",".join))
    csv.to_csv(tmp_path / "rows.csv", index=False)
    return data, folder, tmp_path / "rows.csv"


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("chunk", [1, 64, 10**6])
def test_files_learn_and_give_what_memory_does(files, tmp_path, threads, chunk):
    data, folder, csv = files
    expected = everything().fit_transform(data, return_dict=True)
    for source in (folder, csv):
        processor = everything()
        processor.threads = threads
        paths = processor.fit_transform(source, output_path=tmp_path / "out", chunk_size=chunk)
        assert all(os.path.isabs(path) and path.endswith(".parquet") for path in paths)
        written = pq.read_table(tmp_path / "out").to_pandas()
        for name in ("price", "item", "city", "click", "stars", "item_city", "item_rate"):
            np.testing.assert_array_equal(written[name], expected[name], err_msg=name)
        seen = expected["seen"]
        assert [list(each) for each in written["seen"]] == [
            [int(item) for item in row if item] for row in seen
        ]


def test_a_manifest_tells_rows_and_columns(files, tmp_path):
    _, folder, _ = files
    everything().fit_transform(folder, output_path=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["rows"] == 500
    assert sum(part["rows"] for part in manifest["parts"]) == 500
    assert manifest["columns"]["item"] == "int32"
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
    codec = pq.ParquetFile(tmp_path / "out" / "part-00000.parquet").metadata
    assert codec.row_group(0).column(0).compression == "ZSTD"


def test_the_default_folder_lies_beside_the_data(files):
    _, folder, csv = files
    processor = everything().fit(folder)
    (path,) = processor.transform(csv)
    assert path == str(csv.parent / "rows_preprocessed" / "part-00000.parquet")


def test_an_earlier_output_is_replaced_and_nothing_else(files, tmp_path):
    _, folder, _ = files
    processor = everything().fit(folder)
    for _ in range(2):
        processor.transform(folder, output_path=tmp_path / "out")
    assert pq.read_table(tmp_path / "out").num_rows == 500
    (tmp_path / "out" / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="left alone"):
        processor.transform(folder, output_path=tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").exists()


def test_nothing_is_written_when_a_value_does_not_fit(files, tmp_path):
    data, folder, _ = files
    processor = everything().fit(folder)
    bad = tmp_path / "bad.csv"
    broken = data.assign(seen=data["seen"].map(",".join), click=data["click"].astype(object))
    broken.loc[450, "click"] = "maybe"
    broken.to_csv(bad, index=False)
    with pytest.raises(DataError, match=r"click.*450.*maybe"):
        processor.transform(bad, output_path=tmp_path / "out", chunk_size=50)
    assert not (tmp_path / "out").exists()
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_csv_files_out(files, tmp_path):
    data, folder, _ = files
    processor = everything().fit(folder)
    (path,) = processor.transform(folder, save_format="csv", output_path=tmp_path / "out")
    assert path.endswith("part-00000.csv")
    written = pd.read_csv(path)
    expected = processor.transform(data)
    np.testing.assert_array_equal(written["item"], expected["item"])
    np.testing.assert_allclose(written["price"], expected["price"], rtol=1e-6)


def test_memory_is_written_where_it_was_told(tmp_path):
    data = frame(10)
    processor = everything().fit(data)
    processor.transform(data, output_path=tmp_path / "my.csv")  # 0.3.1 dropped the name: P-12
    assert len(pd.read_csv(tmp_path / "my.csv")) == 10
    processor.transform(data, output_path=tmp_path / "folder")
    assert pq.read_table(tmp_path / "folder" / "transformed_data.parquet").num_rows == 10
    with pytest.raises(ConfigError, match="save_format"):
        processor.transform(data, output_path=tmp_path / "my.csv", save_format="parquet")


# -- what fitting learns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaler", "reference"),
    [
        ("standard", StandardScaler()),
        ("minmax", MinMaxScaler()),
        ("robust", RobustScaler()),
        ("maxabs", MaxAbsScaler()),
    ],
)
def test_scalers_are_those_of_scikit_learn(scaler, reference):
    values = np.random.default_rng(0).normal(3, 5, 1000)
    processor = DataProcessor()
    processor.add_numeric_feature("x", scaler=scaler)
    made = processor.fit_transform({"x": values})["x"]
    np.testing.assert_allclose(made, reference.fit_transform(values[:, None])[:, 0], rtol=1e-6)


def test_unknown_categories_are_no_real_one():  # P-01
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.fit({"c": ["a", "b", "c"]})
    assert processor.transform({"c": ["a", "zzz", None]})["c"].tolist() == [2, 1, 1]
    assert processor.get_vocab_sizes() == {"c": 5}


def test_the_first_token_of_a_history_is_no_padding():  # P-02
    processor = DataProcessor()
    processor.add_sequence_feature("h", max_len=3)
    processor.fit({"h": [["a"], ["b", "c"]]})
    assert processor.transform({"h": [["a"], [], ["?"]]})["h"].tolist() == [
        [2, 0, 0],
        [0, 0, 0],
        [1, 0, 0],
    ]


def test_labels_are_compared_as_numbers():  # P-03, P-04
    processor = DataProcessor()
    processor.add_target("y")
    processor.fit({"y": [0, 1, 0, 1]})
    made = processor.transform({"y": [0.0, 1.0, 1.0, np.nan]})["y"]
    np.testing.assert_array_equal(made, [0, 1, 1, np.nan])
    with pytest.raises(DataError, match=r"y.*row 1.*2"):
        processor.transform({"y": [0, 2]})
    assert processor.fit_transform({"y": [1, 1, 1]})["y"].tolist() == [1, 1, 1]


def test_fitting_again_forgets():  # P-05
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.fit({"c": ["a", "b"]})
    processor.fit({"c": ["x", "y", "z"]})
    assert processor.transform({"c": ["x", "y", "z", "a"]})["c"].tolist() == [2, 3, 4, 1]


def test_one_tokenizer_for_fit_and_transform():  # P-06
    processor = DataProcessor()
    processor.add_sequence_feature("h", max_len=3)
    assert processor.fit_transform({"h": ["x, y, z"]})["h"].tolist() == [[2, 3, 4]]


def test_integers_stay_themselves_beside_missing_values():  # P-07
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.fit({"c": [1, 2, 3]})
    assert processor.transform({"c": [3.0, 2.0, np.nan]})["c"].tolist() == [4, 3, 1]
    assert processor.transform({"c": ["3", "2", None]})["c"].tolist() == [4, 3, 1]


def test_large_values_are_scaled_right():  # P-08
    values = 1.7e9 + np.random.default_rng(0).normal(size=10_000)
    processor = DataProcessor()
    processor.add_numeric_feature("x")
    made = processor.fit_transform({"x": values})["x"]
    assert abs(made.std() - 1) < 1e-6


def test_fill_na_counts_without_missing_values_in_fitting():  # P-09
    processor = DataProcessor()
    processor.add_numeric_feature("x", scaler="none", fill_na=5)
    processor.fit({"x": [1.0, 2.0]})
    assert processor.transform({"x": [np.nan, 2.0]})["x"].tolist() == [5.0, 2.0]


def test_none_means_none():  # P-10
    processor = DataProcessor()
    processor.add_numeric_feature("x", scaler=None)
    processor.add_sequence_feature("h", max_len=None)
    made = processor.fit_transform({"x": [2.0, 4.0], "h": [[1], [1, 2, 3]]})
    assert made["x"].tolist() == [2.0, 4.0]
    assert made["h"].shape == (2, 3)


def test_absent_columns_are_told_all_at_once():  # P-16
    processor = everything()
    with pytest.raises(DataError, match=r"'item' .*Did you mean 'itm'.*'city'"):
        processor.fit(frame(5).rename(columns={"item": "itm"}).drop(columns="city"))
    assert not processor.is_fitted


def test_labels_may_be_absent_from_data_to_predict():
    processor = everything().fit(frame())
    made = processor.transform(frame(5, seed=1).drop(columns=["click", "stars", "seconds"]))
    assert "click" not in made
    assert np.isfinite(made["item_rate"]).all()


def test_a_failed_fit_leaves_the_processor_as_it_was():
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.add_target("y")
    processor.fit({"c": ["a"], "y": [1]})
    with pytest.raises(DataError):
        processor.fit({"c": ["b"], "y": ["perhaps"]})
    assert processor.transform({"c": ["a", "b"]})["c"].tolist() == [2, 1]


def test_extend_keeps_every_old_id():
    processor = everything().fit(frame())
    before = processor.transform(frame())["item"]
    more = frame(3, seed=2).assign(item=["new1", "new0", "i1"], seen=[["new2"], [], ["i2"]])
    added = processor.extend(more)
    assert added["item"] == added["seen"] == 3  # one vocabulary
    np.testing.assert_array_equal(processor.transform(frame())["item"], before)
    made = processor.transform(more)
    assert made["item"].tolist()[:2] == [33, 32]
    assert processor.features(8)["item"].vocab_size == 35


# -- features ------------------------------------------------------------------------------------


def test_features_know_their_sizes():
    processor = everything().fit(frame())
    features = processor.features(embedding_dim=8, per_column={"seen": {"combiner": "sum"}})
    assert isinstance(features, FeatureSet)
    assert features["item"].vocab_size == 32
    assert features["seen"].embedding_name == "item"
    assert features["seen"].combiner == "sum"
    assert features["city"].vocab_size == 50
    assert [f.name for f in features.dense] == ["price", "price_missing", "item_rate"]
    assert features["at_hour"].vocab_size == 26
    assert features.tables["item"].rows == 32
    assert set(features.as_arguments()) == {
        "dense_features",
        "sparse_features",
        "sequence_features",
    }
    with pytest.raises(ConfigError, match="Did you mean 'item'"):
        processor.features(only=["itm"])


def test_options_of_one_vocabulary_must_agree():
    processor = DataProcessor()
    processor.add_sparse_feature("item", vocabulary="v", min_frequency=2)
    processor.add_sequence_feature("seen", vocabulary="v")
    with pytest.raises(ConfigError, match=r"'item' and 'seen'.*min_frequency"):
        processor.fit({"item": ["a"], "seen": [["a"]]})


# -- rates and summary ---------------------------------------------------------------------------


def test_rates_are_counted_and_told(caplog):
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.add_numeric_feature("x")
    processor.fit({"c": ["a", "b"], "x": [1.0, 2.0]})
    with caplog.at_level(logging.WARNING, "nextrec"):
        processor.transform({"c": ["a", "q", "r", None] * 20, "x": [1.0, np.nan, np.nan, 1.0] * 20})
    rate = processor.rates.columns["c"]
    assert (rate.rows, rate.missing, rate.tokens, rate.unknown) == (80, 20, 60, 40)
    assert processor.rates.columns["x"].missing_share == 0.5
    told = "\n".join(caplog.messages)
    assert "column 'c': 66.7% unknown in 60 tokens" in told
    assert "column 'x': 50.0% missing in 80 rows" in told


def test_quiet_when_nothing_changes(caplog):
    processor = everything().fit(frame())
    with caplog.at_level(logging.WARNING, "nextrec"):
        processor.transform(frame())
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_summary_is_a_table():
    processor = everything().fit(frame())
    processor.transform(frame(50, seed=5))
    report = processor.report().set_index("column")
    assert report.loc["item", "vocabulary"] == 32
    assert 0 < report.loc["price", "missing"] < 0.1
    assert "item" in processor.summary()
    assert len(processor.summary().splitlines()) == 1 + len(report)


# -- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["processor", "processor.arrow", "processor.pkl"])
def test_a_saved_processor_does_the_same(tmp_path, name):
    processor = everything().fit(frame())
    path = processor.save(tmp_path / name)
    loaded = DataProcessor.load(tmp_path / name)
    assert path.exists()
    assert loaded.target_columns == ["click", "stars", "seconds"]  # P-15
    expected, made = processor.transform(frame(50, 1)), loaded.transform(frame(50, 1))
    for column in expected:
        np.testing.assert_array_equal(made[column], expected[column], err_msg=column)
    assert (
        processor.report()
        .drop(columns=["missing", "unknown"])
        .equals(loaded.report().drop(columns=["missing", "unknown"]))
    )


@pytest.mark.parametrize("version", ["id_space_version", "hash_version", "format_version"])
def test_other_versions_are_refused(tmp_path, monkeypatch, version):
    from nextrec.data.processing import saved

    path = everything().fit(frame()).save(tmp_path / "p")
    monkeypatch.setitem(saved._VERSIONS, version, 99)
    with pytest.raises(CheckpointError, match=f"{version.replace('_', ' ')} 1; .* uses 99"):
        DataProcessor.load(path)


def test_damaged_files_are_refused(tmp_path):
    path = everything().fit(frame()).save(tmp_path / "p")
    data = path.read_bytes()
    for cut in (0, 1, 10, len(data) // 2):
        path.write_bytes(data[:cut])
        with pytest.raises(CheckpointError, match=r"p\.arrow"):
            DataProcessor.load(path)
    with pytest.raises(CheckpointError, match="absent"):
        DataProcessor.load(tmp_path / "absent")


def test_no_flipped_bit_goes_unseen(tmp_path):
    processor = DataProcessor()
    processor.add_sparse_feature("item")
    processor.add_numeric_feature("price", scaler="robust")
    path = processor.fit({"item": ["a", "b"], "price": [1.0, 2.0]}).save(tmp_path / "p")
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 13):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"p\.arrow"):
            DataProcessor.load(path)
    path.write_bytes(data + b"x")
    with pytest.raises(CheckpointError, match=r"p\.arrow"):
        DataProcessor.load(path)
    path.write_bytes(data)
    assert DataProcessor.load(path).get_vocab_sizes() == {"item": 4}


def test_a_saved_processor_is_an_arrow_stream_still(tmp_path):
    path = everything().fit(frame()).save(tmp_path / "p")
    with pa.ipc.open_stream(path.read_bytes()) as reader:
        assert b"nextrec" in reader.schema.metadata


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("is_fitted", "yes"),
        ("fit_rates", {"rows": 1}),
        ("fit_rates", [1]),
        ("warn_above", None),
        ("engine", 3),
        ("folded_by_all", [1]),
        ("folded_by_all", None),
    ],
)
def test_what_another_wrote_into_a_file_is_checked(tmp_path, key, value):
    from nextrec.data.processing import saved

    path = everything().save(tmp_path / "p")
    transforms, state = saved.read(path)
    saved.write(path, transforms, False, {**state, key: value})
    with pytest.raises(CheckpointError, match=r"p\.arrow.*damaged"):
        DataProcessor.load(path)
    del state[key]
    saved.write(path, transforms, False, state)
    with pytest.raises(CheckpointError, match=r"p\.arrow.*damaged"):
        DataProcessor.load(path)


@pytest.mark.parametrize("name", ["n" * 300, "file/p"])
def test_a_path_that_can_not_be_saved_to_is_named(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"DataProcessor\.save: can't write to"):
        everything().fit(frame()).save(tmp_path / name)


def test_an_unfitted_processor_can_be_kept(tmp_path):
    path = everything().save(tmp_path / "p")
    loaded = DataProcessor.load(path)
    assert not loaded.is_fitted
    loaded.fit(frame())
    assert loaded.get_vocab_sizes()["item"] == 32


# -- misuse --------------------------------------------------------------------------------------


def test_not_fitted():
    with pytest.raises(NotFittedError):
        everything().transform(frame(3))
    with pytest.raises(NotFittedError):
        everything().features()


def test_empty():
    with pytest.raises(ConfigError, match="no column"):
        DataProcessor().fit(frame(3))
    with pytest.raises(DataError, match="empty"):
        everything().fit(frame(0))


def test_transforming_no_rows_gives_no_rows():
    made = everything().fit(frame()).transform(frame(0))
    assert made["item"].shape == (0,)
    assert made["seen"].shape == (0, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.add_numeric_feature("x", scaler="standrad"), "Did you mean 'standard'"),
        (lambda p: p.add_sparse_feature("x", encode_method="hash"), "hash_size"),
        (lambda p: p.add_sparse_feature("x", hash_size=10), "hash_size"),
        (lambda p: p.add_sparse_feature("x", "hash", 10, min_frequency=2), "min_frequency"),
        (lambda p: p.add_sequence_feature("x", pad_value=-1), "pad_value"),
        (lambda p: p.add_sequence_feature("x", truncate="middle"), "truncate"),
        (lambda p: p.add_target("x", "binari"), "Did you mean 'binary'"),
        (lambda p: p.add_numeric_feature(""), "name"),
        (lambda p: p.add("x"), "Transform"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ConfigError, match=message):
        call(DataProcessor())


def test_an_opened_source_keeps_its_options(tmp_path):
    (tmp_path / "rows.csv").write_text("c\na\nb,too,many\nb\n")
    source = open_source(tmp_path / "rows.csv", on_bad="skip")
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.fit(source)
    (path,) = processor.transform(source, output_path=tmp_path / "out")
    assert pq.read_table(path)["c"].to_pylist() == [2, 3]
    assert sum(source.skipped.values()) == 1
    with pytest.raises(ConfigError, match="output_path"):
        processor.transform(source)


def test_a_target_encoding_finds_its_label():
    data = {"c": ["a", "a", "b", "b"] * 20, "u": list(range(80)), "y": [0, 1, 1, 1] * 20}
    for target in ("label", "y"):
        processor = DataProcessor()
        processor.add_target_encoding("rate", target, "c", smoothing=0.0, fold_by="u")
        processor.add_target("label", column="y")
        processor.fit(data)
        assert processor.transform({"c": ["a", "b"]})["rate"].tolist() == [0.5, 1.0]
    processor = DataProcessor()
    processor.add_target_encoding("rate", "label", "c", fold_by="u")
    processor.add_target("label", "binary", {5: 1, 3: 0}, column="y")
    with pytest.raises(ConfigError, match="label_map"):
        processor.fit(data)
    processor.add_target("label", "multiclass", column="y")
    with pytest.raises(ConfigError, match="classes have no mean"):
        processor.fit(data)


def test_columns_that_numpy_lacks_are_carried():
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    table = pa.table({"c": ["a"], "when": pa.array([1], pa.time64("ns"))})
    assert processor.fit_transform(table)["when"].shape == (1,)


def test_columns_of_one_name_are_refused():
    data = pd.DataFrame([["x", 2, 3]], columns=["c", "b", "b"])
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.fit(data)
    with pytest.raises(DataError, match="'b'"):
        processor.transform(data)


def test_dots_in_names_make_no_table_of_another(tmp_path):
    processor = DataProcessor()
    processor.add_sparse_feature("shop.id")
    processor.fit({"shop.id": ["a"], "shop_id": ["b"]})
    assert processor.features()["shop.id"].embedding_name == "shop_id"
    processor.add_sparse_feature("shop_id")
    processor.fit({"shop.id": ["a"], "shop_id": ["b"]})
    with pytest.raises(FeatureError, match=r"'shop.id' and 'shop_id'"):
        processor.features()


def test_impossible_paths_are_told(tmp_path):
    processor = everything().fit(frame())
    with pytest.raises(ConfigError):
        processor.save(tmp_path / ("long" * 100))
    for path in ("x" * 5000, "nul\0byte"):
        with pytest.raises(CheckpointError):
            DataProcessor.load(path)


def test_the_input_is_never_the_output(files):
    _, folder, _ = files
    processor = everything().fit(folder)
    with pytest.raises(ConfigError, match="another folder"):
        processor.transform(folder, output_path=folder)
    assert len(list(folder.iterdir())) == 2
