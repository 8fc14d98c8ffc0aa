from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.batch import Batch, Schema
from nextrec.data.files import Job, Unit
from nextrec.data.loaders import EpochLoader, batch_bounds
from nextrec.data.memory import ArrowSource
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


class Units(ArrowSource):
    """Rows in units of any size, units in groups of any number; remembers what was read."""

    def __init__(self, groups: list[list[int]]) -> None:
        super().__init__(make_table(sum(map(sum, groups))))
        self.groups = groups
        self.read_rows = 0

    def units(self, columns: Sequence[str], text: Collection[str] = ()) -> list[Unit]:
        units: list[Unit] = []
        for number, group in enumerate(self.groups):
            for rows in group:
                first = sum(unit.rows for unit in units)
                units.append(Unit(number, len(units), rows, first, number))
        return units

    def jobs(
        self,
        columns: Sequence[str],
        units: Iterable[Unit] | None = None,
        text: Collection[str] = (),
    ) -> Iterator[tuple[Unit, Job]]:
        last: dict[int, int] = {}
        for unit in self.units(columns) if units is None else units:
            assert unit.place > last.get(unit.group, -1), "units of a group in their order"
            last[unit.group] = unit.place
            yield unit, partial(self._read_unit, unit, list(columns))

    def _read_unit(self, unit: Unit, columns: list[str]) -> pa.Table:
        self.read_rows += unit.rows
        return self.data.select(columns).slice(unit.first_row, unit.rows)


