"""The engine of Spark learns, makes and refuses what the local engine does, to the last bit.

Without Java or pyspark only what needs no session is tested. The blocks of ``docs/spark.md`` are
executed here, not in ``test_documents.py``, as they need a session.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextrec.data.preprocessor import DataProcessor
from nextrec.data.processing import answers, executors, local, shipping, spark, spark_session
from nextrec.data.processing.parts import MANIFEST
from nextrec.data.processing.rates import Rates
from nextrec.data.processing.recipe import Recipe
from nextrec.data.transforms import Scale
from nextrec.data.transforms.payload import to_bytes
from nextrec.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingDependencyError,
    NextRecError,
)

GUIDE = Path(__file__).parents[2] / "docs" / "spark.md"

pytestmark = [
    pytest.mark.xdist_group("spark"),  # one session is enough
    # pyspark warns of pandas 3 in whatever touches pandas; no data goes through pandas here.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    # py4j closes the sockets of its JVM when they are collected.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java to run Spark")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "Asia/Tokyo",  # nothing may depend on it
    }
    builder = sql.SparkSession.builder.master("local[2]").appName("test_spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        made = builder.config(map=settings).getOrCreate()
        made.sparkContext.setLogLevel("OFF")
        yield made
        made.stop()


@pytest.fixture(autouse=True)
def few_mergers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "MERGERS", 2)


def every_kind(engine: Any = "local") -> DataProcessor:
    """A processor with each transform, and each statistic that fitting can learn."""
    processor = DataProcessor(engine=engine, threads=1)
    for scaler in ("standard", "minmax", "robust", "maxabs", "log", "quantile", "none"):
        processor.add_numeric_feature(f"price_{scaler}", scaler, column="price")
    processor.add_numeric_feature("price", fill_na="median")
    processor.add_bucket_feature("wide", num_buckets=5, column="price")
    processor.add_bucket_feature("often", "equal_frequency", 5, column="price")
    processor.add_missing_indicator("price_missing", "price")
    processor.add_sparse_feature("item", vocabulary="item")
    processor.add_sparse_feature("frequent", column="item", min_frequency=8, num_unknown=3)
    processor.add_sparse_feature("most", column="item", max_size=7)
    processor.add_sparse_feature("city", encode_method="hash", hash_size=50)
    processor.add_cross_feature("item_city", ["item", "city"], "label")
    processor.add_datetime_feature("at", ("hour", "weekday", "year", "age"))
    processor.add_target_encoding("item_rate", "click", "item")
    processor.add_sequence_feature("seen", vocabulary="item", max_len=4)
    processor.add_sequence_feature("seen_all", column="seen", max_len=None)
    processor.add_target("click")
    processor.add_target("stars", "multiclass")
    processor.add_target("seconds", "regression")
    return processor


def table(rows: int = 900, seed: int = 0, first: int = 0) -> pa.Table:
    """Rows with missing values of every column that may have them; ``row`` numbers them."""
    numbers = np.random.default_rng(seed)
    items = np.array([f"i{n}" for n in range(40)])

    def holey(values: Any, share: float = 0.1) -> pa.Array:
        return pa.array(values, mask=numbers.random(rows) < share)

    seen = [list(numbers.choice(items, n)) for n in numbers.integers(0, 7, rows)]
    return pa.table(
        {
            "row": pa.array(np.arange(first, first + rows)),
            "price": holey(numbers.lognormal(10, 3, rows)),
            "item": holey(items[numbers.integers(0, 40, rows)]),
            "city": pa.array(numbers.choice(["Köln", "Paris", "東京"], rows)),
            "at": pa.array(1_700_000_000 + numbers.integers(0, 10**8, rows)),
            "seen": holey(np.array([*seen, None], object)[:-1]),
            "click": pa.array(numbers.integers(0, 2, rows)),
            "stars": holey(numbers.integers(1, 6, rows)),
            "seconds": pa.array(numbers.exponential(size=rows)),
            "note": pa.array([f"note {n}" for n in range(rows)]),
        }
    )


def assert_learned_alike(one: DataProcessor, other: DataProcessor) -> None:
    assert list(one.transforms) == list(other.transforms)
    for name, each in one.transforms.items():
        theirs = other.transforms[name]
        assert to_bytes(each.learned()) == to_bytes(theirs.learned()), name
        assert each.settings() == theirs.settings(), name
    assert one.fit_rates == other.fit_rates


def arrow_of(frame: Any) -> pa.Table:
    """A Spark DataFrame's rows (its ``toArrow`` is of Spark 4)."""
    return pa.Table.from_batches(frame._collect_as_arrow())


