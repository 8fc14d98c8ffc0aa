"""The sizes that the doctor forecasts are those that the fitted processor has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nextrec.cli import memory
from nextrec.cli.check import check_config
from nextrec.cli.memory import learned_sizes, memory_of_config, memory_of_draft
from nextrec.data.diagnosis import examine

ROWS = 3000
CONFIG = """\
data: {train: train.parquet}
processor:
  bucket: {name: price, num_buckets: 16}
  datetime: {name: at, parts: [hour, weekday, year]}
  sparse:
    - {name: city, max_size: 50}
    - {name: shop, min_frequency: 3, num_unknown: 2}
    - {name: hashed, column: city, encode_method: hash, hash_size: 100}
    - {name: item, vocabulary: item}
  cross: {name: pair, columns: [user, item], encode_method: label}
  sequence:
    - {name: tags, separator: "|", max_len: 3}
    - {name: seen, vocabulary: item, max_len: 5}
  target: label
model: {name: DeepFM}
"""


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch) -> pl.DataFrame:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    start = np.datetime64("2015-01-01T00:00:00", "us")
    frame = pl.DataFrame(
        {
            "price": rng.normal(size=ROWS),
            "at": start + rng.integers(0, 8 * 365 * 24, ROWS).astype("timedelta64[h]"),
            "city": rng.integers(0, 400, ROWS),
            "shop": [f"s{i}" for i in rng.zipf(1.5, ROWS) % 5000],
            "user": rng.integers(0, 30, ROWS),
            "item": rng.integers(0, 40, ROWS),
            "tags": ["|".join(map(str, rng.integers(0, 700, 3))) for _ in range(ROWS)],
            "seen": rng.integers(10, 90, (ROWS, 4)).tolist(),
            "label": rng.integers(0, 2, ROWS),
        }
    )
    frame.write_parquet("train.parquet")
    Path("c.yaml").write_text(CONFIG)
    return frame


def test_the_tables_of_a_config_are_those_of_the_fitted_processor():
    checked, diagnosis = check_config("c.yaml"), examine("train.parquet")
    known = memory_of_config(checked, diagnosis, "train.parquet")
    assert not checked.processor.is_fitted
    fitted = checked.processor.fit("train.parquet").get_vocab_sizes()
    assert fitted["at_year"] == 2 + 8
    shared = {**fitted, "item": fitted["seen"]}
    rows = {table.name: table.rows for table in known.forecast.tables}
    assert rows == {name: size for name, size in shared.items() if name != "seen"}
    assert known.bounds == ()


def test_counted_sizes_are_near_and_bounds_are_told(monkeypatch):
    monkeypatch.setattr(memory, "FITTED_ROWS", 0)
    checked, diagnosis = check_config("c.yaml"), examine("train.parquet")
    counted, refused = learned_sizes(checked.processor, diagnosis, "train.parquet")
    fitted = checked.processor.fit("train.parquet").get_vocab_sizes()
    assert refused == ""
    assert [name for name, size in counted.items() if not size.is_known] == ["pair"]
    assert counted.keys() == fitted.keys()
    for name, size in counted.items():
        assert fitted[name] <= size.rows <= 1.15 * fitted[name], name
    known = memory_of_config(check_config("c.yaml"), diagnosis, "train.parquet")
    assert "a bound, as not all tokens were counted: the rows of pair" in known.to_text()


def test_the_first_configs_sizes_are_counted(table):
    told = memory_of_draft(examine(table))
    rows = {each.name: each.rows for each in told.forecast.tables}
    assert rows["tags"] == 2 + len({tag for text in table["tags"] for tag in text.split("|")})
    assert rows["at_hour"] == 26
    assert told.bounds == ()


def test_what_the_processor_refuses_is_told(table):
    table.with_columns(label=pl.int_range(ROWS)).write_parquet("later.parquet")
    checked, diagnosis = check_config("c.yaml"), examine("later.parquet")
    told = memory_of_config(checked, diagnosis, "later.parquet")
    assert "target of column 'label'" in told.refused
    assert told.forecast is not None
