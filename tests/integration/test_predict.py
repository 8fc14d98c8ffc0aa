"""``predict``: which frame comes back, what a file holds, and that pieces make the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError, DataError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature

ROWS = 50
TOP = 2**60
"""Ids above 2**53 would change if they passed through a float."""


def feature_lists() -> dict[str, Any]:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [SparseFeature("user", 20, embedding_dim=4)],
        "sequence_features": [SequenceFeature("history", 30, 5, embedding_dim=4)],
    }


def model(**options: Any) -> nextrec.BaseModel:
    return nextrec.DeepFM(**feature_lists(), **{"mlp_params": {"dims": [8]}, "seed": 1, **options})


def columns() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "user": rng.integers(0, 20, ROWS).tolist(),
        "price": rng.normal(size=ROWS).tolist(),
        "history": [rng.integers(1, 30, size).tolist() for size in rng.integers(0, 5, ROWS)],
        "request": [TOP + row for row in range(ROWS)],
        "name": [f"user, {row}" for row in range(ROWS)],
    }


def expected_scores(of: nextrec.BaseModel) -> np.ndarray:
    data = columns()
    history = torch.zeros(ROWS, 5, dtype=torch.long)
    for row, items in enumerate(data["history"]):
        history[row, : len(items)] = torch.tensor(items, dtype=torch.long)
    x = {"user": torch.tensor(data["user"]), "price": torch.tensor(data["price"])}
    with torch.no_grad():
        return of.eval()({**x, "history": history}).numpy()


def as_loader(data: Any, **options: Any) -> Any:
    maker = nextrec.RecDataLoader(**feature_lists(), id_columns=["request", "name"])
    return maker.create_dataloader(data, batch_size=16, shuffle=False, **options)


@pytest.fixture
def kinds(tmp_path: Path) -> dict[str, tuple[Any, type]]:
    """Data of every kind, with the kind of frame that comes back."""
    data = columns()
    frame, table = pd.DataFrame(data), pl.DataFrame(data).to_arrow()
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame[:20].to_parquet(tmp_path / "part-0.parquet")
    frame[20:].to_parquet(tmp_path / "part-1.parquet")
    return {
        "dict": (data, pd.DataFrame),
        "pandas": (frame.set_index(frame.index + 7), pd.DataFrame),
        "polars": (pl.DataFrame(data), pl.DataFrame),
        "lazy polars": (pl.DataFrame(data).lazy(), pl.DataFrame),
        "arrow": (table, pa.Table),
        "stream": (table.to_reader(max_chunksize=9), pd.DataFrame),
        "csv": (str(tmp_path / "data.csv"), pd.DataFrame),
        "parquet files": (str(tmp_path / "part-*.parquet"), pd.DataFrame),
        "loader": (as_loader(frame), pd.DataFrame),
        "streaming loader": (as_loader(tmp_path / "data.csv", load_full=False), pd.DataFrame),
    }


def plain(frame: Any) -> dict[str, list[Any]]:
    if isinstance(frame, pd.DataFrame):
        return {name: frame[name].tolist() for name in frame.columns}
    return frame.to_dict(as_series=False) if isinstance(frame, pl.DataFrame) else frame.to_pydict()


def test_a_frame_of_the_kind_that_was_given(kinds: dict[str, tuple[Any, type]]) -> None:
    small = model(id_columns=["request", "name"])
    scores = expected_scores(small)
    for kind, (data, expected) in kinds.items():
        frame = small.predict(data)
        assert isinstance(frame, expected), kind
        values = plain(frame)
        assert list(values) == ["request", "name", "label_pred"], kind
        assert values["request"] == columns()["request"], kind
        assert values["name"] == columns()["name"], kind
        np.testing.assert_allclose(values["label_pred"], scores, rtol=1e-6)


def test_ids_are_left_out_on_request() -> None:
    small = model(id_columns="name")
    assert list(small.predict(columns(), include_ids=False)) == ["label_pred"]
    without = {name: values for name, values in columns().items() if name != "name"}
    assert list(small.predict(without, include_ids=False)) == ["label_pred"]
    with pytest.raises(DataError, match="lacks 1 column"):
        small.predict(without)
    with pytest.raises(ConfigError, match="`include_ids` needs a model with `id_columns`"):
        model().predict(columns(), include_ids=True)
    loader = nextrec.RecDataLoader(**feature_lists()).create_dataloader(columns())
    with pytest.raises(DataError, match="carry no id column 'name'"):
        small.predict(loader)


def test_an_array_without_ids() -> None:
    small = model(id_columns="name")
    array = small.predict(columns(), return_dataframe=False)
    assert array.shape == (ROWS, 1)
    np.testing.assert_allclose(array[:, 0], expected_scores(small), rtol=1e-6)


@pytest.mark.parametrize(("batch", "chunk"), [(1, 1), (7, 3), (16, 20), (4096, 65536)])
def test_pieces_make_the_whole(batch: int, chunk: int, kinds: dict[str, tuple[Any, type]]) -> None:
    small = model(id_columns="request")
    whole = small.predict(columns())
    for kind in ("dict", "csv", "parquet files"):
        pieces = small.predict(kinds[kind][0], batch_size=batch, streaming_chunk_size=chunk)
        assert pieces["request"].tolist() == whole["request"].tolist()
        np.testing.assert_allclose(pieces["label_pred"], whole["label_pred"], rtol=1e-5)


def test_predict_changes_neither_mode_nor_streams() -> None:
    small = model(mlp_params={"dims": [8], "dropout": 0.5}).train()
    before = torch.get_rng_state()
    first, second = (small.predict(columns(), return_dataframe=False) for _ in range(2))
    assert np.array_equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    assert small.training
    assert not small.session_path.exists()


# -- ids of every type -------------------------------------------------------------------------

IDS = {
    "large integers, one missing": [TOP + row if row != 33 else None for row in range(ROWS)],
    "text, one missing": [f"u{row}" if row != 33 else None for row in range(ROWS)],
    "text with commas and quotes": [f'"a", {row}\n' for row in range(ROWS)],
    "all missing": [None] * ROWS,
    "reals": [row / 3 for row in range(ROWS)],
    "booleans": [row % 2 == 0 for row in range(ROWS)],
    "times": [
        pd.Timestamp("2026-01-02", tz="Asia/Tokyo") + pd.Timedelta(days=d) for d in range(ROWS)
    ],
}


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("chunk", [7, 1000])
def test_ids_come_back_as_they_were(kind: str, chunk: int, tmp_path: Path) -> None:
    small = model(id_columns="id")
    data = {**columns(), "id": IDS[kind]}
    table = pa.table({name: pa.array(values) for name, values in data.items()})
    back = small.predict(table, streaming_chunk_size=chunk)
    assert back["id"].to_pylist() == table["id"].to_pylist()
    assert back["id"].type == table["id"].type
    path = small.predict(
        table, save_path=tmp_path / "o.parquet", streaming_chunk_size=chunk, return_dataframe=False
    )
    assert pq.read_table(path)["id"].to_pylist() == table["id"].to_pylist()
    frame = small.predict(data, streaming_chunk_size=chunk)
    ours = [None if pd.isna(each) else each for each in frame["id"]]
    assert ours == IDS[kind]


def test_categories_come_back_as_their_values() -> None:
    frame = pd.DataFrame(columns()).assign(name=lambda f: f["name"].astype("category"))
    small = model(id_columns="name")
    assert small.predict(frame, streaming_chunk_size=9)["name"].tolist() == columns()["name"]


def test_files_whose_ids_differ_in_type(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    frame = pd.DataFrame(columns()).assign(request=range(ROWS))
    narrow = frame[:20].assign(request=frame["request"][:20].astype("int32"))
    narrow.to_parquet(folder / "part-0.parquet")
    frame[20:].to_parquet(folder / "part-1.parquet")
    small = model(id_columns="request")
    assert small.predict(folder)["request"].tolist() == list(range(ROWS))
    written = small.predict(folder, save_path=tmp_path / "o.csv", return_dataframe=False)
    assert pd.read_csv(written)["request"].tolist() == list(range(ROWS))
    frame[20:].assign(request="x").to_parquet(folder / "part-1.parquet")
    for options in ({}, {"save_path": tmp_path / "p.csv"}):
        with pytest.raises(DataError, match=r"part-1.parquet.*'request' is of type large_string"):
            small.predict(folder, **options)
    assert not (tmp_path / "p.csv").exists()


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "written"),
    [
        ("scores", None, "nextrec_logs/run/predictions/scores.csv"),
        ("scores", "parquet", "nextrec_logs/run/predictions/scores.parquet"),
        ("scores.csv", None, "scores.csv"),
        ("out/scores.parquet", None, "out/scores.parquet"),
        ("out/scores", "parquet", "out/scores.parquet"),
        ("scores_v1.2", None, "nextrec_logs/run/predictions/scores_v1.2.csv"),
        ("out/", None, "out/DeepFM_predictions.csv"),
    ],
)
def test_where_a_file_goes(
    path: str, kind: Any, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = model(id_columns="name", session_id="run")
    frame = small.predict(columns(), save_path=path, save_format=kind)
    file = tmp_path / written
    read = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    assert read["name"].tolist() == frame["name"].tolist() == columns()["name"]
    np.testing.assert_allclose(read["label_pred"], frame["label_pred"], rtol=1e-6)
    assert (tmp_path / "nextrec_logs").exists() == written.startswith("nextrec_logs")
    assert [each for each in file.parent.iterdir() if each.name.startswith(".")] == []
    before = file.read_bytes()
    alone = small.predict(columns(), save_path=path, save_format=kind, return_dataframe=False)
    assert alone == file
    assert file.read_bytes() == before  # replaced, not appended to


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        ("scores", "json", r"`save_format` must be one of csv, parquet; got 'json'"),
        ("scores.parquet", "csv", r"`save_format` must be 'parquet', as `save_path`"),
        ("scores.csv.gz", None, r"`save_path` must be a \.csv or \.parquet file"),
    ],
)
def test_formats_that_contradict_are_refused(
    path: str, kind: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told):
        model().predict(columns(), save_path=path, save_format=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [{"streaming_chunk_size": 0}, {"batch_size": 0}])
def test_sizes_are_checked(option: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        model().predict(columns(), **option)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_write_that_breaks_leaves_the_old_file(kind: str, tmp_path: Path) -> None:
    small = model(id_columns="name")
    path = tmp_path / f"scores.{kind}"
    small.predict(columns(), save_path=path)
    before = path.read_bytes()
    bad = columns()
    bad["user"][40] = 99  # in the fifth of five pieces
    with pytest.raises(DataError, match=r"'user', row 40"):
        small.predict(bad, save_path=path, streaming_chunk_size=10)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_data_that_is_refused_makes_no_folder(tmp_path: Path) -> None:
    bad = {**columns(), "user": [99] * ROWS}
    with pytest.raises(DataError):
        model().predict(bad, save_path="scores")
    assert not (tmp_path / "nextrec_logs").exists()


# -- columns of each kind of task --------------------------------------------------------------


def test_multiclass_columns() -> None:
    small = model(task="multiclass", target="kind", num_classes=3)
    frame = small.predict(columns())
    names = ["kind_prob_0", "kind_prob_1", "kind_prob_2"]
    assert list(frame) == ["kind_pred", *names]
    np.testing.assert_allclose(frame[names].sum(axis=1), 1, rtol=1e-5)
    assert frame["kind_pred"].tolist() == frame[names].to_numpy().argmax(axis=1).tolist()
    np.testing.assert_allclose(frame[names], expected_scores(small), rtol=1e-5)


def test_columns_of_several_tasks() -> None:
    options = {"task": ["binary", "multiclass", "regression"], "num_classes": 2}
    small = model(target=["click", "kind", "stars"], id_columns="name", **options)
    frame = small.predict(columns())
    assert list(frame) == [
        "name",
        "click_pred",
        "kind_pred",
        "kind_prob_0",
        "kind_prob_1",
        "stars_pred",
    ]
    assert small.predict(columns(), return_dataframe=False).shape == (ROWS, 5)
    labels = model(task="multilabel", target=["a", "b"])
    assert list(labels.predict(columns())) == ["a_pred", "b_pred"]