def assert_same_rows(one: pa.Table, other: pa.Table) -> None:
    """The same columns, types and values, to the bit; rows in any order."""
    one, other = one.sort_by("row"), other.sort_by("row")
    assert one.schema.remove_metadata() == other.schema.remove_metadata()
    for name in one.column_names:
        left, right = (t.column(name).combine_chunks() for t in (one, other))
        if pa.types.is_floating(left.type):
            np.testing.assert_array_equal(left.to_numpy(False), right.to_numpy(False), name)
        else:
            assert left.to_pylist() == right.to_pylist(), name


# -- Spark DataFrames ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame(session: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The table as a Spark DataFrame of three partitions with rows and one without."""
    folder = tmp_path_factory.mktemp("frame")
    pq.write_table(table(), folder / "rows.parquet")
    read = session.read.parquet(str(folder))
    spread = read.repartitionByRange(3, "row")
    return spread.union(read.where("row < 0").coalesce(1)).cache()


@pytest.fixture(scope="module")
def fitted(session: Any, frame: Any) -> tuple[DataProcessor, DataProcessor]:
    """The local processor and that of Spark, fitted on the same rows."""
    return every_kind().fit(table()), every_kind().fit(frame)


def test_a_frame_teaches_what_the_same_rows_in_memory_do(fitted):
    assert_learned_alike(*fitted)


@pytest.mark.parametrize("of_fitted", [False, True], ids=["new rows", "fitted rows"])
def test_a_frame_becomes_a_lazy_frame_of_the_same_values(fitted, frame, of_fitted):
    here, there = fitted
    made = there._transform(frame, True, None, None, 200, of_fitted)
    assert type(made).__module__.startswith("pyspark")
    assert made.schema["note"] == frame.schema["note"]
    assert made.schema["item"].dataType.simpleString() == "int"
    assert made.schema["seen"].dataType.simpleString() == "array<int>"
    assert not there.rates.rows  # nothing was computed yet
    expected = here.transform_table(table(), fitted=of_fitted)
    assert made.columns == expected.column_names
    assert_same_rows(arrow_of(made), expected)


def test_a_frame_becomes_files(fitted, frame, tmp_path, monkeypatch):
    here, there = fitted
    paths = there.transform(frame, output_path=tmp_path / "out", chunk_size=50)
    assert [Path(path).name for path in paths] == [f"part-{n:05d}.parquet" for n in range(3)]
    assert sorted(os.listdir(tmp_path / "out")) == [MANIFEST, *(Path(p).name for p in paths)]
    assert os.listdir(tmp_path) == ["out"]
    written = pq.read_table([tmp_path / "out" / Path(path).name for path in paths])
    assert_same_rows(written, here.transform_table(table()))
    here.transform(table())
    assert there.rates == here.rates
    footer = pq.ParquetFile(paths[0]).metadata
    assert footer.row_group(0).column(0).compression == "ZSTD"
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["rows"] == 900


def test_extending_gives_the_same_new_ids(fitted, session, tmp_path):
    here, there = (
        DataProcessor.load(each.save(tmp_path / str(n))) for n, each in enumerate(fitted)
    )
    new = table(60, seed=1).set_column(2, "item", pa.array([f"n{n % 9}" for n in range(60)]))
    pq.write_table(new, tmp_path / "new.parquet")
    added = here.extend(new)
    assert there.extend(session.read.parquet(str(tmp_path / "new.parquet"))) == added
    assert added["item"] == added["seen"] > 0
    assert_learned_alike(here, there)


