from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import nextrec
from nextrec.data.memory import ArrowSource
from nextrec.data.stream import ChunkStream
from nextrec.errors import DataError
from nextrec.features import SparseFeature
from nextrec.metrics import resolve_metrics
from nextrec.models.loading import TableInput
from nextrec.models.run_checks import check_monitor, refuse_unobserved

ROWS = 40


def model() -> nextrec.BaseModel:
    features = [SparseFeature("s", 50, embedding_dim=2)]
    return nextrec.ShareBottom(sparse_features=features, target=["a", "b"], seed=1)


def loader(streamed: bool, **changed: Any) -> Any:
    columns = {"s": np.arange(ROWS), "a": np.arange(ROWS) % 2, "b": np.arange(ROWS) % 2}
    columns |= {"user": np.arange(ROWS) // 4, "w": np.ones(ROWS), **changed}
    source = ArrowSource(pa.table(columns))
    table = TableInput(model(), source, group_column="user", weight_column="w")
    return table.loader(table.stream() if streamed else table.store(), 8)


@pytest.fixture(params=[False, True], ids=["memory", "stream"])
def streamed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("nextrec.data.memory.UNIT_ROWS", 5)
    return bool(request.param)


def only(row: int, value: float = 1.0) -> np.ndarray:
    labels = np.full(ROWS, np.nan)
    labels[row] = value
    return labels


def test_every_target_needs_a_label_that_counts(streamed: bool) -> None:
    refuse_unobserved(model(), loader(streamed))
    refuse_unobserved(model(), loader(streamed, a=only(3), b=only(37)))
    with pytest.raises(DataError, match=f"`b` must be observed.*got '{ROWS} rows without'"):
        refuse_unobserved(model(), loader(streamed, b=np.full(ROWS, np.nan)))
    unweighted = np.ones(ROWS)
    unweighted[37] = 0
    with pytest.raises(DataError, match="`b` must be observed, with a weight above 0"):
        refuse_unobserved(model(), loader(streamed, b=only(37), w=unweighted))


def check(data: Any, metric: str) -> None:
    requests = tuple(resolve_metrics([metric], model().tasks))
    column = "user" if any(request.needs_groups for request in requests) else None
    run = SimpleNamespace(valid=data, requests=requests, group_column=column)
    check_monitor(model(), run, requests[0].key)  # type: ignore[arg-type]


def test_the_monitor_must_have_a_value(streamed: bool) -> None:
    for metric in ("auc", "gauc", "logloss"):
        check(loader(streamed), metric)
    late = np.ones(ROWS)
    late[-1] = 0  # the last user alone has both labels
    for metric in ("auc", "gauc"):
        check(loader(streamed, a=late), metric)
    with pytest.raises(DataError, match="the monitor 'auc_a' is undefined"):
        check(loader(streamed, a=np.ones(ROWS)), "auc")
    nothing = np.full(ROWS, np.nan)
    with pytest.raises(DataError, match="no label of the validation data is observed"):
        check(loader(streamed, a=nothing, b=nothing), "auc")


def test_a_stream_is_read_no_further_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextrec.data.memory.UNIT_ROWS", 2)
    read: list[int] = []
    inner = ChunkStream._prepared

    def counting(self: ChunkStream, job: Any, spans: Any) -> Any:
        read.append(spans[0].unit.place)
        return inner(self, job, spans)

    monkeypatch.setattr(ChunkStream, "_prepared", counting)
    data = loader(True)
    data.threads = 0
    refuse_unobserved(model(), data)
    assert read == [0]
    check(data, "auc")
    assert read == [0, 0]


def test_other_loaders_are_left_alone(tmp_path: Path) -> None:
    refuse_unobserved(model(), [{"features": {}}])
