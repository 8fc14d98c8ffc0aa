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


def test_flipped_bits_never_crash():
    payload = {"tokens": pa.array(["a", "bc", None, "é"]), "counts": pa.array([1, 2]), "n": [3]}
    data = to_bytes(payload)
    for bit in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            back = from_bytes(bytes(flipped), "somewhere")
        except CheckpointError:
            continue
        for each in back.values():  # other values; what is in a file has a digest, too
            assert str(each.to_pylist() if isinstance(each, pa.Array) else each)


def test_offsets_beyond_the_values_are_refused():
    values = pa.array(["abc", "d"])
    offsets = pa.py_buffer(pa.array([0, 1 << 30, 4], pa.int32()).buffers()[1].to_pybytes())
    wild = pa.StringArray.from_buffers(2, offsets, values.buffers()[2])
    column = pa.LargeListArray.from_arrays(pa.array([0, 2], pa.int64()), wild)
    schema = pa.schema([("0", column.type)], metadata={"nextrec": '{"tokens": {"$array": 0}}'})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
    with pytest.raises(CheckpointError, match="not readable"):
        from_bytes(sink.getvalue())


@pytest.mark.parametrize(
    "text",
    ["[]", "3", '{"$array": 5}', '{"$array": "x"}', '{"a": {"$array": []}}', "{", "[" * 9999],
)
def test_other_json_is_refused(text):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([], metadata={"nextrec": text})):
        pass
    with pytest.raises(CheckpointError, match="not readable"):
        from_bytes(sink.getvalue())
