from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nextrec.data.batch import Schema
from nextrec.data.preparation import Preparation
from nextrec.data.store import PackedStore, prepare
from nextrec.data.stream import ChunkStream, StreamLoader
from nextrec.errors import DataError, NotFittedError
from nextrec.features import FeatureSet, SparseFeature

FEATURES = FeatureSet(sparse=[SparseFeature("s", 100), SparseFeature("plain", 100)])
MADE = {"s": "raw s", "y": "raw y", "w": "raw w", "unused": "raw unused"}


class Own:
    """A processor over Arrow tables: each output is its input and one."""

    is_fitted = True
    text_columns = frozenset({"raw s", "elsewhere"})

    def __init__(self) -> None:
        self.given: list[tuple[list[str], int]] = []

    def inputs_of(self, names: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(MADE.get(name, name) for name in names))

    def transform_table(
        self, table: pa.Table, first_row: int = 0, only: Sequence[str] | None = None
    ) -> pa.Table:
        self.given.append((table.column_names, first_row))
        made = [name for name in MADE if only is None or name in only]
        columns = {name: pc.add(table[MADE[name]].cast(pa.int64()), 1) for name in made}
        return pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **columns})


class Whole(Own):
    """The same, without a choice of columns."""

    def transform_table(self, table: pa.Table, first_row: int = 0) -> pa.Table:  # type: ignore[override]
        return super().transform_table(table, first_row)


def table(rows: int = 20) -> pa.Table:
    columns = {name: range(rows) for name in ("raw s", "raw w", "raw unused", "plain", "id")}
    return pa.table({**columns, "raw y": [row % 2 for row in range(rows)]})


SCHEMA = Schema(FEATURES, ("y",), ("id", "raw s"), "w")


def test_only_the_columns_that_are_needed_are_read() -> None:
    found = Preparation(SCHEMA, table().column_names, Own())
    assert found.columns == ["raw s", "plain", "raw w", "raw y", "id"]
    assert found.text == {"raw s"}
    assert found.any_thread
    everything = Preparation(SCHEMA, table().column_names, Whole())
    assert everything.columns == table().column_names


@pytest.mark.parametrize("kind", [Own, Whole])
def test_outputs_become_features_and_raw_columns_ids(kind: type[Own]) -> None:
    processor = kind()
    found = Preparation(SCHEMA, table().column_names, processor)
    batch = found.batch(table().select(found.columns).slice(4, 3), 4)
    assert batch.features["s"].tolist() == [5, 6, 7]
    assert batch.features["plain"].tolist() == [4, 5, 6]
    assert batch.labels is not None
    assert batch.labels[:, 0].tolist() == [1, 2, 1]
    assert batch.weights is not None
    assert batch.weights.tolist() == [5, 6, 7]
    assert batch.ids["id"].tolist() == batch.ids["raw s"].tolist() == [4, 5, 6]
    assert processor.given == [(found.columns, 4)]


def test_memory_and_stream_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextrec.data.memory.UNIT_ROWS", 7)
    processor = Own()
    store = PackedStore(prepare(table(), SCHEMA, processor))
    assert sorted(first for _, first in processor.given) == [0, 7, 14]
    assert store.data.features["s"].tolist() == list(range(1, 21))
    batches = list(StreamLoader(ChunkStream(table(), SCHEMA, processor=Own()), 6))
    assert [row for batch in batches for row in batch.features["s"].tolist()] == list(range(1, 21))
    with pytest.raises(DataError, match="the data is empty"):
        prepare(table(0), SCHEMA, Own())


def test_labels_may_be_absent_where_they_are_not_required() -> None:
    without = table().drop_columns("raw y")
    optional = Schema(FEATURES, ("y",), require_labels=False)
    assert Preparation(optional, without.column_names, Own()).columns == ["raw s", "plain"]
    assert "raw y" in Preparation(optional, table().column_names, Own()).columns
    with pytest.raises(DataError, match=r"the data lacks 1 column\(s\): 'raw y'"):
        Preparation(SCHEMA, without.column_names, Own())


def test_every_missing_column_is_told() -> None:
    with pytest.raises(DataError, match=r"lacks 2 column\(s\): 'raw s'.*'plain'"):
        Preparation(Schema(FEATURES), ["id"], Own())
    with pytest.raises(DataError, match="what the processor returned lacks 1 column"):
        Preparation(Schema(FEATURES), ["raw s", "plain"], _Forgets()).batch(table(), 0)


class _Forgets(Own):
    def transform_table(self, table: pa.Table, first_row: int = 0, **_: Any) -> pa.Table:
        return table


def test_a_processor_must_be_fitted() -> None:
    processor = Own()
    processor.is_fitted = False
    with pytest.raises(NotFittedError, match="Own must be fitted"):
        Preparation(SCHEMA, table().column_names, processor)