def test_more_partitions_than_rows_and_no_rows(session):
    processor = DataProcessor()
    processor.add_sparse_feature("c")
    processor.add_numeric_feature("x")
    few = session.createDataFrame([("b", 1.0), ("a", 3.0)], "c string, x double").repartition(6)
    processor.fit(few)
    assert sorted(map(tuple, processor.transform(few).collect())) == [(2, 1.0), (3, -1.0)]
    with pytest.raises(DataError, match="the data is empty"):
        processor.fit(few.where("x > 5"))


def test_rows_of_a_frame_are_counted_in_their_partition(session, tmp_path):
    # Rows 0, 1, 2... in two partitions; of two that are wrong, the first is told.
    wrong = session.range(0, 20, 1, 2).selectExpr("id AS click", "id AS row")
    labels = DataProcessor()
    labels.add_target("click")
    labels.fit({"click": [0, 1]})
    told = r"^partition 0 of the Spark DataFrame \(rows counted in it\): .*click.*, row 2: .*got 2"
    with pytest.raises(DataError, match=told):
        labels.transform(wrong, output_path=tmp_path / "out", chunk_size=2)
    assert not os.listdir(tmp_path)
    refusing = DataProcessor()
    refusing.add_sparse_feature("c", missing="error")
    gone = session.range(0, 20, 1, 2).selectExpr("IF(id = 13, NULL, id) AS c")
    with pytest.raises(DataError, match=r"^partition 1 of .*column 'c', row 3: "):
        refusing.fit(gone, chunk_size=2)
    assert not refusing.is_fitted


def test_columns_are_checked_before_anything_runs(fitted, frame):
    _, there = fitted
    with pytest.raises(DataError, match=r"lacks 1 column.*'item'"):
        every_kind().fit(frame.drop("item"))
    with pytest.raises(DataError, match=r"lacks 1 column.*'price'"):
        there.transform(frame.drop("price"))
    with pytest.raises(DataError, match="several columns named 'note'"):
        there.transform(frame.select("*", "note"))


