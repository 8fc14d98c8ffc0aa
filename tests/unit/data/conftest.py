"""One small data set in every form that a user may have it in."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch

from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature

ITEM = [3, 49, 0, 7, 7, 20, 1]
PRICE = [0.5, -1.25, 0.0, 3.0, 2.5, 1e-3, 7.0]
PLACE = [[1.0, 2.0], [0.0, 0.5], [3.0, -4.0], [0.25, 8.0], [1.5, 1.5], [2.0, 0.0], [9.0, 6.0]]
LIKED = [[1, 2, 3], [], None, [9], [1, 2, 3, 4, 5], [5, 5], [8, 7, 6, 5]]
CLICK = [1, 0, 0, 1, 1, 0, 1]
BUY = [1.0, None, 0.0, None, 1.0, 0.0, 0.0]
USER = ["ann", "bob", "ann", "cyd", "bob", "ann", "dan"]
WEIGHT = [1.0, 2.0, 0.0, 0.5, 1.0, 1.0, 4.0]
COLUMNS: dict[str, list[Any]] = {
    "item": ITEM,
    "price": PRICE,
    "place": PLACE,
    "liked": LIKED,
    "click": CLICK,
    "buy": BUY,
    "user": USER,
    "weight": WEIGHT,
}
TARGETS = ("click", "buy")


@pytest.fixture
def features() -> FeatureSet:
    return FeatureSet(
        [DenseFeature("price"), DenseFeature("place", input_dim=2)],
        [SparseFeature("item", vocab_size=50)],
        [SequenceFeature("liked", vocab_size=10, max_len=4)],
    )


EXPECTED = {
    "sparse": [[each] for each in ITEM],
    "sequence": [
        [1, 2, 3, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [9, 0, 0, 0],
        [2, 3, 4, 5],
        [5, 5, 0, 0],
        [8, 7, 6, 5],
    ],
    "dense": [[price, *place] for price, place in zip(PRICE, PLACE, strict=True)],
    "labels": [
        [click, np.nan if buy is None else buy] for click, buy in zip(CLICK, BUY, strict=True)
    ],
    "weights": WEIGHT,
}


def _padded() -> np.ndarray:
    return np.array([(each or []) + [0] * (6 - len(each or [])) for each in LIKED])


def _texts(opening: str, separator: str, closing: str) -> list[str]:
    return [
        "" if each is None else opening + separator.join(map(str, each)) + closing for each in LIKED
    ]


def _frame() -> pd.DataFrame:
    return pd.DataFrame(COLUMNS)


def _text_frame(opening: str, separator: str, closing: str) -> pd.DataFrame:
    return _frame().assign(
        liked=_texts(opening, separator, closing), place=[str(each) for each in PLACE]
    )


def _csv(folder: Path, *marks: str) -> str:
    _text_frame(*marks).to_csv(folder / "data.csv", index=False)
    return str(folder / "data.csv")


def _gzipped(folder: Path) -> str:
    text = Path(_csv(folder, "[", ", ", "]")).read_bytes()
    (folder / "zipped.csv.gz").write_bytes(gzip.compress(text))
    return str(folder / "zipped.csv.gz")


def _parts(folder: Path) -> Path:
    (folder / "parts").mkdir()
    table = pa.table(COLUMNS)
    pq.write_table(table.slice(0, 3), folder / "parts" / "part-0.parquet")
    pq.write_table(table.slice(3), folder / "parts" / "part-1.parquet", row_group_size=2)
    (folder / "parts" / "_SUCCESS").touch()
    return folder / "parts"


def _parquet(folder: Path) -> Path:
    pq.write_table(pa.table(COLUMNS), folder / "data.parquet", row_group_size=2)
    return folder / "data.parquet"


def _numpy() -> dict[str, Any]:
    buy = np.array([np.nan if each is None else each for each in BUY])
    return {
        "item": np.array(ITEM, dtype=np.uint8),
        "price": np.array(PRICE, dtype=np.float32),
        "place": np.array(PLACE),
        "liked": _padded(),
        "click": np.array(CLICK, dtype=bool),
        "buy": buy,
        "user": np.array(USER),
        "weight": np.array(WEIGHT),
    }


def _tensors() -> dict[str, Any]:
    columns = {name: torch.from_numpy(each) for name, each in _numpy().items() if name != "user"}
    return {**columns, "user": USER}


def _objects() -> pd.DataFrame:
    frame = _frame()
    frame["liked"] = [None if each is None else np.array(each, dtype=np.int32) for each in LIKED]
    frame["place"] = [tuple(each) for each in PLACE]
    frame["user"] = pd.Categorical(USER)
    frame["buy"] = pd.array(BUY, dtype="Float64")
    return frame.astype({"item": "float64"})


def _polars() -> pl.DataFrame:
    place = pl.Series("place", PLACE, dtype=pl.Array(pl.Float64, 2))
    return pl.DataFrame(COLUMNS).with_columns(place, pl.col("user").cast(pl.Categorical))


FORMS: dict[str, Callable[[Path], Any]] = {
    "pandas": lambda _: _frame(),
    "pandas, arrays and extension types": lambda _: _objects(),
    "pandas, text": lambda _: _text_frame("(", ",", ")"),
    "polars": lambda _: _polars(),
    "polars, lazy": lambda _: _polars().lazy(),
    "arrow": lambda _: pa.table(COLUMNS),
    "arrow, chunked": lambda _: pa.concat_tables(
        [pa.table(COLUMNS).slice(0, 1), pa.table(COLUMNS).slice(1, 3), pa.table(COLUMNS).slice(4)]
    ),
    "arrow, batch": lambda _: pa.RecordBatch.from_pydict(COLUMNS),
    "arrow, stream": lambda _: pa.table(COLUMNS).to_reader(max_chunksize=2),
    "arrow, data set": lambda folder: pa.dataset.dataset(_parquet(folder)),
    "dict of lists": lambda _: dict(COLUMNS),
    "dict of arrays": lambda _: _numpy(),
    "dict of tensors": lambda _: _tensors(),
    "dict of series": lambda _: {name: pl.Series(name, each) for name, each in COLUMNS.items()},
    "records": lambda _: pa.table(COLUMNS).to_pylist(),
    "csv": lambda folder: _csv(folder, "[", ", ", "]"),
    "csv, bars": lambda folder: _csv(folder, "", "|", ""),
    "csv, blanks": lambda folder: _csv(folder, "", " ", ""),
    "csv, zipped": _gzipped,
    "parquet": _parquet,
    "parquet, folder": _parts,
    "parquet, pattern": lambda folder: str(_parts(folder) / "part-*.parquet"),
    "parquet, list": lambda folder: [
        _parts(folder) / "part-0.parquet",
        str(folder / "parts" / "part-1.parquet"),
    ],
}
FILE_FORMS = [name for name in FORMS if name.startswith(("csv", "parquet"))]


@pytest.fixture(params=list(FORMS))
def any_form(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FORMS[request.param](tmp_path)


@pytest.fixture(params=FILE_FORMS)
def any_files(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FORMS[request.param](tmp_path)
