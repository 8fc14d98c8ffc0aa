from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nextrec
from nextrec.errors import ConfigError, DataError
from nextrec.features import SparseFeature
from nextrec.models import prediction


@pytest.mark.parametrize(
    ("path", "given", "kind"),
    [
        ("x", None, "csv"),
        ("x", "parquet", "parquet"),
        ("x.csv", None, "csv"),
        ("X.CSV", "csv", "csv"),
        ("x.parquet", None, "parquet"),
        (Path("a/x.pq"), None, "parquet"),
        ("x.txt", "csv", "csv"),
        ("x_v1.2", "parquet", "parquet"),
    ],
)
def test_the_format_of_a_file(path: Any, given: str | None, kind: str) -> None:
    assert prediction._kind(path, given) == kind


@pytest.mark.parametrize(
    ("path", "given"),
    [("x.csv", "parquet"), ("x.pq", "csv"), ("x.csv.gz", None), ("x.gz", "csv"), ("x.json", None)],
)
def test_endings_that_say_something_else(path: str, given: str | None) -> None:
    with pytest.raises(ConfigError, match="predict: `save_"):
        prediction._kind(path, given)


@pytest.mark.parametrize("kind", prediction.FORMATS)
def test_both_writers_write_pieces(kind: str, tmp_path: Path) -> None:
    pieces = [
        pa.table({"id": ['a"b', "c, d"], "x": pa.array([0.1, 1e-30], pa.float32())}),
        pa.table({"id": ["e\nf", None], "x": pa.array([1.0, 2.0], pa.float32())}),
    ]
    path = tmp_path / "x"
    with prediction._writer(path, kind, pieces[0].schema) as writer:
        for piece in pieces:
            writer.write_table(piece)
    read = pq.read_table(path).to_pandas() if kind == "parquet" else pd.read_csv(path)
    assert read["id"].fillna("-").tolist() == ['a"b', "c, d", "e\nf", "-"]
    assert read["x"].astype(np.float32).tolist() == pa.concat_tables(pieces)["x"].to_pylist()


def test_pieces_take_the_types_of_the_first() -> None:
    first = pa.schema({"id": pa.int32()})
    same = pa.table({"id": pa.array([1], pa.int32())})
    assert prediction._like(first, same) is same
    assert prediction._like(first, pa.table({"id": [5]})).schema == first
    for other in ([2**40], ["x"]):
        with pytest.raises(DataError, match="an id column changes its type"):
            prediction._like(first, pa.table({"id": other}))
    joined = prediction._joined([same, pa.table({"id": [2**40]})])
    assert joined["id"].to_pylist() == [1, 2**40]


def test_columns_are_ids_then_predictions() -> None:
    options = {"task": ["multiclass", "binary"], "target": ["kind", "click"], "num_classes": 3}
    model = nextrec.DCN(sparse_features=[SparseFeature("user", 5)], **options)
    scores = np.array([[0.1, 0.7, 0.2, 0.4], [0.5, 0.2, 0.3, 0.6]], np.float32)
    table = prediction._table(model, {"row": pa.array(["a", "b"])}, scores)
    assert table.to_pydict() == {
        "row": ["a", "b"],
        "kind_pred": [1, 0],
        "kind_prob_0": pytest.approx([0.1, 0.5]),
        "kind_prob_1": pytest.approx([0.7, 0.2]),
        "kind_prob_2": pytest.approx([0.2, 0.3]),
        "click_pred": pytest.approx([0.4, 0.6]),
    }


def pieces_of(data: Any, batch: int, chunk: int) -> list[list[int]]:
    model = nextrec.DCN(sparse_features=[SparseFeature("user", 5)], id_columns="row")
    source = prediction.inputs.opened(data)
    parts = prediction._parts(model, source, batch, chunk, True, None)
    return [piece["row"].to_pylist() for piece in prediction._pieces(model, parts)]


def test_rows_come_in_pieces_of_the_chunk() -> None:
    data = {"user": [1, 2, 3, 4, 0], "row": [10, 11, 12, 13, 14]}
    assert pieces_of(data, 2, 3) == [[10, 11, 12], [13, 14]]


def test_small_units_are_joined_until_they_fill_a_batch(tmp_path: Path) -> None:
    data = pa.table({"user": [1, 2, 3, 4, 0], "row": [10, 11, 12, 13, 14]})
    pq.write_table(data, tmp_path / "a.parquet", row_group_size=1)
    assert pieces_of(tmp_path, 2, 3) == [[10, 11], [12, 13], [14]]
    assert pieces_of(tmp_path, 4, 3) == [[10, 11, 12], [13, 14]]


def test_empty_data_is_refused() -> None:
    model = nextrec.DCN(sparse_features=[SparseFeature("user", 5)])
    with pytest.raises(DataError, match="predict: the data is empty"):
        model.predict({"user": []})