def test_types_of_spark(session):
    """Spark's types are Arrow's; names may have dots; moments do not depend on the session."""
    moment = datetime.datetime(2024, 5, 1, 23, 30)
    rows = [
        (moment, moment, moment.date(), Decimal("1.50"), True, b"x", [1, None], "a", 3, None),
        (None, None, None, None, None, None, None, None, None, None),
        (moment, moment, moment.date(), Decimal("2.25"), False, b"y", [], "", 4, None),
    ]
    types = (
        "at timestamp, wall timestamp_ntz, day date, cost decimal(10,2), flag boolean, "
        "raw binary, list array<int>, `a.b` string, n tinyint, nothing void"
    )
    made = session.createDataFrame(rows, types)
    arrow = arrow_of(made)
    place = arrow.column_names.index("at")
    in_utc = arrow.column("at").cast(pa.timestamp("us", "UTC"))
    arrow = arrow.set_column(place, "at", in_utc)

    def processor() -> DataProcessor:
        processor = DataProcessor()
        for name in ("at", "wall", "day"):
            processor.add_datetime_feature(name, ("hour", "day") if name != "day" else ("day",))
            processor.add_sparse_feature(f"{name}_text", column=name)
        processor.add_numeric_feature("cost", "none")
        for name in ("flag", "raw", "a.b", "n"):
            processor.add_sparse_feature(name)
        processor.add_sequence_feature("list", max_len=3)
        processor.add_missing_indicator("no", "nothing")
        return processor

    here, there = processor().fit(arrow), processor().fit(made)
    assert_learned_alike(here, there)
    transformed = there.transform(made)
    computed = arrow_of(transformed)
    expected = here.transform_table(arrow)
    assert transformed.columns == expected.column_names
    assert transformed.schema["at"] == made.schema["at"]
    for name in expected.column_names:
        got = computed.column(name).to_pylist()
        assert got == expected.column(name).to_pylist(), name


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The table as Parquet of varying types, as CSV, plain and compressed, and in partitions."""
    root = tmp_path_factory.mktemp("files")
    rows = table()
    parquet, hive, packed = (root / name for name in ("parquet", "hive", "packed"))
    for each in (parquet, hive, packed):
        each.mkdir()
    narrow = rows.slice(0, 400).set_column(4, "at", rows.column("at").slice(0, 400).cast("int32"))
    pq.write_table(narrow, parquet / "a.parquet", row_group_size=70)
    pq.write_table(rows.slice(400), parquet / "b.parquet", row_group_size=90)
    frame = rows.to_pandas()
    frame["seen"] = frame["seen"].map(lambda seen: seen if seen is None else ",".join(seen))
    text = frame.to_csv(index=False)
    (root / "rows.csv").write_text(text)
    half = text.index("\n", len(text) // 2) + 1
    head = text[: text.index("\n") + 1]
    for name, part in (("a", text[:half]), ("b", head + text[half:])):
        (packed / f"{name}.csv.gz").write_bytes(gzip.compress(part.encode()))
    for city in ("Paris", "東京"):
        (hive / f"city={city}").mkdir()
        part = rows.filter(pa.compute.equal(rows.column("city"), city)).drop_columns(["city"])
        pq.write_table(part, hive / f"city={city}" / "rows.parquet", row_group_size=100)
    return {"parquet": parquet, "csv": root / "rows.csv", "packed": packed, "hive": hive}


@pytest.mark.parametrize("kind", ["parquet", "csv", "packed", "hive"])
def test_files_teach_and_become_what_they_do_locally(session, folders, kind, tmp_path, monkeypatch):
    """Even the bytes of the parts are the same."""
    monkeypatch.setattr("nextrec.data.csv_files.BLOCK_BYTES", 8000)
    for module in (local, spark):
        monkeypatch.setattr(module, "PART_ROWS", 400)
    monkeypatch.setattr(spark, "TASKS", 3)
    monkeypatch.chdir(folders[kind].parent)  # the executors' working folder is another
    here, there = every_kind(), every_kind("spark")
    one = here.fit_transform(folders[kind].name, output_path=tmp_path / "one", chunk_size=100)
    two = there.fit_transform(folders[kind].name, output_path=tmp_path / "two", chunk_size=100)
    assert_learned_alike(here, there)
    assert here.rates == there.rates
    assert len(one) > 1
    assert [Path(each).name for each in one] == [Path(each).name for each in two]
    assert sorted(os.listdir(tmp_path / "one")) == sorted(os.listdir(tmp_path / "two"))
    for name in os.listdir(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_errors_in_files_are_those_of_one_machine(session, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(spark, "TASKS", 3)
    rows = pd.read_csv(folders["csv"]).astype({"click": object})
    rows.loc[[450, 800], "click"] = "maybe"
    rows.to_csv(tmp_path / "bad.csv", index=False)
    monkeypatch.setattr("nextrec.data.csv_files.BLOCK_BYTES", 8000)
    told = []
    processor = every_kind().fit(folders["csv"])
    for engine in ("local", "spark"):
        with pytest.raises(DataError) as caught:
            every_kind(engine).fit(tmp_path / "bad.csv", chunk_size=100)
        told.append(str(caught.value))
        processor.engine = engine
        with pytest.raises(DataError) as caught:
            processor.transform(tmp_path / "bad.csv", output_path=tmp_path / "out")
        told.append(str(caught.value))
    assert told[:2] == told[2:]
    assert "row 450" in told[0]
    assert "'maybe'" in told[0]
    assert os.listdir(tmp_path) == ["bad.csv"]


def test_csv_files_are_written(session, folders, tmp_path):
    here = every_kind().fit(folders["parquet"])
    there = DataProcessor.load(here.save(tmp_path / "processor"))
    there.engine = "spark"
    (one,) = here.transform(folders["parquet"], save_format="csv", output_path=tmp_path / "one")
    (two,) = there.transform(folders["parquet"], save_format="csv", output_path=tmp_path / "two")
    assert Path(one).read_bytes() == Path(two).read_bytes()


# -- what needs no session -----------------------------------------------------------------------


def test_a_recipe_survives_its_journey():
    processor = every_kind().fit(table(200))
    sent = shipping.recipe_to_bytes(Recipe(processor.transforms), learned=True)
    received = shipping.recipe_from_bytes(sent)
    made, rates = received.transform_table(table(50, seed=3))
    expected, same = Recipe(processor.transforms).transform_table(table(50, seed=3))
    assert made.equals(expected)
    assert rates == same


@pytest.mark.parametrize("kind", ["parquet", "csv", "packed", "hive"])
def test_files_survive_their_journey(folders, kind, tmp_path, monkeypatch):
    """An executor reads units of one file in the types of all, without a look at the others."""
    monkeypatch.setattr("nextrec.data.csv_files.BLOCK_BYTES", 8000)
    copy = tmp_path / folders[kind].name
    (shutil.copy if kind == "csv" else shutil.copytree)(folders[kind], copy)
    files, source = spark._open(copy)
    columns, text = source.names(), frozenset({"item", "city"})
    units = source.units(columns, text)
    sent = shipping.files_to_bytes(files, source, columns, text)
    some = [unit for unit in units if unit.file == 0][1:]
    expected = [job() for _, job in source.jobs(columns, some, text)]
    assert len(some) > 1
    for file in files[1:]:
        file.location.unlink()
    received, same_columns, same_text = shipping.files_from_bytes(sent)
    assert (same_columns, same_text) == (columns, text)
    arrived = json.loads(json.dumps(shipping.units_to_payload(some)))
    assert shipping.units_from_payload(arrived) == some
    read = [job() for _, job in received.jobs(columns, some, text)]
    assert [each.num_rows for each in read] == [unit.rows for unit in some]
    assert all(one.equals(other) for one, other in zip(read, expected, strict=True))
    assert read[0].schema.field("at").type == pa.int64()


def test_answers_are_joined_from_slices_in_any_order(monkeypatch):
    monkeypatch.setattr(answers, "SLICE_BYTES", 100)
    sent = {task: {"tokens": pa.array([f"t{task}-{n}" for n in range(50)])} for task in range(3)}
    rows = [
        tuple(column[0].as_py() for column in batch.columns)
        for task, payload in sent.items()
        for batch in answers.answer_batches(task, payload)
    ]
    assert len(rows) > 10
    random.Random(0).shuffle(rows)
    joining = answers.Answers()
    found = [joining.add(*row) for row in rows]
    complete = [each["tokens"].to_pylist() for each in found if each is not None]
    assert sorted(complete) == [each["tokens"].to_pylist() for each in sent.values()]
    assert not joining.waiting


@pytest.mark.parametrize("error", [DataError("a: b"), CheckpointError("c"), NextRecError("d")])
def test_errors_come_back_as_they_were(error):
    with pytest.raises(type(error)) as caught:
        answers.raise_error(answers.error_to_payload(error, 3))
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    lost = MissingDependencyError("fsspec", "fsspec", "reading")
    with pytest.raises(NextRecError, match="reading needs the package 'fsspec'"):
        answers.raise_error(answers.error_to_payload(lost, 3))
    answers.raise_error({"states": {}})


def test_compressed_files_are_read_by_one_task_each(folders, monkeypatch):
    monkeypatch.setattr("nextrec.data.csv_files.BLOCK_BYTES", 8000)
    _, source = spark._open(folders["packed"])
    units = source.units(source.names())
    runs = list(spark.unsplit_groups(units, 1))
    assert [each for run in runs for each in run] == units
    assert [{unit.file for unit in run} for run in runs] == [{0}, {1}]
    assert len(units) > 2


def test_a_large_partition_becomes_several_parts(monkeypatch):
    monkeypatch.setattr(executors, "PART_ROWS", 100)
    tables = [table(60).slice(0, rows) for rows in (60, 60, 60, 60, 10)]
    runs = [[each.num_rows for each in run] for run in executors._in_parts(iter(tables))]
    assert runs == [[60, 60], [60, 60], [10]]
    assert not list(executors._in_parts(iter([])))


def test_folders_that_are_not_shared_are_told(tmp_path):
    with pytest.raises(NextRecError, match=r"an executor does not see .*must lie on a file system"):
        executors._written(tmp_path / "out" / "hidden", [], "parquet", Rates())
    with pytest.raises(NextRecError, match=r"the driver does not see .*must lie on a file system"):
        spark._move(tmp_path / "part", tmp_path / "part-00000.parquet")


def test_executors_without_a_package_are_told():
    failed = RuntimeError("Traceback...\nModuleNotFoundError: No module named 'nextrec.data'")
    with (
        pytest.raises(NextRecError, match=r"without 'nextrec\.data': .*PYSPARK_PYTHON"),
        spark_session.acting(),
    ):
        raise failed
    with pytest.raises(RuntimeError, match="disk full"), spark_session.acting():
        raise RuntimeError("disk full")


@pytest.mark.parametrize("engine", ["local", "spark"])
def test_outputs_are_no_urls(folders, engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spark, "session", lambda: None)  # it is not come to
    processor = every_kind().fit(table(200))
    for url in ("s3://shop/out", "hdfs://shop/out.parquet"):
        processor.engine = engine
        with pytest.raises(ConfigError, match=r"`output_path` must be a path .*got '\w+://shop"):
            processor.transform(folders["parquet"], output_path=url)
        processor.engine = "local"
        with pytest.raises(ConfigError, match=r"`output_path` must be a path .*got '\w+://shop"):
            processor.transform(table(5), output_path=url)
    assert not os.listdir(tmp_path)


def test_transforms_of_ones_own_are_refused():
    class Mine(Scale):
        """Of no registered kind, though its base is of one."""

    with pytest.raises(ConfigError, match="'price' is a Mine, which is not registered"):
        shipping.recipe_to_bytes(Recipe({"price": Mine("price")}), learned=False)


def test_data_in_memory_needs_no_spark():
    processor = DataProcessor(engine="spark")
    processor.add_sparse_feature("item")
    made = processor.fit_transform(pa.table({"item": ["b", "a"]}))
    assert made["item"].tolist() == [3, 2]


def test_without_pyspark_the_extra_is_named(monkeypatch, folders):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(MissingDependencyError, match=r"nextrec\[spark\]"):
        every_kind("spark").fit(folders["parquet"])


@pytest.mark.skipif(os.name == "nt", reason="Spark's scripts are others there")
def test_without_java_the_advice_is_to_install_it(tmp_path):
    pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    code = """
