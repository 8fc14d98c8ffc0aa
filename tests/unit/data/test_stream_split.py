from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.batch import Schema
from nextrec.data.sampling import split
from nextrec.data.sources import open_source
from nextrec.data.stream import ChunkStream, StreamLoader
from nextrec.data.stream_split import RowChoice, split_stream
from nextrec.errors import ConfigError, DataError
from nextrec.features import FeatureSet, SparseFeature

SCHEMA = Schema(FeatureSet(sparse=[SparseFeature("s", 100_000)]))


def split_of(source: Any, fraction: float, method: str = "random", **options: Any) -> Any:
    source = open_source(source)
    columns = ["s", *([options["column"]] if options.get("column") else [])]
    return split_stream(source, source.units(columns), fraction, method, **options)


def rows_of(source: Any, choice: RowChoice, **options: Any) -> list[int]:
    loader = StreamLoader(ChunkStream(source, SCHEMA, rows=choice), 7, **options)
    return [row for batch in loader for row in batch.features["s"].tolist()]


def table_of(values: Any) -> pa.Table:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.table({"s": np.arange(len(column)), "by": column})


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextrec.data.memory.UNIT_ROWS", 13)


@pytest.mark.parametrize("rows", [2, 10, 999, 1000, 1001, 5678])
@pytest.mark.parametrize("fraction", [0.5, 0.2, 0.013])
def test_a_random_split_has_exactly_its_share(rows: int, fraction: float) -> None:
    table = table_of(np.zeros(rows))
    try:
        expected = len(split(rows, fraction)[1])
    except DataError:
        with pytest.raises(DataError, match="both sides need at least one"):
            split_of(table, fraction)
        return
    kept, held = (rows_of(table, each) for each in split_of(table, fraction, seed=3))
    assert len(held) == expected
    assert sorted(kept + held) == list(range(rows))
    assert kept == sorted(kept)


def test_a_random_split_depends_on_seed_and_row_only(small_units: None) -> None:
    table = table_of(np.zeros(2500))
    choice = split_of(table, 0.3, seed=1)[1]
    first = rows_of(table, choice)
    assert rows_of(table, split_of(table, 0.3, seed=2)[1]) != first
    assert np.flatnonzero(choice.mask(table, 0)).tolist() == first  # not on the units
    part = table.slice(1717, 99)
    assert (np.flatnonzero(choice.mask(part, 1717)) + 1717).tolist() == [
        row for row in first if 1717 <= row < 1816
    ]


def test_random_rows_are_spread_evenly() -> None:
    table = table_of(np.zeros(20_000))
    rows = np.array(rows_of(table, split_of(table, 0.1)[1]))
    for modulus in (2, 3, 7, 10):  # no residue is favoured: chi square below its 1e-5 quantile
        counts = np.bincount(rows % modulus, minlength=modulus)
        expected = len(rows) / modulus
        assert ((counts - expected) ** 2 / expected).sum() < 19.5 + 3 * modulus


@pytest.mark.parametrize(
    "values",
    [
        np.arange(3000) % 200,
        np.arange(3000) % 200 + 0.5,
        [f"user {row % 200}" for row in range(3000)],
        pa.array([f"u{row % 200}" for row in range(3000)]).dictionary_encode(),
    ],
    ids=["integers", "reals", "text", "dictionary"],
)
def test_groups_stay_together(values: Any, small_units: None) -> None:
    table = table_of(values)
    kept, held = (rows_of(table, each) for each in split_of(table, 0.25, "group", column="by"))
    assert sorted(kept + held) == list(range(3000))
    by = np.array(table["by"].to_pylist())
    assert not set(by[kept]) & set(by[held])
    assert 0.15 < len(held) / 3000 < 0.35


def test_a_group_is_the_same_whatever_its_width(tmp_path: Path) -> None:
    pq.write_table(table_of(pa.array([1, 2, 3, 4] * 5, pa.int32())), tmp_path / "0.parquet")
    pq.write_table(table_of(pa.array([1.0, 2.0, 3.0, 4.0] * 5)), tmp_path / "1.parquet")
    for seed in range(8):
        choices = [
            split_of(tmp_path / f"{number}.parquet", 0.5, "group", column="by", seed=seed + 100)
            for number in range(2)
        ]
        assert choices[0][0].tested_of == choices[1][0].tested_of


