"""Plain values and Arrow arrays as bytes: how states travel and how a processor is saved.

One Arrow IPC stream: each array is a record batch column of its own length, kept as a one-row list
column, and everything else is JSON in the schema's metadata. Nothing here can hold code.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from nextrec.data.transforms.base import Payload
from nextrec.errors import CheckpointError

_JSON = b"nextrec"
_ARRAY = "$array"
_UNREADABLE = (
    pa.ArrowException,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)


def to_bytes(payload: Payload) -> bytes:
    """Encode a payload; dicts and lists may be nested, arrays may stand anywhere in them.

    >>> from_bytes(to_bytes({"count": 3, "tokens": pa.array(["a", "b"])}))["tokens"].to_pylist()
    ['a', 'b']
    """
    arrays: list[pa.Array] = []
    text = json.dumps(_without_arrays(payload, arrays), allow_nan=True)
    columns = [
        pa.LargeListArray.from_arrays(pa.array([0, len(each)], pa.int64()), each) for each in arrays
    ]
    fields = [pa.field(str(place), column.type) for place, column in enumerate(columns)]
    schema = pa.schema(fields, metadata={_JSON: text.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return sink.getvalue().to_pybytes()


def from_bytes(data: bytes | pa.Buffer, where: str = "the payload") -> Payload:
    """Decode what :func:`to_bytes` wrote.

    Raises:
        CheckpointError: the bytes are cut short or something else.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            table = reader.read_all()
        # Arrow trusts what it reads: an offset beyond the values would be followed anywhere.
        table.validate(full=True)
        text = (table.schema.metadata or {})[_JSON]
        arrays = [_only_row(column) for column in table.columns]
        payload = _with_arrays(json.loads(text), arrays)
    except _UNREADABLE as error:
        raise CheckpointError(f"{where}: not readable ({error!r}).") from error
    if not isinstance(payload, dict):
        raise CheckpointError(f"{where}: not readable (it is no object of JSON).")
    return payload


def _only_row(column: pa.ChunkedArray) -> pa.Array:
    values = column.chunk(0)
    return values.values.slice(values.offsets[0].as_py(), values.offsets[1].as_py())


def _without_arrays(value: Any, arrays: list[pa.Array]) -> Any:
    if isinstance(value, pa.ChunkedArray):
        value = pa.concat_arrays(value.chunks) if value.chunks else pa.array([], value.type)
    if isinstance(value, pa.Array):
        known = (place for place, each in enumerate(arrays) if each is value)
        place = next(known, len(arrays))  # what stands in two places is written once
        if place == len(arrays):
            arrays.append(value)
        return {_ARRAY: place}
    if isinstance(value, dict):
        return {key: _without_arrays(each, arrays) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(each, arrays) for each in value]
    return value


def _with_arrays(value: Any, arrays: list[pa.Array]) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        return {key: _with_arrays(each, arrays) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_arrays(each, arrays) for each in value]
    return value