from nextrec.data.processing.spark_session import session
from nextrec.errors import NextRecError
try:
    session()
except NextRecError as error:
    print(error)
"""
    hidden = ("JAVA_HOME", "SPARK_HOME", "PYSPARK_GATEWAY_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    (tmp_path / "bin").mkdir()
    for name in ("env", "bash", "dirname"):  # what the scripts of Spark call before Java
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    environment["PATH"] = str(tmp_path / "bin")
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "it needs Java 17 or newer" in done.stdout, done.stderr


# -- the guide -----------------------------------------------------------------------------------


def test_the_guide_runs(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```py\n(.*?)```", GUIDE.read_text(), flags=re.S)
    assert len(blocks) > 2
    exec(compile("\n".join(blocks), GUIDE.name, "exec"), {"__name__": "document"})


# -- last: Spark ends the workers that raise, and new ones take seconds to start -----------------


def test_an_error_in_a_lazy_frame_is_told_inside_that_of_spark(session):
    labels = DataProcessor()
    labels.add_target("click")
    labels.fit({"click": [0, 1]})
    made = labels.transform(session.range(0, 4, 1, 1).withColumnRenamed("id", "click"))
    with pytest.raises(
        Exception, match=r"DataError: partition 0 .*'click', row 2: .*got 2"
    ) as lazy:
        made.collect()
    assert type(lazy.value).__module__.startswith("pyspark")  # its user, not we, computes it