@settings(deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.integers(10**9, 10**9 + 5)
        ),
        min_size=2,
        max_size=40,
    ),
    fraction=st.floats(0.01, 0.99),
    as_type=st.sampled_from(["int64", "timestamp", "float64", "int32"]),
)
def test_a_split_by_time_is_that_of_memory(
    values: list[int], fraction: float, as_type: str
) -> None:
    numbers = np.array(values, np.int64)
    column = {
        "int64": lambda: pa.array(numbers),
        "timestamp": lambda: pa.array(numbers).cast(pa.timestamp("us")),
        "float64": lambda: pa.array(numbers / 7),
        "int32": lambda: pa.array((numbers % 1000 - 500).astype(np.int32)),
    }[as_type]()
    table = table_of(column)
    try:
        expected = split(table, fraction, "time", values="by")
    except DataError:
        with pytest.raises(DataError, match="both sides need at least one"):
            split_of(table, fraction, "time", column="by")
        return
    choices = split_of(table, fraction, "time", column="by")
    masks = [choice.mask(table, 0) for choice in choices]
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [each.tolist() for each in expected]


def test_a_split_by_time_over_files(tmp_path: Path) -> None:
    times = np.random.default_rng(0).integers(0, 50, 300)
    for number in range(3):
        part = slice(100 * number, 100 * (number + 1))
        frame = pd.DataFrame({"s": np.arange(300)[part], "by": times[part]})
        frame.to_csv(tmp_path / f"{number}.csv", index=False)
    kept, held = split_of(tmp_path, 0.3, "time", column="by")
    expected = split(300, 0.3, "time", values=times)
    assert rows_of(tmp_path, kept) == expected[0].tolist()
    assert sorted(rows_of(tmp_path, held, shuffle=True, seed=1)) == expected[1].tolist()


def test_times_of_several_types_are_compared_as_one(tmp_path: Path) -> None:
    pq.write_table(table_of([1, 2, 3]), tmp_path / "0.parquet")
    pq.write_table(table_of([1.5, 2.5]), tmp_path / "1.parquet")
    kept, held = split_of(tmp_path, 0.4, "time", column="by")
    assert (rows_of(tmp_path, kept), rows_of(tmp_path, held)) == ([0, 1, 0], [2, 1])


def test_a_part_of_the_rows_is_resumed_and_shared_like_the_whole(small_units: None) -> None:
    table = table_of(np.zeros(500))
    choice = split_of(table, 0.4)[0]
    stream = ChunkStream(table, SCHEMA, rows=choice)
    options = {"shuffle": True, "seed": 2, "buffer_rows": 64}
    loader = StreamLoader(stream, 16, **options)
    whole = [batch.features["s"].tolist() for batch in loader.batches()]
    assert [len(batch) for batch in whole] == [16] * 18 + [12]
    again = [batch.features["s"].tolist() for batch in loader.batches(9)]
    assert again == whole[9:]
    ranks = [StreamLoader(stream, 16, rank=r, world_size=3, **options) for r in range(3)]
    dealt = [row for rank in ranks for batch in rank for row in batch.features["s"].tolist()]
    assert sorted(dealt) == sorted(rows_of(table, choice))


def test_rows_in_errors_are_those_of_the_whole_data(small_units: None) -> None:
    values = np.arange(100)
    choice = split_of(table_of(values), 0.5)[0]
    row = int(np.flatnonzero(choice.mask(table_of(values), 0))[40])
    values[row] = 100_000
    wrong = pa.table({"s": values})
    with pytest.raises(DataError, match=rf"SparseFeature 's', row {row}: .*got 100000"):
        rows_of(wrong, choice)


def test_what_a_stream_can_not_split_is_refused() -> None:
    table = table_of([1, None, 3])
    for method in ("group", "time"):
        with pytest.raises(DataError, match="row 1: `by` must be a value, not missing"):
            split_of(table, 0.5, method, column="by")
    with pytest.raises(
        DataError, match=r"split, row 1: `by` must be ISO 8601 text.*got '3.5.2024'"
    ):
        split_of(table_of(["2024-01-02", "3.5.2024"]), 0.5, "time", column="by")
    with pytest.raises(DataError, match=r"`by` must be a column of numbers, dates.*got 'bool'"):
        split_of(table_of([True, False]), 0.5, "time", column="by")
    for method in ("group", "time"):
        with pytest.raises(DataError, match=r"`by` must be a column of single values; got 'list"):
            split_of(table_of([[1], [2]]), 0.5, method, column="by")
    with pytest.raises(ConfigError, match="'user_time' needs all rows of a user at once"):
        split_of(table, 0.5, "user_time", column="by")