def reference(groups: list[list[int]], size: int, **options: Any) -> list[list[int]]:
    """The batches of an epoch, with everything in memory and no cleverness."""
    seed, rank, world = options["seed"], options["rank"], options["world_size"]
    rows = iter(range(sum(map(sum, groups))))
    parts = [[next(rows) for _ in range(sum(group))] for group in groups]
    if options["shuffle"]:
        parts = [parts[g] for g in np.random.default_rng([seed, 0]).permutation(len(parts))]
    order = [row for part in parts for row in part]
    ends = np.cumsum([0, *(len(range(r, len(order), world)) for r in range(world))])
    mine = order[ends[rank] : ends[rank + 1]]
    if options["shuffle"]:
        buffer = -(-options["buffer_rows"] // size) * size
        pools = [mine[start : start + buffer] for start in range(0, len(mine), buffer)]
        mine = []
        for number, pool in enumerate(pools):
            places = np.random.default_rng([seed, 0, number + 1]).permutation(len(pool))
            mine += [pool[place] for place in places]
    bounds = batch_bounds("reference", len(order), size, rank, world, options["drop_last"])
    return [mine[start:stop] for start, stop in pairwise(bounds)]


def rows_of(batches: Any) -> list[list[int]]:
    return [batch.features["s"].tolist() for batch in batches]


GROUPS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(deadline=None)
@given(
    groups=GROUPS,
    size=st.integers(1, 12),
    buffer_rows=st.integers(1, 40),
    world=st.integers(1, 3),
    threads=st.integers(0, 3),
    seed=st.integers(0, 2**64),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    data=st.data(),
)
def test_batches_are_those_of_a_plain_loop(
    groups: list[list[int]],
    size: int,
    buffer_rows: int,
    world: int,
    threads: int,
    seed: int,
    shuffle: bool,
    drop_last: bool,
    data: st.DataObject,
) -> None:
    if not sum(map(sum, groups)):
        with pytest.raises(DataError, match="it has no rows"):
            ChunkStream(Units(groups), SCHEMA)
        return
    options = {"seed": seed, "shuffle": shuffle, "drop_last": drop_last, "world_size": world}
    options["buffer_rows"] = buffer_rows
    seen: list[int] = []
    for rank in range(world):
        stream = ChunkStream(Units(groups), SCHEMA)
        try:
            expected = reference(groups, size, rank=rank, **options)
        except ConfigError:
            with pytest.raises(ConfigError, match=r"StreamLoader: .* don't give each"):
                StreamLoader(stream, size, rank=rank, threads=threads, **options)
            return
        loader = StreamLoader(stream, size, rank=rank, threads=threads, **options)
        assert len(loader) == len(expected)
        start = data.draw(st.integers(0, len(expected) + 1))
        assert rows_of(loader.batches(start)) == expected[start:]
        assert rows_of(loader.batches()) == expected
        seen += [row for batch in expected for row in batch]
    everything = list(range(stream.rows))
    assert sorted(seen) == everything if not drop_last else len(set(seen)) == len(seen)


def test_an_epoch_is_taken_up_without_reading_what_lies_before() -> None:
    source = Units([[10]] * 50)
    loader = StreamLoader(
        ChunkStream(source, SCHEMA), 5, shuffle=True, seed=1, buffer_rows=20, threads=0
    )
    whole = rows_of(loader.batches())
    source.read_rows = 0
    assert rows_of(loader.batches(96)) == whole[96:]
    assert source.read_rows == 20
    source.read_rows = 0
    assert next(iter(loader.batches(51))).features["s"].tolist() == whole[51]
    assert source.read_rows == 20
    source.read_rows = 0
    ranked = StreamLoader(ChunkStream(source, SCHEMA), 5, rank=1, world_size=2, threads=0)
    list(ranked)
    assert source.read_rows == 250


def test_units_are_read_ahead_by_about_a_buffer() -> None:
    source = Units([[10]] * 50)
    loader = StreamLoader(
        ChunkStream(source, SCHEMA), 5, shuffle=True, seed=1, buffer_rows=50, threads=2
    )
    batches = loader.batches()
    next(batches)
    batches.close()
    assert source.read_rows <= 10 * (5 + 5 + 2)


def test_data_that_changes_meanwhile_is_refused() -> None:
    class Growing(Units):
        def _read_unit(self, unit: Unit, columns: list[str]) -> pa.Table:
            return self.data.select(columns)

    with pytest.raises(DataError, match="changed while it was read: 3 rows from row 4 on became 7"):
        list(StreamLoader(ChunkStream(Growing([[4], [3]]), SCHEMA), 3, rank=1, world_size=2))


@settings(deadline=None)
@given(groups=GROUPS, chunk_size=st.integers(1, 20), workers=st.integers(1, 4))
def test_chunks_are_dealt_out_to_workers(
    groups: list[list[int]], chunk_size: int, workers: int
) -> None:
    rows = list(range(sum(map(sum, groups))))
    if not rows:
        return
    expected = [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]
    with pytest.MonkeyPatch.context() as patch:
        for number in range(workers):
            worker = SimpleNamespace(id=number, num_workers=workers)
            patch.setattr("nextrec.data.stream.get_worker_info", lambda worker=worker: worker)
            chunks = rows_of(ChunkStream(Units(groups), SCHEMA, chunk_size))
            assert chunks == expected[number::workers]


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
    with pytest.raises(ConfigError, match=r"97 row.*batches of 98 row.*drop_last=True"):
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
    with pytest.raises(DataError, match="returned 9 rows for the 97 from row 0 on"):
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
    wrong: list[dict[str, Any]] = [
        *({"buffer_rows": 0}, {"threads": -1}, {"rank": 2, "world_size": 2}),
        *({"rank": 0.5}, {"world_size": 1.5}, {"batch_size": True}, {"seed": True}),
    ]
    for options in wrong:
        with pytest.raises(ConfigError, match=f"StreamLoader: `{next(iter(options))}` must be"):
            StreamLoader(ChunkStream(make_table(), SCHEMA), **{"batch_size": 4, **options})
    with pytest.raises(ConfigError, match="`chunk_size` must be a positive integer; got True"):
        ChunkStream(make_table(), SCHEMA, True)
    with pytest.raises(DataError, match=r"lacks 1 column.*'name'"):
        ChunkStream(make_table().drop_columns("name"), SCHEMA)
