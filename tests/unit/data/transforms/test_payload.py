"""Plain values and arrays survive as bytes; anything else is refused."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import CheckpointError


def test_nested_values_come_back():
    shared = pa.array(["é", None, "東京"])
    payload = {
        "number": 2**80,
        "nan": math.nan,
        "none": None,
        "deep": [{"array": pa.array([1, 2, 3]).slice(1, 2)}, {"empty": pa.array([], pa.int8())}],
        "twice": [shared, shared],
        "chunks": pa.chunked_array([[1.5], [2.5]]),
    }
    back = from_bytes(to_bytes(payload))
    assert back["number"] == 2**80
    assert math.isnan(back["nan"])
    assert back["deep"][0]["array"].to_pylist() == [2, 3]
    assert back["deep"][1]["empty"].type == pa.int8()
    assert back["twice"][0].to_pylist() == back["twice"][1].to_pylist() == ["é", None, "東京"]
    assert back["chunks"].to_pylist() == [1.5, 2.5]
    assert back["none"] is None


def test_an_array_that_stands_twice_is_written_once():
    array = pa.array(range(10_000))
    assert len(to_bytes({"a": array, "b": array})) < 1.1 * len(to_bytes({"a": array}))


def test_every_cut_is_refused():
    data = to_bytes({"tokens": pa.array(["a", "b"]), "count": 3})
    for cut in range(0, len(data) - 8, 7):  # the last 8 bytes mark the end of the stream
        with pytest.raises(CheckpointError, match="somewhere"):
            from_bytes(data[:cut], "somewhere")


def test_other_streams_are_refused():
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("x", pa.int8())])) as writer:
        writer.write_table(pa.table({"x": pa.array([1], pa.int8())}))
    with pytest.raises(CheckpointError):
        from_bytes(sink.getvalue())