ISO = pd.Series(pd.date_range("2023-12-25", periods=60, freq="7h13min"))
TEXTS = {
    "dates": ISO.dt.strftime("%Y-%m-%d"),
    "spaces": ISO.dt.strftime("%Y-%m-%d %H:%M:%S"),
    "fractions": ISO.dt.strftime("%Y-%m-%dT%H:%M:%S.123456789"),
    "zones": pd.Series(
        # Alphabetical order is not that of time: the offsets differ.
        [
            f"{each:%Y-%m-%dT%H:%M:%S}{'Z' if row % 3 else '+11:00'}"
            for row, each in enumerate(pd.date_range("2023-12-25", periods=60, freq="3h"))
        ]
    ),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("suffix", ["memory", ".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("as_written", [False, True])
def test_iso_text_is_split_by_time(
    name: str, suffix: str, as_written: bool, tmp_path: Path, small_units: None
) -> None:
    texts = TEXTS[name].sample(frac=1, random_state=3).to_numpy()
    frame = pd.DataFrame({"s": np.arange(60), "by": texts})
    source: Any = frame
    if suffix == ".parquet":
        frame.to_parquet(source := tmp_path / "x.parquet", row_group_size=7)
    elif suffix != "memory":
        frame.to_csv(source := tmp_path / f"x{suffix}", index=False)
    moments = np.array([pd.Timestamp(text).value for text in texts])
    expected = split(60, 0.3, "time", values=moments)
    text = {"by"} if as_written else ()
    kept, held = (
        rows_of(source, each) for each in split_of(source, 0.3, "time", column="by", text=text)
    )
    assert (kept, held) == tuple(each.tolist() for each in expected)
    for sides in (split(frame, 0.3, "time", values="by"), split(60, 0.3, "time", values=texts)):
        assert [each.tolist() for each in sides] == [kept, held]


@pytest.mark.parametrize("values", [[9, 10, 11, 100, 8], [9.5, 10.0, 1e3, 2.0, -3.0]])
def test_numbers_read_as_they_are_written_are_still_numbers(
    values: list[float], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"s": np.arange(5), "by": values})
    frame.to_csv(tmp_path / "x.csv", index=False)
    choice = split_of(tmp_path / "x.csv", 0.4, "time", column="by", text={"by"})[1]
    written = pa.table({"s": frame["s"], "by": frame["by"].map(str)})  # as a processor gets it
    expected = split(5, 0.4, "time", values=values)[1]
    assert np.flatnonzero(choice.mask(written, 0)).tolist() == expected.tolist()
    for word, message in (
        ("x", "split, from row 7 on: `by` must be"),
        ("NA", "split, row 9: `by`"),
    ):
        changed = pa.table({"by": ["1", "2", word]})
        with pytest.raises(DataError, match=message):
            choice.mask(changed, 7)


def test_times_of_other_widths_or_units_in_later_files_are_compared_as_times(
    tmp_path: Path,
) -> None:
    for names, values, types in (
        ("ab", [[5, 1], [2**40, 3]], [pa.int32(), pa.int64()]),
        ("cd", [[5.5, 1.5], [1e300, 3.5]], [pa.float32(), pa.float64()]),
        ("ef", [[5000, 1000], [9, 3]], [pa.timestamp("ms"), pa.timestamp("s")]),
    ):
        folder = tmp_path / names
        folder.mkdir()
        for number, (name, each, kind) in enumerate(zip(names, values, types, strict=True)):
            rows = np.arange(2) + 2 * number
            table = pa.table({"s": rows, "by": pa.array(each, kind)})
            pq.write_table(table, folder / f"{name}.parquet")
        assert rows_of(folder, split_of(folder, 0.5, "time", column="by")[1]) == [0, 2]


def test_a_choice_fits_only_the_data_it_was_made_of() -> None:
    choice = split_of(table_of(np.zeros(10)), 0.5)[0]
    with pytest.raises(DataError, match="from row 0 on are not those that were split"):
        ChunkStream(table_of(np.zeros(11)), SCHEMA, rows=choice)
