from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch

from nextrec.data.batch import Batch, Schema
from nextrec.data.loaders import EpochLoader
from nextrec.data.store import PackedStore
from nextrec.data.stream import ChunkStream, StreamLoader
from nextrec.errors import ConfigError, DataError
from nextrec.features import FeatureSet, SparseFeature

from .conftest import TARGETS
from .test_batch import check_expected
from .test_store import Doubler

ROWS = 97
SCHEMA = Schema(FeatureSet(sparse=[SparseFeature("s", 1000)]), ("y",), ("name",))


def make_table(rows: int = ROWS) -> pa.Table:
    numbers = np.arange(rows)
    names = [f"n{row}" for row in range(rows)]
    return pa.table({"other": numbers, "s": numbers, "y": numbers % 2, "name": names})


@pytest.fixture(params=["parquet", "csv", "data set", "table"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The same rows in four files of uneven size, or in one piece."""
    table = make_table()
    if request.param == "table":
        return table
    for number, (start, stop) in enumerate([(0, 40), (40, 41), (41, 90), (90, ROWS)]):
        part = table.slice(start, stop - start)
        if request.param == "csv":
            part.to_pandas().to_csv(tmp_path / f"{number}.csv", index=False)
        else:
            pq.write_table(part, tmp_path / f"{number}.parquet", row_group_size=7)
    if request.param == "data set":
        return pa.dataset.dataset(tmp_path)
    return tmp_path


def rows_of(batches: Any) -> list[list[int]]:
    return [batch.features["s"].tolist() for batch in batches]


@pytest.mark.parametrize(("chunk_size", "batch_size"), [(10, 4), (4, 10), (1000, 7), (1, 1)])
def test_batches_are_exact_whatever_the_chunks(
    source: Any, chunk_size: int, batch_size: int
) -> None:
    loader = StreamLoader(ChunkStream(source, SCHEMA, chunk_size), batch_size)
    store = PackedStore.from_data(make_table(), SCHEMA.features, ["y"], ["name"])
    batches = list(loader)
    assert len(batches) == len(loader) == -(-ROWS // batch_size)
    assert loader.rows == ROWS
    for number, batch in enumerate(batches):
        expected = store[number * batch_size : (number + 1) * batch_size]
        assert torch.equal(batch.features["s"], expected.features["s"])
        assert batch.labels is not None
        assert expected.labels is not None
        assert torch.equal(batch.labels, expected.labels)
        assert batch.ids["name"].tolist() == expected.ids["name"].tolist()


def test_the_last_batch_can_be_left_out(source: Any) -> None:
    loader = StreamLoader(ChunkStream(source, SCHEMA, 10), 9, drop_last=True)
    assert [len(batch) for batch in loader] == [9] * 10
    assert len(loader) == 10
    with pytest.raises(ConfigError, match="drop_last leaves no batch of 98 in 97 row"):
        StreamLoader(ChunkStream(source, SCHEMA, 10), 98, drop_last=True)


def test_shuffling_keeps_every_row_once_and_its_columns_together(source: Any) -> None:
    loader = StreamLoader(ChunkStream(source, SCHEMA, 25), 8, shuffle=True, seed=3)
    batches = list(loader)
    rows = [row for batch in batches for row in batch.features["s"].tolist()]
    assert sorted(rows) == list(range(ROWS))
    assert rows != list(range(ROWS))
    assert [len(batch) for batch in batches] == [8] * 12 + [1]
    for batch in batches:
        ids = batch.features["s"]
        assert batch.labels is not None
        assert torch.equal(batch.labels[:, 0], (ids % 2).float())
        assert batch.ids["name"].tolist() == [f"n{row}" for row in ids.tolist()]


def test_rows_are_shuffled_across_batches_of_the_buffer() -> None:
    loader = StreamLoader(ChunkStream(make_table(), SCHEMA, 50), 10, shuffle=True, seed=0)
    first = rows_of(loader)[0]
    assert max(first) - min(first) > 20
    assert max(first) < 50


def test_files_come_in_another_order_each_epoch(tmp_path: Path) -> None:
    table = make_table(30)
    for number in range(30):
        pq.write_table(table.slice(number, 1), tmp_path / f"{number:02}.parquet")
    stream = ChunkStream(tmp_path, SCHEMA, 1)
    loader = StreamLoader(stream, 1, shuffle=True, seed=0)
    first, second = rows_of(loader), rows_of(loader)
    assert first != second
    assert sorted(first) == sorted(second) == [[row] for row in range(30)]


def test_the_order_depends_on_seed_and_epoch_only(source: Any) -> None:
    stream = ChunkStream(source, SCHEMA, 20)
    before = torch.get_rng_state()
    loader = StreamLoader(stream, 8, shuffle=True, seed=3)
    first, second = rows_of(loader), rows_of(loader)
    assert loader.epoch == 2
    assert first != second
    again = StreamLoader(stream, 8, shuffle=True, seed=3)
    again.set_epoch(1)
    assert rows_of(again) == second
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_can_be_taken_up_at_any_batch(source: Any) -> None:
    loader = StreamLoader(ChunkStream(source, SCHEMA, 20), 9, shuffle=True, seed=3)
    whole = rows_of(loader.batches())
    for start in (0, 1, 5, len(whole) - 1, len(whole)):
        assert rows_of(loader.batches(start)) == whole[start:]
    assert loader.epoch == 0
    assert isinstance(loader, EpochLoader)


def test_every_form_of_file_gives_the_same_rows(any_files: Any, features: FeatureSet) -> None:
    schema = Schema(features, TARGETS, ("user",), "weight")
    check_expected(Batch.concat(list(StreamLoader(ChunkStream(any_files, schema, 2), 3))))


def test_rows_in_errors_count_through_all_files(tmp_path: Path) -> None:
    for number, ids in enumerate([[1, 2, 3], [4, 5000]]):
        pq.write_table(pa.table({"s": ids}), tmp_path / f"{number}.parquet")
    schema = Schema(FeatureSet(sparse=[SparseFeature("s", 1000)]))
    for seed in range(4):  # whatever the order of the files
        loader = StreamLoader(ChunkStream(tmp_path, schema, 2), 1, shuffle=True, seed=seed)
        with pytest.raises(DataError, match=r"SparseFeature 's', row 4: .*got 5000"):
            list(loader)


def test_a_processor_transforms_each_chunk(source: Any) -> None:
    schema = Schema(SCHEMA.features, ("y",), ("s", "name"))
    loader = StreamLoader(ChunkStream(source, schema, 10, Doubler()), 50)
    batch = next(iter(loader))
    assert batch.features["s"].tolist() == list(range(0, 100, 2))
    assert batch.ids["s"].tolist() == list(range(50))
    assert batch.ids["name"].tolist() == [f"n{row}" for row in range(50)]


def test_a_processor_of_a_stream_must_keep_the_rows() -> None:
    schema = Schema(SCHEMA.features, ("y",))
    loader = StreamLoader(ChunkStream(make_table(), schema, 10, Doubler(keep=9)), 4)
    with pytest.raises(DataError, match="returned 9 rows for the 10 from row 0 on"):
        list(loader)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_chunk_goes_to_one_worker(
    source: Any, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ChunkStream(source, SCHEMA, 10)
    alone = rows_of(stream)
    chunks = []
    for number in range(workers):
        worker = SimpleNamespace(id=number, num_workers=workers)
        monkeypatch.setattr("nextrec.data.stream.get_worker_info", lambda worker=worker: worker)
        chunks += rows_of(stream)
    assert sorted(chunks) == alone


def test_empty_data_and_bad_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("s,y,name\n")
    with pytest.raises(DataError, match="empty"):
        ChunkStream(tmp_path / "empty.csv", SCHEMA)
    with pytest.raises(ConfigError, match="`chunk_size` must be a positive integer; got 0"):
        ChunkStream(make_table(), SCHEMA, 0)
    with pytest.raises(DataError, match=r"lacks 1 column.*'name'"):
        ChunkStream(make_table().drop_columns("name"), SCHEMA)
